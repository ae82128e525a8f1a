"""What leaves the house was checked: ranges over several blobs, damage, loss, wrong lengths."""

from __future__ import annotations

import os
import random
import threading
from pathlib import Path

import pytest
from pytest_twisted import ensureDeferred
from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater

from gateway.bodies import BytesBody
from gateway.errors import BackendDown, BlobMissing
from gateway.model import GetRequest, GetResult, Piece, PutRequest
from gateway.plugins.location import Location
from gateway.plugins.memory import MemoryBackend
from gateway.plugins.wrapping import Answer, Wrapper, drop
from gateway.settings import Values
from gateway.streams import Measured, Outflow, regions
from gateway.wire import checksums

MIB = 1024 * 1024


def memory() -> Location:
    return Location("m", MemoryBackend(Values.of(MemoryBackend.settings, {}, secrets={}, location="m")))


async def keep(location: Location, name: str, data: bytes) -> Piece:
    body = Measured(BytesBody(data))
    await location.put(PutRequest(name=name, body=body, size=len(data)))
    return Piece(name, 0, len(data), body.crcs())


async def version_of(location: Location, *parts: bytes) -> list[tuple[int, Piece]]:
    pieces, offset = [], 0
    for index, part in enumerate(parts):
        pieces.append((offset, await keep(location, f"v/{index}", part)))
        offset += len(part)
    return pieces


async def drain(flow: Outflow) -> bytes:
    try:
        return b"".join([chunk async for chunk in flow])
    finally:
        flow.close()


@pytest.mark.parametrize("verify", [True, False])
@ensureDeferred
async def test_every_range_over_several_blobs_is_exact(verify: bool) -> None:
    random.seed(7)
    location = memory()
    parts = [random.randbytes(2 * MIB + 5), random.randbytes(1), random.randbytes(MIB)]
    whole = b"".join(parts)
    pieces = await version_of(location, *parts)
    edges = {0, 1, MIB - 1, MIB, 2 * MIB + 4, 2 * MIB + 5, 2 * MIB + 6, len(whole) - 1, len(whole)}
    for start in edges:
        for stop in edges:
            if start < stop:
                flow = Outflow(location, pieces, start, stop, verify=verify)
                assert flow.size == stop - start
                assert await drain(flow) == whole[start:stop]


@ensureDeferred
async def test_a_flipped_bit_is_never_served_and_what_was_right_before_it_is() -> None:
    location = memory()
    data = bytearray(os.urandom(3 * MIB))
    _, piece = (await version_of(location, bytes(data)))[0]
    data[MIB + 77] ^= 4
    await location.put(PutRequest(name="v/0", body=BytesBody(bytes(data)), size=len(data)))
    served = bytearray()
    flow = Outflow(location, [(0, piece)], 0, len(data))
    with pytest.raises(BlobMissing, match="MiB 1"):
        async for chunk in flow:
            served += chunk
    flow.close()
    assert served == data[:MIB]
    assert await drain(Outflow(location, [(0, piece)], 2 * MIB, 3 * MIB)) == data[2 * MIB :]


@ensureDeferred
async def test_a_lost_blob_is_noticed_before_the_first_chunk() -> None:
    location = memory()
    flow = Outflow(location, [(0, Piece("gone/0", 0, 5, b"\0\0\0\0"))], 0, 5)
    with pytest.raises(BlobMissing):
        await flow.prime()
    flow.close()


class Shortened(Wrapper):
    """A storage that loses the end of what it gives, or adds to it."""

    def __init__(self, change: int) -> None:
        self.change = change

    async def around(self, hook: str, request: object, answer: Answer) -> object:
        result = await answer
        if hook != "get":
            return result
        data = b"".join([chunk async for chunk in result.body])
        data = data[: self.change] if self.change < 0 else data + b"x" * self.change
        return GetResult(result.size, result.fingerprint, BytesBody(data))


@pytest.mark.parametrize("verify", [True, False])
@pytest.mark.parametrize("change", [-1, 1, 5])
@ensureDeferred
async def test_more_or_fewer_bytes_than_there_are_is_an_error(change: int, verify: bool) -> None:
    values = Values.of(MemoryBackend.settings, {}, secrets={}, location="m")
    location = Location("m", MemoryBackend(values), [Shortened(change)])
    pieces = await version_of(location, b"a" * 1000)
    with pytest.raises(BackendDown, match="1000 bytes were to come"):
        await drain(Outflow(location, pieces, 0, 1000, verify=verify))


@ensureDeferred
async def test_closing_tells_the_owner_once_whenever_it_happens() -> None:
    location = memory()
    pieces = await version_of(location, b"a" * (2 * MIB))
    told: list[str] = []
    untouched = Outflow(location, pieces, 0, 10, on_close=lambda: told.append("untouched"))
    untouched.close()
    untouched.close()
    halfway = Outflow(location, pieces, 0, 2 * MIB, on_close=lambda: told.append("halfway"))
    await halfway.prime()
    halfway.close()
    assert told == ["untouched", "halfway"]


