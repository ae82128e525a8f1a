"""Servers that tests are run against: each a process of its own, from the servers' venv, on a free port."""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
PYTHON = ROOT / ".venv-servers" / "bin" / "python"
PATIENCE = 120.0  # seconds until a server says that it is ready; a loaded machine takes its time


def need(package: str) -> None:
    """End the test where the servers' venv lacks ``package``: a failure on a machine (CI=true), else a skip."""
    found = [*(ROOT / ".venv-servers" / "lib").glob(f"python3*/site-packages/{package}")]
    if not found:
        reason = f"{package} is not in .venv-servers: run `make .make/servers`"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)


class ServerProcess:
    """``with``: starts ``program`` with ``options`` (and a scratch folder); what it prints first is ``said`` (JSON).

    The folder is in memory where the machine has /dev/shm, so that a server's fsync does not wait for a disk.
    """

    def __init__(self, program: str, options: Mapping[str, Any]) -> None:
        self._program = Path(__file__).parent / program
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None
        self.folder = Path()
        self.said: dict[str, Any] = {}

    @property
    def pid(self) -> int:
        return self._process.pid if self._process else 0

    def __enter__(self) -> Self:
        fast = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
        self.folder = Path(tempfile.mkdtemp(prefix="gateway-tests-", dir=fast))
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *fault: object) -> None:
        self.stop()

    def _start(self) -> None:
        environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("OS_", "AWS_")) and not name.lower().endswith("_proxy")
        }
        with (self.folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                # -P: swift.py beside the program must not hide the package swift
                [str(PYTHON), "-P", str(self._program), json.dumps({**self._options, "folder": str(self.folder)})],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                env={**environment, "PYTHONWARNINGS": "ignore"},
            )
        assert self._process.stdout is not None
        line = b""
        until = time.monotonic() + PATIENCE
        while not line.endswith(b"\n"):
            readable, _, _ = select.select([self._process.stdout], [], [], max(0.0, until - time.monotonic()))
            more = os.read(self._process.stdout.fileno(), 65536) if readable else b""
            if not more:
                pytest.fail(f"{self._program.name} did not become ready; it said:\n{self.log()}")
            line += more
        self.said = json.loads(line)

    def log(self) -> str:
        """The last of what the server said."""
        return "\n".join((self.folder / "log").read_text(errors="replace").splitlines()[-40:])

    def stop(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            if process.stdout is not None:
                process.stdout.close()
        shutil.rmtree(self.folder, ignore_errors=True)
