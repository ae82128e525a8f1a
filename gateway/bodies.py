"""Simple bodies: bytes in memory, nothing at all, a stream of the author's own, and a body with a farewell."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable

from twisted.internet import threads

from gateway.model import Body, GetResult, Region

CHUNK = 1024 * 1024  # the largest chunk that a body may give


class BytesBody:
    """A body of bytes that are in memory already; read once, in chunks of up to 1 MiB."""

    __slots__ = ("_left", "size")

    def __init__(self, data: bytes | bytearray | memoryview) -> None:
        self.size: int | None = len(data)
        self._left = memoryview(data)

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if not self._left:
            raise StopAsyncIteration
        chunk, self._left = self._left[:CHUNK], self._left[CHUNK:]
        return bytes(chunk)

    def close(self) -> None:
        self._left = memoryview(b"")


class EmptyBody(BytesBody):
    """No bytes."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(b"")


class StreamBody:
    """A body of ``size`` bytes that ``chunks`` gives; ``on_close`` is called once, however the reading ended.

    ``on_close`` gives back what the stream holds (a connection, a file). It is a plain function, because whoever
    closes a body may have no time to wait.
    """

    __slots__ = ("_chunks", "_on_close", "size")

    def __init__(self, chunks: AsyncIterator[bytes], size: int | None, on_close: Callable[[], None]) -> None:
        self.size = size
        self._chunks = chunks
        self._on_close: Callable[[], None] | None = on_close

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if self._on_close is None:
            raise StopAsyncIteration
        return await anext(self._chunks)

    def close(self) -> None:
        on_close, self._on_close = self._on_close, None
        if on_close is not None:
            on_close()


def when_closed(body: Body, farewell: Callable[[], None]) -> StreamBody:
    """The same body; ``farewell`` is called once, after the body itself was closed."""

    def close() -> None:
        try:
            body.close()
        finally:
            farewell()

    return StreamBody(aiter(body), body.size, close)


class RegionWhenClosed:
    """The same region; ``farewell`` is called once, after the region itself was closed."""

    __slots__ = ("_farewell", "_region", "fd", "length", "offset")

    def __init__(self, region: Region, farewell: Callable[[], None]) -> None:
        self.fd = region.fd
        self.offset = region.offset
        self.length = region.length
        self._region = region
        self._farewell: Callable[[], None] | None = farewell

    def close(self) -> None:
        farewell, self._farewell = self._farewell, None
        if farewell is not None:
            try:
                self._region.close()
            finally:
                farewell()


async def contents(result: GetResult) -> bytes:
    """All bytes of a get's result, which is closed. For small blobs: they stand in memory twice."""
    opened = result.body or result.region
    assert opened is not None, "a get gives a body or a region"
    try:
        if result.body is not None:
            return b"".join([chunk async for chunk in result.body])
        assert result.region is not None
        return await threads.deferToThread(_read, result.region)
    finally:
        opened.close()


def _read(region: Region) -> bytes:
    data = bytearray()
    while len(data) < region.length:
        chunk = os.pread(region.fd, min(CHUNK, region.length - len(data)), region.offset + len(data))
        if not chunk:
            break  # the file became shorter: the caller compares sizes
        data += chunk
    return bytes(data)
