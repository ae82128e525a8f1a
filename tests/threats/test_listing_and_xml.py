"""Rows T92 to T100: numbers, markers, documents and parameters that were made to hurt."""

from __future__ import annotations

import base64
import hashlib
import time
from typing import Any
from xml.etree import ElementTree

import pytest
from pytest_twisted import ensureDeferred
from twisted.internet import reactor
from twisted.internet.defer import Deferred

from gateway.model import NewVersion

XML = "{http://s3.amazonaws.com/doc/2006-03-01/}"


def posted(tools: Any, document: bytes, target: str = "/bucket?delete") -> Any:
    md5 = base64.b64encode(hashlib.md5(document).digest()).decode()
    return tools.sign("POST", target, document, {"content-md5": md5})


@pytest.mark.parametrize(
    "number", ["-1", "99999999999999999999", "x", "1_0", "1e3", "%201", "%D9%A3", "%C2%B2", "0x1", "%2B1"]
)
@ensureDeferred
async def test_t92_numbers(house: Any, tools: Any, number: str) -> None:
    for query in ("list-type=2&max-keys", "max-keys", "uploads&max-uploads"):
        await house.refuses(tools.sign("GET", f"/bucket?{query}={number}"), 400, "InvalidArgument")


@ensureDeferred
async def test_t92_large_and_small_pages(house: Any) -> None:
    # S3 was recorded to read an empty number as none.
    for query in ("list-type=2&max-keys=1000000000", "max-keys=1000000000", "list-type=2&max-keys=", "max-keys="):
        answer = await house.call("GET", f"/bucket?{query}")
        assert ElementTree.fromstring(answer.body).findtext(f"{XML}MaxKeys") == "1000"
    answer = await house.call("GET", "/bucket?list-type=2&max-keys=0")
    assert b"<KeyCount>0</KeyCount>" in answer.body


@ensureDeferred
async def test_t93_markers_from_nowhere(house: Any, tools: Any) -> None:
    for query in (
        "list-type=2&start-after=zzz",
        "marker=zzz",
        "list-type=2&start-after=%F4%8F%BF%BF",
        "uploads&key-marker=z",
    ):
        answer = await house.call("GET", f"/bucket?{query}")
        assert answer.status == 200
        assert b"<Key>" not in answer.body
    assert (await house.call("PUT", "/bucket/second", b"x")).status == 200
    assert (await house.call("PUT", "/bucket-two")).status == 200
    page = await house.call("GET", "/bucket?list-type=2&max-keys=1")
    token = ElementTree.fromstring(page.body).findtext(f"{XML}NextContinuationToken")
    assert token
    quoted = token.replace("=", "%3D").replace("+", "%2B").replace("/", "%2F")
    changed = ("A" if quoted[5] != "A" else "B").join((quoted[:5], quoted[6:]))
    for bad in ("", "x", "AAAA", "%00", "a" * 5000, "%C3%A9", changed, quoted[:-8], base64.b64encode(b"old").decode()):
        request = tools.sign("GET", f"/bucket?list-type=2&continuation-token={bad}")
        await house.refuses(request, 400, "InvalidArgument", "InvalidURI")
    # a token is for one bucket and one kind of listing
    for where in ("/bucket-two?list-type=2&continuation-token=", "/?continuation-token="):
        await house.refuses(tools.sign("GET", where + quoted), 400, "InvalidArgument")
    assert b"<Key>second</Key>" in (await house.call("GET", f"/bucket?list-type=2&continuation-token={quoted}")).body


@ensureDeferred
async def test_t94_a_long_delimiter_and_one_common_prefix(house: Any) -> None:
    """What a page costs in a large bucket is counted in tests/model/test_listing_cost.py."""
    bucket = await house.catalogue.buckets.find("bucket")
    delimiter = "d" * 1000
    for number in range(300):
        key = f"p/{delimiter}{number}"[:1024].encode()
        await house.catalogue.versions.commit(
            NewVersion(
                bucket=bucket.id,
                key=key,
                owner=bucket.owner,
                location="storage",
                size=0,
                stored=0,
                etag="e" * 32,
                pieces=(),
            )
        )
    answer = await house.call("GET", f"/bucket?list-type=2&delimiter={delimiter}&prefix=p%2F")
    assert answer.body.count(b"<CommonPrefixes>") == 1
    assert b"<KeyCount>1</KeyCount>" in answer.body
    answer = await house.call("GET", f"/bucket?list-type=2&delimiter={'x' * 1100}")
    assert b"<KeyCount>301</KeyCount>" in answer.body


