"""Rows T53 to T59 and T101 to T107: bodies that are not what they say. None of their bytes is ever an object."""

from __future__ import annotations

import base64
import hashlib
import re
import zlib
from typing import Any

import pytest
from pytest_twisted import ensureDeferred

SIGNED = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
SIGNED_TRAILER = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
UNSIGNED_TRAILER = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
CHUNKS = [b"a" * 8192, b"b" * 8192, b"c" * 100]
TARGETS = ["/bucket/old", "/bucket/new"]


def crc32(data: bytes) -> str:
    return base64.b64encode(zlib.crc32(data).to_bytes(4, "big")).decode()


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("at", range(4))
@ensureDeferred
async def test_t53_a_chunk_with_a_wrong_signature(house: Any, tools: Any, target: str, at: int) -> None:
    request, pieces = tools.chunked(SIGNED, target, CHUNKS)
    pieces[at] = re.sub(
        rb"chunk-signature=.",
        lambda found: found[0][:-1] + (b"1" if found[0][-1:] == b"0" else b"0"),
        pieces[at],
        count=1,
    )
    await house.refuses(tools.framed(request, pieces), 403, "SignatureDoesNotMatch")
    request, pieces = tools.chunked(SIGNED, target, CHUNKS)
    if at < 3:
        pieces[at] = pieces[at][:-3] + b"z\r\n"
        await house.refuses(tools.framed(request, pieces), 403, "SignatureDoesNotMatch")


@pytest.mark.parametrize(
    "order", [[1, 0, 2, 3, 4], [0, 2, 3, 4], [0, 0, 1, 2, 3, 4], [0, 1, 2, 4], [0, 1, 2], [0, 1], []]
)
@pytest.mark.parametrize("word", [SIGNED, UNSIGNED_TRAILER])
@ensureDeferred
async def test_t54_chunks_in_another_order(house: Any, tools: Any, word: str, order: list[int]) -> None:
    """Unsigned chunks can only be proved by their checksum, so there one is announced."""
    trailer = ("x-amz-checksum-crc32", crc32(b"".join(CHUNKS))) if word == UNSIGNED_TRAILER else None
    for target in TARGETS:
        request, pieces = tools.chunked(word, target, CHUNKS, trailer)
        changed = tools.framed(request, [pieces[at] for at in order])
        expected = (
            "SignatureDoesNotMatch",
            "IncompleteBody",
            "BadDigest",
            "InvalidChunkSizeError",
            "MalformedTrailerError",
        )
        await house.refuses(changed, (400, 403), *expected)


@pytest.mark.parametrize("word", [SIGNED, UNSIGNED_TRAILER])
@ensureDeferred
async def test_t55_a_small_chunk_before_the_last(house: Any, tools: Any, word: str) -> None:
    request, _ = tools.chunked(word, "/bucket/new", [b"a" * 8191, b"b" * 100])
    await house.refuses(request, (400, 403), "InvalidChunkSizeError")


@pytest.mark.parametrize(
    "head",
    [
        b"1" * 17 + b"\r\n",
        b"f" * 16 + b"\r\n",
        b"fffffffffffffffff;chunk-signature=" + b"0" * 64 + b"\r\n",
        b"8;" + b"x" * 17_000 + b"\r\n",
        b"x" * 40_000,
        b"-1\r\nabc\r\n",
        b"0x3\r\nabc\r\n",
        b"3\nabc\n0\n\n",
        b"3 \r\nabc\r\n0\r\n\r\n",
        b"3\r\nabcd\r\n0\r\n\r\n",
        b"3\r\nabc0\r\n\r\n",
        b"\r\n\r\n",
        b"\0\xff\xfe garbage \r\n",
        b"3\r\nabc\r\n0\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        "٣\r\nabc\r\n0\r\n\r\n".encode(),
    ],
)
@ensureDeferred
async def test_t56_chunk_headers_that_are_none(house: Any, tools: Any, head: bytes) -> None:
    for word in (SIGNED, UNSIGNED_TRAILER):
        request, _ = tools.chunked(word, "/bucket/old", [b"abc"])
        expected = ("IncompleteBody", "SignatureDoesNotMatch", "InvalidChunkSizeError", "BadRequest")
        answer = await house.refuses(tools.framed(request, [head]), (400, 403), *expected)
        assert answer.headers.get("connection") == "close"


