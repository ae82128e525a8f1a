"""Bytes for tests: reproducible samples, and bodies that do what a test tells them."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator

from twisted.internet import reactor
from twisted.internet.defer import Deferred

KI = 1024
MI = 1024 * 1024


def sample(size: int, seed: int = 0) -> bytes:
    """The same ``size`` bytes for the same seed; no two stretches of them are alike."""
    return random.Random(seed).randbytes(size)


class Pour:
    """A body that a test controls: ``data`` in pieces of ``chunk`` bytes, announced as ``size`` (default: the truth).

    At byte ``stop_at`` it does ``then``: raise an exception, or wait for a Deferred. ``reached`` fires when it gets
    there. ``given`` counts the bytes that were read, ``closed`` the calls of close().
    """

    def __init__(
        self,
        data: bytes,
        *,
        chunk: int = 64 * KI,
        size: int | None = None,
        stop_at: int | None = None,
        then: BaseException | Deferred[None] | None = None,
    ) -> None:
        self.size: int | None = len(data) if size is None else size
        self.given = 0
        self.closed = 0
        self.reached: Deferred[None] = Deferred()
        self._data = memoryview(data)
        self._chunk = chunk
        self._stop_at = stop_at
        self._then = then

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if self._stop_at is not None and self.given >= self._stop_at:
            await self._stop()
        end = self.given + self._chunk
        if self._stop_at is not None and self.given < self._stop_at:
            end = min(end, self._stop_at)
        chunk = bytes(self._data[self.given : end])
        if not chunk:
            raise StopAsyncIteration
        self.given += len(chunk)
        return chunk

    async def _stop(self) -> None:
        self._stop_at = None
        reactor.callLater(0, self.reached.callback, None)  # when whoever reads is really waiting
        if isinstance(self._then, BaseException):
            raise self._then
        if self._then is not None:
            await self._then

    def close(self) -> None:
        self.closed += 1
