"""Backends that break promises_blobs.py."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

from twisted.internet import reactor, task

from gateway import model
from gateway.api import BackendBusy, BlobMissing, BytesBody, StreamBody, hookimpl
from gateway.plugins.memory import MemoryBackend
from gateway.testing.pours import MI
from tests.testing.broken.frame import Broken, gathered


class TestGivesTheFirstPiece(Broken):
    fails, says = "test_get_gives_what_was_put", "other bytes came back"
    broad = True

    class kind(MemoryBackend):  # noqa: N801
        @hookimpl
        async def get(self, request: Any) -> Any:
            result = await super().get(request)
            data = await gathered(result.body)
            return replace(result, body=BytesBody(data[:65536]))


class TestMiscountsRanges(Broken):
    fails, says = "test_a_range_is_exact", "the body's size"

    class kind(MemoryBackend):  # noqa: N801
        @hookimpl
        async def get(self, request: Any) -> Any:
            length = None if request.length is None else request.length + 1
            return await super().get(replace(request, length=length))


class TestTellsTheRangesSize(Broken):
    fails, says = "test_head_get_and_list_tell_the_size", "the whole blob's size"

    class kind(MemoryBackend):  # noqa: N801
        @hookimpl
        async def get(self, request: Any) -> Any:
            result = await super().get(request)
            return replace(result, size=result.body.size)


class TestRaisesItsOwnErrors(Broken):
    fails, says = "test_a_missing_blob_is_BlobMissing", "KeyError"
    broad = True

    class kind(MemoryBackend):  # noqa: N801
        @hookimpl
        async def head(self, request: Any) -> Any:
            try:
                return await super().head(request)
            except BlobMissing as missing:
                raise KeyError(request.name) from missing


class TestMissesWhatItDeletes(Broken):
    fails, says = "test_deleting_a_missing_blob_is_fine", "BlobMissing"

    class kind(MemoryBackend):  # noqa: N801
        @hookimpl
        async def delete(self, request: Any) -> Any:
            await super().head(model.HeadRequest(name=request.name))
            return await super().delete(request)


class TestDeletesByPrefix(Broken):
    fails, says = "test_a_deleted_blob_is_gone", "BlobMissing"
    broad = True

    class kind(MemoryBackend):  # noqa: N801
        @hookimpl
        async def delete(self, request: Any) -> Any:
            for name in list(self._blobs):
                if name.startswith(request.name.partition("/")[0]):
                    self._forget(name)
            return model.DeleteResult()


class TestMergesMetadata(Broken):
    fails, says = "test_a_put_replaces_the_whole_blob", "metadata of the replaced blob is left"

    class kind(MemoryBackend):  # noqa: N801
        @hookimpl
        async def put(self, request: Any) -> Any:
            before = self._blobs.get(request.name)
            old = before.metadata if before else {}
            return await super().put(replace(request, metadata={**old, **request.metadata}))


class TestGivesHugeChunks(Broken):
    fails, says = "test_chunks_are_1_byte_to_1_MiB", "give 1 byte to 1 MiB"

    class kind(MemoryBackend):  # noqa: N801
        @hookimpl
        async def get(self, request: Any) -> Any:
            result = await super().get(request)
            data = await gathered(result.body)

            async def whole() -> AsyncIterator[bytes]:
                yield data

            return replace(result, body=StreamBody(whole(), len(data), lambda: None))


class TestTripsOverOthers(Broken):
    fails, says = "test_many_at_once", "failed when they ran at once"

    class kind(MemoryBackend):  # noqa: N801
        busy = 0

        @hookimpl
        async def put(self, request: Any) -> Any:
            self.busy += 1
            try:
                if self.busy > 20:
                    raise BackendBusy("too many")
                await task.deferLater(reactor, 0)
                return await super().put(request)
            finally:
                self.busy -= 1


class TestAnswersBoth(Broken):
    fails, says = "test_get_gives_what_was_put", "exactly one of body and region"
    broad = True

    class kind(MemoryBackend):  # noqa: N801
        @hookimpl
        async def get(self, request: Any) -> Any:
            return replace(await super().get(request), body=None)


class TestTakesAShortChunkForTheLast(Broken):
    fails, says = "test_put_takes_chunks_of_any_size", "a short one need not be the last"

    class kind(MemoryBackend):  # noqa: N801
        @hookimpl
        async def put(self, request: Any) -> Any:
            data = b""
            async for chunk in request.body:
                data += chunk
                if len(chunk) < 16:
                    break
            return await super().put(replace(request, body=BytesBody(data)))


class TestForgetsTheSecondSegment(Broken):
    fails, says = "test_get_gives_what_was_put", "other bytes came back"

    class kind(MemoryBackend):  # noqa: N801
        @hookimpl
        async def get(self, request: Any) -> Any:
            length = 8 * MI if request.length is None else request.length
            return await super().get(replace(request, length=length))


class TestMissesAWholeFolder(Broken):
    fails, says = "test_a_missing_blob_is_BlobMissing", "Raise BlobMissing"

    class kind(MemoryBackend):  # noqa: N801
        @hookimpl
        async def get(self, request: Any) -> Any:
            folder = request.name.rpartition("/")[0]
            if not any(name.startswith(folder) for name in self._blobs):
                raise FileNotFoundError(folder)
            return await super().get(request)


class TestServesDeletedBlobs(Broken):
    fails, says = "test_a_deleted_blob_is_gone", "get, head and list know it no more"

    class kind(MemoryBackend):  # noqa: N801
        gone: dict[str, Any] = {}  # noqa: RUF012 - names are used once

        @hookimpl
        async def delete(self, request: Any) -> Any:
            kept = self._blobs.get(request.name)
            result = await super().delete(request)
            if kept:
                self.gone[request.name] = kept
            return result

        @hookimpl
        async def get(self, request: Any) -> Any:
            if request.name in self._blobs or request.name not in self.gone:
                return await super().get(request)
            kept = self.gone[request.name]
            return model.GetResult(len(kept.data), kept.fingerprint, body=BytesBody(bytes(kept.data)))
