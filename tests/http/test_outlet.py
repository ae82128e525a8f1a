"""Large bodies go past Twisted's buffer: exact bytes, whatever the client, the file or the disk does meanwhile."""

from __future__ import annotations

import os
import resource
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred

from gateway.errors import BackendDown
from gateway.http import outlet
from gateway.model import Call, Reply, Stretch

MIB = 1024 * 1024
GET = b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n"
LAST = b"GET /a HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
LONG = (("X-Long", "x" * MIB),)  # a head that the transport needs some turns for


class File:
    """A region that knows how often it was closed."""

    def __init__(self, path: Path, offset: int, length: int) -> None:
        self.fd = os.open(path, os.O_RDONLY)
        self.offset, self.length, self.closed = offset, length, 0

    def close(self) -> None:
        self.closed += 1
        if self.closed == 1:
            os.close(self.fd)


class Stretches:
    """A body of these stretches; an exception among them is raised, a Deferred is waited for."""

    def __init__(self, *stretches: Any, size: int | None = None) -> None:
        self._stretches = stretches
        self.size: int | None = sum(map(length_of, stretches)) if size is None else size
        self.closed = 0

    async def stretches(self) -> AsyncIterator[Stretch]:
        for stretch in self._stretches:
            if isinstance(stretch, Exception):
                raise stretch
            if isinstance(stretch, Deferred):
                await stretch
            else:
                yield stretch

    async def __aiter__(self) -> AsyncIterator[bytes]:
        raise AssertionError("a plain socket takes stretches")
        yield b""

    def close(self) -> None:
        self.closed += 1


def length_of(stretch: Any) -> int:
    if isinstance(stretch, File):
        return stretch.length
    return len(stretch) if isinstance(stretch, (bytes, memoryview)) else 0


class Shelf:
    """A file of random bytes, and an operation that gives a stretch of it for each call."""

    def __init__(self, folder: Path, size: int) -> None:
        self.path = folder / "file"
        self.data = os.urandom(size)
        self.path.write_bytes(self.data)
        self.given: list[File] = []

    def file(self, offset: int, length: int) -> File:
        self.given.append(File(self.path, offset, length))
        return self.given[-1]

    async def answer(self, call: Call) -> Reply:
        return Reply(200, body=Stretches(self.file(0, len(self.data))))

    @property
    def closed(self) -> list[int]:
        return [file.closed for file in self.given]


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path, 8 * MIB)


def giving(*stretches: Any, size: int | None = None) -> tuple[Any, Stretches]:
    body = Stretches(*stretches, size=size)

    async def answer(call: Call) -> Reply:
        return Reply(200, LONG, body=body)

    return answer, body


def body_of(data: bytes) -> bytes:
    return data.partition(b"\r\n\r\n")[2]


def sockets() -> int:
    found = [os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd") if is_open(fd)]
    return sum(name.startswith("socket:") for name in found)


def is_open(fd: str) -> bool:
    return os.path.lexists(f"/proc/self/fd/{fd}")


@pytest.fixture
def by_sendfile(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], int]]:
    """How many bytes were sent by sendfile."""
    real, counts = os.sendfile, [0]

    def counted(*words: Any) -> int:
        count = real(*words)
        counts[0] += count
        return count

    monkeypatch.setattr(os, "sendfile", counted)
    return lambda: counts[0]


@pytest_twisted.ensureDeferred
async def test_stretches_of_each_kind_arrive_in_order_and_the_connection_goes_on(
    open_door: Any, shelf: Shelf, by_sendfile: Callable[[], int]
) -> None:
    buffer = bytearray(os.urandom(3 * MIB))
    first, last = shelf.file(5, 2 * MIB), shelf.file(MIB, 7 * MIB)
    whole = shelf.data[5 : 5 + 2 * MIB] + bytes(buffer) + b"tail" + shelf.data[MIB:]
    answer, body = giving(first, memoryview(buffer), b"tail", last)
    door = open_door(answer)
    client = await door.connect()
    client.send(GET + LAST.replace(b"GET", b"HEAD"))  # the next request waits behind the reply
    data = await client.until(lambda: client.ended)
    got, rest = body_of(data)[: len(whole)], body_of(data)[len(whole) :]
    assert got == whole
    assert rest.startswith(b"HTTP/1.1 200 OK") and rest.endswith(b"\r\n\r\n")
    assert (shelf.closed, body.closed) == ([1, 1], 2)
    assert by_sendfile() == 9 * MIB
    assert [traffic.whole for _, _, traffic in door.seen] == [True, True]
    assert sum(traffic.sent for _, _, traffic in door.seen) == len(data)


