"""A version's bytes on their way out: one blob after another, each MiB checked before it is given on."""

from __future__ import annotations

import errno
import os
from collections.abc import AsyncIterator, Callable, Sequence

from awscrt.checksums import crc32c
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread
from twisted.python.failure import Failure

from gateway.errors import BackendDown, BlobMissing
from gateway.model import Body, GetRequest, GetResult, Piece, Region
from gateway.plugins.location import Location
from gateway.wire.checksums import BLOCK


class Outflow:
    """Bytes ``start`` to ``stop`` (exclusive) of a version, as a Body.

    ``pieces``: (offset in the version, piece), in order, covering the range. With ``verify`` every block that the
    range touches is read whole and its CRC32C compared before a byte of it is given. ``on_close`` runs once.
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
        self._open: Body | None = None
        self._primed: list[bytes] = []
        self._chunks = self._flow()

    async def prime(self) -> None:
        """Read the first chunk now, so that a lost blob is noticed before any header goes out."""
        if self.size:
            self._primed.append(await anext(self._chunks))

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while self._primed:
            yield self._primed.pop()
        async for chunk in self._chunks:
            yield chunk

    def close(self) -> None:
        """Give back the open blob and tell the owner; safe at any time and twice."""
        if self._open is not None:
            self._open.close()
            self._open = None
        tell, self._on_close = self._on_close, None
        if tell is not None:
            tell()

    async def _flow(self) -> AsyncIterator[bytes]:
        for offset, piece in self._pieces:
            first = max(self._start - offset, 0)
            last = min(self._stop - offset, piece.size)
            if first >= last:
                continue
            async for chunk in self._piece(piece, first, last):
                yield chunk

    async def _piece(self, piece: Piece, first: int, last: int) -> AsyncIterator[bytes]:
        """Bytes ``first`` to ``last`` of one piece; read from block to block when they are to be checked."""
        low, high = first, last
        if self._verify:
            low = first - first % BLOCK
            high = min(-(-last // BLOCK) * BLOCK, piece.size)
        request = GetRequest(name=piece.blob, start=piece.start + low, length=high - low)
        body = _as_body(await self._location.get(request), high - low)
        self._open = body
        try:
            checked = _checked(body, piece, low, high) if self._verify else _counted(body, piece, high - low)
            position = low
            async for chunk in checked:
                begin, end = max(first - position, 0), min(last - position, len(chunk))
                position += len(chunk)
                if begin < end:
                    yield chunk if end - begin == len(chunk) else chunk[begin:end]
        finally:
            self._open = None
            body.close()


async def _counted(body: Body, piece: Piece, length: int) -> AsyncIterator[bytes]:
    """The body's chunks; BackendDown where the backend gave more or less than it should."""
    got = 0
    async for chunk in body:
        got += len(chunk)
        if got > length:
            break
        yield chunk
    if got != length:
        raise BackendDown(f"blob {piece.blob}: {length} bytes were to come, {got} came")


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
            index = (position - 1) // BLOCK
            if crc != int.from_bytes(piece.crcs[4 * index : 4 * index + 4], "big"):
                raise BlobMissing(f"blob {piece.blob}: MiB {index} of the piece at {piece.start} is damaged")
            for whole in held:
                yield whole
            held, crc = [], 0
            block_end = min(position + BLOCK, high)


def _as_body(result: GetResult, length: int) -> Body:
    if result.body is not None:
        return result.body
    assert result.region is not None, "a location gives a body or a region"
    return RegionBody(result.region)


class RegionBody:
    """An open file region as a Body of chunks up to one MiB, read ahead of the reader by at most one chunk."""

    def __init__(self, region: Region) -> None:
        self.size: int | None = region.length
        self._region: Region | None = region
        self._reading = False
        self._closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        region = self._region
        if region is None:
            return
        position, end = region.offset, region.offset + region.length
        while position < end:
            wanted = min(BLOCK, end - position)
            chunk = _read_cached(region.fd, wanted, position)
            if chunk is None:
                chunk = await self._read(region, wanted, position)
            if not chunk:
                return
            position += len(chunk)
            yield chunk

    def _read(self, region: Region, wanted: int, position: int) -> Deferred[bytes]:
        # Whoever waits may be cancelled while the thread still reads; only the thread's end frees the descriptor.
        self._reading = True
        waiting: Deferred[bytes] = Deferred()

        def done(result: bytes | Failure) -> None:
            self._reading = False
            if self._closed:
                self._give_back()
            if not waiting.called:
                waiting.callback(result)  # a Failure starts the errbacks

        deferToThread(_pread, region.fd, wanted, position).addBoth(done)
        return waiting

    def close(self) -> None:
        # A thread may still be reading from the descriptor: closing it now could let it read another file's bytes.
        self._closed = True
        if not self._reading:
            self._give_back()

    def _give_back(self) -> None:
        if self._region is not None:
            self._region.close()
            self._region = None


def _pread(fd: int, wanted: int, position: int) -> bytes:
    try:
        return os.pread(fd, wanted, position)
    except OSError as fault:
        raise BackendDown(f"read failed: {fault}") from fault


def _read_cached(fd: int, wanted: int, position: int) -> bytes | None:
    """What the page cache holds, without ever waiting for a disk; None where a thread must wait for it."""
    buffer = bytearray(wanted)
    try:
        count = os.preadv(fd, [buffer], position, os.RWF_NOWAIT)
    except OSError as fault:
        if fault.errno in (errno.EAGAIN, errno.EOPNOTSUPP, errno.EINVAL):
            return None
        raise BackendDown(f"read failed: {fault}") from fault
    if count == 0:
        return None  # at the page cache's edge or the file's end: the thread's plain read tells which
    return bytes(memoryview(buffer)[:count])
