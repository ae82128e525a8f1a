"""What goes out is what was asked for, and what comes in is what was sent."""

from __future__ import annotations

import gzip
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.logger import formatEvent, globalLogPublisher

from gateway.bodies import BytesBody, StreamBody
from gateway.errors import BackendDenied, BackendDown
from gateway.testing.pours import KI, MI, Pour, sample
from gateway.testing.stage import turns


@pytest_twisted.ensureDeferred
async def test_a_request_line_is_encoded_once(service: Any, server: Any) -> None:
    await service.ask("GET", "/b/x//y/../ž%2f +'()*", params={"uploads": "", "prefix": "a/b +&=%ž~-_."})
    line = server.heads[0].split(b"\r\n")[0]
    assert line == (
        b"GET /b/x//y/../%C5%BE%252f%20%2B%27%28%29%2A?prefix=a%2Fb%20%2B%26%3D%25%C5%BE~-_.&uploads= HTTP/1.1"
    )


@pytest_twisted.ensureDeferred
async def test_a_base_path_comes_first(connect: Any, server: Any) -> None:
    await connect(server.url + "/root/").ask("GET", "/k")
    assert server.heads[0].startswith(b"GET /root/k HTTP/1.1\r\n")


@pytest.mark.parametrize(
    ("method", "body", "length"), [("PUT", None, b"0"), ("POST", b"", b"0"), ("PUT", b"abc", b"3")]
)
@pytest_twisted.ensureDeferred
async def test_a_length_is_told_once(service: Any, server: Any, method: str, body: bytes | None, length: bytes) -> None:
    await service.ask(method, "/k", body=body)
    lengths = [line for line in server.heads[0].lower().split(b"\r\n") if line.startswith(b"content-length")]
    assert lengths == [b"content-length: " + length]
    assert server.peers[0].body == (body or b"")


@pytest_twisted.ensureDeferred
async def test_what_was_signed_goes_out_and_no_cookie_comes_back(service: Any, server: Any) -> None:
    server.scripts = [lambda peer: peer.reply(Set_Cookie="who=you")]
    await service.ask("GET", "/k", headers={"x-amz-date": "now"})
    await service.ask("GET", "/k")
    assert b"authorization: the secret" in server.heads[0].lower() and b"x-amz-date: now" in server.heads[0].lower()
    assert b"cookie" not in server.heads[1].lower()


@pytest_twisted.ensureDeferred
async def test_connections_are_used_again(service: Any, server: Any) -> None:
    for _ in range(5):
        await service.ask("GET", "/k")
    assert (len(server.peers), len(server.heads)) == (1, 5)


@pytest_twisted.ensureDeferred
async def test_a_connection_that_comes_and_goes_is_no_news(connect: Any, server: Any) -> None:
    told: list[str] = []

    def watch(event: Any) -> None:
        told.append(formatEvent(event))

    globalLogPublisher.addObserver(watch)
    try:
        service = connect(server.url)
        await service.ask("GET", "/k")
        server.peers[0].cut()
        await server.peers[0].gone
        await service.ask("GET", "/k")
        await service.close()
    finally:
        globalLogPublisher.removeObserver(watch)
    assert len(server.peers) == 2
    assert told == []


@pytest_twisted.ensureDeferred
async def test_what_was_stored_as_gzip_comes_back_as_gzip(service: Any, server: Any) -> None:
    stored = gzip.compress(b"text " * 1000, mtime=0)
    server.when_whole = lambda peer: peer.reply(content=stored, Content_Encoding="gzip", ETag='"e"')
    reply = await service.stream("/k")
    got = b"".join([chunk async for chunk in reply.body])
    reply.body.close()
    assert (got, reply.body.size, reply.headers["content-encoding"]) == (stored, len(stored), "gzip")
    assert (await service.ask("GET", "/k")).content == stored
    asked = [line for line in server.heads[0].lower().split(b"\r\n") if line.startswith(b"accept-encoding")]
    assert asked == [b"accept-encoding: identity"], "a service that is asked for gzip may send what it was not given"


@pytest_twisted.ensureDeferred
async def test_a_range_of_a_gzip_object_comes_back(service: Any, server: Any) -> None:
    server.when_whole = lambda peer: peer.reply(206, b"\x08\x00", Content_Encoding="gzip", Content_Range="bytes 2-3/9")
    reply = await service.stream("/k", headers={"range": "bytes=2-3"}, expect=(206,))
    assert [chunk async for chunk in reply.body] == [b"\x08\x00"]
    reply.body.close()


@pytest_twisted.ensureDeferred
async def test_headers_are_lower_case_and_joined(service: Any, server: Any) -> None:
    server.when_whole = lambda peer: peer.say(
        b'HTTP/1.1 200 OK\r\nX-A: one\r\nx-a: two\r\nETag: "e"\r\nContent-Length: 2\r\n\r\nhi'
    )
    reply = await service.ask("GET", "/k")
    assert (reply.headers["x-a"], reply.headers["etag"], reply.headers["content-length"]) == ("one,two", '"e"', "2")
    assert (reply.status, reply.content) == (200, b"hi")


@pytest_twisted.ensureDeferred
async def test_head_tells_the_length(service: Any, server: Any) -> None:
    server.when_whole = lambda peer: peer.say(b"HTTP/1.1 200 OK\r\nContent-Length: 1234567\r\n\r\n")
    reply = await service.ask("HEAD", "/k")
    assert reply.headers["content-length"] == "1234567"


