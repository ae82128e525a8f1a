"""Blob names and their life: nothing is deleted that somebody may still read or commit."""

from __future__ import annotations

import re

import pytest_twisted
from twisted.internet.defer import DeferredList, ensureDeferred

from gateway.catalogue.blobs import NAMES_PER_LEASE, Lease
from gateway.model import Content

NAME = re.compile(r"[a-z0-9]{1,40}(/[a-z0-9]{1,40}){0,2}")


def leases(catalogue) -> list[tuple[str, str]]:
    return catalogue._database.rows("SELECT id, owner FROM leases")


async def doom(catalogue, bucket, version_of, key: bytes = b"k") -> str:
    name = await catalogue.blobs.name("storage")
    await catalogue.versions.commit(version_of(bucket, key, (name, 1)))
    await catalogue.versions.remove(bucket.id, key)
    return name


@pytest_twisted.ensureDeferred
async def test_names_are_opaque_and_never_given_twice(catalogue, world) -> None:
    other = world.open()
    asked = [ensureDeferred(process.blobs.name("storage")) for _ in range(3000) for process in (catalogue, other)]
    names = [name for _, name in await DeferredList(asked)]
    assert len(set(names)) == 6000
    assert all(NAME.fullmatch(name) and len(name) <= 80 for name in names)
    assert len(leases(catalogue)) == 2, "a burst shares one lease"


@pytest_twisted.ensureDeferred
async def test_a_lease_is_durable_before_its_first_name_is_known(catalogue, world) -> None:
    name = await catalogue.blobs.name("storage")
    assert (name.partition("/")[0], catalogue._owner.id) in leases(world.open())


@pytest_twisted.ensureDeferred
async def test_a_spent_lease_is_handed_back_when_none_of_its_names_is_pending(catalogue, bucket, version_of) -> None:
    names = [await catalogue.blobs.name("storage") for _ in range(NAMES_PER_LEASE)]
    kept, rest = names[0], names[1:]
    await catalogue.blobs.dispose("storage", rest)
    second = [await catalogue.blobs.name("storage") for _ in range(NAMES_PER_LEASE)]
    assert len(leases(catalogue)) == 2, "the first one has a pending name"
    await catalogue.versions.commit(version_of(bucket, b"k", (kept, 1)))
    await catalogue.blobs.dispose("storage", second)
    third = await catalogue.blobs.name("storage")
    assert [lease for lease, _ in leases(catalogue)] == [third.partition("/")[0]]


@pytest_twisted.ensureDeferred
async def test_names_that_are_pending_at_the_end_keep_their_lease(catalogue, world, bucket, version_of) -> None:
    other = world.open()
    name = await catalogue.blobs.name("storage")
    clean = await other.blobs.name("cold")
    await other.blobs.dispose("cold", [clean])
    await world.close(catalogue)
    await world.close(other)
    last = world.open()
    assert await last.blobs.dead_leases() == [Lease(name.partition("/")[0], "storage")]
    await last.blobs.close_lease(name.partition("/")[0])
    assert await last.blobs.dead_leases() == []


@pytest_twisted.ensureDeferred
async def test_a_lease_is_dead_only_when_its_process_is(catalogue, world) -> None:
    other = world.open()
    lease = (await other.blobs.name("storage")).partition("/")[0]
    await catalogue.blobs.name("storage")
    assert await catalogue.blobs.dead_leases() == []
    world.die(other)
    assert await catalogue.blobs.dead_leases() == [Lease(lease, "storage")]


@pytest_twisted.ensureDeferred
async def test_what_is_known_under_a_lease(catalogue, bucket, version_of) -> None:
    live, doomed, pending, upload_blob, done_blob = [await catalogue.blobs.name("storage") for _ in range(5)]
    await catalogue.versions.commit(version_of(bucket, b"live", (live, 1)))
    await catalogue.blobs.dispose("storage", [doomed])
    make = {"bucket": bucket.id, "key": b"u", "owner": "o", "location": "storage", "content": Content()}
    upload = await catalogue.uploads.create(blob=upload_blob, **make)
    done = await catalogue.uploads.create(blob=done_blob, **make)
    await catalogue.uploads.opened(done.id, "t")
    await catalogue.uploads.begin_completion(done.id, "list")
    await catalogue.uploads.commit_completion(done.id, version_of(bucket, b"u", (f"{done_blob}/1", 1)))
    names = [live, doomed, pending, upload_blob, f"{upload_blob}/1", f"{done_blob}/1", f"{done_blob}/2"]
    known = {live, doomed, upload_blob, f"{upload_blob}/1", f"{done_blob}/1"}
    assert await catalogue.blobs.known("storage", names) == known
    assert await catalogue.blobs.known("cold", names) == set()
    await catalogue.uploads.forget(upload.id)
    assert await catalogue.blobs.known("storage", names) == known - {upload_blob, f"{upload_blob}/1"}


