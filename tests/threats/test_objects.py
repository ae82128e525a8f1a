"""Rows T108 to T114: what goes back to a client is safe to read, and is one version."""

from __future__ import annotations

import re
from typing import Any
from xml.etree import ElementTree

import pytest
from pytest_twisted import ensureDeferred

MIB = 1024 * 1024
OVERRIDES = ("content-type", "content-language", "expires", "cache-control", "content-disposition", "content-encoding")


@pytest.mark.parametrize("what", OVERRIDES)
@ensureDeferred
async def test_t108_response_headers_in_the_query(house: Any, tools: Any, what: str) -> None:
    for value in ("a%0D%0Aset-cookie%3A%20x", "a%00", "a%0Ab", "a%7F"):
        await house.refuses(tools.sign("GET", f"/bucket/old?response-{what}={value}"), 400, "InvalidArgument")
    anonymous = tools.request("GET", f"/bucket/old?response-{what}=x", {"host": "localhost:8000"})
    await house.refuses(anonymous, (400, 403), "InvalidRequest", "AccessDenied")
    for value in ("%C3%A9%E2%82%AC", "x" * 8192, "a%22b"):
        answer = await house.call("GET", f"/bucket/old?response-{what}={value}")
        assert answer.status in (200, 400)
        if answer.status == 200:
            assert answer.body == b"the old object"
    answer = await house.call("GET", f"/bucket/old?response-{what}=quite%20fine")
    assert answer.headers[what] == "quite fine"


@ensureDeferred
async def test_t109_no_cors_header_without_a_rule(house: Any, tools: Any) -> None:
    """Rules cannot be set yet: 501. A browser from elsewhere gets no permission, whatever it sends."""
    rule = b"<CORSConfiguration><CORSRule><AllowedOrigin>*\n</AllowedOrigin></CORSRule></CORSConfiguration>"
    await house.refuses(tools.sign("PUT", "/bucket?cors", rule), 501, "NotImplemented")
    for method, target in (
        ("GET", "/bucket/old"),
        ("GET", "/bucket"),
        ("HEAD", "/bucket/old"),
        ("OPTIONS", "/bucket/old"),
    ):
        origin = {"origin": "http://evil.example", "access-control-request-method": "GET"}
        answer = await house.call(method, target, b"", origin)
        assert not [name for name in answer.headers if name.startswith("access-control")]


@ensureDeferred
async def test_t110_stored_markup_is_not_a_page_of_ours(house: Any) -> None:
    """Only a signed request reads it, so no other origin's script runs in the name of a visitor."""
    page = b"<script>alert(1)</script>"
    assert (await house.call("PUT", "/bucket/page.html", page, {"content-type": "text/html"})).status == 200
    answer = await house.call("GET", "/bucket/page.html")
    assert (answer.body, answer.headers["content-type"]) == (page, "text/html")
    url = await house.call("GET", "/bucket/page.html", how="v4-query")
    for reply in (answer, url):
        assert reply.headers.get("x-content-type-options") == "nosniff"


@ensureDeferred
async def test_t111_what_the_client_sent_comes_back_as_text(house: Any, tools: Any) -> None:
    evil = "%3Cscript%3Ealert(1)%3C%2Fscript%3E%26%22%27"
    host = 'x"><script>'
    for request in (
        tools.sign("GET", f"/bucket/{evil}"),
        tools.sign("GET", f"/{evil}"),
        tools.sign("GET", f"/bucket?{evil}=x"),
        tools.sign("GET", f"/bucket?max-keys={evil}"),
        tools.sign("GET", "/bucket/old", key="<script>"),
        tools.sign("PUT", "/bucket/new", b"x", {"x-amz-storage-class": "<script>&"}),
        tools.request("GET", "/bucket/old", {"host": "localhost", "authorization": "<script> x"}),
        tools.request("GET", "/bucket/old", {"host": host}),
    ):
        answer = await house.refuses(request, (400, 403, 404, 501))
        assert b"<script>" not in answer.body
        assert answer.headers["content-type"] == "application/xml"
        ElementTree.fromstring(answer.body)
        assert str(house.folder).encode() not in answer.body
        assert not re.search(rb"\.py\b|sqlite|line \d+", answer.body, re.IGNORECASE)


