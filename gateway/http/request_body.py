"""The body of a request: pulled by an operation, pushed by the connection, never more than a little of it in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

from twisted.internet.defer import Deferred

from gateway.errors import S3Error
from gateway.http.chunked import Chunked
from gateway.http.limits import Limits

_LARGE = 64 * 1024  # joining such pieces would cost more than it saves
MOST_PIECES = 1024  # a piece costs about 64 bytes beside its own, however short it is


class Source(Protocol):
    """What a body tells the connection that feeds it."""

    def body_wanted(self) -> None:
        """A reader waits, and nothing is there."""

    def body_taken(self) -> None:
        """There is room again."""


class RequestBody:
    """``size`` is the Content-Length (0 without a body), None for a chunked one.

    Reading raises ClientGone when the client left, and S3Error: IncompleteBody when it ended its side early,
    RequestTimeout when it was too slow, BadRequest or EntityTooLarge when the chunked framing is broken.
    """

    __slots__ = (
        "_chunked",
        "_closed",
        "_floor_bytes",
        "_floor_seconds",
        "_held",
        "_left",
        "_most_held",
        "_pieces",
        "_source",
        "_waiting",
        "_window_bytes",
        "_window_end",
        "ended",
        "fault",
        "received",
        "size",
    )

    def __init__(self, size: int | None, limits: Limits, source: Source) -> None:
        self.size = size
        self.received = 0
        self.ended = size == 0
        self._chunked = Chunked(limits.body_bytes) if size is None else None
        self._left = size or 0
        self._source = source
        self._pieces: list[bytes] = []
        self._held = 0
        self._most_held = limits.body_waiting_bytes
        self.fault: Exception | None = None
        self._closed = False
        self._waiting: Deferred[None] | None = None
        self._floor_bytes = limits.body_floor_bytes
        self._floor_seconds = limits.body_floor_seconds
        self._window_end = 0.0
        self._window_bytes = -1  # no window is open

    # -- the operation's side

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        while not self._pieces:
            if self.ended:
                raise StopAsyncIteration
            if self._closed:
                raise ValueError("the body of this request is closed")
            if self.fault is not None:
                raise self.fault
            self._waiting = Deferred()
            self._source.body_wanted()
            try:
                await self._waiting
            finally:
                self._waiting = None
        pieces = self._pieces
        if len(pieces) == 1 or len(pieces[0]) >= _LARGE:
            chunk = pieces.pop(0)
        else:
            chunk = b"".join(pieces)
            pieces.clear()
        self._held -= len(chunk)
        self._source.body_taken()
        return chunk

    def close(self) -> None:
        """Forget what is there and drop what comes; the connection still pauses when too much of it does."""
        self._closed = True
        self._pieces.clear()

    # -- the connection's side

    def feed(self, data: bytes) -> bytes:
        """Take the body's part of ``data``; gives what comes after its end. Broken framing becomes the ``fault``."""
        if self.fault is not None:
            return b""
        came = len(data)
        if self._chunked is None:
            data, rest = data[: self._left], data[self._left :]
            self._left -= len(data)
            self.ended = not self._left
        else:
            try:
                data, rest = self._chunked.feed(data)
            except S3Error as fault:
                self.fault = fault
                return b""
            self.ended = self._chunked.ended
        self.received += came - len(rest)
        if data:
            self._held += len(data)
            if not self._closed:
                self._pieces.append(data)
        return rest

    def wake(self) -> bool:
        """Let a waiting reader go on, if there is something for it. True where one was waiting."""
        if self._waiting is None or not (self._pieces or self.ended or self.fault is not None):
            return False
        self._waiting.callback(None)
        return True

    def fail(self, fault: Exception) -> bool:
        """End the body early: a reader gets ``fault`` after what is there. True where one is waiting just now."""
        if self.fault is None and not self.ended:
            self.fault = fault
        return self.wake()

    @property
    def waiting(self) -> int:
        """Bytes that came and were not read yet."""
        return self._held

    @property
    def full(self) -> bool:
        """Enough is waiting; the client should pause."""
        return self._held > self._most_held or len(self._pieces) > MOST_PIECES

    def watch(self, now: float) -> None:
        """Hold the client to the floor while a reader waits for it; the time the reader takes does not count."""
        if self._waiting is None:
            self._window_bytes = -1
        elif self._window_bytes < 0:
            self._window_bytes = self.received
            self._window_end = now + self._floor_seconds
        elif now >= self._window_end:
            if self.received - self._window_bytes < self._floor_bytes:
                self.fail(S3Error("RequestTimeout", cause="the body came too slowly"))
            else:
                self._window_bytes = -1


class Nobody:
    """The source of bodies that never ask for more."""

    def body_wanted(self) -> None: ...

    def body_taken(self) -> None: ...


NO_BODY = RequestBody(0, Limits(), Nobody())
