"""Buckets: made once, listed by owner, deleted only when empty."""

from __future__ import annotations

import pytest
import pytest_twisted

from gateway.errors import S3Error
from gateway.model import Content


@pytest_twisted.ensureDeferred
async def test_a_bucket_is_made_once(catalogue, world) -> None:
    made, new = await catalogue.buckets.create("photos", "alice", "storage", "eu-west-1")
    assert new
    assert (made.name, made.owner, made.location, made.constraint) == ("photos", "alice", "storage", "eu-west-1")
    assert made.created == world.clock.now
    assert await catalogue.buckets.create("photos", "bob", "cold", "") == (made, False)
    assert await catalogue.buckets.find("photos") == made
    assert await catalogue.buckets.find("other") is None


@pytest_twisted.ensureDeferred
async def test_an_id_is_never_used_again(catalogue) -> None:
    first, _ = await catalogue.buckets.create("photos", "alice", "storage", "")
    await catalogue.buckets.delete(first.id)
    assert await catalogue.buckets.find("photos") is None
    second, new = await catalogue.buckets.create("photos", "alice", "storage", "")
    assert new and second.id != first.id
    with pytest.raises(S3Error) as refused:
        await catalogue.buckets.delete(first.id)
    assert refused.value.code == "NoSuchBucket"


@pytest_twisted.ensureDeferred
async def test_buckets_of_an_owner_come_in_pages(catalogue) -> None:
    for name in ("b-1", "a-2", "a-1", "a-10"):
        await catalogue.buckets.create(name, "alice", "storage", "")
    await catalogue.buckets.create("a-0", "bob", "storage", "")

    async def names(**page: object) -> list[str]:
        return [bucket.name for bucket in await catalogue.buckets.owned_by("alice", **page)]

    assert await names() == ["a-1", "a-10", "a-2", "b-1"]
    assert await names(limit=2) == ["a-1", "a-10"]
    assert await names(after="a-10") == ["a-2", "b-1"]
    assert await names(prefix="a-1") == ["a-1", "a-10"]
    assert await names(prefix="a-", after="a-1", limit=1) == ["a-10"]
    assert await names(prefix="zzz") == []


@pytest_twisted.ensureDeferred
async def test_a_bucket_with_an_object_stays(catalogue, bucket, version_of) -> None:
    await catalogue.versions.commit(version_of(bucket, b"k"))
    with pytest.raises(S3Error) as refused:
        await catalogue.buckets.delete(bucket.id)
    assert refused.value.code == "BucketNotEmpty"
    await catalogue.versions.remove(bucket.id, b"k")
    await catalogue.buckets.delete(bucket.id)


@pytest_twisted.ensureDeferred
async def test_open_uploads_end_with_their_bucket(catalogue, bucket) -> None:
    upload = await catalogue.uploads.create(
        bucket=bucket.id, key=b"k", owner="o", location="storage", blob="u/1", content=Content()
    )
    await catalogue.uploads.opened(upload.id, "token")
    await catalogue.buckets.delete(bucket.id)
    assert [(stale.id, stale.state, stale.token) for stale in await catalogue.uploads.stale()] == [
        (upload.id, "aborting", "token")
    ]


@pytest_twisted.ensureDeferred
async def test_what_is_known_of_a_bucket_is_as_new_as_the_last_look(catalogue, world) -> None:
    other = world.open()
    assert await catalogue.buckets.known("new") is None
    made, _ = await other.buckets.create("new", "owner", "storage", "")
    assert await catalogue.buckets.known("new") == made  # what is not known is never remembered
    await other.buckets.delete(made.id)
    again, _ = await other.buckets.create("new", "another", "storage", "")
    catalogue.look()
    assert await catalogue.buckets.known("new") == again
    await other.buckets.delete(again.id)
    catalogue.look()
    assert await catalogue.buckets.known("new") is None