class Files:
    """A file region that knows whether it was closed."""

    def __init__(self, path: Path, offset: int, length: int) -> None:
        self.fd = os.open(path, os.O_RDONLY)
        self.offset, self.length, self.closed = offset, length, 0

    def close(self) -> None:
        self.closed += 1
        os.close(self.fd)


class Shelf(Wrapper):
    """A storage of one file, whatever name is asked for; ``given`` are the regions that it gave."""

    def __init__(self, folder: Path, data: bytes) -> None:
        self.path = folder / "f"
        self.path.write_bytes(data)
        self.given: list[Files] = []
        values = Values.of(MemoryBackend.settings, {}, secrets={}, location="m")
        self.location = Location("m", MemoryBackend(values), [self])

    async def around(self, hook: str, request: GetRequest, answer: Answer) -> GetResult:
        drop(answer)
        self.given.append(Files(self.path, request.start, request.length or 0))
        return GetResult(0, "", region=self.given[-1])


@pytest.mark.parametrize("verify", [True, False])
@ensureDeferred
async def test_a_file_is_read_exactly_and_closed_once(tmp_path: Path, verify: bool) -> None:
    data = os.urandom(3 * MIB + 9)
    shelf = Shelf(tmp_path, data)
    crcs = checksums.BlockCrcs()
    crcs.update(data)
    pieces = [(0, Piece("f", 0, len(data), crcs.crcs()))]
    for start, stop in ((0, len(data)), (5, 2 * MIB + 1), (MIB - 1, MIB + 1), (3 * MIB, len(data)), (7, 8)):
        flow = Outflow(shelf.location, pieces, start, stop, verify=verify)
        await flow.prime()
        chunks = [chunk async for chunk in flow]
        assert b"".join(chunks) == data[start:stop]
        assert all(0 < len(chunk) <= MIB and isinstance(chunk, bytes) for chunk in chunks)
        flow.close()
        flow.close()
    assert [region.closed for region in shelf.given] == [1] * 5


@ensureDeferred
async def test_a_large_file_that_nobody_looks_at_is_given_open_and_whoever_takes_it_closes_it(tmp_path: Path) -> None:
    data = os.urandom(3 * MIB)
    shelf = Shelf(tmp_path, data)
    pieces = [(0, Piece("f", 0, len(data), b""))]
    flow = Outflow(shelf.location, pieces, 10, 2 * MIB, verify=False)
    await flow.prime()
    found = [stretch async for stretch in flow.stretches()]
    assert [(each.offset, each.length) for each in found] == [(10, 2 * MIB - 10)]
    flow.close()
    assert shelf.given[0].closed == 0
    found[0].close()
    unread = Outflow(shelf.location, pieces, 0, 2 * MIB, verify=False)
    await unread.prime()
    unread.close()
    small = Outflow(shelf.location, pieces, 5, 1000, verify=False)
    assert [bytes(stretch) async for stretch in small.stretches()] == [data[5:1000]]
    small.close()
    assert [region.closed for region in shelf.given] == [1] * 3


@ensureDeferred
async def test_a_file_that_becomes_shorter_is_an_error(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, bytes(2 * MIB))
    pieces = [(0, Piece("f", 0, 2 * MIB, b""))]
    flow = Outflow(shelf.location, pieces, 0, 2 * MIB, verify=False)
    await flow.prime()
    os.truncate(shelf.path, MIB + 5)
    got = 0
    with pytest.raises(BackendDown, match="shorter"):
        async for chunk in flow:
            got += len(chunk)
    assert got == MIB
    flow.close()
    assert shelf.given[0].closed == 1


@ensureDeferred
async def test_a_reader_that_is_cancelled_keeps_its_file_until_the_thread_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go, open_when_read = threading.Event(), []
    shelf = Shelf(tmp_path, b"x" * 100)
    flow = Outflow(shelf.location, [(0, Piece("f", 0, 100, b""))], 0, 100, verify=False)

    def slow(fd: int, into: memoryview, position: int) -> int:
        go.wait(10)
        open_when_read.append(shelf.given[0].closed == 0)
        return os.preadv(fd, [into], position)

    monkeypatch.setattr(regions, "_read_cached", lambda *_: 0)
    monkeypatch.setattr(regions, "_read_waiting", slow)
    waiting = Deferred.fromCoroutine(flow.prime())
    waiting.cancel()
    with pytest.raises(CancelledError):
        await waiting
    flow.close()
    assert shelf.given[0].closed == 0
    go.set()
    while not shelf.given[0].closed:
        await deferLater(reactor, 0.01, lambda: None)
    assert open_when_read == [True]
