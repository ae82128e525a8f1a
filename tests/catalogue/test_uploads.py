"""Uploads: their states, who may move them, and what a retried Complete is told."""

from __future__ import annotations

from dataclasses import replace

import pytest
import pytest_twisted

from gateway.errors import S3Error
from gateway.model import Content, PartFacts, UploadedPart

WEEK = 7 * 24 * 3600


def part(number: int, **more) -> UploadedPart:
    fields = {"size": 5, "stored": 5, "etag": "e", "receipt": f"r{number}", "crcs": b"crcs", "modified": 1.5, **more}
    return UploadedPart(number=number, **fields)


@pytest.fixture
def create(catalogue, bucket):
    async def create(key: bytes = b"k", *, by=catalogue, opened: bool = True, **more):
        name = await by.blobs.name("storage")
        fields = {"owner": "owner", "location": "storage", "blob": name, "content": Content(), **more}
        upload = await by.uploads.create(bucket=bucket.id, key=key, **fields)
        return await by.uploads.opened(upload.id, "token") if opened else upload

    return create


async def code_of(work) -> str:
    with pytest.raises(S3Error) as refused:
        await work
    return refused.value.code


@pytest_twisted.ensureDeferred
async def test_an_upload_opens_and_is_found(catalogue, bucket, create, world) -> None:
    content = Content(headers={"content-type": "x/y"}, metadata={"a": "b"})
    made = await create(opened=False, content=content, checksum_algorithm="CRC32", checksum_type="COMPOSITE")
    assert (made.state, made.token, made.started, made.content) == ("opening", "", world.clock.now, content)
    opened = await catalogue.uploads.opened(made.id, "token")
    assert opened == replace(made, state="open", token="token")
    assert await catalogue.uploads.find(bucket.id, b"k", made.id) == opened
    assert await catalogue.uploads.find(bucket.id, b"other", made.id) is None
    assert await catalogue.uploads.find(bucket.id + 1, b"k", made.id) is None
    assert await code_of(catalogue.uploads.opened(made.id, "again")) == "NoSuchUpload"
    assert (await catalogue.blobs.counts())["open uploads"] == 1


@pytest_twisted.ensureDeferred
async def test_an_upload_needs_its_bucket(catalogue, bucket, create) -> None:
    late = await create(opened=False)
    await catalogue.buckets.delete(bucket.id)
    assert await code_of(create()) == "NoSuchBucket"
    assert await code_of(catalogue.uploads.opened(late.id, "token")) == "NoSuchBucket"
    assert [(upload.id, upload.token) for upload in await catalogue.uploads.stale()] == [(late.id, "token")]


@pytest_twisted.ensureDeferred
async def test_parts_are_kept_replaced_and_paged(catalogue, create) -> None:
    upload = await create()
    sent = [part(number, checksums={"SHA1": "x"}) for number in (3, 1, 10_000)]
    for one in sent:
        assert await catalogue.uploads.put_part(upload.id, one) is None
    again = part(3, receipt="second")
    assert await catalogue.uploads.put_part(upload.id, again) == sent[0]
    assert await catalogue.uploads.parts(upload.id) == [sent[1], again, sent[2]]
    assert await catalogue.uploads.parts(upload.id, after=1, limit=1) == [again]
    assert await catalogue.uploads.parts("unknown") == []


@pytest_twisted.ensureDeferred
async def test_parts_are_taken_only_while_open(catalogue, create) -> None:
    opening, completing, aborting = await create(opened=False), await create(), await create()
    await catalogue.uploads.begin_completion(completing.id, "list")
    await catalogue.uploads.begin_abort(aborting.id)
    for upload_id in (opening.id, completing.id, aborting.id, "unknown"):
        assert await code_of(catalogue.uploads.put_part(upload_id, part(1))) == "NoSuchUpload"


