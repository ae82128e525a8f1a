"""A double of Rackspace's identity service v2.0, which hands out the tokens of a real Swift.

``with Rackspace(swift) as rackspace``: ``rackspace.url`` is what openstack.url would be; the user ``carol`` has the API
key ``rackspace.key``. ``tried`` counts the requests, ``asked`` the tokens that were handed out; ``life``: how many
seconds it says they live; ``broken``: answer with this status instead. The shape of the answer is that of Rackspace's
API guide (docs-ospc.rackspace.com/cloud-identity, "Authenticate as user with password or API key").
"""

from __future__ import annotations

import json
import threading
import time
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from tests.servers.swift import Swift

USER, KEY = "carol", "0f1e2d3c4b5a69788796a5b4c3d2e1f0"
REGION = "LON"


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # a client that hangs up is nobody's concern


class Rackspace:
    def __init__(self, swift: Swift, life: float = 86400.0) -> None:
        self.life = life
        self.key = KEY
        self.asked = 0
        self.tried = 0
        self.broken = 0
        self.regions = {REGION: swift.url, "DFW": "http://127.0.0.1:1"}
        self.default_region: str | None = REGION
        self._swift = swift
        double = self

        class Answer(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                document = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                status, answer = double.answer(self.path, document)
                text = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = _Server(("127.0.0.1", 0), Answer)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self.url = f"http://127.0.0.1:{self._server.server_port}/v2.0"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *fault: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, path: str, document: Any) -> tuple[int, Any]:
        self.tried += 1
        if self.broken:
            return self.broken, {"identityFault": {"code": self.broken, "message": "by request of the test"}}
        proof = {"RAX-KSKEY:apiKeyCredentials": {"username": USER, "apiKey": self.key}}
        if path != "/v2.0/tokens" or document != {"auth": proof}:
            return 401, {"unauthorized": {"code": 401, "message": "Unable to authenticate user with credentials"}}
        self.asked += 1
        token, storage = self._swift.token()
        account = storage.rpartition("/")[2]
        ends = datetime.fromtimestamp(time.time() + self.life, UTC).isoformat(timespec="milliseconds")
        user: dict[str, Any] = {"id": "123456", "name": USER, "roles": [{"id": "3", "name": "identity:user-admin"}]}
        if self.default_region is not None:
            user["RAX-AUTH:defaultRegion"] = self.default_region
        endpoints = [
            {
                "region": region,
                "tenantId": account,
                "publicURL": f"{url}/v1/{account}",
                "internalURL": f"http://snet.invalid/v1/{account}",
            }
            for region, url in self.regions.items()
        ]
        catalog = [
            {"name": "cloudFilesCDN", "type": "rax:object-cdn", "endpoints": []},
            {"name": "cloudFiles", "type": "object-store", "endpoints": endpoints},
        ]
        tenant = {"id": "123456", "name": "123456"}
        shown = {"id": token, "expires": ends.replace("+00:00", "Z"), "tenant": tenant}
        return 200, {"access": {"token": shown, "serviceCatalog": catalog, "user": user}}
