"""The gateway that is to die: its real process, the strace that kills it at a system call, and what it leaves."""

from __future__ import annotations

import configparser
import os
import random
import re
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType

from gateway.workers.worker import NAME
from tests.campaign.nursery import Child, Twistd, nursery
from tests.campaign.signing import Account, Client

MUTATING = (
    "write pwrite64 writev fsync fdatasync rename renameat renameat2 link linkat unlink unlinkat ftruncate"
    " mkdir mkdirat rmdir sendto openat"
).split()
PATIENCE = 60.0
_POLL = 0.005
_DETACH = 10.0  # seconds
SETTINGS: Mapping[str, str] = MappingProxyType(
    {"listen": "tcp:0:interface=127.0.0.1", "workers": "1", "reap_interval": "3600"}
)
CONFIGURATION = """[gateway]
{settings}

[storage]
backend = local
local.path = storage
"""


class Broken(Exception):
    """The gateway did not do what it must to be examined at all; the text holds what it said."""


class Died(Broken):
    """What it was asked to do ended with kill -9."""


Watch = Callable[["Subject"], None]


def nobody(subject: Subject) -> None:
    """Watches a start that nothing happens to."""


class Subject:
    """A folder with a gateway's configuration, made where there is none, and the process that serves it.

    ``control`` breaks it on purpose. ``twistd``: it is started by `twistd`, from nothing, instead of forked.
    ``settings`` of [gateway], beside or instead of SETTINGS; with several workers the process is their supervisor.
    """

    def __init__(
        self, folder: Path, control: str = "", twistd: bool = False, settings: Mapping[str, str] = SETTINGS
    ) -> None:
        self.folder = folder
        self.endpoint = ""
        self._first: frozenset[int] = frozenset()  # the workers that it was started with
        self.recoveries: list[tuple[float, float]] = []  # seconds from each start to ready, and of processor time
        self._control = control
        self._twistd = twistd
        self._child: Child | Twistd | None = None
        self._strace: subprocess.Popen[str] | None = None
        if not folder.exists():
            folder.mkdir(parents=True)
            lines = "\n".join(f"{name} = {value}" for name, value in {**SETTINGS, **settings}.items())
            (folder / "tahoe.cfg").write_text(CONFIGURATION.format(settings=lines))
            self.command("init", str(folder), "--account", "admin")
        pair = configparser.ConfigParser(interpolation=None)
        pair.read(folder / "private" / "admin.credentials")
        self._account = Account(pair["default"]["aws_access_key_id"], pair["default"]["aws_secret_access_key"])

    def client(self) -> Client:
        return Client(self.endpoint, self._account)

    @property
    def pid(self) -> int:
        return self._child.pid if self._child else 0

    # ------------------------------------------------------------ life

    def start(self, watch: Watch = nobody) -> bool:
        """Start it, with ``watch`` there from its first step; False where it died of that before it was ready."""
        said = self.folder / "server.out"
        said.write_text("")
        begun = time.monotonic()
        configuration = self.folder / "tahoe.cfg"
        if self._twistd:
            self._child = Twistd(configuration, said)
        else:
            self._child = nursery().child(["run", "-c", str(configuration)], said, self._control)
        watch(self)
        self._child.go()
        while time.monotonic() < begun + PATIENCE:
            if self._child.dead(_POLL):
                if self._strace is not None:
                    return False
                raise Broken(f"the gateway does not start: {self.said()}")
            found = re.search(r"(?:\s{2}endpoint|serving S3 at)\s+(\S+)$", said.read_text(), re.MULTILINE)
            if found and _ready(found[1]):
                self.endpoint = found[1]
                self._first = frozenset(self.workers())
                if self._strace is None:
                    self.recoveries.append((time.monotonic() - begun, _worked(self._child.pid)))
                return True
        raise Broken(f"the gateway is not ready after {PATIENCE:g} s: {self.said()}")

    def kill(self) -> None:
        """As kill -9 of all its processes does; fine where it is dead already. Returns when it is dead for sure."""
        for pid in (*self.workers(), *self.strangers()):
            _killed(pid)
        if self._child is not None:
            self.kill_first()
            self.buried()
        self._end_strace()

    def kill_first(self) -> None:
        """Kill the process that was started, and no other: a supervisor's workers must end by themselves."""
        assert self._child is not None
        self._child.signal(signal.SIGKILL)
        self._child.end(PATIENCE)
        self._child = None

    def kill_worker(self, draw: random.Random) -> bool:
        """Kill one of them; False where none is there."""
        there = self.workers()
        if there:
            _killed(draw.choice(there))
        return bool(there)

    def workers(self) -> list[int]:
        """The numbers of its processes beside the first one."""
        try:
            text = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text()
        except OSError:
            return []
        return [int(word) for word in text.split()]

    def serving(self) -> list[int]:
        """The workers that are ready."""
        told = (self.folder / "log" / "gateway.log").read_text(errors="replace")
        return [pid for pid in self.workers() if pid in self._first or f"worker {pid} serves in the place" in told]

    def strangers(self) -> list[int]:
        """Workers of this folder's gateway, of whom the one that runs now knows nothing."""
        ours, mark = self.workers(), os.path.realpath(self.folder / "data" / "gateway.lock")
        config = os.fsencode(self.folder / "tahoe.cfg")
        found = []
        for each in Path("/proc").iterdir():
            if each.name.isdigit() and int(each.name) not in (self.pid, *ours):
                with suppress(OSError):  # a zombie has nothing open, and no words
                    late = config in (each / "cmdline").read_bytes().split(b"\0")
                    if late or ((each / "comm").read_text().strip() == NAME and mark in _opened(each)):
                        found.append(int(each.name))
        return found

    def buried(self) -> None:
        """Wait until nobody is left of a gateway whose first process is dead. Raises Broken."""
        until = time.monotonic() + PATIENCE
        while left := self.strangers():
            if time.monotonic() > until:
                raise Broken(f"workers outlive their supervisor: {left}")
            time.sleep(_POLL)

    def dead(self, seconds: float = 0.0) -> bool:
        """Did it die (waits a moment for it)?"""
        assert self._child is not None
        return self._child.dead(seconds)

    def stop(self) -> None:
        """As SIGTERM does; it must end well."""
        assert self._child is not None
        self._child.signal(signal.SIGTERM)
        code = self._child.end(PATIENCE)
        self._child = None
        if code:
            raise Broken(f"the gateway ended with {code}: {self.said()}")

    def reap(self, watch: Watch = nobody) -> str:
        """`gateway reap --now`, while it is stopped. Raises Broken; Died where ``watch`` killed it."""
        return self.command("reap", "--now", "-c", str(self.folder / "tahoe.cfg"), watch=watch)

    def command(self, *words: str, watch: Watch = nobody) -> str:
        """What a `gateway` command says; Broken where it does not end well, Died where it was killed."""
        said = self.folder / "command.out"
        self._child = nursery().child([*words], said)
        watch(self)
        self._child.go()
        code = self._child.end(PATIENCE)
        self.kill()
        if code:
            raise (Died if code == -signal.SIGKILL else Broken)(
                f"gateway {words[0]} ended with {code}: {said.read_text()}"
            )
        return said.read_text()

    def said(self) -> str:
        texts = []
        for file in (self.folder / "server.out", self.folder / "log" / "gateway.log"):
            if file.exists():
                texts.append("\n".join(file.read_text(errors="replace").splitlines()[-40:]))
        return "\n".join(texts)

    # ------------------------------------------------------------ system calls

    def aim(self, call: str, number: int) -> None:
        """It, or a worker, will die as any of its threads enters that call for the ``number``-th time from now on."""
        self._attach("-o", "/dev/null", "-e", f"trace={call}", "-e", f"inject={call}:signal=SIGKILL:when={number}")

    def fail(self, call: str, error: str, number: int, *, lasting: bool) -> None:
        """That call fails the ``number``-th time that a thread makes it (``lasting``: and ever after)."""
        inject = f"inject={call}:error={error}:when={number}{'+' if lasting else ''}"
        self._attach("-o", str(self.folder / "struck"), "-e", f"trace={call}", "-e", inject)

    def struck(self) -> bool:
        """Mend the disk; did a call fail?"""
        self.release()
        return "(INJECTED)" in (self.folder / "struck").read_text()

    def count(self, calls: Sequence[str] = MUTATING) -> None:
        """Count its system calls until ``counted``."""
        self._attach("-o", str(self.folder / "calls"), "-e", f"trace={','.join(calls)}")

    def counted(self) -> dict[str, int]:
        """For each call how often the busiest thread made it."""
        self.release()
        return counts((self.folder / "calls").read_text())

    def release(self) -> None:
        """Let strace go; the gateway lives on."""
        if self._strace is not None:
            self._strace.send_signal(signal.SIGINT)
            self._end_strace()

    def _end_strace(self) -> None:
        """Wait for its end. One that lets a process go while another dies was seen to wait for ever."""
        if self._strace is not None:
            try:
                self._strace.communicate(timeout=_DETACH)
            except subprocess.TimeoutExpired:
                self._strace.kill()
                self._strace.communicate()
            self._strace = None

    def _attach(self, *options: str) -> None:
        traced = [word for pid in self.workers() or [self.pid] for word in ("-p", str(pid))]
        words = ["strace", "-f", *traced, *options]
        self._strace = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
        assert self._strace.stderr is not None
        line = self._strace.stderr.readline()
        if "attached" not in line:
            raise Broken(f"strace: {line}")


def _opened(process: Path) -> set[str]:
    """Its open files, ``process`` as /proc shows it."""
    return {os.readlink(each) for each in (process / "fd").iterdir()}


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


def _killed(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _worked(pid: int) -> float:
    """Seconds of processor time of a process and of its children that ended."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


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