@pytest_twisted.ensureDeferred
async def test_interim_replies_are_passed_over(service: Any, server: Any) -> None:
    def script(peer: Any) -> None:
        peer.say(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early")
        peer.say(b" Hints\r\nLink: x\r\n\r\n")
        peer.reply(content=b"final")

    server.when_whole = script
    assert (await service.ask("GET", "/k")).content == b"final"


@pytest.mark.parametrize("size", [1, 64 * KI, 64 * KI + 1, 3 * MI + 7])
@pytest_twisted.ensureDeferred
async def test_a_body_arrives_whole(service: Any, server: Any, size: int) -> None:
    await service.ask("PUT", "/k", body=Pour(sample(size), chunk=50_000))
    assert server.peers[0].body == sample(size)


@pytest.mark.parametrize("where", [0, 100_000, 299_999])
@pytest_twisted.ensureDeferred
async def test_what_a_body_raises_comes_out_and_the_service_never_has_it_whole(
    service: Any, server: Any, where: int
) -> None:
    error = ValueError("mine")
    with pytest.raises(ValueError) as raised:
        await service.ask("PUT", "/k", body=Pour(sample(300_000), stop_at=where, then=error))
    assert raised.value is error
    for peer in server.peers:
        await peer.gone
        assert not peer._complete(), "the service has the whole body"
    assert len(server.heads) <= 1, "a body that streams cannot be sent again"


@pytest.mark.parametrize("size", [10, 300_000])
@pytest_twisted.ensureDeferred
async def test_the_last_chunk_waits_for_the_bodys_end(service: Any, server: Any, size: int) -> None:
    """A digest is wrong, a signature is forged: the source knows only when all bytes are out."""

    async def disowned() -> Any:
        for at in range(0, size, 1000):
            yield sample(size)[at : at + 1000]
        await turns(10, 0.01)
        raise ValueError("not what was signed")

    with pytest.raises(ValueError, match="signed"):
        await service.ask("PUT", "/k", body=StreamBody(disowned(), size, lambda: None))
    for peer in server.peers:
        await peer.gone
        assert not peer._complete()


@pytest.mark.parametrize("size", [10, 300_000])
@pytest.mark.parametrize("more", [-1, 1])
@pytest_twisted.ensureDeferred
async def test_a_body_of_another_size_never_arrives_whole(service: Any, server: Any, size: int, more: int) -> None:
    with pytest.raises(BackendDown):
        await service.ask("PUT", "/k", body=Pour(sample(size + more), chunk=1000, size=size))
    for peer in server.peers:
        await peer.gone
        assert not peer._complete()


@pytest_twisted.ensureDeferred
async def test_an_early_refusal_stops_the_upload(service: Any, server: Any) -> None:
    server.when_head = lambda peer: peer.reply(403, b"no") if len(peer.body) < 100_000 else None
    body = Pour(sample(64 * MI))
    with pytest.raises(BackendDenied):
        await service.ask("PUT", "/k", body=body)
    assert body.given < 64 * MI


@pytest_twisted.ensureDeferred
async def test_success_before_the_end_of_the_body_is_none(service: Any, server: Any) -> None:
    def script(peer: Any) -> None:
        server.when_head = lambda peer: None
        peer.reply(200)

    server.when_head = script
    with pytest.raises(BackendDown, match="whole body"):
        await service.ask("PUT", "/k", body=Pour(sample(64 * MI)))


@pytest_twisted.ensureDeferred
async def test_a_put_cancelled_half_way_is_cut(service: Any, server: Any) -> None:
    body = Pour(sample(MI), stop_at=MI // 2, then=Deferred())
    running = ensureDeferred(service.ask("PUT", "/k", body=body))
    await body.reached
    running.cancel()
    with pytest.raises(CancelledError):
        await running
    await server.peers[0].gone
    assert not server.peers[0]._complete()


@pytest.mark.parametrize("size", [10, MI])
@pytest_twisted.ensureDeferred
async def test_a_put_cancelled_after_its_body_tells_what_became_of_it(service: Any, server: Any, size: int) -> None:
    arrived: Deferred[Any] = Deferred()
    server.when_whole = arrived.callback
    running = ensureDeferred(service.ask("PUT", "/k", body=BytesBody(sample(size))))
    peer = await arrived
    running.cancel()
    await turns(3)
    peer.reply(200, ETag='"kept"')
    assert (await running).headers["etag"] == '"kept"'


@pytest_twisted.ensureDeferred
async def test_a_get_cancelled_is_cut(service: Any, server: Any) -> None:
    arrived: Deferred[Any] = Deferred()
    server.when_whole = arrived.callback
    running = ensureDeferred(service.ask("GET", "/k"))
    peer = await arrived
    running.cancel()
    with pytest.raises(CancelledError):
        await running
    await peer.gone


@pytest_twisted.ensureDeferred
async def test_nothing_is_asked_of_a_closed_service(service: Any, server: Any) -> None:
    await service.ask("GET", "/k")
    await service.close()
    await service.close()
    await server.peers[0].gone
    with pytest.raises(BackendDown, match="not open"):
        await service.ask("GET", "/k")
