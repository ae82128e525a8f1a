"""A valid request with one thing changed is refused; its unchanged twin, sent just before, is accepted.

A mutant may be answered 2xx only where everything that the signature covers is the same as before, which ``covered``
works out on its own, and where what it stored is what the twin stores. What that leaves open, and why:

- spelling: the case of a header's name, blanks around its value or in a row, "%2f" for "%2F", the order of parameters.
  HTTP or SigV4's canonical form declare them equal.
- headers that are neither signed nor host, x-amz-* or content-md5 (Range, Content-Type, User-Agent ...): SigV4 and V2
  leave them to the client; so does the version digit of HTTP.
- hex digits of a chunk's size in the other case, and where unsigned chunks are cut: the payload is the same.
- V2 signs neither Host, nor the parameters of a listing, nor x-id, the client's own note; in a URL not even Date.
- x-amz-content-sha256 beside a presigned URL is its payload line, whose default is UNSIGNED-PAYLOAD.
"""

from __future__ import annotations

import base64
import hashlib
import os
import random
import re
import zlib
from collections import Counter
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote_to_bytes

import pytest
from pytest_twisted import ensureDeferred

from gateway.verifier import Rules

MUTANTS = 100_000 if os.environ.get("GATEWAY_LONG") == "1" else 2_000
TWIN_EVERY = 20
DATA = b"the body of a valid request " * 10
CHUNKS = [b"a" * 8192, b"b" * 9000, b"c" * 77]
MD5 = base64.b64encode(hashlib.md5(DATA).digest()).decode()
CRC = base64.b64encode(zlib.crc32(b"".join(CHUNKS)).to_bytes(4, "big")).decode()
META = {"x-amz-meta-colour": "green", "content-type": "text/plain"}
V2_OPEN = frozenset((b"prefix", b"delimiter", b"max-keys", b"marker", b"encoding-type", b"list-type", b"x-id"))

ADDED = [
    ("x-amz-meta-evil", "1"),
    ("x-amz-copy-source", "/bucket/old"),
    ("x-amz-acl", "private"),
    ("x-amz-storage-class", "STANDARD_IA"),
    ("x-amz-decoded-content-length", "3"),
    ("x-amz-content-sha256", "UNSIGNED-PAYLOAD"),
    ("x-amz-security-token", "x"),
    ("x-amz-trailer", "x-amz-checksum-crc32"),
    ("x-amz-checksum-crc32", "AAAAAA=="),
    ("x-amz-date", "20200101T000000Z"),
    ("content-md5", "1B2M2Y8AsgTpgAmY7PhCfg=="),
    ("content-length", "3"),
    ("transfer-encoding", "chunked"),
    ("authorization", "AWS x:y"),
    ("host", "evil.example"),
    ("if-none-match", "*"),
    ("range", "bytes=0-3"),
    ("content-encoding", "gzip"),
    ("date", "Thu, 01 Jan 1970 00:00:00 GMT"),
    ("expect", "100-continue"),
]
PARAMETERS = [
    "acl",
    "uploads",
    "versionId=null",
    "x-id=GetObject",
    "x-amz-meta-evil=1",
    "prefix=x",
    "partNumber=1",
    "=",
]
PARAMETERS += ["response-content-type=text%2Fhtml", "X-Amz-Expires=9", "X-Amz-Signature=00", "Signature=x", "tagging"]


