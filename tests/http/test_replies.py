"""What a client gets for each kind of reply, and what happens when an answer or its body fails."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from email.utils import parsedate_to_datetime
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.defer import CancelledError, Deferred

from gateway.errors import ClientGone, S3Error
from gateway.model import Call, Facts, Reply

GET = b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n"
LAST = b"GET /a HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"


class Pieces:
    """A body of these chunks that counts how often it was closed; an exception among them is raised."""

    def __init__(self, *chunks: bytes | Exception, size: int | None = -1) -> None:
        self.chunks = list(chunks)
        self.size = sum(map(len, chunks)) if size == -1 else size  # type: ignore[arg-type]
        self.closed = 0
        self.read = 0

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if not self.chunks:
            raise StopAsyncIteration
        chunk = self.chunks.pop(0)
        self.read += 1
        if isinstance(chunk, Exception):
            raise chunk
        return chunk

    def close(self) -> None:
        self.closed += 1


def giving(reply: Reply) -> Any:
    async def answer(call: Call) -> Reply:
        return reply

    return answer


def failing(error: Exception) -> Any:
    async def answer(call: Call) -> Reply:
        raise error

    return answer


@pytest_twisted.ensureDeferred
async def test_every_reply_is_stamped(open_door: Any) -> None:
    door = open_door()
    answers = await door.talk(GET + LAST)
    for answer, call in zip(answers, door.calls, strict=True):
        assert answer.headers["x-amz-request-id"] == call.id
        assert re.fullmatch("[0-9A-F]{16}", call.id)
        assert answer.headers["server"] == "txgateway"
        assert answer.headers["x-amz-id-2"]
        assert abs(parsedate_to_datetime(answer.headers["date"]).timestamp() - call.received) < 60


@pytest_twisted.ensureDeferred
async def test_small_reply_leaves_in_one_write(open_door: Any) -> None:
    door = open_door(giving(Reply(200, (), Pieces(b"abc", b"de"))))
    client = await door.connect()
    sizes: list[int] = []
    received = client.dataReceived
    client.dataReceived = lambda data: (sizes.append(len(data)), received(data))
    client.send(GET)
    answers = await client.replies(1)
    assert answers[0].body == b"abcde"
    assert client.data.endswith(b"abcde")
    assert len(sizes) <= 2  # the head travels with the first chunk


@pytest.mark.parametrize("body", [b"", b"abc", b"x" * 200_000])
@pytest_twisted.ensureDeferred
async def test_bytes_and_bodies_have_the_same_framing(open_door: Any, body: bytes) -> None:
    pieces = Pieces(*([body] if body else []))
    streamed = await open_door(giving(Reply(200, (), pieces))).talk(LAST)
    whole = await open_door(giving(Reply(200, (), body))).talk(LAST)
    assert streamed[0].body == whole[0].body == body
    assert streamed[0].headers["content-length"] == whole[0].headers["content-length"] == str(len(body))
    assert pieces.closed == 1


@pytest_twisted.ensureDeferred
async def test_a_body_of_unknown_size_is_chunked(open_door: Any) -> None:
    client = await open_door(giving(Reply(200, (), Pieces(b"abc", b"x" * 70_000, size=None)))).connect()
    client.send(GET)
    await client.until(lambda: client.data.endswith(b"\r\n0\r\n\r\n"))
    head, _, body = client.data.partition(b"\r\n\r\n")
    assert b"Transfer-Encoding: chunked" in head
    assert b"Content-Length" not in head
    assert body == b"3\r\nabc\r\n11170\r\n" + b"x" * 70_000 + b"\r\n0\r\n\r\n"


@pytest.mark.parametrize(
    ("reply", "length"),
    [
        (Reply(200, (), b"abc"), "3"),
        (Reply(200, (), b"", length=12345), "12345"),
        (Reply(404, (), b"<Error/>"), "8"),
        (Reply(204, (), b""), None),
        (Reply(304, (), b""), None),
    ],
)
@pytest_twisted.ensureDeferred
async def test_head_never_sends_a_body(open_door: Any, reply: Reply, length: str | None) -> None:
    client = await open_door(giving(reply)).connect()
    client.send(LAST.replace(b"GET", b"HEAD"))
    await client.closed()
    head, _, body = client.data.partition(b"\r\n\r\n")
    assert body == b""
    found = re.search(rb"Content-Length: (\d+)", head)
    assert (found[1].decode() if found else None) == length


@pytest.mark.parametrize("status", [204, 304])
@pytest_twisted.ensureDeferred
async def test_bodiless_statuses(open_door: Any, status: int) -> None:
    pieces = Pieces(b"abc")
    client = await open_door(giving(Reply(status, (("ETag", '"x"'),), pieces))).connect()
    client.send(LAST)
    await client.closed()
    head, _, body = client.data.partition(b"\r\n\r\n")
    assert body == b""
    assert b"Content-Length" not in head
    assert (pieces.closed, pieces.read) == (1, 0)


@pytest_twisted.ensureDeferred
async def test_head_of_a_body_closes_it_unread(open_door: Any) -> None:
    pieces = Pieces(b"abc")
    client = await open_door(giving(Reply(200, (), pieces))).connect()
    client.send(LAST.replace(b"GET", b"HEAD"))
    await client.closed()
    assert b"Content-Length: 3\r\n" in client.data
    assert (pieces.closed, pieces.read) == (1, 0)


@pytest.mark.parametrize(
    "pieces",
    [Pieces(b"abc", OSError("disk"), size=6), Pieces(b"abc", size=6), Pieces(b"abc", b"defg", size=6)],
    ids=["fails", "too short", "too long"],
)
@pytest_twisted.ensureDeferred
async def test_a_body_that_fails_later_cuts_the_connection(open_door: Any, logged: Any, pieces: Pieces) -> None:
    door = open_door(giving(Reply(200, (), pieces)))
    client = await door.connect()
    client.send(GET + GET)
    await client.closed()
    _, _, body = client.data.partition(b"\r\n\r\n")
    assert b"abc".startswith(body)
    assert pieces.closed == 1
    assert len(door.calls) == 1
    assert [traffic.whole for _, _, traffic in door.seen] == [False]
    assert len([event for event in logged if "log_failure" in event]) == 1


@pytest_twisted.ensureDeferred
async def test_a_body_of_unknown_size_that_fails_has_no_end(open_door: Any) -> None:
    client = await open_door(giving(Reply(200, (), Pieces(b"abc", OSError("disk"), size=None)))).connect()
    client.send(GET)
    await client.closed()
    assert b"0\r\n\r\n" not in client.data


@pytest.mark.parametrize(
    ("answer", "status", "code"),
    [
        (failing(S3Error("NoSuchKey", "Not here.", fields={"Key": "a&b"})), 404, "NoSuchKey"),
        (failing(OSError("disk")), 500, "InternalError"),
        (giving(Reply(200, (), Pieces(OSError("disk"), size=6))), 500, "InternalError"),
        (giving(Reply(200, (), Pieces(size=6))), 500, "InternalError"),
        (giving(Reply(200, (("X-A", "a\r\nSet-Cookie: b"),))), 500, "InternalError"),
        (giving(Reply(200, (("X-A", "a\nb"),))), 500, "InternalError"),
        (giving(Reply(200, (("X-A", "a\0b"),))), 500, "InternalError"),
        (giving(Reply(200, (("X-A", "\udc80"),))), 500, "InternalError"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_a_failure_before_the_first_byte_is_a_clean_error(
    open_door: Any, logged: Any, answer: Any, status: int, code: str
) -> None:
    door = open_door(answer)
    answers = await door.talk(GET)
    assert [(reply.status, reply.code) for reply in answers] == [(status, code)]
    assert b"disk" not in answers[0].body
    assert b"Set-Cookie" not in answers[0].body
    assert len([event for event in logged if "log_failure" in event]) == (1 if status == 500 else 0)
    assert [reply.facts.code for _, reply, _ in door.seen] == [code]


@pytest_twisted.ensureDeferred
async def test_client_gone_from_an_answer_ends_the_connection_without_a_word(open_door: Any, logged: Any) -> None:
    assert await open_door(failing(ClientGone())).talk(GET) == []
    assert not [event for event in logged if "log_failure" in event]


@pytest_twisted.ensureDeferred
async def test_close_is_obeyed(open_door: Any) -> None:
    answers = await open_door(giving(Reply(200, close=True))).talk(GET + GET)
    assert [answer.headers["connection"] for answer in answers] == ["close"]


@pytest_twisted.ensureDeferred
async def test_a_client_that_reads_to_the_end_does_not_wait_for_our_linger(open_door: Any) -> None:
    door = open_door(giving(Reply(403, (), b"no", close=True)), linger_seconds=1000)
    answers = await door.talk(b"PUT /a HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n")
    assert [answer.body for answer in answers] == [b"no"]


class Never:
    """An answer, or a body, that waits for ever, and remembers that it was cancelled."""

    def __init__(self) -> None:
        self.size: int | None = 100
        self.begun = False
        self.cancelled = False
        self.closed = 0

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if not self.begun:
            self.begun = True
            return b"abc"
        await self.wait()
        raise AssertionError("woken")

    def close(self) -> None:
        self.closed += 1

    async def wait(self) -> None:
        try:
            await Deferred()
        except CancelledError:
            self.cancelled = True
            raise

    async def answer(self, call: Call) -> Reply:
        self.begun = True
        await self.wait()
        return Reply(200)


@pytest.mark.parametrize("leave", ["abortConnection", "loseConnection"])
@pytest_twisted.ensureDeferred
async def test_a_client_that_leaves_cancels_its_answer(open_door: Any, logged: Any, leave: str) -> None:
    never = Never()
    door = open_door(never.answer)
    client = await door.connect()
    client.send(GET)
    await door.eventually(lambda: never.begun)
    getattr(client.transport, leave)()
    await door.eventually(lambda: never.cancelled and not door.front.connections)
    assert door.front.running == 0
    assert [(reply.status, reply.facts.code) for _, reply, _ in door.seen] == [(499, "ClientGone")]
    assert not [event for event in logged if "log_failure" in event]


@pytest_twisted.ensureDeferred
async def test_a_client_that_leaves_closes_the_body_it_was_getting(open_door: Any) -> None:
    never = Never()
    door = open_door(giving(Reply(200, (), never, facts=Facts(operation="GetObject"))))
    client = await door.connect()
    client.send(GET)
    await client.until(lambda: client.data.endswith(b"abc"))
    client.transport.abortConnection()
    await door.eventually(lambda: never.closed)
    await door.eventually(lambda: door.seen)
    assert never.cancelled
    assert [(reply.status, traffic.whole) for _, reply, traffic in door.seen] == [(200, False)]


@pytest_twisted.ensureDeferred
async def test_an_answer_that_comes_after_its_client_left_is_closed(open_door: Any) -> None:
    pieces = Pieces(b"abc")
    gate: Deferred[None] = Deferred(lambda _: gate.callback(None))  # cannot be cancelled: goes on instead

    async def answer(call: Call) -> Reply:
        await gate
        return Reply(200, (), pieces)

    door = open_door(answer)
    client = await door.connect()
    client.send(GET)
    await door.eventually(lambda: door.calls)
    client.transport.abortConnection()
    await door.eventually(lambda: pieces.closed)
    assert pieces.read == 0


@pytest_twisted.ensureDeferred
async def test_a_client_that_only_ended_its_side_gets_its_reply(open_door: Any) -> None:
    gate: Deferred[None] = Deferred()

    async def answer(call: Call) -> Reply:
        await gate
        return Reply(200, (), b"abc")

    door = open_door(answer, linger_seconds=30)
    client = await door.connect()
    client.send(GET)
    client.transport.loseWriteConnection()
    await door.eventually(lambda: door.calls)
    gate.callback(None)
    assert [reply.body for reply in await client.closed()] == [b"abc"]


@pytest_twisted.ensureDeferred
async def test_a_client_that_only_ended_its_side_sees_the_end_of_a_long_reply(open_door: Any) -> None:
    door = open_door(giving(Reply(200, (), Pieces(*[b"x" * 1_000_000] * 3))), stall_seconds=3600)
    client = await door.connect()
    client.send(GET)
    client.transport.loseWriteConnection()
    assert [len(reply.body) for reply in await client.closed()] == [3_000_000]


@pytest_twisted.ensureDeferred
async def test_traffic_counts_bytes_on_the_wire(open_door: Any) -> None:
    door = open_door()
    raw = b"PUT /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    client = await door.connect()
    client.send(raw)
    await client.replies(1)
    _, _, traffic = door.seen[0]
    assert (traffic.received, traffic.sent, traffic.whole) == (len(raw), len(client.data), True)
    assert 0 <= traffic.first_byte <= traffic.seconds
