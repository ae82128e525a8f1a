"""Bodies flow: in and out with back-pressure, at constant memory, and a client that leaves leaves nothing behind."""

from __future__ import annotations

import os
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPullProducer
from twisted.internet.task import deferLater
from zope.interface import implementer

from gateway.errors import ClientGone, S3Error
from gateway.http import Limits
from gateway.http.connection import READ_LARGE
from gateway.model import Call, Reply

MIB = 1024 * 1024
BIG = 64 * MIB


class Fresh:
    """A body of ``size`` bytes whose chunks are made when they are asked for."""

    def __init__(self, size: int, chunk: int) -> None:
        self.size: int | None = size
        self.given = 0
        self._chunk = chunk
        self.closed = 0

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        left = (self.size or 0) - self.given
        if not left:
            raise StopAsyncIteration
        chunk = bytes(min(left, self._chunk))
        self.given += len(chunk)
        return chunk

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def peak() -> Iterator[Any]:
    """``peak()``: how many bytes Python held at most since the test began, beyond what it held then."""
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    yield lambda: tracemalloc.get_traced_memory()[1] - before
    tracemalloc.stop()


def count_only(client: Any) -> list[int]:
    """Let a client forget what it reads."""
    got = [0]

    def received(data: bytes) -> None:
        got[0] += len(data)

    client.dataReceived = received
    return got