@ensureDeferred
async def test_t57_the_decoded_length(house: Any, tools: Any) -> None:
    for word in (SIGNED, UNSIGNED_TRAILER):
        for length, status in (
            ("", 411),
            ("-3", 400),
            ("2", 400),
            ("4", 400),
            ("3_0", 400),
            ("9" * 30, 400),
            ("٣", 400),
        ):
            _, pieces = tools.chunked(word, "/bucket/new", [b"abc"])
            headers = {"content-encoding": "aws-chunked", "x-amz-decoded-content-length": length}
            signed = tools.sign("PUT", "/bucket/new", b"", headers, payload=word)
            if word == SIGNED:  # the chain hangs on the headers' signature
                chain = tools.chain(signed)
                pieces = [chain.chunk(b"abc"), chain.chunk(b""), b"\r\n"]
            await house.refuses(tools.framed(signed, pieces), status)
        signed = tools.sign("PUT", "/bucket/new", b"", {"content-encoding": "aws-chunked"}, payload=word)
        await house.refuses(tools.framed(signed, pieces), 411, "MissingContentLength")


TRAILERS = [
    ("wrong", ("x-amz-checksum-crc32", crc32(b"other")), ("BadDigest",)),
    ("unreadable", ("x-amz-checksum-crc32", "!!!!"), ("BadDigest", "InvalidRequest", "MalformedTrailerError")),
    ("short", ("x-amz-checksum-crc32", "AAA="), ("BadDigest", "InvalidRequest", "MalformedTrailerError")),
    ("unknown", ("x-amz-checksum-md4", "AAAAAA=="), ("InvalidRequest", "MalformedTrailerError")),
    ("none", ("content-type", "text/html"), ("InvalidRequest", "MalformedTrailerError")),
]


@pytest.mark.parametrize(("trailer", "codes"), [row[1:] for row in TRAILERS], ids=[row[0] for row in TRAILERS])
@pytest.mark.parametrize("word", [SIGNED_TRAILER, UNSIGNED_TRAILER])
@ensureDeferred
async def test_t58_a_trailer_that_is_not_true(
    house: Any, tools: Any, word: str, trailer: tuple[str, str], codes: tuple[str, ...]
) -> None:
    request, _ = tools.chunked(word, "/bucket/old", [b"abc"], trailer)
    await house.refuses(request, 400, *codes)


@ensureDeferred
async def test_t58_trailers_missing_doubled_unannounced_and_late(house: Any, tools: Any) -> None:
    right = ("x-amz-checksum-crc32", crc32(b"abc"))
    line = f"{right[0]}:{right[1]}\r\n".encode()
    sha = b"x-amz-checksum-sha256:" + base64.b64encode(hashlib.sha256(b"abc").digest()) + b"\r\n"
    for end in (b"\r\n", line + line + b"\r\n", line + sha + b"\r\n", line, line + b"\r\n" + line, b"x" * 20_000):
        request, pieces = tools.chunked(UNSIGNED_TRAILER, "/bucket/new", [b"abc"], right)
        changed = tools.framed(request, [*pieces[:-1], end])
        await house.refuses(changed, 400, "MalformedTrailerError", "IncompleteBody", "InvalidRequest")
    request, pieces = tools.chunked(SIGNED_TRAILER, "/bucket/new", [b"abc"], right)
    for end in (pieces[-1][:-2] + sha + b"\r\n", pieces[-1].replace(b"signature:", b"signature:0"), line + b"\r\n"):
        changed = tools.framed(request, [*pieces[:-1], end])
        codes = ("MalformedTrailerError", "IncompleteBody", "SignatureDoesNotMatch")
        await house.refuses(changed, (400, 403), *codes)
    two = {"x-amz-trailer": "x-amz-checksum-crc32,x-amz-checksum-sha256"}
    request, pieces = tools.chunked(UNSIGNED_TRAILER, "/bucket/new", [b"abc"], headers=two)
    await house.refuses(tools.framed(request, [*pieces[:-1], line + sha + b"\r\n"]), 400)


