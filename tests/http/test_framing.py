"""Rows T01-T21 and T26-T33 of the threat list: what is refused, with which status, and what comes after it."""

from __future__ import annotations

from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from gateway.bodies import BytesBody
from gateway.errors import S3Error
from gateway.model import Call, Reply

HOST = b"Host: h\r\n"
CHUNKED = b"PUT /a HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n"
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n"


def put(*lines: bytes, body: bytes = b"") -> bytes:
    return b"PUT /a HTTP/1.1\r\n" + HOST + b"".join(line + b"\r\n" for line in lines) + b"\r\n" + body


def get(*lines: bytes, target: bytes = b"/a", method: bytes = b"GET") -> bytes:
    return method + b" " + target + b" HTTP/1.1\r\n" + HOST + b"".join(line + b"\r\n" for line in lines) + b"\r\n"


REFUSED = [
    ("T01-no-host", b"GET / HTTP/1.1\r\n\r\n", 400, "InvalidRequest"),
    ("T01-empty-host", b"GET / HTTP/1.1\r\nHost:\r\n\r\n", 400, "InvalidRequest"),
    ("T02-two-hosts", get(b"Host: evil"), 400, "InvalidRequest"),
    ("T02-two-equal-hosts", get(b"Host: h"), 400, "InvalidRequest"),
    ("T03-length-and-chunked", put(b"Content-Length: 3", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n"), 400, None),
    ("T03-chunked-and-length", put(b"Transfer-Encoding: chunked", b"Content-Length: 3", body=b"0\r\n\r\n"), 400, None),
    ("T04-equal-lengths", put(b"Content-Length: 3", b"Content-Length: 3", body=b"abc"), 400, None),
    ("T04-other-lengths", put(b"Content-Length: 3", b"Content-Length: 4", body=b"abcd"), 400, None),
    ("T05-plus", put(b"Content-Length: +4", body=b"abcd"), 400, None),
    ("T05-underscore", put(b"Content-Length: 4_0", body=b"abcd"), 400, None),
    ("T05-negative", put(b"Content-Length: -1"), 400, None),
    ("T05-list", put(b"Content-Length: 4,4", body=b"abcd"), 400, None),
    ("T05-empty", put(b"Content-Length:"), 400, None),
    ("T05-hex", put(b"Content-Length: 0x4", body=b"abcd"), 400, None),
    ("T06-5000-digits", put(b"Content-Length: " + b"9" * 5000), 400, None),
    ("T06-20-digits", put(b"Content-Length: 10000000000000000000"), 400, "EntityTooLarge"),
    ("T06-6-GiB", put(b"Content-Length: %d" % (6 * 2**30)), 400, "EntityTooLarge"),
    ("T07-space-before-colon", put(b"Content-Length : 3", body=b"abc"), 400, None),
    ("T07-leading-space", b"GET / HTTP/1.1\r\n Host: h\r\n\r\n", 400, None),
    ("T08-0x4", CHUNKED + b"0x4\r\nabcd\r\n0\r\n\r\n", 400, None),
    ("T08-0_4", CHUNKED + b"0_4\r\nabcd\r\n0\r\n\r\n", 400, None),
    ("T08-minus", CHUNKED + b"-4\r\nabcd\r\n0\r\n\r\n", 400, None),
    ("T08-empty", CHUNKED + b"\r\nabcd\r\n0\r\n\r\n", 400, None),
    ("T08-space", CHUNKED + b"4 \r\nabcd\r\n0\r\n\r\n", 400, None),
    ("T08-longer-than-said", CHUNKED + b"4\r\nabcde\r\n0\r\n\r\n", 400, None),
    ("T09-xchunked", put(b"Transfer-Encoding: xchunked", body=b"0\r\n\r\n"), 400, None),
    ("T09-gzip-chunked", put(b"Transfer-Encoding: gzip, chunked", body=b"0\r\n\r\n"), 501, "NotImplemented"),
    ("T09-chunked-identity", put(b"Transfer-Encoding: chunked, identity", body=b"0\r\n\r\n"), 400, None),
    ("T09-chunked-twice", put(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"), (400, 501), None),
    ("T09-old-version", b"PUT / HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, None),
    ("T10-identity", put(b"Transfer-Encoding: identity", body=b"abc"), 400, None),
    ("T11-2^64", CHUNKED + b"10000000000000000\r\n", 400, "EntityTooLarge"),
    ("T11-6-GiB", CHUNKED + b"180000000\r\n", 400, "EntityTooLarge"),
    ("T11-endless-digits", CHUNKED + b"1" * 900 + b"\r\n", 400, "EntityTooLarge"),
    ("T12-extension", CHUNKED + b"4;x=" + b"y" * 1100 + b"\r\nabcd\r\n0\r\n\r\n", 400, None),
    ("T12-endless-extension", CHUNKED + b"4;x=" + b"y" * 5000, 400, None),
    ("T12-trailers", CHUNKED + b"0\r\n" + b"x-a: b\r\n" * 9000 + b"\r\n", 400, None),
    ("T13-length-in-trailer", CHUNKED + b"0\r\nContent-Length: 4\r\n\r\n", 400, None),
    ("T13-coding-in-trailer", CHUNKED + b"0\r\nTransfer-Encoding: chunked\r\n\r\n", 400, None),
    ("T13-authorization-in-trailer", CHUNKED + b"0\r\nauthorization: x\r\n\r\n", 400, None),
    ("T14-bare-LF", b"GET /a HTTP/1.1\nHost: h\n\n", 400, None),
    ("T14-bare-LF-at-the-end", b"GET /a HTTP/1.1\r\nHost: h\r\n\n", 400, None),
    ("T14-bare-LF-in-chunks", CHUNKED + b"4\nabcd\n0\n\n", 400, None),
    ("T14-bare-CR", b"GET /a HTTP/1.1\r\nHost: h\rX: y\r\n\r\n", 400, None),
    ("T14-NUL", get(b"X-A: a\0b"), 400, None),
    ("T14-HTTP/0.9", b"GET /a\n", 400, None),
    ("T15-folded", get(b"X-A: a\r\n b"), 400, None),
    ("T15-folded-with-tab", get(b"X-A: a\r\n\tb"), 400, None),
    ("T16-odd-name", get("X-Ä: a".encode()), 400, None),
    ("T16-empty-name", get(b": a"), 400, None),
    ("T16-no-colon", get(b"abc"), 400, None),
    ("T17-latin-1", get(b"x-amz-meta-a: \xe9"), 400, "InvalidArgument"),
    ("T19-lower-case", get(method=b"get"), 400, None),
    ("T19-unknown", get(method=b"FROB"), 400, None),
    ("T19-CONNECT", b"CONNECT h:1 HTTP/1.1\r\nHost: h:1\r\n\r\n", 405, "MethodNotAllowed"),
    ("T19-TRACE", get(method=b"TRACE"), 405, "MethodNotAllowed"),
    ("T19-PROPFIND", get(method=b"PROPFIND"), 405, "MethodNotAllowed"),
    ("T20-other-authority", get(target=b"http://evil/x"), 400, "InvalidRequest"),
    ("T20-other-scheme", get(target=b"ftp://h/x"), 400, "InvalidURI"),
    ("T20-fragment", get(target=b"/a#b"), 400, "InvalidURI"),
    ("T20-raw-utf-8", get(target="/ä".encode()), 400, "InvalidURI"),
    ("T20-asterisk", get(target=b"*", method=b"OPTIONS"), 400, "InvalidURI"),
    ("T21-long-target", get(target=b"/" + b"a" * 17000), 400, "RequestHeaderSectionTooLarge"),
    ("T21-long-head", get(b"X-A: " + b"a" * 17000), 400, "RequestHeaderSectionTooLarge"),
    ("T21-501-headers", get(*(b"x-%d: a" % n for n in range(501))), 400, "RequestHeaderSectionTooLarge"),
    ("T21-endless", b"GET /a HTTP/1.1\r\nHost: h\r\n" + b"x: y\r\n" * 4000, 400, "RequestHeaderSectionTooLarge"),
    ("T31-HTTP/2-preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, None),
    ("T31-HTTP/2.0", b"GET / HTTP/2.0\r\nHost: h\r\n\r\n", 400, None),
    ("T31-HTTP/0.9", b"GET /a\r\n\r\n", 400, None),
    ("T31-RTSP", b"DESCRIBE / RTSP/1.0\r\nHost: h\r\n\r\n", (400, 405), None),
]


SHORT = 1500  # longer messages are sent at once only
PACED = [(row, "at once") for row in REFUSED] + [(row, "by byte") for row in REFUSED if len(row[1]) < SHORT]


@pytest.mark.parametrize(("row", "pace"), PACED, ids=[f"{row[0]}-{pace}" for row, pace in PACED])
@pytest_twisted.ensureDeferred
async def test_refused_and_closed(open_door: Any, logged: Any, row: Any, pace: str) -> None:
    """One S3 error, Connection: close, and nothing that follows is taken for a request."""
    _, raw, status, code = row
    door = open_door()
    answers = await (door.talk(raw + SMUGGLED) if pace == "at once" else door.talk_slowly(raw + SMUGGLED))
    assert len(answers) == 1
    answer = answers[0]
    assert answer.status in (status if isinstance(status, tuple) else (status,))
    assert answer.code == code or (code is None and answer.code)
    assert answer.headers["connection"] == "close"
    assert answer.headers["x-amz-request-id"].encode() in answer.body
    assert "/smuggled" not in door.paths
    assert not [event for event in logged if "log_failure" in event]


ACCEPTED = [
    ("T05-zeros", put(b"Content-Length: 0003", body=b"abc"), 3),
    ("T08-upper-case", CHUNKED + b"A\r\n0123456789\r\n0\r\n\r\n", 10),
    ("T08-leading-zeros", CHUNKED + b"0004\r\nabcd\r\n0\r\n\r\n", 4),
    ("T09-any-case", put(b"Transfer-Encoding: Chunked", body=b"4\r\nabcd\r\n0\r\n\r\n"), 4),
    ("T12-short-extension", CHUNKED + b"4;a=b\r\nabcd\r\n0;c\r\n\r\n", 4),
    ("T13-harmless-trailer", CHUNKED + b"4\r\nabcd\r\n0\r\nx-amz-checksum-crc32: AAAAAA==\r\n\r\n", 4),
    ("T20-same-authority", get(target=b"http://H/a?b=c"), 0),
    ("T20-absolute-without-path", get(target=b"http://h"), 0),
    ("T21-500-headers", get(*(b"x-%d: a" % n for n in range(499))), 0),
    ("T27-odd-expect", put(b"Expect: 200-ok", b"Content-Length: 3", body=b"abc"), 3),
    ("T27-empty-expect", put(b"Expect:", b"Content-Length: 3", body=b"abc"), 3),
    ("T31-upgrade-ignored", get(b"Upgrade: h2c", b"Connection: upgrade", b"HTTP2-Settings: AAMAAABk"), 0),
    ("empty-lines-first", b"\r\n\r\n" + get(), 0),
]


@pytest.mark.parametrize("pace", ["at once", "byte by byte"])
@pytest.mark.parametrize(("raw", "size"), [row[1:] for row in ACCEPTED], ids=[row[0] for row in ACCEPTED])
@pytest_twisted.ensureDeferred
async def test_accepted_and_kept_alive(open_door: Any, raw: bytes, size: int, pace: str) -> None:
    """The twins of the refused rows: the next request on the connection is answered as well."""
    door = open_door()
    last = b"GET /last HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
    answers = await (door.talk(raw + last) if pace == "at once" else door.talk_slowly(raw + last))
    assert [answer.status for answer in answers] == [200, 200]
    assert answers[0].headers["x-size"] == str(size)
    assert "connection" not in answers[0].headers
    assert answers[1].headers["x-path"] == "/last"


@pytest_twisted.ensureDeferred
async def test_t13_trailers_never_become_headers(open_door: Any) -> None:
    door = open_door()
    await door.talk(
        CHUNKED + b"0\r\nx-amz-meta-a: b\r\n\r\n" + SMUGGLED.replace(b"h\r\n", b"h\r\nConnection: close\r\n")
    )
    assert [dict(call.headers).get("x-amz-meta-a") for call in door.calls] == [None, None]


@pytest_twisted.ensureDeferred
async def test_t17_utf_8_values_come_and_go_unchanged(open_door: Any) -> None:
    async def echo(call: Call) -> Reply:
        return Reply(200, (("x-amz-meta-a", call.headers["x-amz-meta-a"]),))

    client = await open_door(echo).connect()
    client.send(get("x-amz-meta-a:  naïve 漢字 \t".encode(), b"Connection: close"))
    assert (await client.closed())[0].headers["x-amz-meta-a"] == "naïve 漢字"


@pytest_twisted.ensureDeferred
async def test_t18_repeated_fields_are_joined_in_order(open_door: Any) -> None:
    door = open_door()
    await door.talk(get(b"x-amz-meta-a: 1", b"X-Amz-Meta-A: 2", b"x-amz-meta-a: 3", b"Connection: close"))
    assert door.calls[0].headers["x-amz-meta-a"] == "1,2,3"


@pytest_twisted.ensureDeferred
async def test_t20_absolute_form_becomes_path_and_query(open_door: Any) -> None:
    door = open_door()
    await door.talk(get(b"Connection: close", target=b"http://h?list-type=2&prefix=a/b"))
    assert (door.calls[0].path, door.calls[0].query) == ("/", "list-type=2&prefix=a/b")


EXPECTING = put(b"Content-Length: 10", b"Expect: 100-continue")


@pytest_twisted.ensureDeferred
async def test_t26_a_refusal_sends_no_100(open_door: Any) -> None:
    async def refuse(call: Call) -> Reply:
        raise S3Error("AccessDenied")

    answers = await open_door(refuse).talk(EXPECTING)
    assert [(answer.status, answer.headers.get("connection")) for answer in answers] == [(403, "close")]


@pytest_twisted.ensureDeferred
async def test_t26_100_comes_when_the_body_is_first_asked_for(open_door: Any) -> None:
    client = await open_door().connect()
    client.send(EXPECTING)
    assert [answer.status for answer in await client.replies(1)] == [100]
    client.send(b"0123456789")
    answers = await client.replies(2)
    assert [answer.status for answer in answers] == [100, 200]
    assert "connection" not in answers[1].headers


@pytest_twisted.ensureDeferred
async def test_t26_an_early_success_sends_no_100_and_closes(open_door: Any) -> None:
    async def at_once(call: Call) -> Reply:
        return Reply(200)

    answers = await open_door(at_once).talk(EXPECTING)
    assert [(answer.status, answer.headers.get("connection")) for answer in answers] == [(200, "close")]


@pytest_twisted.ensureDeferred
async def test_t26_no_100_to_a_body_that_is_there_already(open_door: Any) -> None:
    client = await open_door().connect()
    client.send(EXPECTING + b"0123456789")
    assert [answer.status for answer in await client.replies(1)] == [200]


@pytest_twisted.ensureDeferred
async def test_t26_no_100_to_a_client_that_did_not_wait_for_it(open_door: Any) -> None:
    client = await open_door().connect()
    client.send(EXPECTING + b"01234")
    await deferLater(reactor, 0.05)
    client.send(b"56789")
    assert [answer.status for answer in await client.replies(1)] == [200]


@pytest_twisted.ensureDeferred
async def test_t26_no_100_inside_a_reply(open_door: Any) -> None:
    """An operation that reads the body only while it writes its reply gets it without 100, or not at all."""

    class Both:
        size: int | None = 15

        def __init__(self, body: Any) -> None:
            self._body = body

        async def __aiter__(self) -> Any:
            yield b"first"
            async for chunk in self._body:
                yield chunk

        def close(self) -> None:
            pass

    async def echo(call: Call) -> Reply:
        return Reply(200, (), Both(call.body))

    client = await open_door(echo).connect()
    client.send(EXPECTING)
    await client.until(lambda: b"first" in client.data)
    client.send(b"0123456789")
    assert [(answer.status, answer.body) for answer in await client.replies(1)] == [(200, b"first0123456789")]


@pytest_twisted.ensureDeferred
async def test_t28_leftover_body_bytes_are_never_a_request(open_door: Any) -> None:
    async def refuse(call: Call) -> Reply:
        raise S3Error("AccessDenied")

    door = open_door(refuse)
    client = await door.connect()
    client.send(put(b"Content-Length: 100000", body=b"x" * 100))
    assert [answer.status for answer in await client.replies(1)] == [403]
    client.send(SMUGGLED * 20)
    answers = await client.closed()
    assert len(answers) == 1
    assert len(door.calls) == 1


@pytest_twisted.ensureDeferred
async def test_t28_the_reply_arrives_although_the_client_sends_on(open_door: Any) -> None:
    """A close with unread bytes would be a reset, which makes the client's system forget the reply."""

    async def refuse(call: Call) -> Reply:
        raise S3Error("AccessDenied")

    client = await open_door(refuse).connect()
    client.send(put(b"Content-Length: 900000", body=b"x" * 900_000))
    answers = await client.closed()
    assert [answer.status for answer in answers] == [403]


@pytest_twisted.ensureDeferred
async def test_t28_an_unread_body_that_is_all_there_keeps_the_connection(open_door: Any) -> None:
    async def ignore(call: Call) -> Reply:
        return Reply(200)

    client = await open_door(ignore).connect()
    client.send(put(b"Content-Length: 3", body=b"abc") + get())
    assert [answer.headers.get("connection") for answer in await client.replies(2)] == [None, None]


@pytest_twisted.ensureDeferred
async def test_t29_pipelined_requests_are_answered_in_order(open_door: Any) -> None:
    async def slower_first(call: Call) -> Reply:
        await deferLater(reactor, 0.05 if call.path == "/1" else 0)
        body = b"".join([chunk async for chunk in call.body])
        return Reply(200, (("X-Path", call.path), ("X-Seen", ",".join(sorted(call.headers)))), body)

    door = open_door(slower_first)
    one = get(b"Authorization: secret", target=b"/1")
    two = b"PUT /2 HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    three = get(b"Connection: close", target=b"/3")
    answers = await door.talk(one + two + three + SMUGGLED)
    assert [(answer.headers["x-path"], answer.body) for answer in answers] == [("/1", b""), ("/2", b"abc"), ("/3", b"")]
    assert "authorization" not in answers[1].headers["x-seen"]
    assert len({answer.headers["x-amz-request-id"] for answer in answers}) == 3


@pytest_twisted.ensureDeferred
async def test_t29_one_call_at_a_time(open_door: Any) -> None:
    gates: list[Deferred[None]] = []

    async def wait(call: Call) -> Reply:
        gates.append(Deferred())
        await gates[-1]
        return Reply(200)

    door = open_door(wait)
    client = await door.connect()
    client.send(get() * 3)
    for number in range(3):
        await door.eventually(lambda number=number: len(gates) > number)
        assert len(door.calls) == number + 1
        gates[number].callback(None)
        await client.replies(number + 1)


@pytest_twisted.ensureDeferred
async def test_t32_forwarded_headers_change_nothing(open_door: Any) -> None:
    door = open_door()
    lines = (b"X-Forwarded-For: 9.9.9.9", b"X-Real-IP: 9.9.9.9", b"Forwarded: for=9.9.9.9;host=evil;proto=https")
    await door.talk(get(*lines, b"X-Forwarded-Host: evil", b"X-Forwarded-Proto: https", b"Connection: close"))
    call = door.calls[0]
    assert (call.peer, call.secure, call.headers["host"]) == ("127.0.0.1", False, "h")


@pytest_twisted.ensureDeferred
async def test_t33_hop_by_hop_names_and_method_overrides_are_ignored(open_door: Any) -> None:
    door = open_door()
    lines = (b"Authorization: x", b"Connection: authorization, host, close", b"X-HTTP-Method-Override: DELETE")
    answers = await door.talk(get(*lines))
    assert answers[0].headers["x-method"] == "GET"
    assert (door.calls[0].headers["authorization"], door.calls[0].headers["host"]) == ("x", "h")


@pytest_twisted.ensureDeferred
async def test_http_1_0_is_answered_and_closed(open_door: Any) -> None:
    async def stream(call: Call) -> Reply:
        body = BytesBody(b"abc")
        body.size = None
        return Reply(200, (), body)

    client = await open_door(stream).connect()
    client.send(b"GET / HTTP/1.0\r\n\r\n")
    await client.closed()
    head, _, body = client.data.partition(b"\r\n\r\n")
    assert body == b"abc"
    assert b"chunked" not in head
    assert b"Connection: close" in head


@pytest_twisted.ensureDeferred
async def test_tls_on_a_plain_port_is_closed_and_told_once(open_door: Any, logged: Any) -> None:
    door = open_door()
    hello = bytes.fromhex("16030100c8010000c4") + bytes(200)
    assert [await door.talk(hello) for _ in range(3)] == [[], [], []]
    assert len([event for event in logged if "speaks TLS" in event["log_format"]]) == 1