@pytest_twisted.ensureDeferred
async def test_a_completion_is_one_commit_and_its_answer_is_kept(catalogue, bucket, create, version_of, world) -> None:
    upload = await create()
    await catalogue.uploads.put_part(upload.id, part(1))
    assert await catalogue.uploads.begin_completion(upload.id, "list") is None
    assert await code_of(catalogue.uploads.begin_completion(upload.id, "list")) == "OperationAborted"
    new = version_of(
        bucket, b"k", (f"{upload.blob}/1", 5), parts=(PartFacts(1, 5),), content=Content(metadata={"\u00e4": "\u2028"})
    )
    made = await catalogue.uploads.commit_completion(upload.id, new)
    assert await catalogue.versions.find(bucket.id, b"k") == made
    assert await catalogue.uploads.parts(upload.id) == []
    await catalogue.versions.remove(bucket.id, b"k")
    assert await catalogue.uploads.begin_completion(upload.id, "list") == made
    assert await code_of(catalogue.uploads.begin_completion(upload.id, "another list")) == "NoSuchUpload"
    assert await code_of(catalogue.uploads.begin_abort(upload.id)) == "NoSuchUpload"
    world.clock.now += WEEK - 1
    assert await catalogue.uploads.stale() == []
    assert await catalogue.uploads.begin_completion(upload.id, "list") == made
    world.clock.now += 2
    assert await catalogue.uploads.stale() == []
    assert await code_of(catalogue.uploads.begin_completion(upload.id, "list")) == "NoSuchUpload"


@pytest_twisted.ensureDeferred
async def test_a_refused_completion_can_be_tried_again(catalogue, bucket, create, version_of) -> None:
    upload = await create()
    await catalogue.uploads.put_part(upload.id, part(1))
    new = version_of(bucket, b"k", (upload.blob, 5))
    assert await code_of(catalogue.uploads.commit_completion(upload.id, new)) == "NoSuchUpload"
    await catalogue.uploads.begin_completion(upload.id, "list")

    def refuse(current) -> None:
        raise S3Error("PreconditionFailed")

    assert await code_of(catalogue.uploads.commit_completion(upload.id, new, refuse)) == "PreconditionFailed"
    assert (await catalogue.uploads.find(bucket.id, b"k", upload.id)).state == "completing"
    await catalogue.uploads.release_completion(upload.id)
    assert len(await catalogue.uploads.parts(upload.id)) == 1
    assert await catalogue.uploads.begin_completion(upload.id, "list") is None
    await catalogue.uploads.commit_completion(upload.id, new)
    assert (await catalogue.blobs.counts())["live"] == 1


@pytest_twisted.ensureDeferred
async def test_a_completion_whose_bucket_went_away_ends_the_upload(catalogue, bucket, create, version_of) -> None:
    upload = await create()
    await catalogue.uploads.begin_completion(upload.id, "list")
    await catalogue.buckets.delete(bucket.id)
    new = version_of(bucket, b"k", (upload.blob, 5))
    assert await code_of(catalogue.uploads.commit_completion(upload.id, new)) == "NoSuchBucket"
    await catalogue.uploads.release_completion(upload.id)
    assert [stale.id for stale in await catalogue.uploads.stale()] == [upload.id]


@pytest_twisted.ensureDeferred
async def test_a_living_owners_completion_is_left_alone_a_dead_ones_taken_over(
    catalogue, bucket, create, version_of, world
) -> None:
    other = world.open()
    upload, left = await create(), await create(b"left")
    for mine in (upload, left):
        await other.uploads.begin_completion(mine.id, "list")
    assert await code_of(catalogue.uploads.begin_completion(upload.id, "list")) == "OperationAborted"
    await catalogue.uploads.release_completion(upload.id)
    assert await catalogue.uploads.stale() == []
    assert (await catalogue.uploads.find(bucket.id, b"k", upload.id)).state == "completing"
    world.die(other)
    assert await catalogue.uploads.begin_completion(upload.id, "list") is None
    new = version_of(bucket, b"k", (upload.blob, 5))
    assert await code_of(other.uploads.commit_completion(upload.id, new)) == "NoSuchUpload"
    await catalogue.uploads.commit_completion(upload.id, new)
    assert await catalogue.uploads.stale() == []
    assert (await catalogue.uploads.find(bucket.id, b"left", left.id)).state == "open"


