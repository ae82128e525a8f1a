"""A small piece: whole and true, or a clean fault before the reply begins."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from awscrt.checksums import crc32c
from pytest_twisted import ensureDeferred

from gateway.bodies import StreamBody
from gateway.errors import BackendDown, BlobMissing
from gateway.model import GetResult, Piece
from gateway.streams import read_piece

DATA = bytes(range(200))
PIECE = Piece("blob/0", 0, len(DATA), crc32c(DATA).to_bytes(4, "big"))


class Storage:
    """Gives these chunks, and says how many were taken and how often it was closed."""

    def __init__(self, *chunks: bytes) -> None:
        self.chunks = chunks
        self.taken = self.closed = 0

    async def get(self, request: Any) -> GetResult:
        def close() -> None:
            self.closed += 1

        return GetResult(len(DATA), "", StreamBody(self._flow(), len(DATA), close))

    async def _flow(self) -> AsyncIterator[bytes]:
        for chunk in self.chunks:
            self.taken += 1
            yield chunk


async def read(storage: Any) -> bytes:
    return await read_piece(storage, PIECE)


@ensureDeferred
async def test_chunks_make_a_piece() -> None:
    storage = Storage(DATA[:7], DATA[7:])
    assert await read(storage) == DATA
    assert storage.closed == 1


@pytest.mark.parametrize("chunks", [(), (DATA[:-1],), (DATA, b"x")], ids=["nothing", "fewer", "more"])
@ensureDeferred
async def test_another_size_is_a_fault(chunks: tuple[bytes, ...]) -> None:
    storage = Storage(*chunks)
    with pytest.raises(BackendDown, match="200 bytes were to come"):
        await read(storage)
    assert storage.closed == 1


@ensureDeferred
async def test_a_storage_that_does_not_end_is_left_after_one_chunk_too_many() -> None:
    storage = Storage(*[DATA] * 1000)
    with pytest.raises(BackendDown):
        await read(storage)
    assert (storage.taken, storage.closed) == (2, 1)


@ensureDeferred
async def test_a_changed_byte_is_a_lost_blob() -> None:
    with pytest.raises(BlobMissing, match="damaged"):
        await read(Storage(DATA[:-1] + b"\0"))