BOMB = b'<?xml version="1.0"?><!DOCTYPE d [<!ENTITY a "aaaaaaaaaa">' + b"".join(
    b'<!ENTITY a%d "%s">' % (n, b"&a%d;" % (n - 1) * 10 if n else b"&a;" * 10) for n in range(10)
)
DOCUMENTS = {
    "bomb": BOMB + b"]><Delete><Object><Key>&a9;</Key></Object></Delete>",
    "quadratic": b'<!DOCTYPE d [<!ENTITY a "' + b"a" * 50_000 + b'">]><Delete>' + b"&a;" * 1000 + b"</Delete>",
    "external": b'<!DOCTYPE d [<!ENTITY x SYSTEM "file:///etc/passwd">]><Delete><Object><Key>&x;</Key></Object></Delete>',
    "parameter": b'<!DOCTYPE d [<!ENTITY % x SYSTEM "http://127.0.0.1:1/x">%x;]><Delete/>',
    "doctype": b"<!DOCTYPE Delete><Delete><Object><Key>old</Key></Object></Delete>",
    "instruction": b"<?php echo 1 ?><Delete><Object><Key>old</Key></Object></Delete>",
    "undefined": b"<Delete><Object><Key>&nothing;</Key></Object></Delete>",
    "utf-16": "<Delete><Object><Key>old</Key></Object></Delete>".encode("utf-16"),
    "utf-16-be": '<?xml version="1.0" encoding="UTF-16"?><Delete><Object><Key>old</Key></Object></Delete>'.encode(
        "utf-16-be"
    ),
    "utf-7": b'<?xml version="1.0" encoding="UTF-7"?><Delete><Object><Key>old</Key></Object></Delete>',
    "latin-1": b'<?xml version="1.0" encoding="ISO-8859-1"?><Delete><Object><Key>\xe9</Key></Object></Delete>',
    "not-utf-8": b"<Delete><Object><Key>\xff\xfe</Key></Object></Delete>",
    "nested": b"<a>" * 200_000,
    "nested-whole": b"<Delete>" + b"<Object>" * 5000 + b"</Object>" * 5000 + b"</Delete>",
    "siblings": b"<Delete>" + b"<Object/>" * 100_000 + b"</Delete>",
    "attribute": b'<Delete x="' + b"x" * 1024**2 + b'"/>',
    "empty": b"",
    "text": b"hello",
    "two-roots": b"<Delete></Delete><Delete></Delete>",
    "1001": b"<Delete>" + b"<Object><Key>old</Key></Object>" * 1001 + b"</Delete>",
    "no-objects": b"<Delete></Delete>",
    "no-key": b"<Delete><Object></Object></Delete>",
    "two-keys": b"<Delete><Object><Key>old</Key><Key>x</Key></Object></Delete>",
    "strange": b"<Delete><Object><Key>old</Key><Recursive>1</Recursive></Object></Delete>",
    "foreign-namespace": b'<Delete xmlns="http://evil/"><Object><Key>old</Key></Object></Delete>',
}


@pytest.mark.parametrize("name", DOCUMENTS)
@ensureDeferred
async def test_t95_t96_t97_documents_made_to_hurt(house: Any, tools: Any, name: str) -> None:
    used = time.process_time()
    answer = await house.refuses(posted(tools, DOCUMENTS[name]), 400, "MalformedXML", "MissingRequestBodyError")
    assert b"root:" not in answer.body
    # not a matter of speed: the bomb would need minutes, the quadratic one seconds
    assert time.process_time() - used < 2.0


@ensureDeferred
async def test_t95_every_route_that_reads_a_document(house: Any, tools: Any) -> None:
    bomb = DOCUMENTS["bomb"].replace(b"Delete>", b"CreateBucketConfiguration>")
    await house.refuses(tools.sign("PUT", "/new-bucket", bomb), 400, "MalformedXML")
    started = await house.call("POST", "/bucket/big?uploads")
    upload = started.body.partition(b"<UploadId>")[2].partition(b"<")[0].decode()
    bomb = DOCUMENTS["bomb"].replace(b"Delete>", b"CompleteMultipartUpload>")
    await house.refuses(tools.sign("POST", f"/bucket/big?uploadId={upload}", bomb), 400, "MalformedXML")
    assert (await house.call("DELETE", f"/bucket/big?uploadId={upload}")).status == 204


@ensureDeferred
async def test_t96_a_document_that_comes_byte_by_byte(open_house: Any, tools: Any) -> None:
    """A sender below the floor is cut off; others are served meanwhile."""
    house = await open_house(body_floor_bytes=1000, body_floor_seconds=0.3)
    request = posted(tools, b"<Delete>" + b" " * 2000 + b"</Delete>")
    client = await house.connect()
    client.transport.write(request.head())
    sent = 0
    while not client.data and not client.ended and sent < 300:
        client.transport.write(request.body[sent : sent + 1])
        sent += 1
        waiter: Deferred[None] = Deferred()
        reactor.callLater(0.02, waiter.callback, None)
        await waiter
        if sent == 5:
            assert (await house.call("GET", "/bucket/old")).status == 200
    await client.until(lambda: client.ended)
    assert b"RequestTimeout" in client.data
    assert sent < 300


