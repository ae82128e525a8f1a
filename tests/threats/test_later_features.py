"""What does not exist yet is refused before a byte of its body is read; nothing falls through to another operation.

T109 (CORS rules), T116 and T117 (encryption), T118 (archives), and the policies of T76 to T78.
"""

from __future__ import annotations

from typing import Any

import pytest
from pytest_twisted import ensureDeferred

DOCUMENTS = "acl accelerate cors encryption lifecycle logging notification policy publicAccessBlock replication"
DOCUMENTS += " requestPayment tagging versioning website object-lock ownershipControls"
HEADERS = {
    "x-amz-server-side-encryption": "AES256",
    "x-amz-server-side-encryption-customer-algorithm": "AES256",
    "x-amz-server-side-encryption-customer-key": "a2V5a2V5a2V5a2V5a2V5a2V5a2V5a2V5a2V5a2V5a2U=",
    "x-amz-server-side-encryption-aws-kms-key-id": "arn:aws:kms:us-east-1:1:key/x",
    "x-amz-object-lock-mode": "COMPLIANCE",
    "x-amz-object-lock-legal-hold": "ON",
    "x-amz-grant-read": "uri=http://acs.amazonaws.com/groups/global/AllUsers",
    "x-amz-acl": "public-read",
    "x-amz-tagging": "a=b",
    "x-amz-write-offset-bytes": "5",
}


async def refused_unread(house: Any, request: Any) -> None:
    """501 while the client still waits for leave to send its body."""
    request.headers["expect"] = "100-continue"
    rows = house.rows()
    client = await house.connect()
    client.transport.write(request.head())
    data = await client.until(lambda: b"\r\n\r\n" in client.data)
    assert data.startswith(b"HTTP/1.1 501"), data[:300]
    client.transport.abortConnection()
    await client.until(lambda: client.ended)
    assert house.rows() == rows


@pytest.mark.parametrize("word", DOCUMENTS.split())
@ensureDeferred
async def test_settings_that_cannot_be_set(house: Any, tools: Any, word: str) -> None:
    await refused_unread(house, tools.sign("PUT", f"/bucket?{word}", b"<x/>" * 1000))


@pytest.mark.parametrize("name", HEADERS)
@ensureDeferred
async def test_t116_t117_headers_that_ask_for_more(house: Any, tools: Any, name: str) -> None:
    for method, target in (("PUT", "/bucket/new"), ("PUT", "/bucket/old"), ("POST", "/bucket/new?uploads")):
        await refused_unread(house, tools.sign(method, target, b"x" * 1000, {name: HEADERS[name]}))
    assert not any("a2V5a2V5" in line for line in house.log_lines)


@ensureDeferred
async def test_t118_archives_are_bytes_like_others(house: Any, tools: Any) -> None:
    request = tools.sign("PUT", "/bucket/new", b"x", {"x-amz-meta-snowball-auto-extract": "true"})
    assert (await house.send(request)).status == 200
    listed = (await house.call("GET", "/bucket?list-type=2")).body
    assert listed.count(b"<Key>") == 2
    packed = b"\x1f\x8b not really gzip"
    assert (await house.call("PUT", "/bucket/new", packed, {"content-encoding": "gzip"})).status == 200
    answer = await house.call("GET", "/bucket/new")
    assert (answer.body, answer.headers["content-encoding"]) == (packed, "gzip")


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("GET", "/bucket/old?torrent"),
        ("POST", "/bucket/old?select&select-type=2"),
        ("POST", "/bucket/old?restore"),
        ("GET", "/bucket?foo"),
        ("DELETE", "/bucket?foo"),
        ("DELETE", "/bucket/old?foo"),
        ("PUT", "/bucket/old?foo=1"),
        ("GET", "/bucket?acl&policy"),
        ("DELETE", "/bucket?acl&cors"),
        ("POST", "/bucket/old"),
        ("DELETE", "/bucket/old?versionId="),
        ("DELETE", "/bucket/old?versionId=abc"),
    ],
)
@ensureDeferred
async def test_t77_unknown_words_do_not_fall_through(house: Any, tools: Any, method: str, target: str) -> None:
    """Not even to something harmless: the answer is no, and the object and its bucket are still there."""
    rows = house.rows()
    answer = await house.call(method, target)
    assert answer.status in (400, 404, 405, 412, 501)
    assert house.rows() == rows


@pytest.mark.parametrize(
    "target",
    ["/bucket?policy", "/bucket?cors", "/bucket?website", "/bucket/old?tagging", f"/bucket/old?versionId={'a' * 32}"],
)
@ensureDeferred
async def test_t77_deleting_what_is_not_there_deletes_nothing_else(house: Any, target: str) -> None:
    rows = house.rows()
    assert (await house.call("DELETE", target)).status == 204
    assert house.rows() == rows
