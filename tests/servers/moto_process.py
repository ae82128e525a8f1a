"""moto's S3 in one process, all in memory. Run by ``moto.py`` with the Python of the servers' venv.

Writes one line of JSON, ``{"port": ...}``, when it listens. (docs.getmoto.org/en/latest/docs/server_mode.html)
"""

from __future__ import annotations

import ctypes
import json
import logging
import signal
import sys

ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG: never outlive the tests

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app  # noqa: E402
from werkzeug.serving import WSGIRequestHandler, make_server  # noqa: E402


class Keeping(WSGIRequestHandler):
    """Connections are kept, as a real service keeps them."""

    protocol_version = "HTTP/1.1"


def main() -> None:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    app = DomainDispatcherApplication(create_backend_app)
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=Keeping)
    sys.stdout.write(json.dumps({"port": server.server_port}) + "\n")
    sys.stdout.flush()
    server.serve_forever()


main()