@ensureDeferred
async def test_t98_delete_objects(house: Any, tools: Any) -> None:
    one = b"<Delete><Object><Key>old</Key></Object></Delete>"
    await house.refuses(tools.sign("POST", "/bucket?delete", one), 400, "InvalidRequest", "MissingSecurityHeader")
    for md5, code in (("abc", "InvalidDigest"), (base64.b64encode(b"0" * 16).decode(), "BadDigest")):
        await house.refuses(tools.sign("POST", "/bucket?delete", one, {"content-md5": md5}), 400, code)
    crc = {"x-amz-checksum-crc32": "AAAAAA=="}
    await house.refuses(tools.sign("POST", "/bucket?delete", one, crc), 400, "BadDigest")
    assert (await house.call("PUT", "/bucket/a", b"x")).status == 200
    twice = b"<Delete>" + b"<Object><Key>a</Key></Object>" * 2 + b"<Object><Key>none</Key></Object></Delete>"
    long = twice.replace(b"none", b"k" * 1025)
    answer = await house.send(posted(tools, long))
    assert (answer.status, answer.body.count(b"<Deleted>"), answer.body.count(b"<Error>")) == (200, 2, 1)
    assert b"<Code>KeyTooLongError</Code>" in answer.body
    assert (await house.call("GET", "/bucket/a")).code == "NoSuchKey"


@ensureDeferred
async def test_t99_pythons_generous_parsers(house: Any, tools: Any) -> None:
    """``int``, ``isdigit``, ``b64decode``, ``$`` and ``strip`` take more than S3 does; seen from outside."""
    for number in ("1_0", "%205%20", "%C2%B2", "%D9%A3", "nan", "1.0", "0x10", "5%0A"):
        await house.refuses(tools.sign("GET", f"/bucket?list-type=2&max-keys={number}"), 400, "InvalidArgument")
        await house.refuses(tools.sign("GET", f"/bucket/old?partNumber={number}"), 400, "InvalidArgument")
    for length in ("1_0", "²", "+5"):
        headers = {"content-encoding": "aws-chunked", "x-amz-decoded-content-length": length}
        request = tools.sign("PUT", "/bucket/new", b"", headers, payload="STREAMING-UNSIGNED-PAYLOAD-TRAILER")
        await house.refuses(tools.framed(request, [b"5\r\nabcde\r\n0\r\n\r\n"]), 400, "InvalidArgument")
    md5 = base64.b64encode(hashlib.md5(b"x").digest()).decode()
    for value in (md5[:4] + "*" + md5[4:], md5[:4] + " " + md5[4:], md5 + "\u0085", "-" + md5, md5 + "\u00a0"):
        await house.refuses(tools.sign("PUT", "/bucket/new", b"x", {"content-md5": value}), (400, 403))
    assert (await house.call("GET", "/bucket/old", headers={"range": "bytes=0-²"})).status == 200  # malformed: ignored
    for name in ("abc%0A", "abc%C2%85", "%20abc"):
        await house.refuses(tools.sign("PUT", f"/{name}"), 400, "InvalidBucketName")


@ensureDeferred
async def test_t100_parameters(house: Any, tools: Any) -> None:
    many = "&".join(f"prefix{n}=x" for n in range(101))
    await house.refuses(tools.sign("GET", f"/bucket?list-type=2&{many}"), 400, "InvalidArgument")
    for query in ("=x", "list-type=2&=x", "prefix=a&prefix=b"):
        request = tools.sign("GET", f"/bucket?{query}")
        await house.refuses(request, (400, 403, 501), "InvalidArgument", "SignatureDoesNotMatch", "NotImplemented")
    # ";" separates nothing: it is a part of the value
    assert (
        b"<Prefix>a;delimiter=b</Prefix>"
        in (await house.call("GET", "/bucket?list-type=2&prefix=a%3Bdelimiter%3Db")).body
    )
    raw = tools.sign("GET", "/bucket?list-type=2&prefix=a;delimiter=/")
    answer = await house.send(raw)
    assert answer.status in (200, 403)
    assert b"<Delimiter>" not in answer.body
    huge = "&".join(f"a{n}" for n in range(100_000))  # never becomes a request: the head is too long
    head = f"GET /bucket?{huge} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode()
    await house.refuses(head, 400, "RequestHeaderSectionTooLarge")
