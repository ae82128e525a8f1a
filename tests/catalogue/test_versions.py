"""Versions: what a commit promises, and who wins."""

from __future__ import annotations

from dataclasses import replace

import pytest
import pytest_twisted
from twisted.internet.defer import DeferredList, ensureDeferred

from gateway.catalogue import BlobDoomed, VersionGone
from gateway.errors import S3Error
from gateway.model import Content, PartFacts, Piece, Version


@pytest_twisted.ensureDeferred
async def test_everything_about_a_version_comes_back(catalogue, bucket, version_of, world) -> None:
    name = await catalogue.blobs.name("storage")
    new = version_of(
        bucket,
        b"a/\xc3\xa4\x01 ",
        (name, 7),
        size=5,
        content=Content(
            headers={"content-type": "text/pl\u00e4in"}, metadata={"x": "\u2028 \udc80 '\""}, storage_class="GLACIER"
        ),
        checksums={"CRC32C": "yZRlqg==", "SHA256": "abc="},
        checksum_type="FULL_OBJECT",
        parts=(PartFacts(1, 3, {"CRC32C": "a"}), PartFacts(7, 2)),
    )
    made = await catalogue.versions.commit(new)
    assert await catalogue.versions.find(bucket.id, new.key) == made
    assert (made.version_id, made.modified, made.part_count) == ("null", world.clock.now, 2)
    assert (made.size, made.stored) == (5, 7)
    for field in ("bucket", "key", "owner", "location", "etag", "content", "checksums", "checksum_type"):
        assert getattr(made, field) == getattr(new, field)
    assert await catalogue.versions.find(bucket.id, b"a/") is None
    assert await catalogue.versions.find(bucket.id + 1, new.key) is None


@pytest_twisted.ensureDeferred
async def test_a_byte_range_names_its_pieces(catalogue, bucket, version_of) -> None:
    names = [await catalogue.blobs.name("storage") for _ in range(5)]
    sizes = [0, 10, 0, 5, 20]
    made = await catalogue.versions.commit(version_of(bucket, b"k", *zip(names, sizes, strict=True)))

    async def found(start: int, stop: int) -> list[tuple[int, str]]:
        return [(at, piece.blob) for at, piece in await catalogue.versions.pieces(made.id, start, stop)]

    whole = [(0, names[1]), (10, names[3]), (15, names[4])]
    assert await found(0, 35) == whole
    assert await found(0, 1) == await found(9, 10) == whole[:1]
    assert await found(9, 11) == whole[:2]
    assert await found(10, 15) == whole[1:2]
    assert await found(14, 16) == whole[1:]
    assert await found(34, 35) == whole[2:]
    assert await found(35, 99) == []
    assert await found(5, 5) == []
    ((at, piece),) = await catalogue.versions.pieces(made.id, 12, 13)
    assert (at, piece) == (10, Piece(names[3], 0, 5, b"crcs"))


@pytest_twisted.ensureDeferred
async def test_one_piece_of_many_is_found_without_reading_the_others(catalogue, bucket, version_of, steps) -> None:
    costs = []
    for count in (10, 5000):
        name = await catalogue.blobs.name("storage")
        made = await catalogue.versions.commit(version_of(bucket, b"k", *[(name, 10)] * count))
        with steps(catalogue) as counted:
            assert len(await catalogue.versions.pieces(made.id, 10 * count - 15, 10 * count)) == 2
        costs.append(counted())
    assert costs[1] <= 1.2 * costs[0]


@pytest_twisted.ensureDeferred
async def test_pieces_of_a_version_that_was_replaced_are_not_an_empty_answer(catalogue, bucket, version_of) -> None:
    names = [await catalogue.blobs.name("storage") for _ in range(2)]
    parts = (PartFacts(1, 4),)
    old = await catalogue.versions.commit(version_of(bucket, b"k", (names[0], 4), parts=parts))
    await catalogue.versions.commit(version_of(bucket, b"k", (names[1], 4)))
    for asked in (
        catalogue.versions.pieces(old.id, 0, 4),
        catalogue.versions.parts(old.id),
        catalogue.versions.part(old.id, 1),
    ):
        with pytest.raises(VersionGone):
            await asked


