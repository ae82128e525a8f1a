"""A service that lies, stalls, floods or sends us elsewhere: bounded, and never another error than ours."""

from __future__ import annotations

import tracemalloc
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor, task
from twisted.internet.defer import Deferred, ensureDeferred

from gateway.bodies import StreamBody
from gateway.errors import BackendBusy, BackendDenied, BackendDown, BackendFull
from gateway.remote import connections, download
from gateway.testing.pours import KI, MI, Pour, sample
from gateway.testing.stage import turns

SHORT = {"timing": {"connect": 0.2, "reply": 0.3, "idle": 0.3, "retry": 0.0}}
ONCE = {"timing": {"retry": 0.0}}


def sleep(seconds: float) -> Deferred[None]:
    return task.deferLater(reactor, seconds, lambda: None)


async def drain(body: Any) -> bytes:
    try:
        return b"".join([chunk async for chunk in body])
    finally:
        body.close()


@pytest.mark.parametrize(
    "said",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\nnonsense\r\n",
        b"HTTP/1.1 200 OK\r\n\r\nwho knows where this ends",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nshort",
        b"HTTP/1.1 200",
        b"HTTP/1.1 two hundred\r\n\r\n",
        b"HTTP/x.y 200 OK\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\x00\xff\x15\x03\x01\x00\x02\x02\x46",
        b"\r\n",
        b"",
    ],
)
@pytest.mark.parametrize("method", ["GET", "PUT"])
@pytest_twisted.ensureDeferred
async def test_garbage_and_truncation_are_BackendDown(connect: Any, server: Any, said: bytes, method: str) -> None:
    def script(peer: Any) -> None:
        peer.say(said)
        peer.transport.loseConnection()

    server.when_whole = script
    service = connect(server.url, **ONCE)
    with pytest.raises(BackendDown):
        await service.ask(method, "/k", body=None if method == "GET" else b"body")
    if method == "GET":
        with pytest.raises(BackendDown):
            await drain((await service.stream("/k")).body)


@pytest_twisted.ensureDeferred
async def test_garbage_during_an_upload_is_BackendDown(connect: Any, server: Any) -> None:
    server.when_head = lambda peer: peer.say(b"what do you want?\r\n")
    with pytest.raises(BackendDown):
        await connect(server.url, **ONCE).ask("PUT", "/k", body=Pour(sample(32 * MI)))


@pytest_twisted.ensureDeferred
async def test_a_truncated_body_gives_what_came_and_then_the_error(connect: Any, server: Any) -> None:
    def script(peer: Any) -> None:
        peer.say(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + b"x" * 999)
        peer.transport.loseConnection()

    server.when_whole = script
    reply = await connect(server.url).stream("/k")
    got = b""
    with pytest.raises(BackendDown):
        async for chunk in reply.body:
            got += chunk
    reply.body.close()
    assert got == b"x" * 999
    assert reply.body.size == 1000