@pytest_twisted.ensureDeferred
async def test_an_opening_of_a_dead_owner_is_aborted(catalogue, bucket, create, world) -> None:
    other = world.open()
    mine, theirs = await create(opened=False), await create(opened=False, by=other)
    assert await catalogue.uploads.stale() == []
    world.die(other)
    assert [(upload.id, upload.state) for upload in await catalogue.uploads.stale()] == [(theirs.id, "aborting")]
    assert (await catalogue.uploads.find(bucket.id, b"k", mine.id)).state == "opening"


@pytest_twisted.ensureDeferred
async def test_an_aborted_upload_stays_until_it_is_forgotten(catalogue, bucket, create) -> None:
    upload = await create()
    await catalogue.uploads.put_part(upload.id, part(1))
    await catalogue.uploads.begin_abort(upload.id)
    assert await code_of(catalogue.uploads.begin_abort(upload.id)) == "NoSuchUpload"
    assert await code_of(catalogue.uploads.begin_completion(upload.id, "list")) == "NoSuchUpload"
    assert [stale.id for stale in await catalogue.uploads.stale()] == [upload.id]
    await catalogue.uploads.forget(upload.id)
    assert await catalogue.uploads.stale() == []
    assert await catalogue.uploads.find(bucket.id, b"k", upload.id) is None
    assert catalogue._database.rows("SELECT count(*) FROM upload_parts") == [(0,)]


@pytest_twisted.ensureDeferred
async def test_forgetting_touches_no_upload_that_clients_see(catalogue, bucket, create) -> None:
    upload = await create()
    await catalogue.uploads.forget(upload.id)
    assert await catalogue.uploads.find(bucket.id, b"k", upload.id) == upload


@pytest_twisted.ensureDeferred
async def test_an_unseen_upload_ends_with_its_commit(catalogue, bucket, create, version_of, world) -> None:
    upload = await create(opened=False)
    new = version_of(bucket, b"k", (f"{upload.blob}/1", 5))
    assert await code_of(world.open().uploads.commit_unseen(upload.id, new)) == "NoSuchUpload"
    made = await catalogue.uploads.commit_unseen(upload.id, new)
    assert await catalogue.versions.find(bucket.id, b"k") == made
    assert await catalogue.uploads.find(bucket.id, b"k", upload.id) is None
    assert await code_of(catalogue.uploads.commit_unseen(upload.id, new)) == "NoSuchUpload"


@pytest_twisted.ensureDeferred
async def test_open_uploads_come_in_pages(catalogue, bucket, create, world) -> None:
    made = []
    for key in (b"b", b"a/1", b"a/1", b"a/2", b"c", b"b"):
        world.clock.now += 1
        made.append(await create(key))
    hidden = await create(b"c")
    await catalogue.uploads.begin_abort(hidden.id)
    ordered = [made[1], made[2], made[3], made[0], made[5], made[4]]  # by key, then by age
    page = await catalogue.uploads.page(bucket.id)
    assert (list(page.uploads), page.prefixes, page.next_key, page.next_id) == (ordered, (), None, "")

    seen, key, id_ = [], b"", ""
    while key is not None:
        page = await catalogue.uploads.page(bucket.id, key_marker=key, id_marker=id_, limit=1)
        seen += page.uploads
        key, id_ = page.next_key, page.next_id
    assert seen == ordered

    page = await catalogue.uploads.page(bucket.id, key_marker=b"a/1")
    assert list(page.uploads) == ordered[2:]
    page = await catalogue.uploads.page(bucket.id, id_marker="zzz", limit=2)
    assert list(page.uploads) == ordered[:2]
    page = await catalogue.uploads.page(bucket.id, delimiter=b"/", limit=1)
    assert (page.uploads, page.prefixes, page.next_key, page.next_id) == ((), (b"a/",), b"a/", "")
    page = await catalogue.uploads.page(bucket.id, delimiter=b"/", key_marker=b"a/")
    assert (list(page.uploads), page.prefixes) == (ordered[3:], ())
    page = await catalogue.uploads.page(bucket.id, prefix=b"a/", delimiter=b"/", limit=0)
    assert (page.uploads, page.next_key) == ((), None)
