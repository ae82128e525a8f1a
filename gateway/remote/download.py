"""A body on its way from a service: read at the reader's pace, and closed whenever the reader likes."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone
from twisted.web.http import PotentialDataLoss

from gateway.errors import BackendDown, BackendError
from gateway.remote.patience import Patience

HIGH = 512 * 1024  # bytes in memory at which the connection is paused
LOW = 128 * 1024
LARGEST = 1024 * 1024  # of a chunk


class Download(Protocol):
    """The Body of a reply: exactly ``size`` bytes (None: as many as come), else BackendDown.

    At most HIGH bytes and one read of the socket wait in memory. ``least`` bytes must come in every ``idle`` seconds
    that somebody waits for them.
    """

    def __init__(self, clock: Any, size: int | None, idle: float, least: int, what: str) -> None:
        self.size = size
        self._what = what
        self._buffer: deque[bytes] = deque()
        self._held = 0
        self._paused = False
        self._end: BackendError | None = None
        self._ended = False
        self._closed = False
        self._reader: Deferred[None] | None = None
        self._on_close: Callable[[], None] | None = None
        self._patience = Patience(clock, idle, least, self._late)

    def when_closed(self, farewell: Callable[[], None]) -> None:
        """``farewell`` is called once: when the body is closed, or now where it is closed already."""
        if self._closed:
            farewell()
        else:
            self._on_close = farewell

    # ---------------------------------------------------------------- from the connection

    def dataReceived(self, data: bytes) -> None:
        self._patience.moved(len(data))
        if self._closed or self._ended:
            return
        self._buffer.append(data)
        self._held += len(data)
        self._pace()
        self._wake()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._ended:
            return
        self._ended = True
        if not isinstance(reason.value, ResponseDone):
            cut = "without saying how long it is" if isinstance(reason.value, PotentialDataLoss) else "before its end"
            self._end = BackendDown(f"{self._what}: the connection closed in a body, {cut}")
        self._wake()

    def _pace(self) -> None:
        """Pause or resume the connection, as the buffer has it."""
        if self._ended or self.transport is None:
            return
        if not self._paused and self._held >= HIGH:
            self._paused = True
            self.transport.pauseProducing()  # type: ignore[attr-defined]
        elif self._paused and self._held <= LOW:
            self._paused = False
            self.transport.resumeProducing()  # type: ignore[attr-defined]

    # ---------------------------------------------------------------- for the reader

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        while not self._buffer:
            if self._closed or (self._ended and self._end is None):
                raise StopAsyncIteration
            if self._end is not None:
                raise self._end
            self._reader = Deferred()
            self._patience.wait()
            try:
                await self._reader
            finally:
                self._reader = None
                self._patience.rest()
        return self._take()

    def _take(self) -> bytes:
        """What has come so far, up to the largest chunk that a body may give."""
        chunks = [self._buffer.popleft()]
        size = len(chunks[0])
        while self._buffer and size + len(self._buffer[0]) <= LARGEST:
            chunks.append(self._buffer.popleft())
            size += len(chunks[-1])
        self._held -= size
        self._pace()
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    def close(self) -> None:
        """Forget what has not been read; a connection that still carries it is cut."""
        if self._closed:
            return
        self._closed = True
        self._buffer.clear()
        self._patience.rest()
        if not self._ended:
            self._cut()
        self._wake()
        farewell, self._on_close = self._on_close, None
        if farewell is not None:
            farewell()

    def fail(self, fault: BackendError) -> None:
        """Whoever reads hears ``fault``; the connection is cut."""
        if not self._ended:
            self._ended = True
            self._end = fault
            self._cut()
            self._wake()

    def _late(self) -> None:
        self.fail(BackendDown(f"{self._what}: the body stalls"))

    def _cut(self) -> None:
        if self.transport is not None:
            self.transport.loseConnection()

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.called:
            self._reader.callback(None)
