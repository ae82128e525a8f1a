"""OpenStack Keystone in one process: SQLite, Fernet tokens, identity API v3 only (newer ones have no v2.0).

Run by ``keystone.py`` with the Python of the servers' venv: ``keystone_process.py '{"folder": ..., "password": ...}'``.
Makes its database and keys, then writes one line of JSON, ``{"port": ...}``, and serves. ``token_life``: seconds.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import socket
import sys
from pathlib import Path

ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG: never outlive the tests
OPTIONS = json.loads(sys.argv[1])
del sys.argv[1:]  # Keystone reads the command line of whoever imports it

import waitress  # noqa: E402
from keystone.cmd import bootstrap  # noqa: E402
from keystone.common import fernet_utils  # noqa: E402
from keystone.common.sql import upgrades  # noqa: E402
from keystone.server import configure, wsgi  # noqa: E402


def write_config(folder: Path) -> Path:
    file = folder / "keystone.conf"
    file.write_text(
        f"[DEFAULT]\nlog_dir = {folder}\nlog_file = keystone.log\n"
        f"[database]\nconnection = sqlite:///{folder}/keystone.db\n"
        f"[cache]\nenabled = false\n"
        f"[identity]\npassword_hash_rounds = 4\n"
        f"[token]\nprovider = fernet\nexpiration = {OPTIONS['token_life']}\nallow_expired_window = 0\n"
        f"[fernet_tokens]\nkey_repository = {folder}/fernet\n"
        f"[fernet_receipts]\nkey_repository = {folder}/fernet\n"
        f"[credential]\nkey_repository = {folder}/credentials\n"
    )
    return file


def fill(folder: Path, url: str) -> None:
    """What `keystone-manage db_sync`, `fernet_setup` and `bootstrap` do, without starting Python for each."""
    configure(config_files=[str(folder / "keystone.conf")])
    upgrades.offline_sync_database_to_version()
    keys = fernet_utils.FernetUtils(f"{folder}/fernet", 3, "fernet_tokens")
    keys.create_key_directory()
    keys.initialize_key_repository()
    first = bootstrap.Bootstrapper()
    first.admin_username, first.admin_password = "admin", OPTIONS["password"]
    first.project_name, first.admin_role_name = "admin", "admin"
    first.service_name, first.region_id = "keystone", OPTIONS["region"]
    first.public_url = first.internal_url = first.admin_url = url
    first.bootstrap()


def main() -> None:
    folder = Path(OPTIONS["folder"]).absolute()
    listening = socket.create_server(("127.0.0.1", 0), backlog=512)
    port = listening.getsockname()[1]
    os.environ["OS_KEYSTONE_CONFIG_FILES"] = str(write_config(folder))
    child = os.fork()  # a process configures Keystone once
    if child == 0:
        fill(folder, f"http://127.0.0.1:{port}/v3")
        sys.exit()
    if os.waitpid(child, 0)[1]:
        sys.exit((folder / "keystone.log").read_text())
    application = wsgi.initialize_public_application()
    os.write(1, json.dumps({"port": port}).encode() + b"\n")
    waitress.serve(application, sockets=[listening], threads=8, _quiet=True)


if __name__ == "__main__":
    main()
