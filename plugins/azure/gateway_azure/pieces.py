"""One body as several that are read one after the other."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

from gateway.api import Body, StreamBody


class Pieces:
    """Cuts a body of ``size`` bytes into bodies of at most ``most``; the last one ends where the body itself ends.

    So whoever counts the bytes of the last piece sees a body that is too long or too short.
    """

    def __init__(self, body: Body, size: int, most: int) -> None:
        self._chunks = aiter(body)
        self._rest = b""
        self._sizes = [most] * ((size - 1) // most)
        self._sizes.append(size - sum(self._sizes))

    def __iter__(self) -> Iterator[StreamBody]:
        *full, last = self._sizes
        for size in full:
            yield StreamBody(self._take(size), size, lambda: None)
        yield StreamBody(self._all(), last, lambda: None)

    async def _next(self) -> bytes:
        rest, self._rest = self._rest, b""
        return rest or await anext(self._chunks, b"")

    async def _take(self, size: int) -> AsyncIterator[bytes]:
        while size and (chunk := await self._next()):
            piece, self._rest = chunk[:size], chunk[size:]
            size -= len(piece)
            yield piece

    async def _all(self) -> AsyncIterator[bytes]:
        while chunk := await self._next():
            yield chunk
