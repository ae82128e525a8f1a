"""A version's bytes on their way out: one blob after another, each MiB checked before it is given on."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence

from awscrt.checksums import crc32c

from gateway.errors import BackendDown, BlobMissing
from gateway.model import Body, GetRequest, Piece, Region, Stretch
from gateway.plugins.location import Location
from gateway.streams.regions import RegionReader
from gateway.wire.checksums import BLOCK

_READ = 64 * 1024  # up to this size bytes are read even where nobody looks at them: they go out in one write


class Outflow:
    """Bytes ``start`` to ``stop`` (exclusive) of a version, as a Body.

    ``pieces``: (offset in the version, piece), in order, covering the range. With ``verify`` every block that the
    range touches is read whole and its CRC32C compared before a byte of it is given; without it, ``stretches`` gives
    open files as they are. ``on_close`` runs once.
    """

    def __init__(
        self,
        location: Location,
        pieces: Sequence[tuple[int, Piece]],
        start: int,
        stop: int,
        *,
        verify: bool = True,
        on_close: Callable[[], None] = lambda: None,
    ) -> None:
        self.size: int | None = stop - start
        self._location = location
        self._pieces = pieces
        self._start = start
        self._stop = stop
        self._verify = verify
        self._on_close: Callable[[], None] | None = on_close
        self._open: Body | Region | RegionReader | None = None
        self._primed: list[Stretch] = []
        self._flowing = self._flow()

    async def prime(self) -> None:
        """Have the first stretch now, so that a lost blob is noticed before any header goes out."""
        if self.size:
            first = await anext(self._flowing)
            self._primed.append(first)
            if not isinstance(first, (bytes, memoryview)):
                self._open = first

    async def stretches(self) -> AsyncIterator[Stretch]:
        """What ``__aiter__`` gives, as it lies: bytes, a view that holds until the next stretch is asked for, or an
        open region, which whoever takes it closes."""
        while self._primed:
            first = self._primed.pop()
            if first is self._open:
                self._open = None
            yield first
        async for stretch in self._flowing:
            yield stretch

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for stretch in self.stretches():
            if isinstance(stretch, bytes):
                yield stretch
            elif isinstance(stretch, memoryview):
                yield bytes(stretch)
            else:
                self._open = reader = RegionReader(stretch)
                async for view in _blocks(reader, None, 0, stretch.length):
                    yield bytes(view)
                self._close_open()

    def close(self) -> None:
        """Give back the open blob and tell the owner; safe at any time and twice."""
        self._close_open()
        tell, self._on_close = self._on_close, None
        if tell is not None:
            tell()

    def _close_open(self) -> None:
        opened, self._open = self._open, None
        if opened is not None:
            opened.close()

    async def _flow(self) -> AsyncIterator[Stretch]:
        for offset, piece in self._pieces:
            first = max(self._start - offset, 0)
            last = min(self._stop - offset, piece.size)
            if first >= last:
                continue
            async for stretch in self._piece(piece, first, last):
                yield stretch

    async def _piece(self, piece: Piece, first: int, last: int) -> AsyncIterator[Stretch]:
        """Bytes ``first`` to ``last`` of one piece; read from block to block when they are to be checked."""
        low, high = first, last
        if self._verify:
            low = first - first % BLOCK
            high = min(-(-last // BLOCK) * BLOCK, piece.size)
        found = await self._location.get(GetRequest(name=piece.blob, start=piece.start + low, length=high - low))
        checked: AsyncIterator[bytes] | AsyncIterator[memoryview]
        if found.region is not None:
            region = found.region
            if region.length != high - low:
                region.close()
                raise _wrong_size(piece, high - low, region.length)
            if not self._verify and high - low > _READ:
                yield region
                return
            self._open = reader = RegionReader(region)
            checked = _blocks(reader, piece if self._verify else None, low, high)
        else:
            assert found.body is not None, "a location gives a body or a region"
            self._open = body = found.body
            checked = _checked(body, piece, low, high) if self._verify else _counted(body, piece, high - low)
        position = low
        try:
            async for chunk in checked:
                begin, end = max(first - position, 0), min(last - position, len(chunk))
                position += len(chunk)
                if begin < end:
                    yield chunk if end - begin == len(chunk) else chunk[begin:end]
        finally:
            self._close_open()


async def _blocks(reader: RegionReader, piece: Piece | None, low: int, high: int) -> AsyncIterator[memoryview]:
    """What a reader of the stretch from ``low`` to ``high`` gives, block by block, each with its CRC where there is a
    piece to compare with."""
    position = low
    while position < high:
        wanted = min(BLOCK - position % BLOCK, high - position)
        view = await reader.read(wanted)
        if len(view) != wanted:
            raise BackendDown(f"a file became shorter: {high - low} bytes were to come")
        if piece is not None:
            _compare(piece, position // BLOCK, crc32c(view))
        position += wanted
        yield view


def _compare(piece: Piece, block: int, crc: int) -> None:
    if crc != int.from_bytes(piece.crcs[4 * block : 4 * block + 4], "big"):
        raise BlobMissing(f"blob {piece.blob}: MiB {block} of the piece at {piece.start} is damaged")


def _wrong_size(piece: Piece, length: int, got: int) -> BackendDown:
    return BackendDown(f"blob {piece.blob}: {length} bytes were to come, {got} came")


async def _counted(body: Body, piece: Piece, length: int) -> AsyncIterator[bytes]:
    """The body's chunks; BackendDown where the backend gave more or less than it should."""
    got = 0
    async for chunk in body:
        got += len(chunk)
        if got > length:
            break
        yield chunk
    if got != length:
        raise _wrong_size(piece, length, got)


async def _checked(body: Body, piece: Piece, low: int, high: int) -> AsyncIterator[bytes]:
    """The body's chunks, given on once the block that they belong to has its CRC. ``low`` is a block's start."""
    held: list[bytes] = []
    position, crc = low, 0
    block_end = min(low + BLOCK, high)
    async for chunk in _counted(body, piece, high - low):
        while chunk:
            room = block_end - position
            part, chunk = (chunk, b"") if len(chunk) <= room else (chunk[:room], chunk[room:])
            held.append(part)
            crc = crc32c(part, crc)
            position += len(part)
            if position < block_end:
                continue
            _compare(piece, (position - 1) // BLOCK, crc)
            for whole in held:
                yield whole
            held, crc = [], 0
            block_end = min(position + BLOCK, high)
