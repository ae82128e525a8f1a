"""One body cut into several: for blobs that must not be larger than their backend takes."""

from __future__ import annotations

from collections.abc import AsyncIterator

from gateway.errors import S3Error
from gateway.model import Body


class Cut:
    """Gives a body away in slices of known size, one after the other, without copying what lies inside one slice."""

    def __init__(self, body: Body) -> None:
        self._chunks = aiter(body)
        self._left = b""

    def slice(self, size: int) -> Body:
        """The next ``size`` bytes as a Body. Read it to its end before the next one is asked for."""
        return _Slice(self, size)

    async def upto(self, size: int) -> bytes:
        """The next ``size`` bytes in memory, fewer at the end; for bodies whose length nobody told."""
        held: list[bytes] = []
        room = size
        while room:
            chunk = await self.next(room)
            if not chunk:
                break
            held.append(chunk)
            room -= len(chunk)
        return b"".join(held)

    async def next(self, most: int) -> bytes:
        """A chunk of up to ``most`` bytes, b"" at the end."""
        chunk = self._left or await anext(self._chunks, b"")
        if len(chunk) > most:
            chunk, self._left = chunk[:most], chunk[most:]
        else:
            self._left = b""
        return chunk


class _Slice:
    def __init__(self, cut: Cut, size: int) -> None:
        self.size: int | None = size
        self._cut = cut

    async def __aiter__(self) -> AsyncIterator[bytes]:
        room = self.size or 0
        while room:
            chunk = await self._cut.next(room)
            if not chunk:
                raise S3Error("IncompleteBody", cause="the body ended before its announced length")
            room -= len(chunk)
            yield chunk

    def close(self) -> None:
        """Nothing to give back: the body that is cut belongs to whoever cuts it."""
