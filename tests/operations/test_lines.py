"""The straight lines and what happens when they break: nothing acknowledged is lost, nothing refused is visible."""

from __future__ import annotations

import re
from typing import Any

import pytest
from pytest_twisted import ensureDeferred
from twisted.internet.defer import CancelledError, Deferred, gatherResults

from gateway.bodies import BytesBody
from gateway.errors import BackendBusy, BackendDown, BackendFull, ClientGone, S3Error
from gateway.model import DeleteRequest, PutRequest

MIB = 1024 * 1024


def source(*chunks: Any, size: int | None) -> Any:
    class Source:
        closed = 0

        async def __aiter__(self) -> Any:
            for chunk in chunks:
                if isinstance(chunk, BaseException):
                    raise chunk
                if isinstance(chunk, Deferred):
                    await chunk
                    continue
                yield chunk

        def close(self) -> None:
            self.closed += 1

    body = Source()
    body.size = size  # type: ignore[attr-defined]
    return body


@ensureDeferred
async def test_a_put_is_read_back_and_replaced_blobs_go_with_the_reaper(shop: Any) -> None:
    for data in (b"first", b"second" * 100_000):
        assert (await shop.call("PUT", "/bucket/key", data)).status == 200
        assert (await shop.call("GET", "/bucket/key")).body == data
    assert len(await shop.blobs()) == 2
    reaped = await shop.reaper.reap()
    assert (reaped.blobs, len(await shop.blobs())) == (1, 1)
    assert (await shop.call("DELETE", "/bucket/key")).status == 204
    assert (await shop.call("GET", "/bucket/key")).code == "NoSuchKey"
    await shop.reaper.reap()
    assert await shop.blobs() == []


@ensureDeferred
async def test_the_reaper_waits_for_a_running_get(shop: Any) -> None:
    await shop.call("PUT", "/bucket/key", b"old" * MIB)
    reply = await shop.gate.answer(shop.prepare("GET", "/bucket/key"))
    await shop.call("PUT", "/bucket/key", b"new")
    assert (await shop.reaper.reap()).blobs == 0
    assert b"".join([chunk async for chunk in reply.body]) == b"old" * MIB
    reply.body.close()
    assert (await shop.reaper.reap()).blobs == 1


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        (BackendFull("no room"), 507, "InsufficientStorage"),
        (BackendBusy("slow down", after=7), 503, "SlowDown"),
        (BackendDown("gone"), 503, "ServiceUnavailable"),
    ],
)
@ensureDeferred
async def test_a_storage_that_fails_a_put_leaves_the_old_object_and_no_garbage(
    shop: Any, fault: Exception, status: int, code: str
) -> None:
    await shop.call("PUT", "/bucket/key", b"old")
    shop.trouble.after["put"] = fault  # the blob is there, the answer is lost
    answer = await shop.call("PUT", "/bucket/key", b"new")
    assert (answer.status, answer.code) == (status, code)
    assert "gone" not in answer.body.decode()
    assert answer.headers.get("retry-after") == ("7" if code == "SlowDown" else None)
    assert (await shop.call("GET", "/bucket/key")).body == b"old"
    assert len(await shop.blobs()) == 2
    await shop.reaper.reap()
    assert len(await shop.blobs()) == 1


@pytest.mark.parametrize("fault", [ClientGone(), S3Error("IncompleteBody")])
@ensureDeferred
async def test_a_body_that_breaks_leaves_the_old_object_alone(shop: Any, fault: Exception) -> None:
    await shop.call("PUT", "/bucket/key", b"old")
    body = source(b"n" * MIB, fault, size=2 * MIB)
    if isinstance(fault, ClientGone):
        with pytest.raises(ClientGone):
            await shop.call("PUT", "/bucket/key", body)
    else:
        assert (await shop.call("PUT", "/bucket/key", body)).code == "IncompleteBody"
    assert body.closed
    assert (await shop.call("GET", "/bucket/key")).body == b"old"
    assert len(await shop.blobs()) == 1


@ensureDeferred
async def test_a_client_that_leaves_halfway_cancels_its_put(shop: Any) -> None:
    await shop.call("PUT", "/bucket/other", b"there")
    never: Deferred[None] = Deferred()
    body = source(b"n" * MIB, never, size=2 * MIB)
    running = Deferred.fromCoroutine(shop.call("PUT", "/bucket/key", body))
    running.cancel()
    with pytest.raises(CancelledError):
        await running
    assert body.closed
    assert (await shop.call("GET", "/bucket/key")).code == "NoSuchKey"
    assert len(await shop.blobs()) == 1


@ensureDeferred
async def test_a_lost_blob_is_our_fault_and_never_nosuchkey(shop: Any) -> None:
    await shop.call("PUT", "/bucket/key", b"data")
    (name,) = await shop.blobs()
    await shop.location.delete(DeleteRequest(name=name))
    answer = await shop.call("GET", "/bucket/key")
    assert (answer.status, answer.code) == (500, "InternalError")
    assert "BlobMissing" in answer.facts.cause
    assert "BlobMissing" not in answer.body.decode()


