"""A real blob server of Azure's dialect for tests: Azurite (npm, pinned in azurite/package-lock.json), in memory.

``with Azurite() as azurite``: ``azurite.url`` is the URL for ``azurite.account``, whose key is ``azurite.key``;
``make_container(name)`` makes a container, ``sas(container)`` gives a token for it. It checks both ways of signing.
https://learn.microsoft.com/azure/storage/common/storage-use-azurite (options), .../rest/api/storageservices (signing).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import re
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.parse
import urllib.request
from email.utils import formatdate
from pathlib import Path
from typing import Self

import pytest

HOME = Path(__file__).resolve().parent / "azurite"
PROGRAM = HOME / "node_modules" / "azurite" / "dist" / "src" / "blob" / "main.js"
VERSION = "2025-11-05"  # the newest that Azurite 3.35 takes
PATIENCE = 120.0  # seconds until it is ready; a loaded machine takes its time
MEMORY = "3072"  # MiB of blobs; Azurite frees deleted ones late
OPTIONS = ("--blobHost", "127.0.0.1", "--blobPort", "0", "--inMemoryPersistence", "--extentMemoryLimit", MEMORY)
QUIET = ("--silent", "--disableTelemetry", "--disableProductStyleUrl")


def need_azurite() -> None:
    """End the test where Azurite or Node is missing: a failure on a machine (CI=true), else a skip."""
    reason = ""
    if not PROGRAM.exists():
        reason = f"no Azurite: run `make .make/azurite` (npm ci in {HOME})"
    elif shutil.which("node") is None:
        reason = "no Node: apt-get install nodejs"
    if reason and os.environ.get("CI") == "true":
        pytest.fail(reason)
    if reason:
        pytest.skip(reason)


class Azurite:
    def __init__(self) -> None:
        need_azurite()
        self.account = "gatewaytests"
        self.key = base64.b64encode(secrets.token_bytes(64)).decode()
        self.url = ""
        self._process: subprocess.Popen[bytes] | None = None
        self._folder = Path()

    @property
    def pid(self) -> int:
        return self._process.pid if self._process else 0

    def __enter__(self) -> Self:
        self._folder = Path(tempfile.mkdtemp(prefix="gateway-azurite-"))
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *fault: object) -> None:
        self.stop()

    def make_container(self, name: str) -> None:
        self._ask("PUT", name, "restype:container", "restype=container")

    def sas(self, container: str, rights: str = "rcwdl", seconds: float = 86400.0) -> str:
        """A service SAS for one container: r read, c create, w write, d delete, l list."""
        start = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 3600))
        end = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + seconds))
        resource = f"/blob/{self.account}/{container}"
        text = "\n".join([rights, start, end, resource, "", "", "https,http", VERSION, "c", "", "", *[""] * 5])
        fields = {"sp": rights, "st": start, "se": end, "spr": "https,http", "sv": VERSION, "sr": "c"}
        return urllib.parse.urlencode({**fields, "sig": self._sign(text)})

    def log(self) -> str:
        return "\n".join((self._folder / "log").read_text(errors="replace").splitlines()[-40:])

    def stop(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _start(self) -> None:
        command = ["node", str(PROGRAM), *OPTIONS, *QUIET]
        if shutil.which("setpriv"):  # never outlive the tests, also where they are killed
            command = ["setpriv", "--pdeathsig", "TERM", *command]
        environment = {"AZURITE_ACCOUNTS": f"{self.account}:{self.key}", "PATH": os.environ["PATH"]}
        with (self._folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, cwd=self._folder
            )
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until and self._process.poll() is None:
            said = re.search(r"listens on (http://127\.0\.0\.1:\d+)", self.log())
            if said:
                self.url = f"{said[1]}/{self.account}"
                self.make_container("ready")
                return
            time.sleep(0.05)
        pytest.fail(f"Azurite did not become ready; it said:\n{self.log()}")

    def _ask(self, method: str, path: str, resource: str, query: str) -> None:
        """One call signed with the account's key, without a body."""
        headers = {"x-ms-date": formatdate(usegmt=True), "x-ms-version": VERSION}
        lines = [f"{name}:{value}" for name, value in sorted(headers.items())]
        text = "\n".join([method, *[""] * 11, *lines, f"/{self.account}/{self.account}/{path}", resource])
        headers["Authorization"] = f"SharedKey {self.account}:{self._sign(text)}"
        asked = urllib.request.Request(f"{self.url}/{path}?{query}", method=method, headers=headers)
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # whatever proxy the machine has
        with direct.open(asked, timeout=60):
            return

    def _sign(self, text: str) -> str:
        digest = hmac.new(base64.b64decode(self.key), text.encode(), hashlib.sha256).digest()
        return base64.b64encode(digest).decode()
