"""The pages under /_/: what they say, to whom, and what they leave to S3."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
import pytest_twisted

from gateway.bodies import EmptyBody
from gateway.model import Call, Reply
from gateway.pages import Pages


@dataclass
class State:
    working: bool
    message: str = ""
    seconds: float = 0.0123
    when: float = 1795173810.25
    details: Mapping[str, str] = field(default_factory=dict)
    error: str = ""


def pages(ready: Any = (True, []), states: Any = None, **options: Any) -> Pages:
    known = {"storage": State(True, details={"free_bytes": "5"})} if states is None else states

    async def figures() -> bytes:
        return b"gateway_build_info 1\n"

    return Pages(lambda location: ready, lambda: known, figures, **options)


async def ask(page: Pages, path: str, peer: str = "127.0.0.1", method: str = "GET", host: str = "h") -> Reply | None:
    call = Call("0123456789ABCDEF", method, path, "a=b&c", {"host": host}, EmptyBody(), peer, False, 0.0)
    return await page.answer(call)


async def told(page: Pages, path: str, peer: str = "127.0.0.1") -> tuple[int, Any]:
    reply = await ask(page, path, peer)
    assert reply is not None
    assert isinstance(reply.body, bytes)
    assert dict(reply.headers)["Content-Type"] == "application/json"
    return reply.status, json.loads(reply.body)


FAR = "192.0.2.1"


@pytest_twisted.ensureDeferred
async def test_live() -> None:
    assert await told(pages((False, ["x"]), {}), "/_/live", FAR) == (200, {"live": True})


@pytest_twisted.ensureDeferred
async def test_ready() -> None:
    assert await told(pages(), "/_/ready") == (200, {"ready": True})
    waiting = pages((False, ["cold: not tried yet"]))
    assert await told(waiting, "/_/ready") == (503, {"ready": False, "reasons": ["cold: not tried yet"]})
    assert await told(waiting, "/_/ready", FAR) == (503, {"ready": False})


@pytest_twisted.ensureDeferred
async def test_healthcheck() -> None:
    states = {"storage": State(True, details={"free_bytes": "5"}), "cold": State(False, "BackendDown: no route")}
    mixed = pages(states=states)
    status, said = await told(mixed, "/_/healthcheck")
    assert (status, said["healthy"]) == (503, False)
    assert said["locations"]["storage"] == {
        "code": 200,
        "message": "OK",
        "seconds": 0.0123,
        "when": 1795173810.25,
        "details": {"free_bytes": "5"},
    }
    assert (said["locations"]["cold"]["code"], said["locations"]["cold"]["message"]) == (503, "BackendDown: no route")
    assert await told(mixed, "/_/healthcheck", FAR) == (503, {"healthy": False})
    assert await told(pages(), "/_/healthcheck", FAR) == (200, {"healthy": True})
    assert await told(pages(states={}), "/_/healthcheck", FAR) == (503, {"healthy": False})  # nothing was tried yet


@pytest.mark.parametrize("peer", ["127.0.0.1", "127.1.2.3", "::1", "::ffff:127.0.0.1", "local"])
@pytest_twisted.ensureDeferred
async def test_metrics_for_loopback(peer: str) -> None:
    reply = await ask(pages(), "/_/metrics", peer)
    assert reply is not None
    assert (reply.status, reply.body) == (200, b"gateway_build_info 1\n")
    assert dict(reply.headers)["Content-Type"].startswith("text/plain; version=0.0.4")


@pytest.mark.parametrize("header", ["x-forwarded-for", "forwarded", "via", "x-real-ip"])
@pytest_twisted.ensureDeferred
async def test_what_a_proxy_on_this_machine_forwards_is_a_strangers(header: str) -> None:
    call = Call("0123456789ABCDEF", "GET", "/_/metrics", "", {"host": "h", header: "x"}, EmptyBody(), "::1", False, 0.0)
    reply = await pages().answer(call)
    assert reply is not None and reply.status == 403


@pytest.mark.parametrize("peer", [FAR, "2001:db8::1", "::ffff:192.0.2.1", "127.0.0.1.evil"])
@pytest_twisted.ensureDeferred
async def test_metrics_for_others(peer: str) -> None:
    assert (await told(pages(), "/_/metrics", peer))[0] == 403
    reply = await ask(pages(open_metrics=True), "/_/metrics", peer)
    assert reply is not None
    assert reply.status == 200


@pytest.mark.parametrize("path", ["/", "/_", "/_/", "/_/other", "/_/live/x", "/%5F/live", "/b/_/live", "//_/live"])
@pytest_twisted.ensureDeferred
async def test_everything_else_is_s3s(path: str) -> None:
    assert await ask(pages(), path) is None


@pytest.mark.parametrize(
    ("host", "ours"),
    [
        ("h", True),
        ("127.0.0.1:8000", True),
        ("[::1]:8000", True),
        ("localhost", True),
        ("s3.example.com", True),
        ("bucket.s3.example.com", False),
        ("bucket.s3.example.com:8000", False),
        ("bucket.localhost:8000", False),
    ],
)
@pytest_twisted.ensureDeferred
async def test_a_bucket_in_the_host_makes_it_a_key(host: str, ours: bool) -> None:
    reply = await ask(pages(domains=("s3.example.com",)), "/_/live", host=host)
    assert (reply is not None) is ours


@pytest_twisted.ensureDeferred
async def test_only_reading() -> None:
    reply = await ask(pages(), "/_/live", method="DELETE")
    assert reply is not None
    assert reply.status == 405
    assert ("Allow", "GET, HEAD") in reply.headers
    assert (await ask(pages(), "/_/live", method="HEAD")) is not None


HTML = {"host": "h", "accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


async def browse(method: str = "GET", query: str = "", **more: str) -> Reply | None:
    call = Call("0123456789ABCDEF", method, "/", query, {**HTML, **more}, EmptyBody(), FAR, False, 0.0)
    return await pages(domains=("s3.example.com",)).answer(call)


@pytest_twisted.ensureDeferred
async def test_a_browser_is_told_where_to_go() -> None:
    for method in ("GET", "HEAD"):
        reply = await browse(method)
        assert reply is not None and isinstance(reply.body, bytes)
        assert reply.status == 200 and dict(reply.headers)["Content-Type"] == "text/html; charset=utf-8"
        assert b"endpoint URL" in reply.body and b"/_/ready" in reply.body
        assert b"0.1" not in reply.body  # no version, and nothing else about this very gateway


@pytest_twisted.ensureDeferred
async def test_what_s3_means_is_left_to_s3() -> None:
    for other in (
        browse("POST"),
        browse("PUT"),
        browse(query="X-Amz-Signature=x"),
        browse(query="list-type=2"),
        browse(authorization="AWS4-HMAC-SHA256 x"),
        browse(accept="*/*"),
        browse(accept="application/xml"),
        browse(host="attic.s3.example.com"),
    ):
        assert await other is None
