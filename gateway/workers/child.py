"""One worker as the supervisor sees it: its process, the channel to it, and how it ended."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from twisted.internet.error import ProcessTerminated
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure

from gateway.workers.channel import Channel, over

log = Logger()
_CHANNEL = 3  # its descriptor in the worker
PROGRAM = ("-P", "-m", "gateway.workers")  # what the interpreter runs


class Child(ProcessProtocol):
    """Started at once. ``ended(child)`` is called when the process is gone and everything that it said was heard.

    ``inherited``: descriptors of ours that it gets; ``given`` tells under which numbers, in the same order.
    ``heard``: what it may say; each listener gets the child first.
    """

    def __init__(
        self,
        reactor: Any,
        config: Path,
        number: int,
        inherited: Sequence[int],
        heard: Mapping[str, Callable[..., None]],
        ended: Callable[[Child], None],
    ) -> None:
        self.number = number
        self.ready = False
        self.started = reactor.seconds()
        self.pid = 0
        self.how = ""  # it ended, in words
        self._ended = ended
        self._left = 2  # of the process and the channel
        ours, theirs = socket.socketpair()
        self.given = [_CHANNEL + 1 + at for at in range(len(inherited))]
        words = [sys.executable, *PROGRAM, str(config), str(number), str(_CHANNEL)]
        try:
            with theirs, open(os.devnull, "r+b") as nothing:
                descriptors: dict[int, Any] = {0: nothing.fileno(), 1: "r", 2: "r", _CHANNEL: theirs.fileno()}
                descriptors |= dict(zip(self.given, inherited, strict=True))
                reactor.spawnProcess(self, sys.executable, words, env=None, childFDs=descriptors)
        except BaseException:
            ours.close()
            raise
        listeners = {word: self._with_us(listener) for word, listener in heard.items()}
        self.say = over(reactor, ours.detach(), Channel(listeners, self._one_less)).say

    def _with_us(self, listener: Callable[..., None]) -> Callable[..., None]:
        return lambda **said: listener(self, **said)

    # -- what Twisted tells

    def connectionMade(self) -> None:
        """It was forked; one that dies at once has lost its number by the time that spawnProcess returns."""
        transport: Any = self.transport
        self.pid = int(transport.pid)

    def childDataReceived(self, childFD: int, data: bytes) -> None:  # noqa: N803 - Twisted's
        """What it prints, which none of us does: an interpreter that cannot go on, a plugin's own words."""
        log.warn("worker {pid}: {text}", pid=self.pid, text=data.decode("utf-8", "replace").strip())

    def processEnded(self, reason: Failure) -> None:
        fault: Any = reason.value
        killed = isinstance(fault, ProcessTerminated) and fault.signal is not None
        self.how = f"signal {signal.Signals(fault.signal).name}" if killed else f"exit code {fault.exitCode}"
        self._one_less()

    def _one_less(self) -> None:
        self._left -= 1
        if not self._left:
            self._ended(self)