@ensureDeferred
async def test_damage_is_noticed_before_the_headers_where_it_is_in_the_first_mib(shop: Any) -> None:
    await shop.call("PUT", "/bucket/key", b"data")
    (name,) = await shop.blobs()
    await shop.location.put(PutRequest(name=name, body=BytesBody(b"dbta"), size=4))
    assert (await shop.call("GET", "/bucket/key")).status == 500


@ensureDeferred
async def test_a_body_without_a_length_is_kept_whole(shop: Any) -> None:
    chunks = [bytes([n]) * MIB for n in range(19)]
    answer = await shop.call("PUT", "/bucket/key", source(*chunks, b"end", size=None))
    assert answer.status == 200, answer
    assert (await shop.call("GET", "/bucket/key")).body == b"".join(chunks) + b"end"
    assert (await shop.call("PUT", "/bucket/none", source(size=None))).status == 200
    assert (await shop.call("GET", "/bucket/none")).body == b""
    await shop.call("DELETE", "/bucket/key")
    await shop.call("DELETE", "/bucket/none")
    await shop.reaper.reap()
    assert await shop.blobs() == []


@pytest.mark.parametrize(
    ("size", "hooks"), [(0, ["put"]), (5, ["put"]), (8 * MIB - 1, ["put"]), (8 * MIB, ["completeMPU", "put"])]
)
@ensureDeferred
async def test_a_small_body_without_a_length_is_put_as_one_with_a_length(
    shop: Any, size: int, hooks: list[str]
) -> None:
    """The "put" beside "completeMPU" is that of what is known of the object."""
    shop.trouble.calls.clear()
    chunks = [b"x" * MIB] * (size // MIB) + ([b"x" * (size % MIB)] if size % MIB else [])
    assert (await shop.call("PUT", "/bucket/key", source(*chunks, size=None))).status == 200
    assert sorted(shop.trouble.calls) == hooks
    assert (await shop.call("GET", "/bucket/key")).body == b"x" * size


@ensureDeferred
async def test_a_body_without_a_length_that_breaks_leaves_nothing(shop: Any) -> None:
    chunks = [b"x" * MIB] * 9
    answer = await shop.call("PUT", "/bucket/key", source(*chunks, S3Error("IncompleteBody"), size=None))
    assert answer.code == "IncompleteBody"
    await shop.reaper.reap()
    assert await shop.blobs() == []
    counts = await shop.catalogue.blobs.counts()
    assert not any(value for name, value in counts.items() if "upload" in name), counts


@ensureDeferred
async def test_one_winner_among_creators(shop: Any) -> None:
    answers = await gatherResults(
        [Deferred.fromCoroutine(shop.call("PUT", "/bucket/key", b"%d" % n, {"If-None-Match": "*"})) for n in range(32)]
    )
    assert sorted(answer.status for answer in answers) == [200] + [412] * 31
    winner = next(n for n, answer in enumerate(answers) if answer.status == 200)
    assert (await shop.call("GET", "/bucket/key")).body == b"%d" % winner
    await shop.reaper.reap()
    assert len(await shop.blobs()) == 1


@ensureDeferred
async def test_a_copy_moves_no_bytes_and_outlives_its_source(shop: Any) -> None:
    await shop.call("PUT", "/bucket/a", b"data", {"x-amz-meta-color": "red", "Content-Type": "text/plain"})
    before = shop.trouble.calls.count("put")
    answer = await shop.call("PUT", "/bucket/b", headers={"x-amz-copy-source": "/bucket/a"})
    assert answer.status == 200
    assert shop.trouble.calls.count("put") == before
    await shop.call("DELETE", "/bucket/a")
    await shop.reaper.reap()
    read = await shop.call("GET", "/bucket/b")
    assert (read.body, read.headers["x-amz-meta-color"], read.headers["content-type"]) == (b"data", "red", "text/plain")


async def start_upload(shop: Any, path: str, *parts: bytes) -> tuple[str, list[str]]:
    created = await shop.call("POST", f"{path}?uploads")
    upload = re.search(r"<UploadId>(.*?)</UploadId>", created.body.decode())[1]  # type: ignore[index]
    etags = []
    for number, part in enumerate(parts, 1):
        answer = await shop.call("PUT", f"{path}?partNumber={number}&uploadId={upload}", part)
        assert answer.status == 200, answer
        etags.append(answer.headers["etag"])
    return upload, etags


def part_list(etags: list[str]) -> bytes:
    rows = "".join(f"<Part><PartNumber>{n}</PartNumber><ETag>{e}</ETag></Part>" for n, e in enumerate(etags, 1))
    return f"<CompleteMultipartUpload>{rows}</CompleteMultipartUpload>".encode()


@ensureDeferred
async def test_a_completion_that_is_asked_again_gives_the_same_answer(shop: Any) -> None:
    data = [b"a" * 5 * MIB, b"tail"]
    upload, etags = await start_upload(shop, "/bucket/key", *data)
    first = await shop.call("POST", f"/bucket/key?uploadId={upload}", part_list(etags))
    again = await shop.call("POST", f"/bucket/key?uploadId={upload}", part_list(etags))
    assert (first.status, first.body) == (200, again.body)
    assert (await shop.call("GET", "/bucket/key")).body == b"".join(data)
    other = await shop.call("POST", f"/bucket/key?uploadId={upload}", part_list(etags[:1]))
    assert other.code == "NoSuchUpload"


@ensureDeferred
async def test_a_refused_completion_leaves_the_upload_usable_and_an_abort_leaves_nothing(shop: Any) -> None:
    upload, etags = await start_upload(shop, "/bucket/key", b"a" * 5 * MIB, b"tail")
    refused = await shop.call("POST", f"/bucket/key?uploadId={upload}", part_list([etags[0], '"' + "0" * 32 + '"']))
    assert refused.code == "InvalidPart"
    await shop.call("PUT", "/bucket/key", b"there")
    clash = await shop.call("POST", f"/bucket/key?uploadId={upload}", part_list(etags), {"If-None-Match": "*"})
    assert clash.status == 412
    assert (await shop.call("GET", "/bucket/key")).body == b"there"
    assert (await shop.call("DELETE", f"/bucket/key?uploadId={upload}")).status == 204
    assert (await shop.call("DELETE", f"/bucket/key?uploadId={upload}")).code == "NoSuchUpload"
    await shop.call("DELETE", "/bucket/key")
    await shop.reaper.reap()
    assert await shop.blobs() == []


@ensureDeferred
async def test_a_completion_whose_answer_was_lost_is_finished_by_the_retry(shop: Any) -> None:
    upload, etags = await start_upload(shop, "/bucket/key", b"a" * 5 * MIB, b"tail")
    shop.trouble.after["completeMPU"] = BackendDown("answer lost")
    assert (await shop.call("POST", f"/bucket/key?uploadId={upload}", part_list(etags))).status == 503
    del shop.trouble.after["completeMPU"]
    assert (await shop.call("POST", f"/bucket/key?uploadId={upload}", part_list(etags))).status == 200
    assert (await shop.call("GET", "/bucket/key")).body == b"a" * 5 * MIB + b"tail"


@ensureDeferred
async def test_an_abort_frees_the_parts_even_after_a_completion_that_was_never_committed(shop: Any) -> None:
    upload, etags = await start_upload(shop, "/bucket/key", b"a" * 5 * MIB, b"tail")
    shop.trouble.after["completeMPU"] = BackendDown("answer lost")
    await shop.call("POST", f"/bucket/key?uploadId={upload}", part_list(etags))
    assert (await shop.call("DELETE", f"/bucket/key?uploadId={upload}")).status == 204
    await shop.reaper.reap()
    assert await shop.blobs() == []


@ensureDeferred
async def test_nobody_but_the_owner_is_let_in_and_nothing_unsigned_passes(shop: Any) -> None:
    other = await shop.catalogue.accounts.add("other")
    await shop.catalogue.accounts.add_key(other.id, "AKIDOTHER", "another-secret-of-tests")
    await shop.call("PUT", "/bucket/key", b"data")
    for method, path in (("GET", "/bucket/key"), ("PUT", "/bucket/key"), ("DELETE", "/bucket"), ("GET", "/bucket")):
        reply = await shop.gate.answer(shop.prepare(method, path, key="AKIDOTHER", secret="another-secret-of-tests"))
        assert (reply.status, reply.facts.code) == (403, "AccessDenied")
        call = shop.prepare(method, path)
        bare = type(call)(**{**{f: getattr(call, f) for f in call.__slots__}, "headers": {"host": "localhost"}})
        reply = await shop.gate.answer(bare)
        assert (reply.status, reply.facts.code) == (403, "AccessDenied")
    reply = await shop.gate.answer(shop.prepare("GET", "/bucket/key", secret="wrong"))
    assert reply.facts.code == "SignatureDoesNotMatch"
    assert (await shop.call("GET", "/bucket/key")).body == b"data"


@ensureDeferred
async def test_a_bug_of_ours_is_a_clean_500_and_a_logged_story(shop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from twisted.logger import globalLogPublisher

    from gateway import gate

    events: list[Any] = []
    globalLogPublisher.addObserver(events.append)

    async def broken(*_: object) -> None:
        raise ZeroDivisionError("secret detail")

    monkeypatch.setitem(gate.OPERATIONS, "GetObject", broken)
    try:
        answer = await shop.call("GET", "/bucket/key")
    finally:
        globalLogPublisher.removeObserver(events.append)
    assert (answer.status, answer.code) == (500, "InternalError")
    assert b"secret detail" not in answer.body
    assert any("log_failure" in event for event in events)