@pytest_twisted.ensureDeferred
async def test_many_at_once_get_their_own_bytes_while_one_takes_nothing(open_door: Any, shelf: Shelf) -> None:
    async def answer(call: Call) -> Reply:
        return Reply(200, body=Stretches(shelf.file(0, MIB if call.path == "/part" else 8 * MIB)))

    before = sockets()
    door = open_door(answer)
    stalled = await door.connect()
    stalled.transport.pauseProducing()
    stalled.send(GET)
    await door.eventually(lambda: len(shelf.given) == 1)
    for _ in range(2):
        clients = [await door.connect() for _ in range(20)]
        for client in clients:
            client.send(LAST.replace(b"/a", b"/part"))
        for client in clients:
            assert body_of(await client.until(lambda client=client: client.ended)) == shelf.data[:MIB]
    await door.eventually(lambda: shelf.closed == [0] + [1] * 40)
    assert not stalled.ended
    stalled.transport.resumeProducing()
    await stalled.until(lambda: len(body_of(stalled.data)) == len(shelf.data))
    stalled.transport.loseConnection()
    await stalled.closed()
    await door.eventually(lambda: shelf.closed == [1] * 41)
    await door.eventually(lambda: sockets() == before + 1)  # the port


@pytest_twisted.ensureDeferred
async def test_a_client_that_stalls_is_cut_off_and_one_that_is_slow_is_not(open_door: Any, shelf: Shelf) -> None:
    door = open_door(shelf.answer, stall_seconds=0.3)
    stalled, slow = await door.connect(), await door.connect()
    stalled.transport.pauseProducing()
    stalled.send(GET)
    slow.send(LAST)
    for _ in range(8):
        slow.transport.pauseProducing()
        await door.eventually(lambda: door.front.clock.seconds())
        slow.transport.resumeProducing()
        seen = len(slow.data)
        await slow.until(lambda seen=seen: slow.ended or len(slow.data) > seen + MIB // 2)
    await slow.closed()
    assert body_of(slow.data) == shelf.data
    await door.eventually(lambda: shelf.closed == [1, 1])
    lost = next(traffic for _, _, traffic in door.seen if not traffic.whole)
    assert 0 < lost.sent < len(shelf.data)


@pytest_twisted.ensureDeferred
async def test_a_client_that_leaves_gives_everything_back(open_door: Any, shelf: Shelf) -> None:
    before = sockets()
    door = open_door(shelf.answer)
    for abort in (True, False):
        client = await door.connect()
        client.transport.pauseProducing()
        client.send(GET)
        await door.eventually(lambda: shelf.given)
        if abort:
            client.transport.abortConnection()
        else:
            client.transport.loseConnection()
        await door.eventually(lambda: shelf.closed == [1])
        shelf.given.clear()
    await door.eventually(lambda: len(door.seen) == 2 and sockets() == before + 1)
    assert not any(traffic.whole for _, _, traffic in door.seen)


@pytest_twisted.ensureDeferred
async def test_a_file_that_became_shorter_ends_the_connection(
    open_door: Any, shelf: Shelf, logged: list[dict[str, Any]]
) -> None:
    answer, body = giving(shelf.file(0, 8 * MIB))
    os.truncate(shelf.path, 3 * MIB + 1)
    door = open_door(answer)
    client = await door.connect()
    client.send(GET)
    data = await client.until(lambda: client.ended)
    assert shelf.data[: 3 * MIB + 1].startswith(body_of(data))
    assert (shelf.closed, body.closed) == ([1], 1)
    [(_, reply, traffic)] = door.seen
    assert "BackendDown" in reply.facts.cause and not traffic.whole
    assert "became shorter" in " ".join(str(event.get("cause", "")) for event in logged)


@pytest_twisted.ensureDeferred
async def test_what_fails_before_the_first_byte_is_said_and_what_fails_after_it_is_not(
    open_door: Any, shelf: Shelf, logged: list[dict[str, Any]]
) -> None:
    answer, _ = giving(BackendDown("lost"), size=2 * MIB)
    assert [(each.status, each.code) for each in await open_door(answer).talk(LAST)] == [(500, "InternalError")]
    answer, _ = giving(shelf.file(0, MIB), BackendDown("lost"), size=2 * MIB)
    client = await open_door(answer).connect()
    client.send(GET)
    assert shelf.data[:MIB].startswith(body_of(await client.until(lambda: client.ended)))
    answer, _ = giving(shelf.file(0, MIB), size=2 * MIB)
    client = await open_door(answer).connect()
    client.send(GET)
    assert shelf.data[:MIB].startswith(body_of(await client.until(lambda: client.ended)))
    answer, _ = giving(shelf.file(0, MIB), shelf.file(0, MIB), size=2 * MIB - 1)
    client = await open_door(answer).connect()
    client.send(GET)
    assert shelf.data[:MIB].startswith(body_of(await client.until(lambda: client.ended)))
    assert shelf.closed == [1] * 4


@pytest_twisted.ensureDeferred
async def test_a_cold_disk_is_waited_for_in_a_thread(
    open_door: Any, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel is told to forget the file; what it has not is sent by threads, while others are served."""
    fd = os.open(shelf.path, os.O_RDWR)
    os.fsync(fd)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(fd)
    real, threads, go = os.sendfile, [], threading.Event()

    def watched(*words: Any) -> int:
        threads.append(threading.current_thread() is threading.main_thread())
        if not threads[-1]:
            go.wait(10)
        return real(*words)

    monkeypatch.setattr(os, "sendfile", watched)
    monkeypatch.setattr(outlet, "is_cached", once_cold(outlet.is_cached))
    door = open_door(shelf.answer)
    client = await door.connect()
    client.send(LAST)
    await door.eventually(lambda: threads == [False])
    other = await door.connect()
    other.send(LAST.replace(b"GET", b"HEAD"))
    assert (await other.until(lambda: other.ended)).startswith(b"HTTP/1.1 200 OK")
    go.set()
    assert body_of(await client.until(lambda: client.ended)) == shelf.data
    assert True in threads, "what is cached needs no thread"
    await door.eventually(lambda: shelf.closed[0] == 1)


def once_cold(real: Callable[[int, int, int], bool]) -> Callable[[int, int, int], bool]:
    """Not every file system forgets when it is told to: the first answer is no."""
    asked: list[int] = []

    def is_cached(fd: int, position: int, length: int) -> bool:
        asked.append(position)
        return len(asked) > 1 and real(fd, position, length)

    return is_cached


@pytest_twisted.ensureDeferred
async def test_a_thread_that_still_reads_keeps_the_file_and_the_socket_when_the_client_leaves(
    open_door: Any, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, go, whole = os.sendfile, threading.Event(), []

    def slow(out: int, fd: int, offset: int, count: int) -> int:
        go.wait(10)
        whole.append(shelf.closed == [0] and os.readlink(f"/proc/self/fd/{out}").startswith("socket:"))
        return real(out, fd, offset, count)

    monkeypatch.setattr(os, "sendfile", slow)
    monkeypatch.setattr(outlet, "is_cached", lambda *_: False)
    before = sockets()
    door = open_door(shelf.answer)
    client = await door.connect()
    client.send(GET)
    await door.eventually(lambda: shelf.given)
    client.transport.abortConnection()
    await door.eventually(lambda: door.seen)
    assert shelf.closed == [0]
    go.set()
    await door.eventually(lambda: shelf.closed == [1] and sockets() == before + 1)
    assert whole == [True]


@pytest_twisted.ensureDeferred
async def test_a_drain_lets_a_large_body_end(open_door: Any, shelf: Shelf) -> None:
    wait: Deferred[None] = Deferred()
    answer, _ = giving(shelf.file(0, 8 * MIB), wait, b"tail")
    door = open_door(answer)
    client = await door.connect()
    client.send(GET)
    await client.until(lambda: len(body_of(client.data)) == 8 * MIB)
    draining = Deferred.fromCoroutine(door.front.drain(10))
    wait.callback(None)
    assert body_of(await client.until(lambda: client.ended)) == shelf.data + b"tail"
    await draining
    assert shelf.closed == [1]


@pytest_twisted.ensureDeferred
async def test_without_a_descriptor_the_client_is_told_to_come_again(open_door: Any, shelf: Shelf) -> None:
    door = open_door(shelf.answer)
    client = await door.connect()
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)

    async def starved(call: Call) -> Reply:
        reply = await shelf.answer(call)
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, limits[1]))
        return reply

    door.front.answer = starved
    try:
        client.send(LAST)
        data = await client.until(lambda: client.ended)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert data.startswith(b"HTTP/1.1 503 ") and b"<Code>SlowDown</Code>" in data
    assert shelf.closed == [1]
