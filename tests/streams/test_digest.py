"""Digests beside the flow: right however the bytes come, in few threads, bounded, and never a fault forgotten."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import AsyncIterator

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import ensureDeferred, gatherResults
from twisted.internet.task import deferLater

from gateway.api import BytesBody, StreamBody
from gateway.streams import Intake, Measured, digest, read_all
from gateway.streams.digest import Digests
from gateway.wire.claim import Payload

MIB = 1024 * 1024
DATA = hashlib.shake_128(b"digests").digest(12 * MIB + 12_345)


async def pieces(data: bytes, length: int) -> AsyncIterator[bytes]:
    for start in range(0, len(data), length):
        yield data[start : start + length]


def intake(data: bytes, length: int) -> Intake:
    return Intake(StreamBody(pieces(data, length), len(data), lambda: None), {}, Payload(), limit=10**9)


async def nothing_runs() -> None:
    while Digests.running:
        await deferLater(reactor, 0.01)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Digests]:
    """The bodies for which the reactor's thread asked for a thread, each time that it did."""
    seen: list[Digests] = []
    real = digest._hashers.ask

    def counted(body: Digests) -> None:
        seen.append(body)
        real(body)

    monkeypatch.setattr(digest._hashers, "ask", counted)
    return seen


@pytest.mark.parametrize("size", [1, 65_536, 65_537, MIB, MIB + 1, 3 * MIB, len(DATA)])
@pytest.mark.parametrize("length", [50_001, 512 * 1024, MIB])
@pytest_twisted.ensureDeferred
async def test_an_intake_takes_the_crcs_of_its_blocks_itself(size: int, length: int) -> None:
    data = DATA[:size]
    body, beside = intake(data, length), Measured(BytesBody(data))
    assert await read_all(body) == data
    assert b"".join([chunk async for chunk in beside]) == data
    assert body.crcs() == beside.crcs()
    assert len(body.crcs()) == 4 * -(-size // MIB)
    assert body.etag == hashlib.md5(data).hexdigest()


@pytest_twisted.ensureDeferred
async def test_a_thread_goes_on_with_what_came_while_it_hashed(asked: list[Digests]) -> None:
    body = intake(DATA, MIB)
    assert await read_all(body) == DATA
    assert body.etag == hashlib.md5(DATA).hexdigest()
    assert 1 <= len(asked) < 12
    await nothing_runs()


@pytest_twisted.ensureDeferred
async def test_where_many_bodies_come_a_thread_takes_one_batch_of_each(
    asked: list[Digests], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(digest, "_FEW", 0)
    bodies = [intake(DATA, MIB) for _ in range(3)]
    assert await gatherResults([ensureDeferred(read_all(body)) for body in bodies]) == [DATA] * 3
    assert {body.etag for body in bodies} == {hashlib.md5(DATA).hexdigest()}
    assert len(asked) == 3 * 12
    await nothing_runs()


class Stuck:
    """A digest whose first bytes keep their thread until ``go``."""

    def __init__(self) -> None:
        self.go = threading.Event()

    def update(self, data: bytes | memoryview, /) -> None:
        assert self.go.wait(30)

    def digest(self) -> bytes:
        return b""


@pytest_twisted.ensureDeferred
async def test_no_more_comes_than_two_batches_ahead_of_the_thread() -> None:
    stuck, given = Stuck(), [0]
    digests = Digests({"MD5"}, len(DATA))
    digests._all.insert(0, stuck)

    async def give() -> None:
        async for piece in pieces(DATA, 256 * 1024):
            given[0] += len(piece)
            await digests.add(piece)

    work = ensureDeferred(give())
    await deferLater(reactor, 0.2)
    assert given[0] == 3 * MIB  # one in the thread, one that waits for it, one that was gathered
    stuck.go.set()
    await work
    assert (await digests.finish())["MD5"] == hashlib.md5(DATA).digest()


class Noted(Stuck):
    """Notes whose batch is hashed; all wait for the first one's ``go``."""

    def __init__(self, name: str, order: list[str], first: threading.Event) -> None:
        self.name, self.order, self.go = name, order, first

    def update(self, data: bytes | memoryview, /) -> None:
        self.order.append(self.name)
        super().update(data)


@pytest_twisted.ensureDeferred
async def test_bodies_take_turns_at_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digest, "_THREADS", 1)
    monkeypatch.setattr(digest, "_hashers", digest._Hashers())
    order: list[str] = []
    go = threading.Event()
    bodies = []
    for name in ("first", "second"):
        body = Digests(set(), len(DATA))
        body._all.append(Noted(name, order, go))
        await body.add(DATA[:MIB])
        await body.add(DATA[:MIB])
        bodies.append(body)
    go.set()
    for body in bodies:
        await body.finish()
    assert order == ["first", "second", "first", "second"]


class Broken(Stuck):
    def update(self, data: bytes | memoryview, /) -> None:
        raise MemoryError("no room for a digest")


@pytest_twisted.ensureDeferred
async def test_a_fault_in_the_thread_ends_the_body(asked: list[Digests]) -> None:
    digests = Digests({"MD5"}, len(DATA))
    digests._all.insert(0, Broken())
    with pytest.raises(MemoryError):
        async for piece in pieces(DATA, MIB):
            await digests.add(piece)
    assert len(asked) == 1
    await nothing_runs()