@pytest.mark.parametrize(
    ("asked", "status", "body"),
    [
        ("bytes=0-", 206, b"0123456789"),
        ("bytes=-3", 206, b"789"),
        ("bytes=-0", 416, b""),
        ("bytes=5-2", 200, b"0123456789"),
        ("bytes=3-3", 206, b"3"),
        ("bytes=10-", 416, b""),
        ("bytes=9-99999999999999999999999999999999", 206, b"9"),
        ("bytes=99999999999999999999999999999999-", 416, b""),
        ("bytes=-99999999999999999999999999999999", 206, b"0123456789"),
        ("bytes=0-0,5-9", 200, b"0123456789"),
        ("bytes=" + ",".join(f"{n}-{n}" for n in range(1000)), 200, b"0123456789"),
        ("bytes=", 200, b"0123456789"),
        ("bytes=a-b", 200, b"0123456789"),
        ("lines=0-1", 200, b"0123456789"),
        ("bytes=1_0-", 200, b"0123456789"),
        ("bytes=0--1", 200, b"0123456789"),
    ],
)
@ensureDeferred
async def test_t112_ranges(house: Any, asked: str, status: int, body: bytes) -> None:
    assert (await house.call("PUT", "/bucket/digits", b"0123456789")).status == 200
    answer = await house.call("GET", "/bucket/digits", headers={"range": asked})
    assert answer.status == status
    if status == 416:
        assert answer.code == "InvalidRange"
    else:
        assert answer.body == body
        assert (await house.call("HEAD", "/bucket/digits", headers={"range": asked})).headers["content-length"] == str(
            len(body)
        )
    assert (await house.call("PUT", "/bucket/empty", b"")).status == 200
    answer = await house.call("GET", "/bucket/empty", headers={"range": asked})
    assert answer.status == (200 if status == 200 else 416)


@ensureDeferred
async def test_t113_range_and_part_number(house: Any, tools: Any) -> None:
    for method in ("GET", "HEAD"):
        request = tools.sign(method, "/bucket/old?partNumber=1", headers={"range": "bytes=0-1"})
        await house.refuses(request, 400, "InvalidRequest")


@pytest.mark.parametrize("backend", ["memory", "local"])
@pytest.mark.parametrize("how", ["overwrite", "delete", "delete and reap", "copy over"])
@ensureDeferred
async def test_t114_a_reader_reads_one_version(open_house: Any, tools: Any, backend: str, how: str) -> None:
    """The reader stops taking bytes in the middle; then the object changes; then it reads on."""
    house = await open_house(backend)
    old, new = b"o" * (24 * MIB), b"n" * (24 * MIB + 5)
    assert (await house.call("PUT", "/bucket/large", old)).status == 200
    client = await house.connect()
    client.transport.write(tools.sign("GET", "/bucket/large").sent())
    await client.until(lambda: len(client.data) > MIB)
    client.transport.pauseProducing()
    if how == "overwrite":
        assert (await house.call("PUT", "/bucket/large", new)).status == 200
    elif how == "copy over":
        source = {"x-amz-copy-source": "/bucket/old"}
        assert (await house.call("PUT", "/bucket/large", b"", source)).status == 200
    else:
        assert (await house.call("DELETE", "/bucket/large")).status == 204
    if how == "delete and reap":
        await house.reaper.reap()
    client.transport.resumeProducing()
    await client.until(lambda: (client.data.endswith(b"o" * 10) and len(client.data) > len(old)) or client.ended)
    answer = tools.parse(client.data)
    assert answer.body == old
    client.transport.abortConnection()
    await client.until(lambda: client.ended)
