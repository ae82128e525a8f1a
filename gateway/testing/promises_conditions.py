"""Promises about conditions: if_absent has one winner, expect sees every change, metadata comes back."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from twisted.internet.defer import Deferred, DeferredList, ensureDeferred

from gateway.errors import BlobChanged, BlobExists
from gateway.model import DeleteRequest, GetRequest, HeadRequest, PutRequest
from gateway.testing.pours import KI, Pour, sample
from gateway.testing.stage import Stage, failures, promise, turns

Fetch = Callable[[Any, str], Awaitable[bytes]]

RACERS = 16
PAIRS = 40  # tried where a backend declares no limit: more than S3 lets a client send
SIZE = 8 * KI
METADATA = {
    "content-type": "text/plain; charset=utf-8",
    "empty": "",
    "percent": "100%25 & <more> \"quoted\" 'text' \\ = ; ,",
    "spaces": " before and after ",
    "unicode": "žluťoučký kůň — 🐎",
}


async def race(subjects: list[Any], fetch: Fetch, name: str) -> None:
    """16 puts with if_absent at once: one is kept whole, the others hear BlobExists."""
    gates: list[Deferred[None]] = [Deferred() for _ in range(RACERS)]

    async def put(number: int) -> int:
        data = sample(50 * KI, number)
        body = Pour(data, stop_at=len(data) // 2, then=gates[number])
        request = PutRequest(name=name, body=body, size=len(data), if_absent=True)
        await subjects[number % len(subjects)].put(request)
        return number

    running = DeferredList([ensureDeferred(put(number)) for number in range(RACERS)], consumeErrors=True)
    await turns(5, 0.01)  # all stand in the middle of their bodies: who looked before has seen no blob
    for gate in gates:
        gate.callback(None)
    done = await running
    won = [number for good, number in done if good]
    others = {type(reason).__name__ for reason in failures(done)}
    assert len(won) == 1, f"{len(won)} of {RACERS} puts with if_absent succeeded: exactly one may"
    assert others == {"BlobExists"}, f"those who lost heard {others}: raise BlobExists"
    assert await fetch(subjects[0], name) == sample(50 * KI, won[0]), "the winner's bytes are not those kept"


class ConditionPromises(Stage):
    @promise
    async def test_if_absent_keeps_the_blob_that_is_there(self, subject: Any, folder: str) -> None:
        """Raise BlobExists where if_absent finds a blob, and leave that blob as it is."""
        await self.keep(subject, f"{folder}/blob", b"first", if_absent=True)
        with pytest.raises(BlobExists):
            await self.keep(subject, f"{folder}/blob", b"second", if_absent=True)
        assert await self.fetch(subject, f"{folder}/blob") == b"first", "if_absent replaced a blob"
        await subject.delete(DeleteRequest(name=f"{folder}/blob"))
        await self.keep(subject, f"{folder}/blob", b"third", if_absent=True)

    @promise
    async def test_if_absent_has_one_winner(self, subject: Any, folder: str) -> None:
        """Look and write in one step of the storage, after the body's end: of many puts with if_absent one is kept."""
        for round_number in range(3):
            await race([subject], self.fetch, f"{folder}/{round_number}")

    @promise
    async def test_a_fingerprint_is_the_same_everywhere(self, subject: Any, folder: str) -> None:
        """Tell the same fingerprint in put, head, get and list, letter by letter."""
        put = await self.keep(subject, f"{folder}/blob", b"data")
        head = (await subject.head(HeadRequest(name=f"{folder}/blob"))).fingerprint
        listed = [blob.fingerprint for blob in await self.listed(subject, folder)]
        result = await self.begin(subject, f"{folder}/blob")
        (result.body or result.region).close()  # type: ignore[union-attr]
        assert {put, head, result.fingerprint, *listed} == {put}, "put, head, get and list disagree on the fingerprint"

    @promise
    async def test_a_fingerprint_changes_with_the_bytes(self, subject: Any, folder: str) -> None:
        """Give other bytes another fingerprint: a digest of all of them, or a version that grows."""
        seen = [await self.keep(subject, f"{folder}/blob", data) for data in (b"one", b"two", b"three", b"")]
        assert len(set(seen)) == len(seen), f"fingerprints repeat although the bytes changed: {seen}"

    @promise
    async def test_get_with_expect_gives_that_blob_only(self, subject: Any, folder: str) -> None:
        """Compare expect in get, and raise BlobChanged where another blob is there by now."""
        before = await self.keep(subject, f"{folder}/blob", b"one")
        assert await self.fetch(subject, f"{folder}/blob", expect=before) == b"one"
        after = await self.keep(subject, f"{folder}/blob", b"two")
        with pytest.raises(BlobChanged):
            await subject.get(GetRequest(name=f"{folder}/blob", expect=before))
        assert await self.fetch(subject, f"{folder}/blob", expect=after) == b"two"

    @promise
    async def test_delete_with_expect_takes_that_blob_only(self, subject: Any, folder: str) -> None:
        """Compare expect in delete in one step with it; raise BlobChanged and keep the blob where another is there."""
        before = await self.keep(subject, f"{folder}/blob", b"one")
        after = await self.keep(subject, f"{folder}/blob", b"two")
        with pytest.raises(BlobChanged):
            await subject.delete(DeleteRequest(name=f"{folder}/blob", expect=before))
        assert await self.fetch(subject, f"{folder}/blob") == b"two", "a delete that was refused deleted"
        await subject.delete(DeleteRequest(name=f"{folder}/blob", expect=after))
        await self.assert_nothing(subject, f"{folder}/blob")

    @pytest.mark.parametrize("size", [0, 1, 70_000])
    @promise
    async def test_metadata_comes_back(self, subject: Any, folder: str, size: int) -> None:
        """Give metadata back letter by letter; encode what the storage cannot take."""
        limits = subject.capabilities
        metadata = dict(list(METADATA.items())[: limits.metadata_pairs])
        if limits.metadata_size is not None:
            while sum(len((name + value).encode()) for name, value in metadata.items()) > limits.metadata_size:
                metadata.popitem()
        await self.keep(subject, f"{folder}/blob", sample(size), metadata=metadata)
        head = await subject.head(HeadRequest(name=f"{folder}/blob"))
        assert dict(head.metadata) == metadata, "metadata came back changed: encode what the storage cannot take"
        assert await self.fetch(subject, f"{folder}/blob") == sample(size), "metadata got among the bytes"

    @promise
    async def test_metadata_fits_up_to_the_declared_limits(self, subject: Any, folder: str) -> None:
        """Keep as much metadata as capabilities say, or lower metadata_pairs and metadata_size to what fits."""
        limits = subject.capabilities
        size = SIZE if limits.metadata_size is None else limits.metadata_size
        pairs = min(PAIRS if limits.metadata_pairs is None else limits.metadata_pairs, size // 4)
        if pairs == 0:
            return  # declared: no metadata at all
        metadata = {f"k{number:02d}": "v" for number in range(pairs)}
        metadata["k00"] = "v" * (1 + size - 4 * pairs)
        await self.keep(subject, f"{folder}/blob", b"data", metadata=metadata)
        head = await subject.head(HeadRequest(name=f"{folder}/blob"))
        assert dict(head.metadata) == metadata, "declared limits are not kept: lower metadata_pairs or metadata_size"

    @promise
    async def test_metadata_belongs_to_the_blob(self, subject: Any, folder: str) -> None:
        """Copy the mapping in put: it is the caller's, and no blob shares it."""
        mine = {"a": "1"}
        await self.keep(subject, f"{folder}/blob", b"data", metadata=mine)
        mine["a"] = "changed after the put"
        await self.keep(subject, f"{folder}/other", b"data")
        assert dict((await subject.head(HeadRequest(name=f"{folder}/blob"))).metadata) == {"a": "1"}, "copy the mapping"
        assert dict((await subject.head(HeadRequest(name=f"{folder}/other"))).metadata) == {}
