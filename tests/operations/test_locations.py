"""Where a new bucket lives: its LocationConstraint, else the called host, else the default."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import pytest
from pytest_twisted import ensureDeferred

from gateway.gate import Gate
from gateway.plugins.location import Location
from gateway.plugins.memory import MemoryBackend
from gateway.settings import Values
from gateway.verifier import Rules

COLD = "s3.cold.example.com"


def document(constraint: str) -> bytes:
    if not constraint:
        return b""
    inner = f"<LocationConstraint>{constraint}</LocationConstraint>"
    return f"<CreateBucketConfiguration>{inner}</CreateBucketConfiguration>".encode()


def with_cold(shop: Any) -> Any:
    """The same gateway with a second location and a host that leads to it."""
    cold = Location("cold", MemoryBackend(Values.of(MemoryBackend.settings, {}, secrets={}, location="cold")))
    locations: Mapping[str, Location] = {**shop.gateway.locations, "cold": cold}
    shop.gateway = dataclasses.replace(shop.gateway, locations=locations, hosts={COLD: "cold"})
    shop.gate = Gate(shop.gateway, Rules(), (COLD,))
    return shop


@pytest.mark.parametrize(
    ("host", "path", "constraint", "location"),
    [
        ("localhost:8000", "/one", "", "storage"),
        ("localhost:8000", "/one", "cold", "cold"),
        ("localhost:8000", "/one", "us-east-1", "storage"),
        (COLD, "/one", "", "cold"),
        (f"{COLD}:8000", "/one", "storage", "storage"),
        (f"one.{COLD}:8000", "/", "", "cold"),
    ],
)
@ensureDeferred
async def test_a_bucket_lives_where_it_was_asked_for(
    shop: Any, host: str, path: str, constraint: str, location: str
) -> None:
    with_cold(shop)
    answer = await shop.call("PUT", path, document(constraint), {"host": host})
    assert answer.status == 200, answer
    bucket = await shop.catalogue.buckets.find("one")
    assert (bucket.location, bucket.constraint) == (location, constraint)
    assert (await shop.call("PUT", "/one/key", b"data")).status == 200
    assert (await shop.call("GET", "/one/key")).body == b"data"
    assert len(await shop.blobs()) == (location == "storage")


@ensureDeferred
async def test_a_refused_head_of_a_bucket_tells_its_own_region(shop: Any) -> None:
    await shop.call("PUT", "/one", document("eu-west-1"))
    for path, region in (("/one", "eu-west-1"), ("/nowhere", "us-east-1")):
        reply = await shop.gate.answer(shop.prepare("HEAD", path, key="AKIAIOSFODNN7EXAMPLE"))
        assert (reply.status, dict(reply.headers)["x-amz-bucket-region"]) == (403, region)
    assert "x-amz-bucket-region" not in (await shop.call("HEAD", "/nowhere")).headers  # 404


@ensureDeferred
async def test_an_unknown_place_is_refused_once_there_is_a_choice(shop: Any) -> None:
    assert (await shop.call("PUT", "/any", document("mars-north-1"))).status == 200
    with_cold(shop)
    assert (await shop.call("PUT", "/one", document("mars-north-1"))).code == "InvalidLocationConstraint"


@ensureDeferred
async def test_a_copy_into_another_location_moves_the_bytes(shop: Any) -> None:
    with_cold(shop)
    await shop.call("PUT", "/one", document("cold"))
    await shop.call("PUT", "/bucket/key", b"data" * 1000)
    assert (await shop.call("PUT", "/one/copy", headers={"x-amz-copy-source": "/bucket/key"})).status == 200
    await shop.call("DELETE", "/bucket/key")
    await shop.reaper.reap()
    assert await shop.blobs() == []
    assert (await shop.call("GET", "/one/copy")).body == b"data" * 1000