@pytest.mark.parametrize(
    "flood",
    [
        [b"HTTP/1.1 200 OK\r\n", b"X-%d: y\r\n" * 100],
        [b"HTTP/1.1 200 OK\r\nX: ", b"y" * 1000],
        [b"", b"y" * 1000],
        [b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n" * 50],
    ],
)
@pytest_twisted.ensureDeferred
async def test_endless_headers_are_cut(connect: Any, server: Any, flood: list[bytes]) -> None:
    sent = 0

    def script(peer: Any) -> None:
        peer.say(flood[0])
        more = task.LoopingCall(go, peer)
        more.start(0)
        peer.gone.addCallback(lambda _: more.stop())

    def go(peer: Any) -> None:
        nonlocal sent
        peer.say(flood[1])
        sent += len(flood[1])

    server.when_whole = script
    with pytest.raises(BackendDown):
        await connect(server.url, **ONCE).ask("GET", "/k")
    await server.peers[0].gone
    assert sent < 20 * connections.LARGEST_HEAD


@pytest_twisted.ensureDeferred
async def test_large_headers_within_the_limit_pass(connect: Any, server: Any) -> None:
    lines = b"".join(b"X-%d: %s\r\n" % (number, b"y" * 1000) for number in range(60))
    server.when_whole = lambda peer: peer.say(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n" + lines + b"\r\nok")
    assert (await connect(server.url).ask("GET", "/k")).content == b"ok"


@pytest_twisted.ensureDeferred
async def test_a_reply_that_nobody_asked_for_is_not_the_next_one(connect: Any, server: Any) -> None:
    service = connect(server.url)
    server.when_whole = lambda peer: (peer.reply(content=b"first"), peer.reply(content=b"forged"))
    assert (await service.ask("GET", "/1")).content == b"first"
    await turns(5, 0.01)
    server.when_whole = lambda peer: peer.reply(content=b"second")
    assert (await service.ask("GET", "/2")).content == b"second"


@pytest_twisted.ensureDeferred
async def test_large_documents_are_refused(connect: Any, server: Any) -> None:
    server.when_whole = lambda peer: peer.reply(content=b"x" * (MI + 1))
    with pytest.raises(BackendDown, match="larger"):
        await connect(server.url, **ONCE).ask("GET", "/k")
    server.when_whole = lambda peer: peer.reply(500, content=b"x" * (MI + 1))
    with pytest.raises(BackendDown, match="larger"):
        await connect(server.url, **ONCE).stream("/k")


@pytest_twisted.ensureDeferred
async def test_a_document_that_does_not_end_is_given_up(connect: Any, server: Any) -> None:
    def script(peer: Any) -> None:
        peer.say(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        drip = task.LoopingCall(peer.say, b" ")
        drip.start(0.02)
        peer.gone.addCallback(lambda _: drip.stop())

    server.when_whole = script
    with pytest.raises(BackendDown, match="does not end"):
        await connect(server.url, timing={"document": 0.4, "retry": 0.0}).ask("GET", "/k")
    await server.peers[0].gone


@pytest.mark.parametrize("method", ["GET", "PUT"])
@pytest_twisted.ensureDeferred
async def test_silence_is_given_up(connect: Any, server: Any, method: str) -> None:
    server.when_whole = None
    with pytest.raises(BackendDown, match="does not answer"):
        await connect(server.url, **SHORT).ask(method, "/k", body=None if method == "GET" else b"body")
    await server.peers[0].gone


@pytest_twisted.ensureDeferred
async def test_headers_that_drip_are_given_up(connect: Any, server: Any) -> None:
    def script(peer: Any) -> None:
        peer.say(b"HTTP/1.1 200 OK\r\nX: ")
        drip = task.LoopingCall(peer.say, b"y")
        drip.start(0.02)
        peer.gone.addCallback(lambda _: drip.stop())

    server.when_whole = script
    with pytest.raises(BackendDown, match="does not answer"):
        await connect(server.url, timing={"connect": 0.1, "reply": 0.4, "retry": 0.0}).ask("GET", "/k")
    await server.peers[0].gone


@pytest.mark.parametrize("drip", [False, True])
@pytest_twisted.ensureDeferred
async def test_a_body_that_stalls_or_drips_is_given_up(connect: Any, server: Any, drip: bool) -> None:
    def script(peer: Any) -> None:
        peer.say(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        if drip:
            dripping = task.LoopingCall(peer.say, b"x")
            dripping.start(0.02)
            peer.gone.addCallback(lambda _: dripping.stop())

    server.when_whole = script
    reply = await connect(server.url, **SHORT).stream("/k")
    with pytest.raises(BackendDown, match="stalls"):
        await drain(reply.body)
    await server.peers[0].gone


@pytest_twisted.ensureDeferred
async def test_a_slow_reader_is_not_the_services_fault(connect: Any, server: Any) -> None:
    server.when_whole = lambda peer: peer.reply(content=sample(4 * MI))
    reply = await connect(server.url, **SHORT).stream("/k")
    await sleep(0.5)
    got = bytearray(await anext(aiter(reply.body)))
    await sleep(0.5)
    got += await drain(reply.body)
    assert got == sample(4 * MI)


@pytest_twisted.ensureDeferred
async def test_a_slow_body_is_not_the_services_fault(connect: Any, server: Any) -> None:
    data = sample(200 * KI)

    async def slowly() -> Any:
        for at in range(0, len(data), 50 * KI):
            await sleep(0.25)
            yield data[at : at + 50 * KI]

    await connect(server.url, **SHORT).ask("PUT", "/k", body=StreamBody(slowly(), len(data), lambda: None))
    assert server.peers[0].body == data


@pytest_twisted.ensureDeferred
async def test_a_service_that_takes_no_more_is_given_up(connect: Any, server: Any) -> None:
    server.when_head = lambda peer: peer.transport.pauseProducing()
    body = Pour(sample(64 * MI))
    with pytest.raises(BackendDown, match="takes no more"):
        await connect(server.url, **SHORT).ask("PUT", "/k", body=body)
    assert body.given < 64 * MI


@pytest_twisted.ensureDeferred
async def test_a_reader_that_waits_is_not_outrun(connect: Any, server: Any) -> None:
    pushed = 0

    def script(peer: Any) -> None:
        peer.say(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (256 * MI))

        class Pushing:
            def resumeProducing(self) -> None:
                nonlocal pushed
                peer.say(b"x" * 256 * KI)
                pushed += 256 * KI

            def stopProducing(self) -> None:
                pass

        peer.transport.registerProducer(Pushing(), False)

    server.when_whole = script
    reply = await connect(server.url).stream("/k")
    await turns(50, 0.01)
    assert reply.body._held <= download.HIGH + 256 * KI  # type: ignore[attr-defined]
    assert pushed < 32 * MI, "the kernel's buffers hold a few MiB; the rest waits at the service"
    reply.body.close()
    reply.body.close()
    await server.peers[0].gone


@pytest_twisted.ensureDeferred
async def test_a_body_that_was_read_is_forgotten(connect: Any, server: Any) -> None:
    size, chunk = 48 * MI, b"x" * 64 * KI

    def script(peer: Any) -> None:
        peer.say(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        left = size

        class Pushing:
            def resumeProducing(self) -> None:
                nonlocal left
                peer.say(chunk)
                left -= len(chunk)
                if not left:
                    peer.transport.unregisterProducer()

            def stopProducing(self) -> None:
                pass

        peer.transport.registerProducer(Pushing(), False)

    server.when_whole = script
    reply = await connect(server.url).stream("/k")
    tracemalloc.start()
    try:
        got = 0
        async for part in reply.body:
            got += len(part)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
        reply.body.close()
    assert got == size and peak < 8 * MI


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest_twisted.ensureDeferred
async def test_redirects_are_not_followed(connect: Any, server: Any, status: int) -> None:
    server.when_whole = lambda peer: peer.reply(status, Location=server.url.replace("127.0.0.1", "localhost") + "/x")
    service = connect(server.url)
    with pytest.raises(BackendDown, match="redirects are not followed"):
        await service.ask("GET", "/k")
    with pytest.raises(BackendDown, match="redirects are not followed"):
        await service.ask("PUT", "/k", body=b"body")
    assert not any(b" /x " in head for head in server.heads)


@pytest.mark.parametrize(
    ("status", "content", "headers", "error"),
    [
        (401, b"", {}, BackendDenied),
        (403, b"<Error/>", {}, BackendDenied),
        (407, b"", {}, BackendDenied),
        (429, b"", {}, BackendBusy),
        (503, b"<Code>SlowDown</Code>", {}, BackendBusy),
        (503, b"", {"Retry_After": "1"}, BackendBusy),
        (503, b"", {}, BackendDown),
        (507, b"", {}, BackendFull),
        (413, b"", {}, BackendFull),
        (500, b"", {}, BackendDown),
        (502, b"", {}, BackendDown),
        (504, b"", {}, BackendDown),
        (400, b"", {}, BackendDown),
        (404, b"", {}, BackendDown),
        (999, b"", {}, BackendDown),
        (200, b"", {}, None),
    ],
)
@pytest_twisted.ensureDeferred
async def test_statuses_are_judged(
    connect: Any, server: Any, status: int, content: bytes, headers: dict[str, str], error: Any
) -> None:
    server.when_whole = lambda peer: peer.reply(status, content, **headers)
    service = connect(server.url, **ONCE)
    if error is None:
        assert (await service.ask("GET", "/k")).status == 200
        return
    for asking in (service.ask, lambda _, path: service.stream(path)):
        with pytest.raises(error) as raised:
            await asking("GET", "/k")
        assert type(raised.value) is error
        assert "secret" not in str(raised.value)


@pytest_twisted.ensureDeferred
async def test_a_stream_holds_its_slot_until_it_is_closed(connect: Any, server: Any) -> None:
    server.when_whole = lambda peer: peer.reply(content=b"x" * 100)
    service = connect(server.url, most=1)
    first = await service.stream("/1")
    second = ensureDeferred(service.stream("/2"))
    assert [chunk async for chunk in first.body] == [b"x" * 100]
    await turns(5, 0.01)
    assert not second.called and len(server.heads) == 1
    first.body.close()
    (await second).body.close()


@pytest_twisted.ensureDeferred
async def test_slots_come_back_whatever_happens(connect: Any, server: Any) -> None:
    service = connect(server.url, most=1, **SHORT)
    server.when_whole = lambda peer: peer.cut()
    for _ in range(3):
        with pytest.raises(BackendDown):
            await service.stream("/k")
        with pytest.raises(BackendDown):
            await service.ask("PUT", "/k", body=b"x")
        with pytest.raises(ValueError):
            await service.ask("PUT", "/k", body=Pour(sample(MI), stop_at=10, then=ValueError()))
    running = ensureDeferred(service.stream("/k"))
    running.addErrback(lambda _: None)
    running.cancel()
    server.when_whole = lambda peer: peer.reply()
    (await service.stream("/k")).body.close()
    await service.ask("PUT", "/k", body=b"x")


@pytest_twisted.ensureDeferred
async def test_a_body_may_read_from_the_same_service(connect: Any, server: Any) -> None:
    """A copy inside one location: what feeds a put must not wait for a slot that puts hold."""
    source = sample(300 * KI)
    server.when_whole = lambda peer: peer.reply(content=source if peer.heads[-1].startswith(b"GET") else b"")
    service = connect(server.url, most=1)

    async def copied() -> Any:
        for _ in range(2):
            reply = await service.stream("/source")
            async for chunk in reply.body:
                yield chunk
            reply.body.close()

    async def copy() -> None:
        await service.ask("PUT", "/copy", body=StreamBody(copied(), 2 * len(source), lambda: None))

    held = await service.stream("/held")  # the only slot for streams: what the body opens must not need it
    await copy()
    held.body.close()
    for running in [ensureDeferred(copy()) for _ in range(4)]:
        await running
