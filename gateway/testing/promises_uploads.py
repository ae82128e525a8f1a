"""Promises about multipart uploads, native or by ``parts.py``: they hold for every location."""

from __future__ import annotations

import pytest
from twisted.internet.defer import CancelledError, Deferred, DeferredList, ensureDeferred

from gateway import model
from gateway.errors import BlobExists, BlobMissing, ClientGone
from gateway.plugins.location import Location
from gateway.testing.pours import KI, Pour, sample
from gateway.testing.stage import Stage, promise, turns

METADATA = {"content-type": "text/plain"}


async def begin(location: Location, name: str) -> str:
    return (await location.createMPU(model.CreateMPURequest(name=name, metadata=METADATA))).token


async def send(location: Location, name: str, token: str, number: int, data: bytes) -> model.ChosenPart:
    request = model.UploadPartRequest(name=name, token=token, number=number, body=Pour(data), size=len(data))
    result = await location.uploadPart(request)
    return model.ChosenPart(number=number, size=len(data), receipt=result.receipt)


async def complete(
    location: Location, name: str, token: str, parts: list[model.ChosenPart], if_absent: bool = False
) -> model.CompleteMPUResult:
    request = model.CompleteMPURequest(name=name, token=token, parts=tuple(parts), if_absent=if_absent)
    return await location.completeMPU(request)