def shapes(tools: Any) -> dict[str, Callable[[], tuple[Any, list[bytes]]]]:
    """Name -> makes the request and, where its body has chunks, their pieces."""

    def plain(*args: Any, **more: Any) -> Callable[[], tuple[Any, list[bytes]]]:
        return lambda: (tools.sign(*args, **more), [])

    def chunked(word: str, key: str, trailer: bool) -> Callable[[], tuple[Any, list[bytes]]]:
        line = ("x-amz-checksum-crc32", CRC) if trailer else None
        return lambda: tools.chunked(word, f"/bucket/{key}", CHUNKS, line, headers=META)

    streaming = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
    put = ("PUT", "/bucket/fuzz%20ed", DATA)
    return {
        "v4-get": plain("GET", "/bucket/old?response-content-type=text%2Fplain", headers={"range": "bytes=0-"}),
        "v4-list": plain("GET", "/bucket?list-type=2&prefix=o%2F&max-keys=5"),
        "v4-put": plain(*put, META),
        "v4-put-unsigned": plain(*put, {**META, "content-md5": MD5}, payload="UNSIGNED-PAYLOAD"),
        "v4-signed-chunks": chunked(streaming, "fuzz%20ed", False),
        "v4-signed-trailer": chunked(f"{streaming}-TRAILER", "fuzz%20ed", True),
        "v4-unsigned-trailer": chunked("STREAMING-UNSIGNED-PAYLOAD-TRAILER", "fuzz%20ed", True),
        "v4-query-get": plain("GET", "/bucket/old?response-content-type=text%2Fplain", how="v4-query"),
        "v4-query-put": plain(*put, {"content-md5": MD5, "x-amz-meta-colour": "green"}, how="v4-query"),
        "v2-get": plain("GET", "/bucket/old?response-content-type=text/plain", how="v2"),
        "v2-put": plain(*put, {**META, "content-md5": MD5}, how="v2"),
        "v2-query-get": plain("GET", "/bucket/old", how="v2-query"),
    }


# ---------------------------------------------------------------- what a signature covers


def covered(raw: bytes, shape: str) -> object:
    """Everything in a request's head that its signature covers, in one spelling; None where it cannot be read."""
    head, _, _ = raw.partition(b"\r\n\r\n")
    first, *lines = head.split(b"\r\n")
    words = first.split(b" ")
    if len(words) != 3 or not re.fullmatch(rb"HTTP/1\.[01]", words[2]):
        return None
    method, (path, _, query) = words[0], words[1].partition(b"?")
    headers: dict[bytes, bytes] = {}
    for line in lines:
        name, colon, value = line.partition(b":")
        if not colon:
            return None
        name, value = name.lower(), re.sub(rb"[ \t]+", b" ", value.strip(b" \t"))
        headers[name] = headers[name] + b"," + value if name in headers else value
    pairs = sorted(
        tuple(unquote_to_bytes(part.replace(b"+", b" ")) for part in piece.partition(b"=")[::2])
        for piece in query.split(b"&")
        if piece
    )
    authorization = headers.pop(b"authorization", b"")
    if shape.startswith("v2"):
        pairs = [pair for pair in pairs if pair[0] not in V2_OPEN]
        signed = {b"content-md5", b"content-type"} | ({b"date"} if "query" not in shape else set())
        credentials: object = authorization
    else:
        scheme, _, rest = authorization.partition(b" ")
        parts = sorted(piece.strip(b" \t") for piece in rest.split(b","))
        credentials = (scheme, parts)
        named = dict(piece.partition(b"=")[::2] for piece in parts).get(b"SignedHeaders", b"")
        named += b";" + dict(pairs).get(b"X-Amz-SignedHeaders", b"")  # type: ignore[call-overload]
        signed = {*named.split(b";"), b"host", b"content-md5"}
    if shape.startswith("v4-query"):
        headers.setdefault(b"x-amz-content-sha256", b"UNSIGNED-PAYLOAD")
    kept = {name: value for name, value in headers.items() if name in signed or name.startswith(b"x-amz-")}
    return method, unquote_to_bytes(path), pairs, credentials, kept


# ---------------------------------------------------------------- one change


def change_byte(dice: random.Random, tools: Any, request: Any, pieces: list[bytes]) -> bytes:
    raw = bytearray(request.sent())
    head = len(request.head())
    at = dice.randrange(head if dice.random() < 0.8 or not request.body else len(raw))
    raw[at] = dice.choice([dice.randrange(256), raw[at] ^ 0x20, raw[at] ^ 1, ord(dice.choice(" \t\r\n%/+&=;,:0"))])
    return bytes(raw)


