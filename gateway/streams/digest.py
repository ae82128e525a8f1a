"""Digests of a body while it flows: small ones at once, large ones in a thread beside the writing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from typing import ClassVar, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread

from gateway.model import Body
from gateway.wire import checksums

T = TypeVar("T")

# MD5 does about half a GB/s: up to 64 KiB is 0.1 ms on the reactor thread, about what a thread's hop costs.
_INLINE = 64 * 1024
_BATCH = 512 * 1024


class Digests:
    """Several digests over the same bytes. ``await add(chunk)`` in order, then ``await finish()``.

    At most one batch is hashed (in a thread) while the next one is collected; so memory is bounded by two batches.
    ``running`` counts the batches of this process that are with a thread, or wait for one.
    """

    running: ClassVar[int] = 0

    def __init__(self, algorithms: Iterable[str], size: int | None) -> None:
        self._digests = {name: checksums.new(name) for name in algorithms}
        self._inline = size is not None and size <= _INLINE
        self._waiting: list[bytes] = []
        self._held = 0
        self._running: Deferred[None] | None = None
        self.count = 0

    async def add(self, chunk: bytes) -> None:
        self.count += len(chunk)
        if self._inline:
            self._update([chunk])
            return
        self._waiting.append(chunk)
        self._held += len(chunk)
        if self._held >= _BATCH:
            await self._drain()
            self._start()

    async def finish(self) -> Mapping[str, bytes]:
        """Algorithm -> raw digest of all that was added."""
        await self._drain()
        if self._waiting:
            if self._held > _INLINE:
                self._start()
                await self._drain()
            else:
                self._update(self._waiting)
        return {name: digest.digest() for name, digest in self._digests.items()}

    def _update(self, chunks: list[bytes]) -> None:
        for digest in self._digests.values():
            for chunk in chunks:
                digest.update(chunk)

    def _start(self) -> None:
        Digests.running += 1
        self._running = deferToThread(self._update, self._waiting).addBoth(self._came_back)
        self._waiting, self._held = [], 0

    def _came_back(self, outcome: T) -> T:
        Digests.running -= 1
        return outcome

    async def _drain(self) -> None:
        if self._running is not None:
            running, self._running = self._running, None
            await running


class Tally:
    """A body that passes through unchanged while its digests are taken; ask ``results`` after the end."""

    def __init__(self, body: Body, algorithms: Iterable[str]) -> None:
        self.size = body.size
        self.results: Mapping[str, bytes] = {}
        self._body = body
        self._digests = Digests(algorithms, body.size)
        self.md5: Callable[[], str] | None = self._md5 if "MD5" in algorithms else None

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._body:
            await self._digests.add(chunk)
            yield chunk
        self.results = await self._digests.finish()

    def _md5(self) -> str:
        return self.results["MD5"].hex()

    def close(self) -> None:
        self._body.close()


class Measured:
    """A body that passes through unchanged while one CRC32C per MiB is taken; ``crcs()`` after the end.

    ``md5`` is that of the body, where it has one.
    """

    def __init__(self, body: Body) -> None:
        self.size = body.size
        self.md5: Callable[[], str] | None = getattr(body, "md5", None)
        self._body = body
        self._blocks = checksums.BlockCrcs()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._body:
            self._blocks.update(chunk)
            yield chunk

    def crcs(self) -> bytes:
        """4 bytes, big endian, per started MiB."""
        return self._blocks.crcs()

    def close(self) -> None:
        self._body.close()
