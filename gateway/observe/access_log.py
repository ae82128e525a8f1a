"""The access log: one JSON object a line, one line a reply, written by a thread in batches of whole lines."""

from __future__ import annotations

import os
import time
from functools import lru_cache
from json.encoder import encode_basestring as quoted
from pathlib import Path
from typing import cast
from urllib.parse import unquote_plus

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.threads import deferToThread
from twisted.logger import Logger
from twisted.python.failure import Failure

from gateway.model import Call, Reply
from gateway.observe.traffic import Traffic

log = Logger()

STDOUT = 1
MOST_LINES = 100_000  # lines that may wait for a slow disk; beyond that the newest are counted and forgotten
SECRET_PARAMETERS = frozenset(
    ("x-amz-signature", "x-amz-credential", "x-amz-security-token", "signature", "awsaccesskeyid")
)


def redacted(query: str) -> str:
    """The query with the values of presigned parameters taken out: who reads the log must not be able to use them."""
    if not query:
        return ""
    pairs = []
    for pair in query.split("&"):
        name, equals, _ = pair.partition("=")
        pairs.append(f"{name}=REDACTED" if equals and unquote_plus(name).strip().lower() in SECRET_PARAMETERS else pair)
    return "&".join(pairs)


@lru_cache(maxsize=8)
def _second(whole: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole))


def line(call: Call, reply: Reply, traffic: Traffic, pid: int) -> str:
    """One JSON object and a line end. ``pid``: of the process that answered.

    Times are UTC; ``seconds`` count from the complete head to the reply's end.
    """
    facts = reply.facts
    whole, fraction = divmod(call.received, 1)
    target = f"{call.path}?{redacted(call.query)}" if call.query else call.path
    key = facts.key.decode("utf-8", "replace")
    return (
        f'{{"time":"{_second(whole)}.{int(fraction * 1000):03d}Z","pid":{pid},"request_id":"{call.id}",'
        f'"peer":{quoted(call.peer)},"secure":{"true" if call.secure else "false"},"method":{quoted(call.method)},'
        f'"target":{quoted(target)},"operation":{quoted(facts.operation)},"bucket":{quoted(facts.bucket)},'
        f'"key":{quoted(key)},'
        f'"status":{reply.status},"code":{quoted(facts.code)},"sent":{traffic.sent},"received":{traffic.received},'
        f'"seconds":{traffic.seconds:.6f},"first_byte":{traffic.first_byte:.6f},'
        f'"whole":{"true" if traffic.whole else "false"},"account":{quoted(facts.account)},'
        f'"access_key":{quoted(facts.access_key)},"host":{quoted(call.headers.get("host", ""))},'
        f'"user_agent":{quoted(call.headers.get("user-agent", ""))},"cause":{quoted(facts.cause)}}}\n'
    )


class AccessLog:
    """Appends to the file ``path`` (None: standard output). A renamed or removed file is made anew, for logrotate.

    Several processes may: each batch is one write at the end of the file, whose lines stay whole, and in order.

    ``replied`` only formats; every ``every`` seconds a thread writes what came. ``open`` and ``close`` around it.
    """

    def __init__(self, path: Path | None, *, every: float = 0.25, clock: IReactorTime | None = None) -> None:
        self._path = path
        self._every = every
        if clock is None:
            from twisted.internet import reactor  # importing it makes it, so not before somebody wants it

            clock = cast(IReactorTime, reactor)
        self._clock: IReactorTime = clock
        self._descriptor = STDOUT
        self._pid = os.getpid()
        self._lines: list[str] = []
        self._timer: IDelayedCall | None = None
        self._writing: Deferred[None] | None = None
        self._failing = False
        self.lost = 0  # lines that could not be kept or written

    def open(self) -> None:
        """Open the file, made where it is missing (0640). Raises OSError."""
        if self._path is not None:
            self._descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)

    def replied(self, call: Call, reply: Reply, traffic: Traffic) -> None:
        """Remember the line of one reply."""
        if len(self._lines) >= MOST_LINES:
            self.lost += 1
            return
        self._lines.append(line(call, reply, traffic, self._pid))
        if self._timer is None and self._writing is None:
            self._timer = self._clock.callLater(self._every, self._flush)

    async def close(self) -> None:
        """Write what is left, and close the file."""
        while self._lines or self._writing is not None:
            if self._timer is not None:
                self._timer.cancel()
            await (self._writing or self._flush())
        if self._path is not None:
            os.close(self._descriptor)

    def _flush(self) -> Deferred[None]:
        self._timer = None
        lines, self._lines = self._lines, []
        self._writing = deferToThread(self._write, "".join(lines).encode("utf-8", "backslashreplace"))
        return self._writing.addErrback(self._not_written, len(lines)).addCallback(self._written)

    def _written(self, _: None) -> None:
        self._writing = None
        if self._lines and self._timer is None:
            self._timer = self._clock.callLater(self._every, self._flush)

    def _not_written(self, failure: Failure, count: int) -> None:
        if not isinstance(failure.value, OSError):
            log.failure("the access log lost {count} lines", failure, count=count)
        self.lost += count
        if not self._failing:  # a full disk is told once, not four times a second
            self._failing = True
            log.error("the access log cannot be written: {reason}", reason=failure.getErrorMessage())

    def _write(self, data: bytes) -> None:
        if self._path is not None:
            self._follow(self._path)
        left = memoryview(data)
        while left:
            left = left[os.write(self._descriptor, left) :]
        self._failing = False

    def _follow(self, path: Path) -> None:
        """Open the file again when somebody moved it away."""
        try:
            there = os.stat(path)
            here = os.fstat(self._descriptor)
            if (there.st_ino, there.st_dev) == (here.st_ino, here.st_dev):
                return
        except FileNotFoundError:
            pass
        before = self._descriptor
        self.open()
        os.close(before)