@pytest_twisted.ensureDeferred
async def test_parts_are_remembered_with_their_offsets(catalogue, bucket, version_of) -> None:
    name = await catalogue.blobs.name("storage")
    facts = tuple(PartFacts(number, number * 10, {"SHA1": str(number)}) for number in (1, 2, 5))
    made = await catalogue.versions.commit(version_of(bucket, b"k", (name, 80), parts=facts))
    assert await catalogue.versions.parts(made.id) == list(facts)
    assert await catalogue.versions.parts(made.id, after=1, limit=1) == [facts[1]]
    assert await catalogue.versions.part(made.id, 5) == (30, facts[2])
    assert await catalogue.versions.part(made.id, 3) is None


@pytest_twisted.ensureDeferred
async def test_sequence_grows_and_modified_never_goes_back(catalogue, bucket, version_of, world) -> None:
    first = await catalogue.versions.commit(version_of(bucket, b"k"))
    world.clock.now -= 3600
    second = await catalogue.versions.commit(version_of(bucket, b"k"))
    assert second.modified == first.modified
    assert second.id > first.id
    other = await catalogue.versions.commit(version_of(bucket, b"other"))
    assert other.modified == world.clock.now
    world.clock.now += 7200.1234567
    third = await catalogue.versions.commit(version_of(bucket, b"k"))
    assert third.modified == round(world.clock.now, 3)
    await catalogue.versions.remove(bucket.id, b"k")
    assert (await catalogue.versions.commit(version_of(bucket, b"k"))).id > third.id


@pytest_twisted.ensureDeferred
async def test_a_commit_into_a_deleted_bucket_is_refused(catalogue, bucket, version_of) -> None:
    name = await catalogue.blobs.name("storage")
    await catalogue.buckets.delete(bucket.id)
    with pytest.raises(S3Error) as refused:
        await catalogue.versions.commit(version_of(bucket, b"k", (name, 1)))
    assert refused.value.code == "NoSuchBucket"
    assert await catalogue.blobs.counts() == {"live": 0, "doomed": 0, "open uploads": 0}


@pytest_twisted.ensureDeferred
async def test_what_a_check_raises_comes_out_and_undoes_only_its_own_change(catalogue, bucket, version_of) -> None:
    old = await catalogue.versions.commit(version_of(bucket, b"k"))
    seen = []

    def refuse(current: Version | None) -> None:
        seen.append(current)
        raise S3Error("PreconditionFailed")

    name = await catalogue.blobs.name("storage")
    with pytest.raises(S3Error, match="PreconditionFailed"):
        await catalogue.versions.commit(version_of(bucket, b"k", (name, 3)), refuse)
    with pytest.raises(S3Error, match="PreconditionFailed"):
        await catalogue.versions.remove(bucket.id, b"k", refuse)
    with pytest.raises(S3Error, match="PreconditionFailed"):
        await catalogue.versions.remove(bucket.id, b"none", refuse)
    assert seen == [old, old, None]
    assert await catalogue.versions.find(bucket.id, b"k") == old
    assert (await catalogue.blobs.counts())["live"] == 0


def only_if_absent(current: Version | None) -> None:
    if current is not None:
        raise S3Error("PreconditionFailed")


@pytest_twisted.ensureDeferred
async def test_of_many_conditional_commits_exactly_one_wins(catalogue, bucket, version_of, world) -> None:
    processes = [catalogue, world.open(), world.open()]
    for number in range(20):
        key = b"race-%d" % number
        news = [version_of(bucket, key, etag=f"{racer:032x}") for racer in range(64)]
        racing = [
            ensureDeferred(processes[racer % 3].versions.commit(new, only_if_absent)) for racer, new in enumerate(news)
        ]
        outcomes = await DeferredList(racing, consumeErrors=True)
        winners = [value for won, value in outcomes if won]
        assert len(winners) == 1
        assert await catalogue.versions.find(bucket.id, key) == winners[0]
        assert {value.value.code for won, value in outcomes if not won} == {"PreconditionFailed"}


