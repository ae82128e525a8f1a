"""A body on its way to a service: paced by the connection, exact in size, and honest about what went wrong."""

from __future__ import annotations

import contextvars
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure
from twisted.web.iweb import IBodyProducer
from zope.interface import implementer

from gateway.errors import BackendDown
from gateway.model import Body
from gateway.remote.patience import Patience


@implementer(IBodyProducer)
class Upload:
    """Feeds ``length`` bytes of ``body`` to a connection.

    The last chunk is handed over only when the body has ended without complaint, so that a service never holds a whole
    body that its source disowned. ``fault`` is what the body raised. ``sent``: every byte was handed over.
    ``begin`` and ``end`` are called when the connection takes the first and has got the last byte.
    """

    def __init__(self, body: Body, length: int, begin: Callable[[], None], end: Callable[[], None]) -> None:
        self.length = length
        self.sent = False
        self.fault: BaseException | None = None
        self.patience: Patience | None = None
        self._body = body
        self._begin = begin
        self._end = end
        # The body may open further replies of the same service; it must know in whose name it does.
        self._context = contextvars.copy_context()
        self._running: Deferred[None] | None = None
        self._told: Deferred[None] | None = None
        self._room: Deferred[None] | None = None

    def startProducing(self, consumer: Any) -> Deferred[None]:
        self._begin()
        told: Deferred[None] = Deferred(lambda _: self.stopProducing())
        self._told = told
        self._running = self._context.run(Deferred.fromCoroutine, self._pour(consumer))
        self._running.addCallbacks(self._finished, self._failed)
        return told

    def pauseProducing(self) -> None:
        if self._room is None:
            self._room = Deferred()

    def resumeProducing(self) -> None:
        room, self._room = self._room, None
        if room is not None:
            room.callback(None)

    def stopProducing(self) -> None:
        """Stop reading the body. The connection hears no more from us: it knows already, or does not want to."""
        self._told = None
        if self._running is not None:
            self._running.cancel()

    async def ended(self) -> None:
        """Returns when nobody reads the body any more."""
        if self._running is not None:
            over: Deferred[None] = Deferred()
            self._running.addBoth(over.callback)
            await over

    async def _pour(self, consumer: Any) -> None:
        left = self.length
        kept = b""
        async for chunk in self._body:
            left -= len(chunk)
            if left < 0:
                raise BackendDown(f"the body has more than the {self.length} bytes that were promised")
            if kept:
                await self._write(consumer, kept)
            kept = chunk
        if left:
            raise BackendDown(f"the body ended {left} bytes before the {self.length} that were promised")
        await self._write(consumer, kept, last=True)

    async def _write(self, consumer: Any, chunk: bytes, last: bool = False) -> None:
        assert self.patience is not None
        while self._room is not None:
            self.patience.wait()
            try:
                await self._room
            finally:
                self.patience.rest()
        if self._told is None:  # stopped, and the body took no notice
            raise CancelledError()
        self.patience.moved(len(chunk))
        self.sent = last
        if chunk:
            consumer.write(chunk)

    def _finished(self, _: None) -> None:
        told, self._told = self._told, None
        if told is not None:
            self._end()
            told.callback(None)

    def _failed(self, reason: Failure) -> None:
        told, self._told = self._told, None
        # What we stopped ourselves is no fault of the body.
        if told is not None or not isinstance(reason.value, CancelledError):
            self.fault = reason.value
        if told is not None:
            told.errback(reason)
