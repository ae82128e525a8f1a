"""What is Azure's own about uploads: blocks that lie about, parts of several blocks, interrupted completions."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import gateway_azure
import pytest
import pytest_twisted
from gateway_azure import AzureBackend
from twisted.internet.defer import DeferredList, ensureDeferred

from gateway.api import (
    AbortMPURequest,
    BackendDown,
    BlobExists,
    BlobMissing,
    Body,
    BytesBody,
    ChosenPart,
    CompleteMPURequest,
    CompleteMPUResult,
    CreateMPURequest,
    GetRequest,
    HeadRequest,
    ListRequest,
    PutRequest,
    UploadPartRequest,
)

Opened = Callable[..., AbstractAsyncContextManager[AzureBackend]]


async def begin(backend: AzureBackend, name: str = "up") -> str:
    return (await backend.createMPU(CreateMPURequest(name=name, metadata={"a": "b"}))).token


async def send(backend: AzureBackend, token: str, number: int, data: bytes, name: str = "up") -> ChosenPart:
    sent = UploadPartRequest(name=name, token=token, number=number, body=BytesBody(data), size=len(data))
    return ChosenPart(number=number, size=len(data), receipt=(await backend.uploadPart(sent)).receipt)


async def complete(backend: AzureBackend, token: str, *parts: ChosenPart, if_absent: bool = False) -> CompleteMPUResult:
    return await backend.completeMPU(CompleteMPURequest(name="up", token=token, parts=parts, if_absent=if_absent))


async def read(backend: AzureBackend, name: str = "up") -> bytes:
    found = await backend.get(GetRequest(name=name))
    assert found.body is not None
    try:
        return b"".join([chunk async for chunk in found.body])
    finally:
        found.body.close()


async def names(backend: AzureBackend, prefix: str) -> list[str]:
    """Everything in the container, also what list does not show."""
    return [blob.name for blob in (await backend._container.page(prefix, "", 100))[0]]


@pytest_twisted.ensureDeferred
async def test_a_part_larger_than_a_block_becomes_several(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway_azure, "LARGEST_BLOCK", 100_000)
    whole = bytes(range(256)) * 1400  # 358,400 bytes
    async with opened() as backend:
        token = await begin(backend)
        two = await send(backend, token, 2, whole[200_000:])
        one = await send(backend, token, 1, whole[:200_000])
        assert (one.receipt[-2:], two.receipt[-2:]) == ("02", "02")
        await complete(backend, token, one, two)
        assert await read(backend) == whole


class Stretched:
    """A body that says another size than it has."""

    def __init__(self, data: bytes, size: int) -> None:
        self.size: int | None = size
        self._body = BytesBody(data)

    def __aiter__(self) -> BytesBody:
        return self._body

    def close(self) -> None:
        self._body.close()


@pytest.mark.parametrize(("given", "promised"), [(250_001, 250_000), (249_999, 250_000), (99_000, 250_000), (1, 0)])
@pytest_twisted.ensureDeferred
async def test_a_part_of_another_size_is_refused(
    opened: Opened, monkeypatch: pytest.MonkeyPatch, given: int, promised: int
) -> None:
    monkeypatch.setattr(gateway_azure, "LARGEST_BLOCK", 100_000)
    async with opened() as backend:
        token = await begin(backend)
        body: Body = Stretched(b"x" * given, promised)
        with pytest.raises(BackendDown):
            await backend.uploadPart(UploadPartRequest(name="up", token=token, number=1, body=body, size=promised))


@pytest_twisted.ensureDeferred
async def test_parts_without_bytes_are_fine(opened: Opened) -> None:
    async with opened() as backend:
        token = await begin(backend)
        empty = await send(backend, token, 1, b"")
        first = await complete(backend, token, empty)
        assert await read(backend) == b""
        assert await complete(backend, token, empty) == first


@pytest.mark.parametrize("data", [b"data", b""])  # without a block, committing again would do no less
@pytest_twisted.ensureDeferred
async def test_a_completion_that_died_before_its_end_is_done_again(opened: Opened, data: bytes) -> None:
    async with opened() as backend:
        token = await begin(backend)
        part, empty = await send(backend, token, 1, data), await send(backend, token, 2, b"")
        first = await complete(backend, token, part, empty)
        # as if the process had ended between the commit and the removal of the marker
        await backend._container.put(f".uploads/up/{token}", b"", 0, headers={"x-ms-blob-type": "BlockBlob"})
        assert await complete(backend, token, part, empty) == first
        assert await names(backend, ".uploads/") == []


@pytest_twisted.ensureDeferred
async def test_completions_at_once_give_one_answer(opened: Opened) -> None:
    async with opened() as backend, opened() as other:
        for _ in range(5):
            token = await begin(backend)
            part = await send(backend, token, 1, b"data")
            racing = [ensureDeferred(complete(each, token, part)) for each in (backend, other, backend, other)]
            done = await DeferredList(racing, fireOnOneErrback=True, consumeErrors=True)
            assert len({result.fingerprint for _, result in done}) == 1


@pytest.mark.parametrize(
    ("number", "size", "receipt"),
    [
        (2, 4, "000012345678901"),  # of another part
        (1, 4, "000011234567800"),  # of a part without bytes
        (1, 0, "000011234567801"),  # of a part with some
        (1, 4, "000011234567801"),  # never given
        (1, 4, "00001123456780"),
        (1, 4, "00001123456Z801"),
        (1, 4, "\u0661\u0661\u0661\u0661\u06611234567801"),
        (1, 4, ""),
    ],
)
@pytest_twisted.ensureDeferred
async def test_a_receipt_that_was_not_given_is_missing(opened: Opened, number: int, size: int, receipt: str) -> None:
    async with opened() as backend:
        token = await begin(backend)
        real = await send(backend, token, 1, b"data")
        with pytest.raises(BlobMissing):
            await complete(backend, token, ChosenPart(number=number, size=size, receipt=receipt))
        await complete(backend, token, real)
        assert await read(backend) == b"data"


@pytest_twisted.ensureDeferred
async def test_other_parts_are_another_answer(opened: Opened) -> None:
    async with opened() as backend:
        token = await begin(backend)
        one, two = await send(backend, token, 1, b"one"), await send(backend, token, 2, b"two")
        await complete(backend, token, one, two)
        with pytest.raises(BlobMissing):
            await complete(backend, token, two, one)
        assert await read(backend) == b"onetwo"


@pytest_twisted.ensureDeferred
async def test_if_absent_does_not_replace_a_blob_of_a_put(opened: Opened) -> None:
    async with opened() as backend:
        token = await begin(backend)
        part = await send(backend, token, 1, b"upload")
        await backend.put(PutRequest(name="up", body=BytesBody(b"put"), size=3))
        with pytest.raises(BlobExists):
            await complete(backend, token, part, if_absent=True)
        assert await read(backend) == b"put"


@pytest_twisted.ensureDeferred
async def test_an_abort_frees_the_blocks_at_once_and_leaves_no_trace(opened: Opened) -> None:
    async with opened() as backend:
        token = await begin(backend)
        part = await send(backend, token, 1, b"data")
        await backend.abortMPU(AbortMPURequest(name="up", token=token))
        assert await names(backend, "") == []
        with pytest.raises(BlobMissing):
            await backend._commit("up", list(gateway_azure._blocks(token, part)), {}, if_absent=True)
        with pytest.raises(BlobMissing):
            await complete(backend, token, part)


@pytest_twisted.ensureDeferred
async def test_an_abort_keeps_a_blob_that_was_put_meanwhile(opened: Opened) -> None:
    async with opened() as backend:
        token = await begin(backend)
        await send(backend, token, 1, b"data")
        await backend.put(PutRequest(name="up", body=BytesBody(b"put"), size=3))
        await backend.abortMPU(AbortMPURequest(name="up", token=token))
        assert await read(backend) == b"put"


@pytest_twisted.ensureDeferred
async def test_an_abort_knows_names_that_begin_alike(opened: Opened) -> None:
    async with opened() as backend:
        tokens = {name: await begin(backend, name) for name in ("up", "up/a", "up2")}
        await backend.abortMPU(AbortMPURequest(name="up"))
        assert await names(backend, ".uploads/") == [f".uploads/up/a/{tokens['up/a']}", f".uploads/up2/{tokens['up2']}"]


@pytest_twisted.ensureDeferred
async def test_markers_are_not_blobs(opened: Opened) -> None:
    async with opened() as backend:
        for number in range(3):
            await begin(backend, f"a{number}")
        await backend.put(PutRequest(name="b", body=BytesBody(b"data"), size=4))
        for limit in (1, 2, 1000):
            page = await backend.list(ListRequest(limit=limit))
            assert ([blob.name for blob in page.blobs], page.after) == (["b"], None)


@pytest_twisted.ensureDeferred
async def test_the_joined_blob_keeps_the_uploads_metadata_and_shows_no_more(opened: Opened) -> None:
    async with opened() as backend:
        token = await begin(backend)
        await complete(backend, token, await send(backend, token, 1, b"data"))
        assert dict((await backend.head(HeadRequest(name="up"))).metadata) == {"a": "b"}
