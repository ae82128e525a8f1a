"""A live gateway in a process of its own, made and started as an operator would."""

from __future__ import annotations

import configparser
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import IO

ACCOUNT = "admin"
NOTHING: Mapping[str, str] = MappingProxyType({})


class ServerFault(Exception):
    """The gateway did not start or stop; the text holds what it said."""


class LiveGateway:
    """``with LiveGateway(folder, backend="memory") as live:`` - live.endpoint, access_key, secret_key, region, pid.

    ``storage`` and ``gateway`` are further lines of those sections, ``secrets`` files of private/. The folder is kept,
    so that a second LiveGateway on it finds what the first one stored (if the backend keeps it). ``before``: words
    before the command that serves, such as `valgrind`. One process serves, unless ``gateway`` says ``workers``; then
    ``pid`` is the supervisor's.
    """

    def __init__(
        self,
        folder: Path,
        backend: str = "memory",
        *,
        gateway: Mapping[str, str] = NOTHING,
        storage: Mapping[str, str] = NOTHING,
        secrets: Mapping[str, str] = NOTHING,
        patience: float = 60.0,
        before: Sequence[str] = (),
    ) -> None:
        self.folder = Path(folder)
        self.config_file = self.folder / "tahoe.cfg"
        self.region = gateway.get("region", "us-east-1")
        self.endpoint = ""
        self.access_key = ""
        self.secret_key = ""
        self._sections = {
            "gateway": {"listen": "tcp:0:interface=127.0.0.1", "region": self.region, "workers": "1", **gateway},
            "storage": {"backend": backend, **storage},
        }
        self._secrets = secrets
        self._patience = patience
        self._before = before
        self._process: subprocess.Popen[bytes] | None = None
        self._said: IO[bytes] | None = None

    def __enter__(self) -> LiveGateway:
        self.start()
        return self

    def __exit__(self, *fault: object) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        return self._process.pid if self._process else 0

    def start(self) -> None:
        """Make what the folder lacks, start the process, and wait until it is ready. Raises ServerFault."""
        self._write()
        words = [sys.executable, "-m", "gateway", "init", str(self.folder), "--account", ACCOUNT]
        made = subprocess.run(words, capture_output=True, text=True, timeout=self._patience)
        if made.returncode:
            raise ServerFault(f"gateway init ended with {made.returncode}: {made.stdout}{made.stderr}")
        pair = configparser.ConfigParser(interpolation=None)
        pair.read(self.folder / "private" / f"{ACCOUNT}.credentials")
        self.access_key = pair["default"]["aws_access_key_id"]
        self.secret_key = pair["default"]["aws_secret_access_key"]
        self._said = (self.folder / "server.out").open("w+b")
        words = [*self._before, sys.executable, "-m", "gateway", "run", "-c", str(self.config_file)]
        self._process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=self._said, stderr=self._said)
        try:
            self._wait_until_ready()
        except BaseException:
            self._end(signal.SIGKILL)
            raise

    def stop(self) -> None:
        """Let running replies end, as on SIGTERM. Raises ServerFault where the gateway does not end by itself."""
        if self._process is not None:
            code = self._end(signal.SIGTERM)
            if code != 0:
                raise ServerFault(f"the gateway ended with {code} on SIGTERM; it said:\n{self.log()}")

    def kill(self) -> None:
        """End it as a power cut would."""
        if self._process is not None:
            self._end(signal.SIGKILL)

    def log(self) -> str:
        """The last of what the gateway said, on its terminal and in its log."""
        files = (self.folder / "server.out", self.folder / "log" / "gateway.log")
        return "\n".join(f"--- {file}\n{_tail(file)}" for file in files if file.exists())

    def _write(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        if not self.config_file.exists():
            lines = []
            for section, keys in self._sections.items():
                # A continued line of an INI file is indented.
                lines += [f"[{section}]", *(f"{key} = {_indented(value)}" for key, value in keys.items()), ""]
            self.config_file.write_text("\n".join(lines))
        if self._secrets:
            private = self.folder / "private"
            private.mkdir(mode=0o700, exist_ok=True)
            for name, text in self._secrets.items():
                (private / name).touch(mode=0o600)
                (private / name).write_text(text + "\n")

    def _wait_until_ready(self) -> None:
        assert self._process is not None
        until = time.monotonic() + self._patience
        while time.monotonic() < until:
            if self._process.poll() is not None:
                raise ServerFault(f"the gateway ended with {self._process.returncode}; it said:\n{self.log()}")
            found = re.search(r"^\s*endpoint\s+(\S+)$", _tail(self.folder / "server.out"), re.MULTILINE)
            if found and _is_ready(found[1]):
                self.endpoint = found[1]
                return
            time.sleep(0.02)
        raise ServerFault(f"the gateway was not ready within {self._patience:g} s; it said:\n{self.log()}")

    def _end(self, how: signal.Signals) -> int:
        assert self._process is not None
        assert self._said is not None
        self._process.send_signal(how)
        try:
            return self._process.wait(self._patience)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise ServerFault(f"the gateway did not end on {how.name}; it said:\n{self.log()}") from None
        finally:
            self._said.close()
            self._process = None


def _is_ready(endpoint: str) -> bool:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # whatever proxy the machine has
    try:
        with direct.open(f"{endpoint}/_/ready", timeout=5) as reply:
            return bool(reply.status == 200)
    except urllib.error.HTTPError as refused:
        refused.close()
        return False
    except OSError:
        return False


def _indented(value: str) -> str:
    return "\n    ".join(value.splitlines())


def _tail(file: Path) -> str:
    return "\n".join(file.read_text(errors="replace").splitlines()[-60:])