def change_header(dice: random.Random, tools: Any, request: Any, pieces: list[bytes]) -> bytes:
    lines = [f"{name}: {value}" for name, value in request.headers.items()]
    at = dice.randrange(len(lines))
    kind = dice.randrange(4)
    if kind == 0:
        del lines[at]
    elif kind == 1:
        lines.insert(dice.randrange(len(lines) + 1), lines[at])
    elif kind == 2:
        name, value = dice.choice(ADDED)
        lines.insert(dice.randrange(len(lines) + 1), f"{name}: {value}")
    else:
        name, _, value = lines[at].partition(": ")
        cut = dice.randrange(len(value) + 1)
        lines[at] = f"{name}: {value[:cut]}{dice.choice('xX0 ,;=%/')}{value[cut:]}"
    head = "".join(line + "\r\n" for line in [f"{request.method} {request.target} HTTP/1.1", *lines])
    return head.encode() + b"\r\n" + request.body


def change_query(dice: random.Random, tools: Any, request: Any, pieces: list[bytes]) -> bytes:
    path, _, query = request.target.partition("?")
    parts = query.split("&") if query else []
    kind = dice.randrange(4) if parts else 3
    at = dice.randrange(len(parts)) if parts else 0
    if kind == 0:
        del parts[at]
    elif kind == 1:
        parts.append(parts[at])
    elif kind == 2:
        cut = dice.randrange(len(parts[at]) + 1)
        parts[at] = parts[at][:cut] + dice.choice("xX0+=%;") + parts[at][cut:]
    else:
        parts.insert(dice.randrange(len(parts) + 1), dice.choice(PARAMETERS))
    target = path + ("?" + "&".join(parts) if parts else "")
    return bytes(tools.request(request.method, target, request.headers, request.body).sent())


def change_chunk(dice: random.Random, tools: Any, request: Any, pieces: list[bytes]) -> bytes:
    changed = list(pieces)
    at = dice.randrange(len(changed))
    kind = dice.randrange(5)
    if kind == 0:
        del changed[at]
    elif kind == 1:
        changed.insert(dice.randrange(len(changed) + 1), changed[at])
    elif kind == 2:
        other = dice.randrange(len(changed))
        changed[at], changed[other] = changed[other], changed[at]
    elif kind == 3:
        changed = changed[:at]
    else:
        place = dice.randrange(len(changed[at]))
        byte = changed[at][place] ^ (1 << dice.randrange(8))
        changed[at] = changed[at][:place] + bytes([byte]) + changed[at][place + 1 :]
    return bytes(tools.framed(request, changed).sent())


# ---------------------------------------------------------------- the test


async def stored(house: Any) -> tuple[Any, ...]:
    answer = await house.call("GET", "/bucket/fuzz%20ed")
    return answer.status, answer.body, answer.headers.get("x-amz-meta-colour"), answer.headers.get("x-amz-meta-evil")


@pytest.mark.parametrize("shape", shapes(None))
@ensureDeferred
async def test_one_change_is_one_too_many(open_house: Any, tools: Any, shape: str) -> None:
    house = await open_house(rules=Rules(signature_v2=True))
    dice = random.Random(f"{shape} 20261120")
    make = shapes(tools)[shape]
    writes = "put" in shape or "chunks" in shape or "trailer" in shape
    changes = [change_byte, change_header, change_query]
    outcomes: Counter[str] = Counter()
    keys = {b"old", b"fuzz ed"} if writes else {b"old"}
    effect: Any = None
    for number in range(MUTANTS // len(shapes(tools)) + 1):
        if number % TWIN_EVERY == 0:
            request, pieces = make()
            twin = await house.send(request)
            assert twin.status in (200, 206), (shape, twin)
            now = await stored(house) if writes else None
            assert effect in (None, now)  # no refused mutant before it left another object
            effect = now
        change = dice.choice([*changes, change_chunk] if pieces else changes)
        raw = change(dice, tools, request, pieces)
        if raw == request.sent():
            continue
        answer = await house.talk(raw, request.method)
        outcomes[answer.code if answer else "closed"] += 1
        if answer is None or not 200 <= answer.status < 300:
            continue
        assert covered(raw, shape) == covered(request.sent(), shape), (change.__name__, raw[:1500], answer)
        if writes:
            assert await stored(house) == effect, (change.__name__, raw[:1500])
    assert {row[1] for row in house.rows()["current_versions"]} == keys
    assert sum(outcomes.values()) - outcomes[""] > 0.7 * sum(outcomes.values()), outcomes
