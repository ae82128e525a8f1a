"""One worker as the supervisor sees it: its process, the channel to it, and how it ended."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping
from typing import Any

from twisted.internet import process
from twisted.internet.protocol import Protocol
from twisted.logger import Logger

from gateway.workers.birth import Born
from gateway.workers.channel import Channel, over

log = Logger()


class _Printed(Protocol):
    """What a worker prints, which none of us does: an interpreter that cannot go on, a plugin's own words."""

    def __init__(self, pid: int) -> None:
        self._pid = pid

    def dataReceived(self, data: bytes) -> None:
        log.warn("worker {pid}: {text}", pid=self._pid, text=data.decode("utf-8", "replace").strip())

    def end(self) -> None:
        """The process is gone; a program that a plugin started may have its output still, and is not waited for."""
        transport: Any = self.transport
        if transport.connected:
            transport.doRead()  # its last words
            transport.loseConnection()


class Child:
    """``ended(child)`` is called when the process is gone, and everything that it said and printed was heard.

    ``heard``: what it may say; each listener gets the child first.
    """

    def __init__(
        self,
        reactor: Any,
        number: int,
        born: Born,
        heard: Mapping[str, Callable[..., None]],
        ended: Callable[[Child], None],
    ) -> None:
        self.number = number
        self.pid = born.pid
        self.ready = False
        self.started = reactor.seconds()
        self.how = ""  # it ended, in words
        self._ended = ended
        self._left = 2  # of the process and the channel
        listeners = {word: self._with_us(listener) for word, listener in heard.items()}
        channel = over(reactor, born.channel, Channel(listeners, self._one_less))
        self._printed = over(reactor, born.output, _Printed(born.pid))
        self.say, self.hand = channel.say, channel.hand
        process.registerReapProcessHandler(born.pid, self)  # type: ignore[no-untyped-call]

    def _with_us(self, listener: Callable[..., None]) -> Callable[..., None]:
        return lambda **said: listener(self, **said)

    # -- what Twisted calls, whenever a process of ours ended

    def reapProcess(self) -> None:
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        if pid:
            process.unregisterReapProcessHandler(pid, self)  # type: ignore[no-untyped-call]
            self.processEnded(status)

    def processEnded(self, status: int) -> None:
        code = os.waitstatus_to_exitcode(status)
        self.how = f"exit code {code}" if code >= 0 else f"signal {signal.Signals(-code).name}"
        self._printed.end()
        self._one_less()

    def _one_less(self) -> None:
        self._left -= 1
        if not self._left:
            self._ended(self)
