"""The gateway that is to die: its real process, the strace that kills it at a system call, and what it leaves."""

from __future__ import annotations

import configparser
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from pathlib import Path

from tests.campaign.signing import Account, Client

MUTATING = (
    "write pwrite64 writev fsync fdatasync rename renameat renameat2 link linkat unlink unlinkat ftruncate"
    " mkdir mkdirat rmdir sendto openat"
).split()
PATIENCE = 60.0
LAUNCHER = Path(__file__).parent / "launcher.py"
CONFIGURATION = """[gateway]
listen = tcp:0:interface=127.0.0.1
reap_interval = 3600

[storage]
backend = local
local.path = storage
"""


class Broken(Exception):
    """The gateway did not do what it must to be examined at all; the text holds what it said."""


class Subject:
    """A folder with a gateway's configuration, and the process that serves it. ``control`` breaks it on purpose."""

    def __init__(self, folder: Path, control: str = "") -> None:
        self.folder = folder
        self.endpoint = ""
        self.recoveries: list[float] = []  # seconds from each start to the first request it is ready for
        self._control = control
        self._process: subprocess.Popen[bytes] | None = None
        self._strace: subprocess.Popen[str] | None = None
        folder.mkdir(parents=True)
        (folder / "tahoe.cfg").write_text(CONFIGURATION)
        self._gateway("init", str(folder), "--account", "admin")
        pair = configparser.ConfigParser(interpolation=None)
        pair.read(folder / "private" / "admin.credentials")
        self._account = Account(pair["default"]["aws_access_key_id"], pair["default"]["aws_secret_access_key"])

    def client(self) -> Client:
        return Client(self.endpoint, self._account)

    @property
    def pid(self) -> int:
        return self._process.pid if self._process else 0

    # ------------------------------------------------------------ life

    def start(self, *tracer: str) -> bool:
        """Start it, below ``tracer`` if there is one; False where it died before it was ready."""
        said = (self.folder / "server.out").open("wb")
        words = [sys.executable, str(LAUNCHER), self._control or "none", "run", "-c", str(self.folder / "tahoe.cfg")]
        begun = time.monotonic()
        with said:
            self._process = subprocess.Popen([*tracer, *words], stdin=subprocess.DEVNULL, stdout=said, stderr=said)
        while time.monotonic() < begun + PATIENCE:
            if self._process.poll() is not None:
                if tracer:
                    return False
                raise Broken(f"the gateway does not start: {self.said()}")
            found = re.search(r"^\s*endpoint\s+(\S+)$", (self.folder / "server.out").read_text(), re.MULTILINE)
            if found and _ready(found[1]):
                self.endpoint = found[1]
                if not tracer:
                    self.recoveries.append(time.monotonic() - begun)
                return True
            time.sleep(0.01)
        raise Broken(f"the gateway is not ready after {PATIENCE:g} s: {self.said()}")

    def kill(self) -> None:
        """As kill -9 does; fine where it is dead already. Returns when it is dead for sure."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(PATIENCE)
            self._process = None
        if self._strace is not None:
            self._strace.communicate(timeout=PATIENCE)
            self._strace = None

    def dead(self, seconds: float = 0.0) -> bool:
        """Did it die (waits a moment for it)?"""
        assert self._process is not None
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def stop(self) -> None:
        """As SIGTERM does; it must end well."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        code = self._process.wait(PATIENCE)
        self._process = None
        if code:
            raise Broken(f"the gateway ended with {code}: {self.said()}")

    def reap(self) -> str:
        """`gateway reap --now`, while it is stopped."""
        return self._gateway("reap", "--now", "-c", str(self.folder / "tahoe.cfg"))

    def _gateway(self, *words: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "gateway", *words], capture_output=True, text=True, timeout=PATIENCE, check=False
        )
        if done.returncode:
            raise Broken(f"gateway {words[0]} ended with {done.returncode}: {done.stdout}{done.stderr}")
        return done.stdout

    def said(self) -> str:
        texts = []
        for file in (self.folder / "server.out", self.folder / "log" / "gateway.log"):
            if file.exists():
                texts.append("\n".join(file.read_text(errors="replace").splitlines()[-40:]))
        return "\n".join(texts)

    # ------------------------------------------------------------ system calls

    def aim(self, call: str, number: int) -> None:
        """It will die as any of its threads enters that call for the ``number``-th time from now on."""
        self._attach("-o", "/dev/null", "-e", f"trace={call}", "-e", f"inject={call}:signal=SIGKILL:when={number}")

    def count(self) -> None:
        """Count its system calls until ``counted``."""
        self._attach("-o", str(self.folder / "calls"), "-e", f"trace={','.join(MUTATING)}")

    def counted(self) -> dict[str, int]:
        """For each call how often the busiest thread made it."""
        self.release()
        return counts((self.folder / "calls").read_text())

    def release(self) -> None:
        """Let strace go; the gateway lives on."""
        if self._strace is not None:
            self._strace.send_signal(signal.SIGINT)
            self._strace.communicate(timeout=PATIENCE)
            self._strace = None

    def _attach(self, *options: str) -> None:
        words = ["strace", "-f", "-p", str(self.pid), *options]
        self._strace = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
        assert self._strace.stderr is not None
        line = self._strace.stderr.readline()
        if "attached" not in line:
            raise Broken(f"strace: {line}")


def counts(log: str) -> dict[str, int]:
    """From strace's log: for each call how often the busiest thread made it (``when=N`` counts each thread's)."""
    calls = Counter(re.findall(r"^(\d+) +(\w+)\(", log, re.MULTILINE))
    most: dict[str, int] = {}
    for (_, call), number in calls.items():
        most[call] = max(most.get(call, 0), number)
    return most


def can_trace() -> str:
    """Why strace cannot be used here, or ""."""
    found = shutil.which("strace")
    if found is None:
        return "no strace (apt-get install strace)"
    child = subprocess.Popen(["sleep", "5"])
    tracer = subprocess.Popen([found, "-p", str(child.pid), "-o", "/dev/null"], stderr=subprocess.PIPE, text=True)
    assert tracer.stderr is not None
    line = tracer.stderr.readline()
    child.kill()
    child.wait()
    tracer.communicate(timeout=PATIENCE)
    return "" if "attached" in line else f"strace may not attach: {line.strip()}"


def _ready(endpoint: str) -> bool:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(f"{endpoint}/_/ready", timeout=5) as reply:
            return bool(reply.status == 200)
    except urllib.error.HTTPError as refused:
        refused.close()
        return False
    except OSError:
        return False