@pytest_twisted.ensureDeferred
async def test_a_copy_refers_to_the_same_blobs_which_live_as_long_as_one_does(catalogue, bucket, version_of) -> None:
    name = await catalogue.blobs.name("storage")
    await catalogue.versions.commit(version_of(bucket, b"a", (name, 5)))
    await catalogue.versions.commit(version_of(bucket, b"b", (name, 5)))
    await catalogue.versions.commit(version_of(bucket, b"a", (name, 5)))  # onto itself
    await catalogue.versions.remove(bucket.id, b"a")
    assert await catalogue.blobs.doomed("storage") == []
    await catalogue.versions.remove(bucket.id, b"b")
    assert await catalogue.blobs.doomed("storage") == [name]


@pytest_twisted.ensureDeferred
async def test_a_copy_of_a_doomed_or_gone_blob_is_refused(catalogue, bucket, version_of) -> None:
    name = await catalogue.blobs.name("storage")
    copy = version_of(bucket, b"copy", (name, 5))
    await catalogue.versions.commit(replace(copy, key=b"source"))
    await catalogue.versions.remove(bucket.id, b"source")
    with pytest.raises(BlobDoomed):
        await catalogue.versions.commit(copy)
    await catalogue.blobs.gone("storage", [name])
    with pytest.raises(BlobDoomed):
        await catalogue.versions.commit(copy)
    with pytest.raises(BlobDoomed):
        await catalogue.versions.commit(version_of(bucket, b"copy", ("invented", 5)))
    assert await catalogue.versions.find(bucket.id, b"copy") is None


@pytest_twisted.ensureDeferred
async def test_pieces_that_do_not_add_up_are_refused(catalogue, bucket, version_of) -> None:
    name = await catalogue.blobs.name("storage")
    with pytest.raises(ValueError, match="pieces of 5 bytes"):
        await catalogue.versions.commit(version_of(bucket, b"k", (name, 5), stored=6))
    with pytest.raises(ValueError, match="no column"):
        await catalogue.versions.commit(version_of(bucket, b"k", (name, 5), checksums={"MD4": "x"}))


@pytest_twisted.ensureDeferred
async def test_removing_gives_what_was_removed(catalogue, bucket, version_of) -> None:
    made = await catalogue.versions.commit(version_of(bucket, b"k"))
    assert await catalogue.versions.remove(bucket.id, b"k") == made
    assert await catalogue.versions.remove(bucket.id, b"k") is None
    assert await catalogue.versions.find(bucket.id, b"k") is None


@pytest_twisted.ensureDeferred
async def test_removing_many_answers_for_each_key(catalogue, bucket, version_of) -> None:
    made = [await catalogue.versions.commit(version_of(bucket, key)) for key in (b"a", b"b", b"c")]

    def refuse(current: Version | None) -> None:
        raise S3Error("AccessDenied")

    keys = [b"a", b"b", b"none", b"c", b"a"]
    gone = await catalogue.versions.remove_many(bucket.id, keys, [None, refuse, None, None, None])
    assert [gone[0], gone[2], gone[3], gone[4]] == [made[0], None, made[2], None]
    assert isinstance(gone[1], S3Error) and gone[1].code == "AccessDenied"
    assert await catalogue.versions.find(bucket.id, b"b") == made[1]
    assert await catalogue.versions.remove_many(bucket.id, [b"b"]) == [made[1]]


@pytest_twisted.ensureDeferred
async def test_removing_many_is_one_transaction(catalogue, bucket, version_of) -> None:
    made = await catalogue.versions.commit(version_of(bucket, b"a"))

    def broken(current: Version | None) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await catalogue.versions.remove_many(bucket.id, [b"a", b"b"], [None, broken])
    assert await catalogue.versions.find(bucket.id, b"a") == made