@pytest_twisted.ensureDeferred
async def test_t25_download_to_a_slow_reader_holds_little(open_door: Any, peak: Any) -> None:
    body = Fresh(BIG, 256 * 1024)

    async def answer(call: Call) -> Reply:
        return Reply(200, (), body)

    door = open_door(answer)
    client = await door.connect()
    got = count_only(client)
    client.send(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
    while got[0] < BIG:
        client.transport.pauseProducing()
        await deferLater(reactor, 0.005)
        client.transport.resumeProducing()
        await deferLater(reactor, 0.002)
    assert peak() < 2 * MIB
    await door.eventually(lambda: body.closed)


@pytest_twisted.ensureDeferred
async def test_t25_a_reader_that_stops_is_cut_off(open_door: Any, peak: Any) -> None:
    body = Fresh(5 * 1024 * MIB, MIB)

    async def answer(call: Call) -> Reply:
        return Reply(200, (), body)

    door = open_door(answer, stall_seconds=0.3)
    client = await door.connect()
    client.send(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
    client.transport.pauseProducing()
    await door.eventually(lambda: body.closed)
    assert body.given < 64 * MIB  # the systems' socket buffers, and no more
    assert peak() < 4 * MIB
    await door.eventually(lambda: not door.front.connections)
    assert [traffic.whole for _, _, traffic in door.seen] == [False]


@implementer(IPullProducer)
class Upload:
    """Sends ``size`` bytes as fast as the other side takes them."""

    def __init__(self, client: Any, size: int) -> None:
        self.left = size
        self._client = client
        client.transport.registerProducer(self, False)

    def resumeProducing(self) -> None:
        data = bytes(min(self.left, 65536))
        self.left -= len(data)
        self._client.transport.write(data)
        if not self.left:
            self._client.transport.unregisterProducer()

    def stopProducing(self) -> None:
        self.left = 0


@pytest.mark.parametrize("size", [BIG, None], ids=["length", "chunked"])
@pytest_twisted.ensureDeferred
async def test_upload_to_a_slow_operation_holds_little(open_door: Any, peak: Any, size: int | None) -> None:
    most = [0]

    async def slowly(call: Call) -> Reply:
        total = 0
        async for chunk in call.body:
            total += len(chunk)
            if total % 7 == 0:
                await deferLater(reactor, 0.001)
            most[0] = max(most[0], call.body.waiting)  # type: ignore[attr-defined]
        return Reply(200, (), str(total).encode())

    door = open_door(slowly)
    client = await door.connect()
    if size is None:
        client.send(b"PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n" % BIG)
    else:
        client.send(b"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % BIG)
    upload = Upload(client, BIG)
    await door.eventually(lambda: not upload.left)
    if size is None:
        client.send(b"\r\n0\r\n\r\n")
    answers = await client.replies(1)
    assert answers[0].body == b"%d" % BIG
    assert most[0] <= Limits().body_waiting_bytes + READ_LARGE
    assert peak() < 2 * MIB


@pytest_twisted.ensureDeferred
async def test_an_operation_that_does_not_read_holds_the_client_back(open_door: Any) -> None:
    gate: Deferred[None] = Deferred()

    async def wait(call: Call) -> Reply:
        await gate
        total = 0
        async for chunk in call.body:
            total += len(chunk)
        return Reply(200, (), str(total).encode())

    door = open_door(wait)
    client = await door.connect()
    client.send(b"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % BIG)
    upload = Upload(client, BIG)
    await door.eventually(lambda: door.calls)
    await deferLater(reactor, 0.3)
    assert upload.left  # what is not on its way fits into neither us nor the socket buffers
    assert door.calls[0].body.waiting <= 256 * 1024 + 65536
    gate.callback(None)
    assert (await client.replies(1))[0].body == b"%d" % BIG


PUT = b"PUT /a HTTP/1.1\r\nHost: h\r\nContent-Length: 40\r\n\r\n" + b"x" * 40
CHUNKED = b"PUT /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n"


@pytest.mark.parametrize("raw", [PUT, CHUNKED], ids=["length", "chunked"])
@pytest.mark.parametrize("how", ["abortConnection", "loseConnection"])
@pytest_twisted.ensureDeferred
async def test_t30_a_client_that_leaves_at_any_byte(open_door: Any, logged: Any, raw: bytes, how: str) -> None:
    """No traceback, no descriptor, no running call is left; an operation never takes a part for the whole."""
    ends: list[type] = []

    async def operation(call: Call) -> Reply:
        try:
            async for _ in call.body:
                pass
        except (ClientGone, S3Error) as gone:
            ends.append(type(gone) if isinstance(gone, ClientGone) else gone.code)  # type: ignore[arg-type]
            raise
        ends.append(int)
        return Reply(200)

    door = open_door(operation)
    descriptors = len(os.listdir("/proc/self/fd"))
    head = raw.index(b"\r\n\r\n") + 4
    for length in range(len(raw)):
        before = len(door.calls)
        client = await door.connect()
        client.send(raw[:length])
        if length >= head:
            await door.eventually(lambda before=before: len(door.calls) > before)
        getattr(client.transport, how)()
        await door.eventually(lambda: not door.front.connections)
    assert door.front.running == 0
    assert int not in ends
    assert set(ends) == {ClientGone if how == "abortConnection" else "IncompleteBody"}
    assert len(ends) == len(raw) - head
    assert len(os.listdir("/proc/self/fd")) <= descriptors
    assert not [event for event in logged if "log_failure" in event]


@pytest_twisted.ensureDeferred
async def test_an_answer_busy_elsewhere_hears_of_the_end_of_the_body(open_door: Any) -> None:
    """Half a body, then the end of the client's side: the operation is told when it reads on, and can say so."""
    gate: Deferred[None] = Deferred()

    async def operation(call: Call) -> Reply:
        await gate
        async for _ in call.body:
            pass
        return Reply(200)

    door = open_door(operation, linger_seconds=30)
    client = await door.connect()
    client.send(PUT[:-10])
    client.transport.loseWriteConnection()
    await door.eventually(lambda: door.calls)
    await deferLater(reactor, 0.05)
    gate.callback(None)
    assert [(answer.status, answer.code) for answer in await client.closed()] == [(400, "IncompleteBody")]


@pytest_twisted.ensureDeferred
async def test_clean_up_is_not_cancelled_when_the_client_leaves(open_door: Any) -> None:
    """A reader learns it from the body; what it then awaits to leave nothing behind runs to its end."""
    steps: list[str] = []

    async def operation(call: Call) -> Reply:
        try:
            async for _ in call.body:
                steps.append("chunk")
        except ClientGone:
            await deferLater(reactor, 0.05)
            steps.append("clean")
            raise
        return Reply(200)

    door = open_door(operation)
    client = await door.connect()
    client.send(PUT[:-10])
    await door.eventually(lambda: steps)
    client.transport.abortConnection()
    await door.eventually(lambda: not door.front.running)
    assert steps == ["chunk", "clean"]


@pytest_twisted.ensureDeferred
async def test_a_closed_body_cannot_be_read(open_door: Any, logged: Any) -> None:
    async def operation(call: Call) -> Reply:
        call.body.close()
        call.body.close()
        try:
            async for _ in call.body:
                pass
        except ValueError:
            return Reply(200, (("X-Refused", "yes"),))
        return Reply(200)

    door = open_door(operation)
    answers = await door.talk(PUT[:-10])
    assert answers[0].headers["x-refused"] == "yes"
    assert answers[0].headers["connection"] == "close"


@pytest_twisted.ensureDeferred
async def test_a_body_that_nobody_read_is_closed_with_the_reply(open_door: Any) -> None:
    async def ignore(call: Call) -> Reply:
        return Reply(200)

    door = open_door(ignore)
    await door.talk(PUT[:-10])
    with pytest.raises(ValueError, match="closed"):
        await anext(aiter(door.calls[0].body))


@pytest_twisted.ensureDeferred
async def test_broken_chunks_after_good_ones_reach_the_reader(open_door: Any) -> None:
    door = open_door()
    client = await door.connect()
    client.send(b"PUT /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n")
    await door.eventually(lambda: door.calls)
    client.send(b"x\r\n")
    assert [(answer.status, answer.code) for answer in await client.closed()] == [(400, "BadRequest")]


@pytest_twisted.ensureDeferred
async def test_a_chunked_body_has_a_greatest_size(open_door: Any) -> None:
    door = open_door(body_bytes=1000)
    client = await door.connect()
    client.send(b"PUT /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n")
    await door.eventually(lambda: door.calls)
    client.send(b"1f4\r\n" + b"x" * 500 + b"\r\n1f5\r\n")
    assert [(answer.status, answer.code) for answer in await client.closed()] == [(400, "EntityTooLarge")]
