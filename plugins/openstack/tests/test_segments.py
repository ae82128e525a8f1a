"""Multipart uploads as Swift keeps them: nothing is left behind, whatever ends an upload or a blob."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
import pytest_twisted
from gateway_openstack import OpenStackBackend
from gateway_openstack.segments import HIDDEN
from twisted.internet import defer

from gateway.api import (
    AbortMPURequest,
    BlobMissing,
    BytesBody,
    ChosenPart,
    CompleteMPURequest,
    CompleteMPUResult,
    CreateMPURequest,
    DeleteRequest,
    GetRequest,
    HeadRequest,
    ListRequest,
    PutRequest,
    UploadPartRequest,
)

Stored = Callable[[str], list[str]]


async def begin(backend: OpenStackBackend, name: str) -> str:
    return (await backend.createMPU(CreateMPURequest(name=name, metadata={"kept": "yes"}))).token


async def send(backend: OpenStackBackend, name: str, token: str, number: int, data: bytes) -> ChosenPart:
    request = UploadPartRequest(name=name, token=token, number=number, body=BytesBody(data), size=len(data))
    return ChosenPart(number=number, size=len(data), receipt=(await backend.uploadPart(request)).receipt)


async def finish(
    backend: OpenStackBackend, name: str, token: str, *parts: ChosenPart, if_absent: bool = False
) -> CompleteMPUResult:
    return await backend.completeMPU(CompleteMPURequest(name=name, token=token, parts=parts, if_absent=if_absent))


async def fetch(backend: OpenStackBackend, name: str, start: int = 0, length: int | None = None) -> bytes:
    result = await backend.get(GetRequest(name=name, start=start, length=length))
    assert result.body is not None
    try:
        return b"".join([chunk async for chunk in result.body])
    finally:
        result.body.close()


@pytest_twisted.ensureDeferred
async def test_complete_keeps_the_chosen_parts_only(opened: OpenStackBackend, folder: str, stored: Stored) -> None:
    name = f"{folder}/a"
    token = await begin(opened, name)
    one, _, three = [await send(opened, name, token, number, bytes([number]) * 9) for number in (1, 2, 3)]
    assert len(stored(folder)) == 4, "three segments and the marker"
    await finish(opened, name, token, one, three)
    assert await fetch(opened, name) == b"\1" * 9 + b"\3" * 9
    assert sorted(name.startswith(HIDDEN) for name in stored(folder)) == [False, True, True]


@pytest.mark.parametrize("limit", [2, 1000])
@pytest_twisted.ensureDeferred
async def test_a_deleted_blob_takes_its_segments_along(
    opened: OpenStackBackend, folder: str, stored: Stored, limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(OpenStackBackend, "manifest_limit", limit)
    name = f"{folder}/a"
    token = await begin(opened, name)
    parts = [await send(opened, name, token, number, bytes([number]) * 9) for number in range(1, 8)]
    await finish(opened, name, token, *parts)
    assert await fetch(opened, name, 8, 12) == b"\1" + b"\2" * 9 + b"\3" * 2, "a range over three segments"
    await opened.delete(DeleteRequest(name=name))
    assert stored(folder) == []


@pytest_twisted.ensureDeferred
async def test_a_delete_spares_an_open_upload_of_the_same_name(
    opened: OpenStackBackend, folder: str, stored: Stored
) -> None:
    name = f"{folder}/a"
    done, still_open = await begin(opened, name), await begin(opened, name)
    await finish(opened, name, done, await send(opened, name, done, 1, b"done"))
    part = await send(opened, name, still_open, 1, b"open")
    await opened.delete(DeleteRequest(name=name))
    await finish(opened, name, still_open, part)
    assert await fetch(opened, name) == b"open"
    assert len(stored(folder)) == 2, "the manifest and its segment"


@pytest_twisted.ensureDeferred
async def test_a_completion_that_replaces_a_blob_frees_the_old_segments(
    opened: OpenStackBackend, folder: str, stored: Stored
) -> None:
    name = f"{folder}/a"
    for data in (b"first", b"second"):
        token = await begin(opened, name)
        await finish(opened, name, token, await send(opened, name, token, 1, data))
    assert await fetch(opened, name) == b"second"
    assert len(stored(folder)) == 2, "the manifest and its segment"


@pytest_twisted.ensureDeferred
async def test_abort_leaves_nothing(opened: OpenStackBackend, folder: str, stored: Stored) -> None:
    tokens = [await begin(opened, f"{folder}/a") for _ in range(2)]
    for number in (1, 2, 3):
        await send(opened, f"{folder}/a", tokens[0], number, b"part")
    other = await begin(opened, f"{folder}/a/b")
    await send(opened, f"{folder}/a/b", other, 1, b"part")
    await opened.abortMPU(AbortMPURequest(name=f"{folder}/a"))
    assert all("/a/b!" in name for name in stored(folder)), "another name's upload is another's"
    await opened.abortMPU(AbortMPURequest(name=f"{folder}/a/b", token=other))
    assert stored(folder) == []


@pytest_twisted.ensureDeferred
async def test_parts_that_race_with_an_abort_leave_nothing(
    opened: OpenStackBackend, folder: str, stored: Stored
) -> None:
    name = f"{folder}/a"
    token = await begin(opened, name)
    work = [defer.ensureDeferred(send(opened, name, token, number, b"part")) for number in range(1, 20)]
    work.insert(6, defer.ensureDeferred(opened.abortMPU(AbortMPURequest(name=name, token=token))))  # type: ignore
    await defer.DeferredList(work, consumeErrors=True)
    with pytest.raises(BlobMissing):
        await send(opened, name, token, 20, b"late")
    assert stored(folder) == []


@pytest.mark.parametrize("again", [True, False])
@pytest_twisted.ensureDeferred
async def test_a_completion_that_died_half_way_is_finished_by_the_next(
    opened: OpenStackBackend, folder: str, stored: Stored, again: bool
) -> None:
    """By another complete, or by the delete of the blob."""
    name = f"{folder}/a"
    token = await begin(opened, name)
    part = await send(opened, name, token, 1, b"chosen")
    await send(opened, name, token, 2, b"not chosen")
    sweeping = opened._sweep
    opened._sweep = lambda *_: defer.fail(ZeroDivisionError())  # type: ignore
    with pytest.raises(ZeroDivisionError):
        await finish(opened, name, token, part)
    opened._sweep = sweeping  # type: ignore
    assert len(stored(folder)) == 3
    if again:
        result = await finish(opened, name, token, part)
        assert result.blobs[0].size == 6
        assert len(stored(folder)) == 2, "the manifest and its segment"
    await opened.delete(DeleteRequest(name=name))
    assert stored(folder) == []


@pytest_twisted.ensureDeferred
async def test_a_delete_that_died_half_way_is_finished_by_the_next(
    opened: OpenStackBackend, folder: str, stored: Stored
) -> None:
    name = f"{folder}/a"
    token = await begin(opened, name)
    await finish(opened, name, token, await send(opened, name, token, 1, b"part"))
    await opened._storage.remove(name)  # the manifest only
    assert len(stored(folder)) == 1
    await opened.delete(DeleteRequest(name=name))
    assert stored(folder) == []


@pytest_twisted.ensureDeferred
async def test_a_delete_needs_no_listing_for_what_the_manifest_names(
    opened: OpenStackBackend, folder: str, stored: Stored
) -> None:
    """A listing may lag behind on a large Swift."""
    name = f"{folder}/a"
    token = await begin(opened, name)
    parts = [await send(opened, name, token, number, b"part") for number in (1, 2, 3)]
    await finish(opened, name, token, *parts)
    opened._sweep = lambda *_: defer.succeed(None)  # type: ignore
    await opened.delete(DeleteRequest(name=name))
    assert stored(folder) == []


@pytest_twisted.ensureDeferred
async def test_completing_with_other_parts_harms_nothing(opened: OpenStackBackend, folder: str) -> None:
    name = f"{folder}/a"
    token = await begin(opened, name)
    one, two = await send(opened, name, token, 1, b"one"), await send(opened, name, token, 2, b"two")
    await finish(opened, name, token, one)
    with pytest.raises(BlobMissing):
        await finish(opened, name, token, one, two)
    with pytest.raises(BlobMissing):
        await finish(opened, name, token, two)
    assert await fetch(opened, name) == b"one"


@pytest.mark.parametrize("sizes", [(0,), (5, 0), (1,)])
@pytest_twisted.ensureDeferred
async def test_the_last_part_may_be_empty(opened: OpenStackBackend, folder: str, sizes: tuple[int, ...]) -> None:
    name = f"{folder}/a"
    token = await begin(opened, name)
    parts = [await send(opened, name, token, at + 1, b"x" * size) for at, size in enumerate(sizes)]
    result = await finish(opened, name, token, *parts, if_absent=True)
    assert await finish(opened, name, token, *parts, if_absent=True) == result
    head = await opened.head(HeadRequest(name=name))
    assert (head.size, head.fingerprint, dict(head.metadata)) == (sum(sizes), result.fingerprint, {"kept": "yes"})
    assert await fetch(opened, name) == b"x" * sum(sizes)


@pytest_twisted.ensureDeferred
async def test_segments_do_not_list_and_cannot_be_written(opened: OpenStackBackend, folder: str) -> None:
    token = await begin(opened, f"{folder}/a")
    for number in range(1, 6):
        await send(opened, f"{folder}/a", token, number, b"part")
    names = [" first", "!", "!segments", "!segmentz", '"', f"{folder}/z", "ž"]
    for name in names:
        await opened.put(PutRequest(name=name, body=BytesBody(b"x"), size=1))
    try:
        for limit in (1, 2, 1000):
            found, after = [], ""
            while True:
                page = await opened.list(ListRequest(after=after, limit=limit))
                found += [blob.name for blob in page.blobs]
                if page.after is None:
                    break
                after = page.after
            assert [name for name in found if name in names] == sorted(names, key=str.encode)
            assert not any(name.startswith(HIDDEN) for name in found)
    finally:
        for name in names:
            await opened.delete(DeleteRequest(name=name))
    assert opened.capabilities.refuses(f"{HIDDEN}x") is not None
    await opened.abortMPU(AbortMPURequest(name=f"{folder}/a"))


@pytest.mark.parametrize("limit", [7, 1000] if os.environ.get("GATEWAY_LONG") == "1" else [7])
@pytest_twisted.ensureDeferred
async def test_more_parts_than_a_manifest_names(
    opened: OpenStackBackend, folder: str, stored: Stored, limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Manifests of manifests, of manifests even with the small limit; 1,001 parts are for `make test-long`."""
    monkeypatch.setattr(OpenStackBackend, "manifest_limit", limit)
    name, count = f"{folder}/a", {7: 7 * 7 + 1, 1000: 1001}[limit]
    token = await begin(opened, name)
    parts: list[ChosenPart] = []
    for first in range(1, count + 1, 50):
        sending = [
            defer.ensureDeferred(send(opened, name, token, number, b"%06d" % number))
            for number in range(first, min(first + 50, count + 1))
        ]
        parts += [part for _, part in await defer.DeferredList(sending, fireOnOneErrback=True, consumeErrors=True)]
    result = await finish(opened, name, token, *parts)
    assert result.blobs[0].size == 6 * count
    assert await fetch(opened, name) == b"".join(b"%06d" % number for number in range(1, count + 1))
    assert await fetch(opened, name, 6 * (count - 2), 12) == b"%06d%06d" % (count - 1, count), "two manifests meet here"
    listed = (await opened.list(ListRequest(prefix=folder))).blobs
    assert [(blob.size, blob.fingerprint) for blob in listed] == [(6 * count, result.fingerprint)]
    await opened.delete(DeleteRequest(name=name))
    assert stored(folder) == []