class UploadPromises(Stage):
    def piece(self, location: Location, number: int, seed: int = 0) -> bytes:
        """A part's bytes; all but the last of an upload must be of the smallest size that is allowed."""
        return sample(max(location.capabilities.smallest_part, 64 * KI) + number, 1000 * seed + number)

    async def joined(self, location: Location, result: model.CompleteMPUResult) -> bytes:
        """The bytes of a completed upload; its blobs are checked on the way."""
        data = b""
        for blob in result.blobs:
            got = await self.fetch(location, blob.name)
            assert len(got) == blob.size, f"{blob.name}: completeMPU says {blob.size} bytes, get gave {len(got)}"
            data += got
        return data

    @promise
    async def test_parts_join_in_the_chosen_order(self, location: Location, folder: str) -> None:
        """Join the parts in the order in which completeMPU names them, whatever order they came in."""
        name = f"{folder}/upload"
        token = await begin(location, name)
        sent = {number: self.piece(location, number) for number in (3, 1, 2)}
        parts = {number: await send(location, name, token, number, data) for number, data in sent.items()}
        result = await complete(location, name, token, [parts[1], parts[2], parts[3]])
        assert await self.joined(location, result) == sent[1] + sent[2] + sent[3]
        assert result.fingerprint, "CompleteMPUResult.fingerprint is text, never empty"
        names = [blob.name for blob in result.blobs]
        assert all(each == name or each.startswith(f"{name}/") for each in names), f"{names} are not under {name}"
        if names == [name]:
            head = await location.head(model.HeadRequest(name=name))
            assert head.fingerprint == result.fingerprint, "completeMPU and head disagree on the fingerprint"

    @promise
    async def test_an_upload_has_its_metadata(self, location: Location, folder: str) -> None:
        """Keep the metadata of createMPU for the blob that completeMPU makes."""
        name = f"{folder}/upload"
        token = await begin(location, name)
        result = await complete(location, name, token, [await send(location, name, token, 1, b"data")])
        if [blob.name for blob in result.blobs] == [name]:  # where each part is a blob, the catalogue keeps it
            head = await location.head(model.HeadRequest(name=name))
            assert dict(head.metadata) == METADATA, "the metadata of createMPU belongs to the joined blob"

    @promise
    async def test_a_part_sent_again_counts(self, location: Location, folder: str) -> None:
        """Give each uploadPart a receipt of its own, and join the part whose receipt was chosen."""
        name = f"{folder}/upload"
        token = await begin(location, name)
        first = await send(location, name, token, 1, self.piece(location, 1))
        await send(location, name, token, 2, self.piece(location, 2))
        again = await send(location, name, token, 2, self.piece(location, 2, seed=9))
        result = await complete(location, name, token, [first, again])
        expected = self.piece(location, 1) + self.piece(location, 2, seed=9)
        assert await self.joined(location, result) == expected, "the part that was sent last is the one that was chosen"

    @promise
    async def test_parts_that_are_not_chosen_are_gone(self, location: Location, folder: str) -> None:
        """Delete in completeMPU the parts that were not chosen."""
        name = f"{folder}/upload"
        token = await begin(location, name)
        parts = [await send(location, name, token, number, self.piece(location, number)) for number in (1, 2, 3)]
        result = await complete(location, name, token, [parts[0], parts[2]])
        assert await self.joined(location, result) == self.piece(location, 1) + self.piece(location, 3)
        left = {blob.name for blob in await self.listed(location, folder)}
        assert left == {blob.name for blob in result.blobs}, "after completeMPU only the chosen parts are left"

    @promise
    async def test_completing_again_gives_the_same_answer(self, location: Location, folder: str) -> None:
        """Answer a completeMPU that is tried again as the first time: its reply may have been lost."""
        name = f"{folder}/upload"
        token = await begin(location, name)
        parts = [await send(location, name, token, number, self.piece(location, number)) for number in (1, 2)]
        first = await complete(location, name, token, parts)
        assert await complete(location, name, token, parts) == first, "completeMPU is idempotent"
        assert await self.joined(location, first) == self.piece(location, 1) + self.piece(location, 2)

    @promise
    async def test_completing_without_a_part_is_BlobMissing(self, location: Location, folder: str) -> None:
        """Raise BlobMissing where a chosen part is not there, and leave the upload open with the others."""
        name = f"{folder}/upload"
        token = await begin(location, name)
        part = await send(location, name, token, 1, self.piece(location, 1))
        never_sent = model.ChosenPart(number=2, size=5, receipt=part.receipt[::-1])
        with pytest.raises(BlobMissing):
            await complete(location, name, token, [part, never_sent])
        result = await complete(location, name, token, [part])
        assert await self.joined(location, result) == self.piece(location, 1), "a refused completeMPU did harm"

    @promise
    async def test_an_open_upload_does_not_list(self, location: Location, folder: str) -> None:
        """Keep parts where list does not show them until completeMPU."""
        name = f"{folder}/upload"
        token = await begin(location, name)
        part = await send(location, name, token, 1, self.piece(location, 1))
        assert await self.listed(location, folder) == [], "list shows an upload that is not complete"
        assert await self.listed(location, folder, limit=1) == [], "list shows an upload that is not complete"
        result = await complete(location, name, token, [part])
        shown = [(blob.name, blob.size) for blob in await self.listed(location, folder)]
        assert shown == [(blob.name, blob.size) for blob in result.blobs], "a completed upload does not list"

    @promise
    async def test_abort_with_a_token_ends_one_upload(self, location: Location, folder: str) -> None:
        """End in abortMPU the upload of that token alone; once more is fine."""
        name = f"{folder}/upload"
        ended, kept = await begin(location, name), await begin(location, name)
        await send(location, name, ended, 1, self.piece(location, 1))
        part = await send(location, name, kept, 1, self.piece(location, 1))
        for _ in range(2):
            await location.abortMPU(model.AbortMPURequest(name=name, token=ended))
        with pytest.raises(BlobMissing):
            await send(location, name, ended, 2, self.piece(location, 2))
        result = await complete(location, name, kept, [part])
        assert await self.joined(location, result) == self.piece(location, 1), "abort ended another upload as well"
        assert {blob.name for blob in await self.listed(location, folder)} == {blob.name for blob in result.blobs}

    @promise
    async def test_abort_without_a_token_ends_them_all(self, location: Location, folder: str) -> None:
        """End in abortMPU without a token every open upload of that very name."""
        name = f"{folder}/upload"
        await location.abortMPU(model.AbortMPURequest(name=name))
        tokens = [await begin(location, name) for _ in range(3)]
        assert len(set(tokens)) == 3, "each createMPU answers with a token of its own"
        neighbour = f"{folder}/upload2"
        other = await begin(location, neighbour)
        await send(location, name, tokens[0], 1, self.piece(location, 1))
        await location.abortMPU(model.AbortMPURequest(name=name))
        for token in tokens:
            with pytest.raises(BlobMissing):
                await send(location, name, token, 1, self.piece(location, 1))
        await self.assert_nothing(location, name)
        part = await send(location, neighbour, other, 1, self.piece(location, 1))
        await complete(location, neighbour, other, [part])

    @promise
    async def test_abort_keeps_what_was_completed(self, location: Location, folder: str) -> None:
        """Leave in abortMPU what was completed before as it is."""
        name = f"{folder}/upload"
        token = await begin(location, name)
        parts = [await send(location, name, token, number, self.piece(location, number)) for number in (1, 2)]
        result = await complete(location, name, token, parts)
        await location.abortMPU(model.AbortMPURequest(name=name, token=token))
        await location.abortMPU(model.AbortMPURequest(name=name))
        assert await self.joined(location, result) == self.piece(location, 1) + self.piece(location, 2)

    @pytest.mark.parametrize("where", [0, 30_000])
    @promise
    async def test_a_part_whose_body_fails_leaves_nothing(self, location: Location, folder: str, where: int) -> None:
        """When a part's body raises, undo the part, and let its exception through unchanged."""
        name = f"{folder}/upload"
        token = await begin(location, name)
        error = ClientGone("went away")
        body = Pour(self.piece(location, 1), stop_at=where, then=error)
        with pytest.raises(ClientGone) as raised:
            await location.uploadPart(
                model.UploadPartRequest(name=name, token=token, number=1, body=body, size=body.size or 0)
            )
        assert raised.value is error, "let a body's exception through unchanged"
        part = await send(location, name, token, 1, self.piece(location, 1, seed=2))
        result = await complete(location, name, token, [part])
        assert await self.joined(location, result) == self.piece(location, 1, seed=2)
        assert len(await self.listed(location, folder)) == len(result.blobs), "the broken part is still there"

    @promise
    async def test_a_cancelled_part_leaves_nothing(self, location: Location, folder: str) -> None:
        """When an uploadPart is cancelled, undo the part, wait for that, then raise CancelledError."""
        name = f"{folder}/upload"
        token = await begin(location, name)
        never: Deferred[None] = Deferred()
        body = Pour(self.piece(location, 1), stop_at=1000, then=never)
        request = model.UploadPartRequest(name=name, token=token, number=1, body=body, size=body.size or 0)
        running = ensureDeferred(location.uploadPart(request))
        await self.within(body.reached, "uploadPart, up to the middle of its body,")
        running.cancel()
        with pytest.raises(CancelledError):
            await self.within(running, "a cancelled uploadPart")
        await turns(5, 0.02)
        part = await send(location, name, token, 1, self.piece(location, 1))
        result = await complete(location, name, token, [part])
        assert len(await self.listed(location, folder)) == len(result.blobs), "the cancelled part is still there"

    @promise
    async def test_parts_at_once(self, location: Location, folder: str) -> None:
        """Take the parts of one upload side by side, and keep them apart."""
        name = f"{folder}/upload"
        token = await begin(location, name)
        pieces = [self.piece(location, number) for number in range(1, 9)]
        sending = [ensureDeferred(send(location, name, token, at + 1, data)) for at, data in enumerate(pieces)]
        parts = [part for _, part in await DeferredList(sending, fireOnOneErrback=True, consumeErrors=True)]
        result = await complete(location, name, token, parts)
        assert await self.joined(location, result) == b"".join(pieces)

    @promise
    async def test_if_absent_refuses_a_second_completion(self, location: Location, folder: str) -> None:
        """Raise BlobExists in completeMPU where if_absent finds a completed blob of that name."""
        name = f"{folder}/upload"
        first, second = await begin(location, name), await begin(location, name)
        one = await send(location, name, first, 1, self.piece(location, 1, seed=1))
        two = await send(location, name, second, 1, self.piece(location, 1, seed=2))
        result = await complete(location, name, first, [one], if_absent=True)
        with pytest.raises(BlobExists):
            await complete(location, name, second, [two], if_absent=True)
        assert await self.joined(location, result) == self.piece(location, 1, seed=1)
