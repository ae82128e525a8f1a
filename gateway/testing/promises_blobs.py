"""Promises about whole blobs: what was put comes back, in any size, in any range, until it is deleted."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import DeferredList, ensureDeferred

from gateway.errors import BlobMissing
from gateway.model import DeleteRequest, DeleteResult, GetRequest, HeadRequest, PutRequest
from gateway.testing.pours import KI, MI, Pour, sample
from gateway.testing.stage import Stage, failures, promise

RANGED = 2 * MI + 5
RANGES = [
    (0, None),
    (0, 0),
    (0, 1),
    (1, 1),
    (0, RANGED),
    (65_535, 2),
    (MI - 1, MI + 2),
    (10, None),
    (RANGED - 1, 1),
    (RANGED - 3, 100),
    (RANGED, None),
    (RANGED + 10, 5),
]


class BlobPromises(Stage):
    @pytest.mark.parametrize("size", [0, 1, 64 * KI, 64 * KI + 1, MI + 3, 9 * MI])
    @promise
    async def test_get_gives_what_was_put(self, subject: Any, folder: str, size: int) -> None:
        """Give back the very bytes that were put, of any size: none too, and more than one piece."""
        data = sample(size, size)
        await self.keep(subject, f"{folder}/blob", data)
        assert await self.fetch(subject, f"{folder}/blob") == data, "other bytes came back than were put"

    @pytest.mark.parametrize("size", [0, 1, MI + 3])
    @promise
    async def test_head_get_and_list_tell_the_size(self, subject: Any, folder: str, size: int) -> None:
        """Tell the whole blob's size in head, in list, and in get whatever range of it is asked for."""
        await self.keep(subject, f"{folder}/blob", sample(size))
        assert await self.size_of(subject, f"{folder}/blob") == size, "HeadResult.size"
        assert [blob.size for blob in await self.listed(subject, folder)] == [size], "ListedBlob.size"
        result = await self.begin(subject, f"{folder}/blob", start=0, length=1)
        (result.body or result.region).close()  # type: ignore[union-attr]
        assert result.size == size, "GetResult.size is the whole blob's size, also for a range"

    @pytest.mark.parametrize(("start", "length"), RANGES)
    @promise
    async def test_a_range_is_exact(self, subject: Any, folder: str, start: int, length: int | None) -> None:
        """Give the bytes from start, length of them, fewer where the blob ends; the body's size is what it gives."""
        data = sample(RANGED)
        await self.keep(subject, f"{folder}/blob", data)
        result = await self.begin(subject, f"{folder}/blob", start=start, length=length)
        expected = data[start : None if length is None else start + length]
        told = result.body.size if result.body is not None else result.region.length  # type: ignore[union-attr]
        (result.body or result.region).close()  # type: ignore[union-attr]
        assert told == len(expected), "the body's size (the region's length) is that of the range: cut it at the end"
        got = await self.fetch(subject, f"{folder}/blob", start=start, length=length)
        assert got == expected, f"start={start} length={length} gave {len(got)} bytes instead of {len(expected)}"

    @promise
    async def test_a_missing_blob_is_BlobMissing(self, subject: Any, folder: str) -> None:
        """Raise BlobMissing from get and from head where no blob has the name, nor anything beside it."""
        with pytest.raises(BlobMissing):
            await subject.get(GetRequest(name=f"{folder}/none"))
        with pytest.raises(BlobMissing):
            await subject.head(HeadRequest(name=f"{folder}/none"))

    @promise
    async def test_deleting_a_missing_blob_is_fine(self, subject: Any, folder: str) -> None:
        """Answer with DeleteResult where there is nothing to delete: a delete may be tried again."""
        await self.keep(subject, f"{folder}/blob", b"here")
        for name in (f"{folder}/blob", f"{folder}/blob", f"{folder}/never", f"{folder}never"):
            result = await subject.delete(DeleteRequest(name=name))
            assert isinstance(result, DeleteResult), f"delete answered {result!r}: return a DeleteResult"

    @promise
    async def test_a_deleted_blob_is_gone(self, subject: Any, folder: str) -> None:
        """Delete that one blob: get, head and list know it no more, and every other blob stays."""
        await self.keep(subject, f"{folder}/blob", b"here")
        await self.keep(subject, f"{folder}/other", b"stays")
        await subject.delete(DeleteRequest(name=f"{folder}/blob"))
        await self.assert_nothing(subject, f"{folder}/blob")
        with pytest.raises(BlobMissing):
            await subject.get(GetRequest(name=f"{folder}/blob"))
        assert await self.fetch(subject, f"{folder}/other") == b"stays", "a delete took another blob with it"

    @promise
    async def test_a_put_replaces_the_whole_blob(self, subject: Any, folder: str) -> None:
        """Let a put replace all of the old blob: its bytes, its size and its metadata."""
        await self.keep(subject, f"{folder}/blob", sample(200 * KI, 1), metadata={"old": "yes"})
        await self.keep(subject, f"{folder}/blob", sample(100, 2))
        assert await self.fetch(subject, f"{folder}/blob") == sample(100, 2), "bytes of the replaced blob are left"
        head = await subject.head(HeadRequest(name=f"{folder}/blob"))
        assert dict(head.metadata) == {}, "metadata of the replaced blob is left"

    @promise
    async def test_chunks_are_1_byte_to_1_MiB(self, subject: Any, folder: str) -> None:
        """Give a body in chunks of bytes, each of 1 byte to 1 MiB: cut larger ones, leave empty ones out."""
        await self.keep(subject, f"{folder}/blob", sample(3 * MI + 1))
        result = await self.begin(subject, f"{folder}/blob")
        if result.body is None:
            result.region.close()  # type: ignore[union-attr]
            return  # a region has no chunks
        try:
            async for chunk in result.body:
                assert isinstance(chunk, bytes), f"a chunk is {type(chunk).__name__}: give bytes"
                assert 1 <= len(chunk) <= MI, f"a chunk has {len(chunk)} bytes: give 1 byte to 1 MiB"
        finally:
            result.body.close()

    @pytest.mark.parametrize(("chunk", "size"), [(1, 300), (7, 10_000), (64 * KI, 3 * MI), (MI, 3 * MI + 1)])
    @promise
    async def test_put_takes_chunks_of_any_size(self, subject: Any, folder: str, chunk: int, size: int) -> None:
        """Read a body until it ends: its chunks may be of any size, and a short one need not be the last."""
        body = Pour(sample(size), chunk=chunk)
        await subject.put(PutRequest(name=f"{folder}/blob", body=body, size=size))
        assert await self.fetch(subject, f"{folder}/blob") == sample(size)

    @promise
    async def test_many_at_once(self, subject: Any, folder: str) -> None:
        """Serve 40 at once: let them wait for each other where the storage takes fewer, and share no state."""

        async def one(number: int) -> None:
            data = sample(1 + number * 5000, number)
            name = f"{folder}/{number:03d}"
            await self.keep(subject, name, data)
            assert await self.fetch(subject, name) == data, f"{name} came back with other bytes"
            if number % 3 == 0:
                await subject.delete(DeleteRequest(name=name))

        done = await DeferredList([ensureDeferred(one(number)) for number in range(40)], consumeErrors=True)
        faults = failures(done)
        assert not faults, f"{len(faults)} of 40 failed when they ran at once, first: {faults[0]!r}"
        names = [blob.name for blob in await self.listed(subject, folder)]
        assert names == [f"{folder}/{number:03d}" for number in range(40) if number % 3], "list after many at once"