@ensureDeferred
async def test_t59_framing_is_decoded_or_refused_whoever_signs(open_house: Any, tools: Any) -> None:
    """There is no way to turn signatures off; without one nothing is kept, and with a URL's the framing is decoded."""
    house = await open_house()
    request, _ = tools.chunked(UNSIGNED_TRAILER, "/bucket/new", [b"abc"])
    for name in ("authorization", "x-amz-date"):
        del request.headers[name]
    await house.refuses(request, 403, "AccessDenied")
    headers = {"x-amz-content-sha256": UNSIGNED_TRAILER, "x-amz-decoded-content-length": "3"}
    request = tools.sign("PUT", "/bucket/new", b"", headers, how="v4-query", payload=UNSIGNED_TRAILER)
    assert (await house.send(tools.framed(request, [b"3\r\nabc\r\n0\r\n\r\n"]))).status == 200
    assert (await house.call("GET", "/bucket/new")).body == b"abc"
    headers["x-amz-content-sha256"] = SIGNED
    request = tools.sign("PUT", "/bucket/old", b"", headers, how="v4-query", payload=SIGNED)
    await house.refuses(tools.framed(request, [b"3\r\nabc\r\n0\r\n\r\n"]), 400, "InvalidArgument")


# ---------------------------------------------------------------- T101 to T107