@pytest_twisted.ensureDeferred
async def test_disposing_dooms_what_nobody_refers_to_and_nothing_else(catalogue, bucket, version_of) -> None:
    live, lost = [await catalogue.blobs.name("storage") for _ in range(2)]
    await catalogue.versions.commit(version_of(bucket, b"k", (live, 1)))
    await catalogue.blobs.dispose("storage", [live, lost, lost])
    assert await catalogue.blobs.doomed("storage") == [lost]
    assert await catalogue.blobs.counts() == {"live": 1, "doomed": 1, "open uploads": 0}


@pytest_twisted.ensureDeferred
async def test_only_doomed_blobs_can_be_gone(catalogue, bucket, version_of) -> None:
    live, lost = [await catalogue.blobs.name("storage") for _ in range(2)]
    made = await catalogue.versions.commit(version_of(bucket, b"k", (live, 1)))
    await catalogue.blobs.dispose("storage", [lost])
    await catalogue.blobs.gone("storage", [live, lost, "never/heard"])
    assert await catalogue.blobs.counts() == {"live": 1, "doomed": 0, "open uploads": 0}
    assert len(await catalogue.versions.pieces(made.id, 0, 1)) == 1


@pytest_twisted.ensureDeferred
async def test_a_blob_is_not_given_out_below_a_running_get(catalogue, bucket, version_of) -> None:
    before = await doom(catalogue, bucket, version_of)
    catalogue.look()
    reading = catalogue.blobs.reading()
    during = await doom(catalogue, bucket, version_of)
    assert await catalogue.blobs.doomed("storage") == [before]
    catalogue.look()
    later = catalogue.blobs.reading()
    reading.close()
    reading.close()
    after = await doom(catalogue, bucket, version_of)
    assert await catalogue.blobs.doomed("storage") == [before, during]
    later.close()
    assert await catalogue.blobs.doomed("storage") == [before, during, after]
    assert await catalogue.blobs.doomed("storage", limit=1) == [before]


@pytest_twisted.ensureDeferred
async def test_a_replaced_version_keeps_its_blobs_below_a_running_get(catalogue, bucket, version_of) -> None:
    old, new = [await catalogue.blobs.name("storage") for _ in range(2)]
    await catalogue.versions.commit(version_of(bucket, b"k", (old, 1)))
    catalogue.look()
    with_reading = catalogue.blobs.reading()
    await catalogue.versions.commit(version_of(bucket, b"k", (new, 1)))
    assert await catalogue.blobs.doomed("storage") == []
    with_reading.close()
    assert await catalogue.blobs.doomed("storage") == [old]


@pytest_twisted.ensureDeferred
async def test_readings_of_every_living_process_count(catalogue, world, bucket, version_of) -> None:
    other = world.open()
    other.look()
    reading = other.blobs.reading()
    name = await doom(catalogue, bucket, version_of)
    assert await catalogue.blobs.doomed("storage") == [], "the other process has not told that it reads nothing older"
    await other.blobs.publish()
    assert await catalogue.blobs.doomed("storage") == [], "it does read something older"
    reading.close()
    assert await catalogue.blobs.doomed("storage") == []
    await other.blobs.publish()
    assert await catalogue.blobs.doomed("storage") == [name]


@pytest_twisted.ensureDeferred
async def test_readings_of_a_dead_process_count_no_more(catalogue, world, bucket, version_of) -> None:
    other = world.open()
    other.look()
    other.blobs.reading()
    name = await doom(catalogue, bucket, version_of)
    assert await catalogue.blobs.doomed("storage") == []
    world.die(other)
    assert await catalogue.blobs.doomed("storage") == [name]
