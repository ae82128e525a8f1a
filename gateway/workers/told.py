"""A worker's log goes to the supervisor, which has the file: one writer, so lines stay whole and the file rotates."""

from __future__ import annotations

from typing import Any

from twisted.logger import ILogObserver, Logger, LogLevel, eventAsText, globalLogBeginner
from zope.interface import implementer

from gateway.workers.channel import Say

log = Logger()


@implementer(ILogObserver)
class ToSupervisor:
    """Sends what is at least an information."""

    def __init__(self, reactor: Any, say: Say) -> None:
        self._reactor = reactor
        self._say = say

    def __call__(self, event: Any) -> None:
        level = event.get("log_level", LogLevel.info)
        if level >= LogLevel.info:
            text = eventAsText(event, includeTimestamp=False, includeSystem=False)
            self._reactor.callFromThread(self._say, "log", level=level.name, text=text)  # whatever thread this is


def log_to_supervisor(reactor: Any, say: Say) -> None:
    """From now on, and what was logged before."""
    globalLogBeginner.beginLoggingTo([ToSupervisor(reactor, say)], redirectStandardIO=False)


def logged(pid: int, level: str, text: str) -> None:
    """In the supervisor: a worker's line (or lines, of a traceback)."""
    log.emit(LogLevel.lookupByName(level), "worker {pid}: {text}", pid=pid, text=text)
