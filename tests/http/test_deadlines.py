"""Rows T22-T25: nobody waits for ever, on either side. Most run on a clock that the test turns."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock, deferLater
from twisted.internet.testing import StringTransport

from gateway.errors import ClientGone
from gateway.http import Front, Limits
from gateway.model import Call, Reply

HEAD = b"PUT /a HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n"


class Line(StringTransport):
    """A transport whose end the test sees; the client of an aborted one learns it at once."""

    def __init__(self, front: Front) -> None:
        super().__init__(peerAddress=IPv4Address("TCP", "192.0.2.1", 54321))
        protocol = front.buildProtocol(self.getPeer())
        assert protocol is not None
        self.protocol = protocol
        protocol.makeConnection(self)

    def abortConnection(self) -> None:
        super().abortConnection()
        self.disconnected = True
        self.protocol.connectionLost()

    @property
    def ended(self) -> bool:
        return self.disconnecting or self.disconnected

    def send(self, data: bytes) -> None:
        if not self.ended:
            self.protocol.dataReceived(data)


async def read_all(call: Call) -> Reply:
    async for _ in call.body:
        pass
    return Reply(200)


def turned(clock: Clock, seconds: int, each: Any = lambda: None) -> None:
    for _ in range(seconds):
        each()
        clock.advance(1)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_t22_a_dribbled_head_has_thirty_seconds(clock: Clock) -> None:
    front = Front(read_all, clock=clock)
    line = Line(front)
    line.send(b"GET /a HTTP/1.1\r\n")
    turned(clock, 29, lambda: line.send(b"X-A: b\r\n"))
    assert not line.ended
    assert line.value() == b""
    turned(clock, 2)
    assert line.value().startswith(b"HTTP/1.1 408 ")
    assert b"<Code>RequestTimeout</Code>" in line.value()
    turned(clock, 4)
    assert line.ended


def test_t22_a_silent_client_is_closed_without_a_word(clock: Clock) -> None:
    line = Line(Front(read_all, clock=clock))
    turned(clock, 29)
    assert not line.ended
    turned(clock, 2)
    assert line.ended
    assert line.value() == b""


def test_t22_an_idle_connection_is_closed_without_a_word(clock: Clock) -> None:
    line = Line(Front(read_all, clock=clock))
    line.send(b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n")
    sent = line.value()
    assert sent.startswith(b"HTTP/1.1 200 ")
    turned(clock, 74)
    assert not line.ended
    turned(clock, 2)
    assert line.ended
    assert line.value() == sent


def test_t22_a_later_head_has_thirty_seconds_of_its_own(clock: Clock) -> None:
    line = Line(Front(read_all, clock=clock))
    line.send(b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n")
    turned(clock, 70)
    line.clear()
    line.send(b"GET /a HTTP/1.1\r\n")
    turned(clock, 29)
    assert not line.ended
    assert line.value() == b""
    turned(clock, 2)
    assert line.value().startswith(b"HTTP/1.1 408 ")


def test_t23_half_open_connections_are_all_closed(clock: Clock) -> None:
    front = Front(read_all, clock=clock)
    lines = [Line(front) for _ in range(1000)]
    for line in lines:
        line.send(b"GET / HT")
    turned(clock, 35)
    assert all(line.ended for line in lines)


def test_t23_one_timer_for_all_and_none_for_nobody(clock: Clock) -> None:
    front = Front(read_all, clock=clock)
    assert clock.getDelayedCalls() == []
    lines = [Line(front) for _ in range(100)]
    for line in lines:
        line.send(b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n")
    assert len(clock.getDelayedCalls()) == 1
    for line in lines:
        line.abortConnection()
    assert clock.getDelayedCalls() == []
    assert front.connections == 0


@pytest.mark.parametrize("limits", [{"connections": 20}, {"connections_per_peer": 20}], ids=["all", "one peer"])
@pytest_twisted.ensureDeferred
async def test_t23_one_connection_too_many_is_told_so(open_door: Any, limits: dict[str, int]) -> None:
    door = open_door(**limits)
    within = [await door.connect() for _ in range(20)]
    beyond = [await door.connect() for _ in range(5)]
    for client in beyond:
        answers = await client.closed()
        assert [(answer.status, answer.code) for answer in answers] == [(503, "SlowDown")]
    within[0].send(b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n")
    assert (await within[0].replies(1))[0].status == 200
    within.pop().transport.loseConnection()
    await door.eventually(lambda: door.front.connections == 19)
    assert (await door.talk(b"GET /a HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"))[0].status == 200


def test_t24_a_body_below_the_floor_times_out(clock: Clock) -> None:
    line = Line(Front(read_all, clock=clock))
    line.send(HEAD)
    turned(clock, 29, lambda: line.send(b"x"))
    assert line.value() == b""
    turned(clock, 3, lambda: line.send(b"x"))
    assert line.value().startswith(b"HTTP/1.1 400 ")
    assert b"<Code>RequestTimeout</Code>" in line.value()
    assert b"Connection: close" in line.value()
    turned(clock, 4)
    assert line.ended


def test_t24_a_body_that_stops_later_times_out(clock: Clock) -> None:
    line = Line(Front(read_all, clock=clock))
    line.send(HEAD + b"x" * 50_000)
    turned(clock, 20, lambda: line.send(b"x" * 100))
    turned(clock, 70)
    assert b"<Code>RequestTimeout</Code>" in line.value()


def test_t24_a_body_above_the_floor_may_take_its_time(clock: Clock) -> None:
    line = Line(Front(read_all, clock=clock))
    line.send(HEAD)
    turned(clock, 1999, lambda: line.send(b"x" * 50))
    assert line.value() == b""
    line.send(b"x" * 50)
    assert line.value().startswith(b"HTTP/1.1 200 ")


def test_t24_a_slow_operation_is_not_the_clients_fault(clock: Clock) -> None:
    gate: Deferred[None] = Deferred()

    async def slow(call: Call) -> Reply:
        async for _ in call.body:
            await gate
        return Reply(200)

    line = Line(Front(slow, clock=clock))
    line.send(HEAD + b"x" * 10)
    turned(clock, 300)
    assert line.value() == b""
    gate.callback(None)
    turned(clock, 20)
    line.send(b"x" * 99_990)
    assert line.value().startswith(b"HTTP/1.1 200 ")


def test_t24_the_time_an_operation_takes_ends_the_clients_window(clock: Clock) -> None:
    gate: Deferred[None] = Deferred()

    async def slow(call: Call) -> Reply:
        async for _ in call.body:
            await gate
        return Reply(200)

    line = Line(Front(slow, clock=clock))
    line.send(HEAD)
    turned(clock, 5)  # the client is waited for
    line.send(b"x" * 10)
    turned(clock, 100)  # it waits for us
    gate.callback(None)
    turned(clock, 20)
    assert line.value() == b""
    turned(clock, 15)
    assert b"<Code>RequestTimeout</Code>" in line.value()


def test_t24_a_client_that_waits_for_100_is_not_late_before_it(clock: Clock) -> None:
    gate: Deferred[None] = Deferred()

    async def slow(call: Call) -> Reply:
        await gate
        return await read_all(call)

    line = Line(Front(slow, clock=clock))
    line.send(HEAD.replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n"))
    turned(clock, 100)
    assert line.value() == b""
    gate.callback(None)
    assert line.value() == b"HTTP/1.1 100 Continue\r\n\r\n"


def test_t25_a_client_that_takes_nothing_is_cut_off_after_a_minute(clock: Clock) -> None:
    closed: list[bool] = []

    class Endless:
        size: int | None = None

        def __aiter__(self) -> Any:
            return self

        async def __anext__(self) -> bytes:
            return b"x" * 1000

        def close(self) -> None:
            closed.append(True)

    async def endless(call: Call) -> Reply:
        line.protocol.pauseProducing()  # the transport is full from the beginning
        return Reply(200, (), Endless())

    line = Line(Front(endless, clock=clock))
    line.send(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
    turned(clock, 50)
    line.offset = 17  # the socket took a little: another minute
    turned(clock, 60)
    assert not line.disconnected
    turned(clock, 2)
    assert line.disconnected
    assert closed == [True]


def test_t25_pipelined_small_replies_wait_for_the_client_too(clock: Clock) -> None:
    answered: list[str] = []

    async def note(call: Call) -> Reply:
        answered.append(call.path)
        return Reply(200, (), b"x" * 1000)

    line = Line(Front(note, clock=clock))
    line.protocol.pauseProducing()
    line.send(b"".join(b"GET /%d HTTP/1.1\r\nHost: h\r\n\r\n" % n for n in range(5000)))
    assert answered == []
    assert line.producerState == "paused"  # what waits is one read of pipelined bytes, and no more comes
    line.protocol.resumeProducing()
    assert len(answered) == 5000
    assert line.producerState == "producing"


def test_t14_a_bare_line_feed_is_refused_before_any_deadline(clock: Clock) -> None:
    line = Line(Front(read_all, clock=clock))
    line.send(b"GET /a\n")  # llhttp would wait for the end of HTTP/0.9 headers
    assert line.value().startswith(b"HTTP/1.1 400 ")


def test_never_a_byte_more_than_declared(clock: Clock) -> None:
    class Longer:
        size: int | None = 6
        chunks: ClassVar = [b"abc", b"defg"]

        async def __aiter__(self) -> Any:
            for chunk in self.chunks:
                yield chunk

        def close(self) -> None:
            pass

    async def longer(call: Call) -> Reply:
        return Reply(200, (), Longer())

    line = Line(Front(longer, clock=clock))
    line.send(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
    assert line.disconnected
    assert line.value().endswith(b"\r\n\r\nabc")


def test_linger_is_bounded_in_time(clock: Clock) -> None:
    async def refuse(call: Call) -> Reply:
        return Reply(403, close=True)

    line = Line(Front(refuse, clock=clock))
    line.send(HEAD)
    turned(clock, 1, lambda: line.send(b"x" * 1000))
    assert not line.ended
    turned(clock, 2)
    assert line.ended


def test_linger_is_bounded_in_bytes(clock: Clock) -> None:
    async def refuse(call: Call) -> Reply:
        return Reply(403, close=True)

    line = Line(Front(refuse, Limits(linger_bytes=10_000), clock=clock))
    line.send(HEAD)
    line.send(b"x" * 10_000)
    assert not line.ended
    line.send(b"x")
    assert line.ended


def test_a_closing_connection_that_never_empties_is_aborted(clock: Clock) -> None:
    line = Line(Front(read_all, clock=clock))
    turned(clock, 31)
    assert line.disconnecting
    assert not line.disconnected
    turned(clock, 61)
    assert line.disconnected


@pytest_twisted.ensureDeferred
async def test_drain_ends_idle_connections_now_and_busy_ones_with_their_reply(open_door: Any) -> None:
    gate: Deferred[None] = Deferred()

    async def wait(call: Call) -> Reply:
        await gate
        return Reply(200, (), b"abc")

    door = open_door(wait)
    idle, busy = await door.connect(), await door.connect()
    busy.send(b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n" * 2)
    await door.eventually(lambda: door.calls)
    drained = Deferred.fromCoroutine(door.front.drain(30))
    assert await idle.closed() == []
    assert not drained.called
    gate.callback(None)
    answers = await busy.closed()
    assert [(answer.body, answer.headers["connection"]) for answer in answers] == [(b"abc", "close")]
    await drained
    assert door.front.connections == 0


@pytest_twisted.ensureDeferred
async def test_drain_cuts_off_the_rest_after_its_time(open_door: Any) -> None:
    ends: list[str] = []

    async def forever(call: Call) -> Reply:
        try:
            async for _ in call.body:
                pass
        except ClientGone:
            ends.append("gone")
            raise
        return Reply(200)

    door = open_door(forever)
    client = await door.connect()
    client.send(HEAD)
    await door.eventually(lambda: door.calls)
    await door.front.drain(0.05)
    await client.closed()
    assert ends == ["gone"]
    assert door.front.running == 0


@pytest_twisted.ensureDeferred
async def test_drain_of_nobody_is_done(open_door: Any) -> None:
    door = open_door()
    await door.front.drain(30)
    await deferLater(reactor, 0)
    assert [(answer.status, answer.code) for answer in await door.talk(b"")] == [(503, "SlowDown")]
