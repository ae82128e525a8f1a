"""What is tried again, how often, and when not."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from typing import Any

import pytest
import pytest_twisted

from gateway.errors import BackendBusy, BackendDown, BackendError
from gateway.remote import Outgoing
from gateway.testing.pours import KI, Pour, sample


def broken(peer: Any) -> None:
    peer.reply(500)


def cut(peer: Any) -> None:
    peer.cut()


def busy(peer: Any) -> None:
    peer.reply(429)


@pytest.mark.parametrize("trouble", [broken, cut, busy])
@pytest_twisted.ensureDeferred
async def test_the_third_try_may_succeed(service: Any, server: Any, trouble: Any) -> None:
    server.scripts = [trouble, trouble]
    await service.ask("PUT", "/k", body=b"again")
    assert len(server.heads) == 3
    assert server.peers[-1].body == b"again"
    server.scripts = [trouble, trouble]
    reply = await service.stream("/k")
    reply.body.close()
    assert len(server.heads) == 6


@pytest.mark.parametrize(("trouble", "error"), [(broken, BackendDown), (cut, BackendDown), (busy, BackendBusy)])
@pytest_twisted.ensureDeferred
async def test_there_is_no_fourth_try(service: Any, server: Any, trouble: Any, error: Any) -> None:
    server.when_whole = trouble
    with pytest.raises(error):
        await service.ask("GET", "/k")
    assert len(server.heads) == 3


@pytest_twisted.ensureDeferred
async def test_a_truncated_document_is_asked_for_again(service: Any, server: Any) -> None:
    def truncated(peer: Any) -> None:
        peer.say(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
        peer.transport.loseConnection()

    server.scripts = [truncated]
    server.when_whole = lambda peer: peer.reply(content=b"whole")
    assert (await service.ask("GET", "/k")).content == b"whole"


@pytest.mark.parametrize("trouble", [broken, cut])
@pytest_twisted.ensureDeferred
async def test_what_is_not_idempotent_is_not_said_twice(service: Any, server: Any, trouble: Any) -> None:
    server.when_whole = trouble
    with pytest.raises(BackendDown):
        await service.ask("POST", "/k", body=b"x", idempotent=False)
    assert len(server.heads) == 1


@pytest_twisted.ensureDeferred
async def test_what_the_service_did_not_do_is_said_again(service: Any, server: Any) -> None:
    server.scripts = [busy]
    await service.ask("POST", "/k", body=b"x", idempotent=False)
    assert len(server.heads) == 2


@pytest_twisted.ensureDeferred
async def test_a_streamed_body_is_not_sent_again(service: Any, server: Any) -> None:
    server.when_whole = busy
    with pytest.raises(BackendBusy):
        await service.ask("PUT", "/k", body=Pour(sample(100 * KI)))
    assert len(server.heads) == 1


@pytest_twisted.ensureDeferred
async def test_a_refused_connection_is_tried_again_even_for_a_stream(connect: Any) -> None:
    signed = 0

    async def sign(request: Outgoing) -> Mapping[str, str]:
        nonlocal signed
        signed += 1
        return request.headers

    with socket.socket() as bound:  # bound and not listening: whoever connects is refused
        bound.bind(("127.0.0.1", 0))
        service = connect(f"http://127.0.0.1:{bound.getsockname()[1]}", sign=sign)
        body = Pour(sample(100 * KI))
        with pytest.raises(BackendDown, match="no connection"):
            await service.ask("PUT", "/k", body=body, idempotent=False)
    assert (signed, body.given) == (3, 0)


@pytest_twisted.ensureDeferred
async def test_a_name_that_does_not_resolve_is_BackendDown(connect: Any) -> None:
    with pytest.raises(BackendDown, match="no connection"):
        await connect("http://nobody.invalid").ask("GET", "/k")


@pytest_twisted.ensureDeferred
async def test_retry_after_is_kept_to(connect: Any, server: Any) -> None:
    from twisted.internet import reactor

    times: list[float] = []

    def script(peer: Any) -> None:
        times.append(reactor.seconds())  # type: ignore[attr-defined]
        if len(times) == 1:
            peer.reply(503, Retry_After="1")
        else:
            peer.reply()

    server.when_whole = script
    await connect(server.url).ask("GET", "/k")
    assert times[1] - times[0] >= 1.0


@pytest_twisted.ensureDeferred
async def test_a_long_retry_after_is_told_at_once(service: Any, server: Any) -> None:
    server.when_whole = lambda peer: peer.reply(503, Retry_After="60")
    with pytest.raises(BackendBusy) as raised:
        await service.ask("GET", "/k")
    assert raised.value.after == 60
    assert len(server.heads) == 1


@pytest_twisted.ensureDeferred
async def test_nothing_is_tried_again_after_the_time_for_it(connect: Any, server: Any) -> None:
    server.when_whole = None
    service = connect(server.url, timing={"connect": 0.05, "reply": 0.3, "retry": 0.2})
    with pytest.raises(BackendDown):
        await service.ask("GET", "/k")
    assert len(server.heads) == 1


@pytest_twisted.ensureDeferred
async def test_a_connection_that_was_closed_meanwhile_is_replaced(service: Any, server: Any) -> None:
    await service.ask("GET", "/k")
    server.peers[0].cut()
    await service.ask("GET", "/k")
    assert len(server.peers) == 2


@pytest.mark.parametrize("status", [301, 400, 401, 403, 404, 405, 409, 418])
@pytest_twisted.ensureDeferred
async def test_what_asking_again_does_not_change_is_not_asked_again(service: Any, server: Any, status: int) -> None:
    server.when_whole = lambda peer: peer.reply(status)
    with pytest.raises(BackendError):
        await service.ask("GET", "/k")
    assert len(server.heads) == 1