@pytest.mark.parametrize("size", [10, 300_000])
@ensureDeferred
async def test_t101_a_body_that_ends_early(house: Any, tools: Any, size: int) -> None:
    for target in TARGETS:
        request = tools.sign("PUT", target, b"x" * size)
        for cut in (0, 1, size // 2, size - 1):
            await house.refuses(request.head() + request.body[:cut], 400, "IncompleteBody")
        rows = house.rows()
        client = await house.connect()  # and one that goes without a word
        client.transport.write(request.head() + request.body[:-1])
        client.transport.abortConnection()
        await client.until(lambda client=client: client.ended)
        assert house.rows() == rows


@ensureDeferred
async def test_t102_content_md5(house: Any, tools: Any) -> None:
    good = base64.b64encode(hashlib.md5(b"x").digest()).decode()
    for value, code in (
        (base64.b64encode(hashlib.md5(b"y").digest()).decode(), "BadDigest"),
        ("", "InvalidDigest"),
        ("abc", "InvalidDigest"),
        (good + "=", "InvalidDigest"),
        (good[:-1], "InvalidDigest"),
        ("*" + good, "InvalidDigest"),
        (base64.b64encode(b"short").decode(), "InvalidDigest"),
        (hashlib.md5(b"x").hexdigest(), "InvalidDigest"),
    ):
        await house.refuses(tools.sign("PUT", "/bucket/old", b"x", {"content-md5": value}), 400, code)


@ensureDeferred
async def test_t103_checksum_headers(house: Any, tools: Any) -> None:
    good, other = crc32(b"x"), crc32(b"y")
    sha = base64.b64encode(hashlib.sha256(b"x").digest()).decode()
    for headers, codes in (
        ({"x-amz-checksum-crc32": other}, ("BadDigest",)),
        ({"x-amz-checksum-crc32": good, "x-amz-checksum-sha256": sha}, ("InvalidRequest",)),
        ({"x-amz-checksum-md4": good}, ("InvalidRequest",)),
        ({"x-amz-checksum-crc32": good + "A"}, ("InvalidRequest", "BadDigest")),
        ({"x-amz-checksum-crc32": ""}, ("InvalidRequest", "BadDigest")),
        ({"x-amz-sdk-checksum-algorithm": "MD4"}, ("InvalidRequest",)),
    ):
        await house.refuses(tools.sign("PUT", "/bucket/old", b"x", headers), 400, *codes)


@ensureDeferred
async def test_t104_no_length_at_all(house: Any, tools: Any) -> None:
    request = tools.sign("PUT", "/bucket/new", b"")
    del request.headers["content-length"]
    await house.refuses(request, 411, "MissingContentLength")


@ensureDeferred
async def test_t105_sizes_and_part_numbers(house: Any, tools: Any) -> None:
    started = await house.call("POST", "/bucket/big?uploads")
    upload = re.search(rb"<UploadId>(.*?)<", started.body)[1].decode()  # type: ignore[index]
    for number in ("0", "-1", "10001", "", "1_0", "1e3", "%D9%A3", "99999999999999999999999"):
        request = tools.sign("PUT", f"/bucket/big?partNumber={number}&uploadId={upload}", b"x")
        await house.refuses(request, 400, "InvalidArgument")
    for target in ("/bucket/new", f"/bucket/big?partNumber=1&uploadId={upload}"):
        request = tools.sign("PUT", target, b"")
        request.headers["content-length"] = str(5 * 1024**3 + 1)
        await house.refuses(request.head(), 400, "EntityTooLarge")
        decoded = {"content-encoding": "aws-chunked", "x-amz-decoded-content-length": str(5 * 1024**3 + 1)}
        request = tools.sign("PUT", target, b"", decoded, payload=UNSIGNED_TRAILER)
        request.headers["content-length"] = "20"
        await house.refuses(request.head(), 400, "EntityTooLarge")
    etags = [
        (await house.call("PUT", f"/bucket/big?partNumber={n}&uploadId={upload}", b"x")).headers["etag"] for n in (1, 2)
    ]
    document = "".join(f"<Part><PartNumber>{n}</PartNumber><ETag>{tag}</ETag></Part>" for n, tag in enumerate(etags, 1))
    await house.refuses(_completion(tools, upload, document), 400, "EntityTooSmall")
    many = "".join(f"<Part><PartNumber>{n}</PartNumber><ETag>{etags[0]}</ETag></Part>" for n in range(1, 10_002))
    await house.refuses(_completion(tools, upload, many), 400, "MalformedXML", "InvalidArgument", "InvalidPart")


def _completion(tools: Any, upload: str, parts: str) -> Any:
    document = f"<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>".encode()
    return tools.sign("POST", f"/bucket/big?uploadId={upload}", document)


@ensureDeferred
async def test_t106_too_much_metadata(house: Any, tools: Any) -> None:
    for headers in ({"x-amz-meta-a": "x" * 2048}, {f"x-amz-meta-{n:03}": "x" * 8 for n in range(200)}):
        await house.refuses(tools.sign("PUT", "/bucket/new", b"x", headers), 400, "MetadataTooLarge")
        await house.refuses(tools.sign("POST", "/bucket/new?uploads", b"", headers), 400, "MetadataTooLarge")
    assert (await house.call("PUT", "/bucket/new", b"x", {"x-amz-meta-a": "x" * 2047})).status == 200


@ensureDeferred
async def test_t107_metadata_that_would_break_a_line(house: Any, tools: Any) -> None:
    request = tools.sign("PUT", "/bucket/new", b"x", {"x-amz-meta-a": "b"})
    for evil in ("b\r c", "b\0c", "b\nx-amz-meta-c: d"):
        request.headers["x-amz-meta-a"] = evil
        await house.refuses(request, (400, 403))
    for word in ("=?UTF-8?Q?a=0D=0Aset-cookie:_x?=", "=?UTF-8?B?YQ0KYg==?=", "=?UTF-8?Q?a=00?="):
        await house.refuses(tools.sign("PUT", "/bucket/new", b"x", {"x-amz-meta-a": word}), 400, "InvalidArgument")
    assert (await house.call("PUT", "/bucket/new", b"x", {"x-amz-meta-a": "%0d%0aevil: x"})).status == 200
    answer = await house.call("GET", "/bucket/new")
    assert answer.headers["x-amz-meta-a"] == "%0d%0aevil: x"
    assert "evil" not in answer.headers
    # the query of a URL becomes a header too
    hoisted = tools.sign("PUT", "/bucket/old?x-amz-meta-a=b%0D%0Aevil%3A%20x", b"x", how="v4-query")
    await house.refuses(hoisted, 400, "InvalidArgument")
