"""A small piece is read whole before its reply begins: it needs no flow, and it goes out in one write with the head."""

from __future__ import annotations

from awscrt.checksums import crc32c

from gateway.errors import BackendDown, BlobMissing
from gateway.model import GetRequest, GetResult, Piece
from gateway.plugins.location import Location
from gateway.streams.regions import RegionReader

SMALL = 64 * 1024  # bytes


async def read_piece(location: Location, piece: Piece) -> bytes:
    """All bytes of a piece of at most ``SMALL`` bytes, checked. Raises BlobMissing, BackendDown.

    The check costs a millionth of a second; so it is done whatever ``verify`` says.
    """
    found = await location.get(GetRequest(name=piece.blob, start=piece.start, length=piece.size))
    data = await _all_of(found, piece.size)
    if len(data) != piece.size:
        raise BackendDown(f"blob {piece.blob}: {piece.size} bytes were to come, {len(data)} came")
    if crc32c(data).to_bytes(4, "big") != piece.crcs:
        raise BlobMissing(f"blob {piece.blob}: MiB 0 of the piece at {piece.start} is damaged")
    return data


async def _all_of(found: GetResult, size: int) -> bytes:
    if found.region is not None:
        reader = RegionReader(found.region)
        try:
            return bytes(await reader.read(min(size, found.region.length)))
        finally:
            reader.close()
    assert found.body is not None, "a location gives a body or a region"
    chunks, got = [], 0
    try:
        async for chunk in found.body:
            chunks.append(chunk)
            got += len(chunk)
            if got > size:
                break  # a storage that gives more than there is must not fill the memory
    finally:
        found.body.close()
    return b"".join(chunks)
