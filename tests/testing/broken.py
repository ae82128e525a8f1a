"""Backends that each break one promise. test_kit.py runs them and expects the kit to say so.

Each class names the test that must fail (``fails``) and a piece of what the author must read (``says``).
"""

from __future__ import annotations

import os
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import pytest
from twisted.internet import reactor, task
from twisted.internet.defer import CancelledError, Deferred, ensureDeferred

from gateway import model
from gateway.api import (
    BackendBusy,
    BackendDown,
    BackendError,
    BlobMissing,
    BytesBody,
    Capabilities,
    Secret,
    Setting,
    StreamBody,
    Values,
    hookimpl,
)
from gateway.plugins.memory import MemoryBackend
from gateway.testing import BackendContract
from gateway.testing.native import NativeMemory


class Broken(BackendContract):
    """The contract on ``kind``, and what must come of it."""

    patience = 3.0
    kind: type[MemoryBackend] = MemoryBackend
    fails = ""
    says = ""

    @pytest.fixture
    def backend(self) -> Any:
        return self.kind(Values.of(self.kind.settings, {}))


async def gathered(body: Any) -> bytes:
    return b"".join([chunk async for chunk in body])


async def keep(backend: MemoryBackend, name: str, data: bytes, **more: Any) -> model.PutResult:
    return await MemoryBackend.put(backend, model.PutRequest(name=name, body=BytesBody(data), size=len(data), **more))


# ---------------------------------------------------------------- blobs


class TestLosesTheLastByte(Broken):
    fails, says = "test_get_gives_what_was_put", "other bytes came back"

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
                if self.busy > 8:
                    raise BackendBusy("too many")
                await task.deferLater(reactor, 0)
                return await super().put(request)
            finally:
                self.busy -= 1


class TestAnswersBoth(Broken):
    fails, says = "test_get_gives_what_was_put", "exactly one of body and region"

    class kind(MemoryBackend):  # noqa: N801
        @hookimpl
        async def get(self, request: Any) -> Any:
            return replace(await super().get(request), body=None)


# ---------------------------------------------------------------- bodies


class TestKeepsHalf(Broken):
    fails, says = "test_a_failing_body_leaves_nothing", "undo what was begun"

    class kind(MemoryBackend):  # noqa: N801
        @hookimpl
        async def put(self, request: Any) -> Any:
            data = b""
            try:
                async for chunk in request.body:
                    data += chunk
            finally:
                await keep(self, request.name, data, metadata=request.metadata, if_absent=request.if_absent)
            return model.PutResult(self._blobs[request.name].fingerprint)


class TestHidesTheBodysError(Broken):
    fails, says = "test_a_failing_body_leaves_nothing", "let it through unchanged"

    class kind(MemoryBackend):  # noqa: N801
        @hookimpl
        async def put(self, request: Any) -> Any:
            try:
                return await super().put(request)
            except BackendError:
                raise
            except Exception as reason:
                raise BackendDown("the body failed") from reason


class TestDeletesTheOldBlobFirst(Broken):
    fails, says = "test_a_failing_body_leaves_the_old_blob", "BlobMissing"

    class kind(MemoryBackend):  # noqa: N801
        @hookimpl
        async def put(self, request: Any) -> Any:
            if not request.if_absent:
                self._forget(request.name)
            return await super().put(request)


class TestBelievesSizes(Broken):
    fails, says = "test_a_body_of_another_size_is_refused", "count, and raise BackendDown"

    class kind(MemoryBackend):  # noqa: N801
        @hookimpl
        async def put(self, request: Any) -> Any:
            return await keep(self, request.name, await gathered(request.body))


class TestKeepsWhatWasCancelled(Broken):
    fails, says = "test_a_cancelled_put_leaves_nothing", "undo what was begun"

    class kind(MemoryBackend):  # noqa: N801
        @hookimpl
        async def put(self, request: Any) -> Any:
            data = b""
            try:
                async for chunk in request.body:
                    data += chunk
            except CancelledError:
                reactor.callLater(0.03, lambda: ensureDeferred(keep(self, request.name, data)))
                raise
            return await keep(self, request.name, data)


class TestCannotBeCancelled(Broken):
    fails, says = "test_a_cancelled_put_leaves_nothing", "a cancelled put did not end within 0.25 s"
    patience = 0.5

    class kind(MemoryBackend):  # noqa: N801
        @hookimpl
        async def put(self, request: Any) -> Any:
            try:
                return await super().put(request)
            except CancelledError:
                await Deferred(lambda cancelled: None)


class TestDoesNotWaitForItsThread(Broken):
    fails, says = "test_a_cancelled_put_tells_the_truth", "wait first"

    class kind(MemoryBackend):  # noqa: N801
        @hookimpl
        async def put(self, request: Any) -> Any:
            data = await gathered(request.body)
            reactor.callLater(0.01, lambda: ensureDeferred(keep(self, request.name, data)))
            await task.deferLater(reactor, 0.02)
            return model.PutResult("later")


class TestLeaksUnreadBodies(Broken):
    fails, says = "test_closing_an_unread_body_frees_it", "free them there"

    class kind(MemoryBackend):  # noqa: N801
        @hookimpl
        async def get(self, request: Any) -> Any:
            result = await super().get(request)
            data, held = await gathered(result.body), os.open(os.devnull, os.O_RDONLY)

            async def stream() -> AsyncIterator[bytes]:
                try:
                    async for chunk in BytesBody(data):
                        yield chunk
                finally:
                    os.close(held)  # never runs where the stream was not begun

            return replace(result, body=StreamBody(stream(), len(data), lambda: None))


class TestLeaksHalfReadBodies(Broken):
    fails, says = "test_closing_a_half_read_body_frees_it", "half-read bodies were closed"

    class kind(MemoryBackend):  # noqa: N801
        held: tuple[Any, ...] = ()

        @hookimpl
        async def get(self, request: Any) -> Any:
            result = await super().get(request)
            data, opened = await gathered(result.body), []

            async def stream() -> AsyncIterator[bytes]:
                opened.append(os.open(os.devnull, os.O_RDONLY))
                async for chunk in BytesBody(data):
                    yield chunk
                os.close(opened.pop())

            return replace(result, body=StreamBody(stream(), len(data), lambda: None))


class TestLeaksCancelledGets(Broken):
    fails, says = "test_a_cancelled_get_frees_what_it_took", "gets were cancelled"

    class kind(MemoryBackend):  # noqa: N801
        @hookimpl
        async def get(self, request: Any) -> Any:
            held = os.open(os.devnull, os.O_RDONLY)
            await task.deferLater(reactor, 0.05)
            os.close(held)
            return await super().get(request)


class TestReadsItAllAhead(Broken):
    fails, says = "test_a_slow_reader_is_not_outrun", "pause the transport"

    class kind(MemoryBackend):  # noqa: N801
        @hookimpl
        async def get(self, request: Any) -> Any:
            result = await super().get(request)
            chunks = [chunk async for chunk in result.body]

            async def stream() -> AsyncIterator[bytes]:
                for chunk in chunks:
                    yield chunk

            return replace(result, body=StreamBody(stream(), sum(map(len, chunks)), lambda: None))


# ---------------------------------------------------------------- conditions


class TestLooksTooEarly(Broken):
    fails, says = "test_if_absent_has_one_winner", "exactly one may"

    class kind(MemoryBackend):  # noqa: N801
        @hookimpl
        async def put(self, request: Any) -> Any:
            self._check_absent(request)
            return await super().put(replace(request, if_absent=False))


class TestIgnoresIfAbsent(Broken):
    fails, says = "test_if_absent_keeps_the_blob_that_is_there", "DID NOT RAISE"

    class kind(MemoryBackend):  # noqa: N801
        @hookimpl
        async def put(self, request: Any) -> Any:
            return await super().put(replace(request, if_absent=False))


class TestGetIgnoresExpect(Broken):
    fails, says = "test_get_with_expect_gives_that_blob_only", "DID NOT RAISE"

    class kind(MemoryBackend):  # noqa: N801
        @hookimpl
        async def get(self, request: Any) -> Any:
            return await super().get(replace(request, expect=None))


class TestDeleteIgnoresExpect(Broken):
    fails, says = "test_delete_with_expect_takes_that_blob_only", "DID NOT RAISE"

    class kind(MemoryBackend):  # noqa: N801
        @hookimpl
        async def delete(self, request: Any) -> Any:
            return await super().delete(replace(request, expect=None))


class TestHasOneFingerprint(Broken):
    fails, says = "test_a_fingerprint_changes_with_the_bytes", "fingerprints repeat"

    class kind(MemoryBackend):  # noqa: N801
        @hookimpl
        async def put(self, request: Any) -> Any:
            self._versions = 0
            return await super().put(request)


class TestFingerprintsDisagree(Broken):
    fails, says = "test_a_fingerprint_is_the_same_everywhere", "disagree on the fingerprint"

    class kind(MemoryBackend):  # noqa: N801
        @hookimpl
        async def head(self, request: Any) -> Any:
            result = await super().head(request)
            return replace(result, fingerprint=f'"{result.fingerprint}"')


class TestTrimsMetadata(Broken):
    fails, says = "test_metadata_comes_back", "encode what the storage cannot take"

    class kind(MemoryBackend):  # noqa: N801
        @hookimpl
        async def put(self, request: Any) -> Any:
            trimmed = {name: value.strip() for name, value in request.metadata.items()}
            return await super().put(replace(request, metadata=trimmed))


class TestOverstatesMetadata(Broken):
    fails, says = "test_metadata_fits_up_to_the_declared_limits", "lower metadata_pairs or metadata_size"

    class kind(MemoryBackend):  # noqa: N801
        capabilities = Capabilities(shared=False, metadata_pairs=10, metadata_size=2000)

        @hookimpl
        async def put(self, request: Any) -> Any:
            return await super().put(replace(request, metadata=dict(list(request.metadata.items())[:9])))


class TestKeepsTheCallersMapping(Broken):
    fails, says = "test_metadata_belongs_to_the_blob", "copy the mapping"

    class kind(MemoryBackend):  # noqa: N801
        @hookimpl
        async def put(self, request: Any) -> Any:
            result = await super().put(request)
            self._blobs[request.name] = replace(self._blobs[request.name], metadata=request.metadata)
            return result


# ---------------------------------------------------------------- names


class Sorted(MemoryBackend):
    """Lists in an order of its own."""

    def order(self, name: str) -> Any:
        return name

    @hookimpl
    async def list(self, request: Any) -> Any:
        names = sorted((name for name in self._blobs if name.startswith(request.prefix)), key=self.order)
        page = [name for name in names if self.order(name) > self.order(request.after)][: request.limit]
        blobs = [model.ListedBlob(name, len(self._blobs[name].data), self._blobs[name].fingerprint) for name in page]
        return model.ListResult(tuple(blobs), page[-1] if page and page[-1] != names[-1] else None)


class TestListsFilesFirst(Broken):
    fails, says = "test_lists_are_in_byte_order_across_pages", "'/' sorts before '0'"

    class kind(Sorted):  # noqa: N801
        def order(self, name: str) -> Any:
            *folders, file = name.split("/")
            return [*((1, folder) for folder in folders), (0, file)]


class TestNeverEndsItsPages(Broken):
    fails, says = "test_lists_are_in_byte_order_across_pages", "the pages never end"

    class kind(MemoryBackend):  # noqa: N801
        @hookimpl
        async def list(self, request: Any) -> Any:
            return replace(await super().list(request), after=request.after)


class TestListsTooMuch(Broken):
    fails, says = "test_lists_are_in_byte_order_across_pages", "keep to the limit"

    class kind(MemoryBackend):  # noqa: N801
        @hookimpl
        async def list(self, request: Any) -> Any:
            return await super().list(replace(request, limit=1000))


class TestKnowsOnlyFolders(Broken):
    fails, says = "test_lists_know_prefixes", "prefix '0/a'"

    class kind(MemoryBackend):  # noqa: N801
        @hookimpl
        async def list(self, request: Any) -> Any:
            result = await super().list(request)
            within = [
                blob
                for blob in result.blobs
                if "/" not in request.prefix or blob.name.startswith(request.prefix.rstrip("/") + "/")
            ]
            return replace(result, blobs=tuple(within))


class TestStartsAtAfter(Broken):
    fails, says = "test_lists_start_after_any_text", "itself excluded"

    class kind(MemoryBackend):  # noqa: N801
        @hookimpl
        async def list(self, request: Any) -> Any:
            result = await super().list(request)
            if request.after in self._blobs:
                kept = self._blobs[request.after]
                again = model.ListedBlob(request.after, len(kept.data), kept.fingerprint)
                return replace(result, blobs=(again, *result.blobs[: request.limit - 1]))
            return result


class TestRefusesLegalNames(Broken):
    fails, says = "test_every_legal_name_is_kept", "every opaque name must be accepted"

    class kind(MemoryBackend):  # noqa: N801
        capabilities = Capabilities(shared=False, refuses=lambda name: "reserved" if "/con" in name else None)


def straight(name: str) -> str:
    return os.path.normpath(name)


class TestWalksUpwards(Broken):
    fails, says = "test_strange_names_are_refused_or_kept", "refuse it"

    class kind(MemoryBackend):  # noqa: N801
        @hookimpl
        async def put(self, request: Any) -> Any:
            return await super().put(replace(request, name=straight(request.name)))

        def _find(self, name: str, expect: str | None = None) -> Any:
            return super()._find(straight(name), expect)


# ---------------------------------------------------------------- keeping


class TestLeavesItsProbe(Broken):
    fails, says = "test_a_healthcheck_leaves_nothing", "undo what was begun"

    class kind(MemoryBackend):  # noqa: N801
        @hookimpl
        async def healthcheck(self, request: Any) -> Any:
            await keep(self, request.probe, b"probe")
            return model.HealthcheckResult()


class TestStumblesOverAnOldProbe(Broken):
    fails, says = "test_a_healthcheck_clears_a_probe_left_behind", "BlobExists"

    class kind(MemoryBackend):  # noqa: N801
        @hookimpl
        async def healthcheck(self, request: Any) -> Any:
            await keep(self, request.probe, b"probe", if_absent=True)
            self._forget(request.probe)
            return model.HealthcheckResult()


class Shared(MemoryBackend):
    capabilities = Capabilities(shared=True)


class TestClaimsToBeShared(Broken):
    fails, says = "test_shared_is_true", "BlobMissing"
    kind = Shared

    @pytest.fixture
    def reopen(self) -> Callable[[], Any]:
        return lambda: Shared(Values.of(Shared.settings, {}))


class TestDoesNotProveToBeShared(Broken):
    fails, says = "test_shared_is_true", "prove it with a fixture `reopen`"
    kind = Shared


class TestForgets(Broken):
    fails, says = "test_blobs_survive_close_and_reopen", "BlobMissing"

    @pytest.fixture
    def reopen(self) -> Callable[[], Any]:
        return lambda: MemoryBackend(Values.of(MemoryBackend.settings, {}))


class TestLeavesATimer(Broken):
    fails, says = "test_nothing_is_pending_after_close", "a delayed call of"

    class kind(MemoryBackend):  # noqa: N801
        async def open(self) -> None:
            reactor.callLater(5, print, "still here")


class TestLeavesAThread(Broken):
    fails, says = "test_nothing_is_pending_after_close", "the thread keeper"

    class kind(MemoryBackend):  # noqa: N801
        async def open(self) -> None:
            threading.Thread(target=threading.Event().wait, args=(5,), daemon=True, name="keeper").start()


class TestHasAPlainHook(Broken):
    fails, says = "test_hooks_are_coroutines", "write `async def` for head"

    class kind(MemoryBackend):  # noqa: N801
        @hookimpl
        def head(self, request: Any) -> Any:
            return ensureDeferred(super().head(request))


class TestJoinsHalfWay(Broken):
    fails, says = "test_multipart_is_whole_or_absent", "add uploadPart, completeMPU, abortMPU"

    class kind(MemoryBackend):  # noqa: N801
        @hookimpl
        async def createMPU(self, request: Any) -> Any: ...


class TestDeclaresNonsense(Broken):
    fails, says = "test_capabilities_make_sense", "smallest_part is larger than largest_part"

    class kind(MemoryBackend):  # noqa: N801
        capabilities = Capabilities(shared=False, smallest_part=10, largest_part=5)


class TestExplainsNothing(Broken):
    fails, says = "test_settings_are_documented", "write its help as a sentence"

    class kind(MemoryBackend):  # noqa: N801
        settings = (*MemoryBackend.settings, Setting("odd.key", kind="text", default="", help="key"))


class Secretive(MemoryBackend):
    secrets = (Secret("oddsecret", help="What opens the odd storage."),)

    def __repr__(self) -> str:
        return "<Secretive, opened with geheim123>"


class TestShowsItsSecret(Broken):
    fails, says = "test_no_repr_shows_a_secret", "a repr shows a secret"
    kind = Secretive

    @pytest.fixture
    def secrets(self) -> list[str]:
        return ["geheim123"]


class TestHidesItsSecrets(Broken):
    fails, says = "test_no_repr_shows_a_secret", "write a fixture `secrets`"
    kind = Secretive


# ---------------------------------------------------------------- uploads


class TestJoinsAsTheyCame(Broken):
    fails, says = "test_parts_join_in_the_chosen_order", "assert"

    class kind(NativeMemory):  # noqa: N801
        @hookimpl
        async def completeMPU(self, request: Any) -> Any:
            parts = sorted(request.parts, key=lambda part: int(self._parts._blobs[part.receipt].fingerprint))
            return await super().completeMPU(replace(request, parts=tuple(parts)))


class TestForgetsTheMetadataOfUploads(Broken):
    fails, says = "test_parts_join_in_the_chosen_order", "the metadata of createMPU"

    class kind(NativeMemory):  # noqa: N801
        @hookimpl
        async def createMPU(self, request: Any) -> Any:
            return await super().createMPU(replace(request, metadata={}))


class TestCompletesOnce(Broken):
    fails, says = "test_completing_again_gives_the_same_answer", "BlobMissing"

    class kind(NativeMemory):  # noqa: N801
        @hookimpl
        async def completeMPU(self, request: Any) -> Any:
            result = await super().completeMPU(request)
            self._joined.clear()
            return result


class TestShowsOpenUploads(Broken):
    fails, says = "test_an_open_upload_does_not_list", "not complete"

    class kind(NativeMemory):  # noqa: N801
        @hookimpl
        async def createMPU(self, request: Any) -> Any:
            await keep(self, request.name, b"")
            return await super().createMPU(request)


class TestAbortsTooMuch(Broken):
    fails, says = "test_abort_with_a_token_ends_one_upload", "is not open"

    class kind(NativeMemory):  # noqa: N801
        @hookimpl
        async def abortMPU(self, request: Any) -> Any:
            return await super().abortMPU(replace(request, token=None))


class TestAbortsTooLittle(Broken):
    fails, says = "test_abort_without_a_token_ends_them_all", "DID NOT RAISE"

    class kind(NativeMemory):  # noqa: N801
        @hookimpl
        async def abortMPU(self, request: Any) -> Any:
            return await super().abortMPU(request) if request.token else model.AbortMPUResult()


class TestAbortsWhatWasCompleted(Broken):
    fails, says = "test_abort_keeps_what_was_completed", "BlobMissing"

    class kind(NativeMemory):  # noqa: N801
        @hookimpl
        async def abortMPU(self, request: Any) -> Any:
            self._forget(request.name)
            return await super().abortMPU(request)


class TestJoinsOverAnother(Broken):
    fails, says = "test_if_absent_refuses_a_second_completion", "DID NOT RAISE"

    class kind(NativeMemory):  # noqa: N801
        @hookimpl
        async def completeMPU(self, request: Any) -> Any:
            return await super().completeMPU(replace(request, if_absent=False))


class TestKeepsBrokenParts(Broken):
    fails, says = "test_a_part_whose_body_fails_leaves_nothing", "still there"

    class kind(NativeMemory):  # noqa: N801
        @hookimpl
        async def uploadPart(self, request: Any) -> Any:
            try:
                return await super().uploadPart(request)
            except Exception:
                await keep(self, f"{request.name}/broken", b"")
                raise


class TestTakesAShortChunkForTheLast(Broken):
    fails, says = "test_put_takes_chunks_of_any_size", "BackendDown"

    class kind(MemoryBackend):  # noqa: N801
        @hookimpl
        async def put(self, request: Any) -> Any:
            data = b""
            async for chunk in request.body:
                data += chunk
                if len(chunk) < 65536:
                    break
            if len(data) != request.size:
                raise BackendDown(f"{len(data)} of {request.size}")
            return await keep(self, request.name, data)


class TestPagesOfNothing(Broken):
    fails, says = "test_the_last_page_says_so", "an empty list has no next page"

    class kind(MemoryBackend):  # noqa: N801
        @hookimpl
        async def list(self, request: Any) -> Any:
            result = await super().list(request)
            return result if result.blobs or request.after else replace(result, after="zzz")


class TestListsOtherSizes(Broken):
    fails, says = "test_a_list_shows_what_a_head_shows", "list says"

    class kind(MemoryBackend):  # noqa: N801
        @hookimpl
        async def list(self, request: Any) -> Any:
            result = await super().list(request)
            return replace(result, blobs=tuple(replace(blob, size=4096) for blob in result.blobs))


class TestKeepsTheFirstOfTwoParts(Broken):
    fails, says = "test_a_part_sent_again_counts", "the part that was sent last"

    class kind(NativeMemory):  # noqa: N801
        @hookimpl
        async def uploadPart(self, request: Any) -> Any:
            for name in self._parts._blobs:
                if name.startswith(f"{request.token}/{request.number}/"):
                    return model.UploadPartResult(name)
            return await super().uploadPart(request)


class TestLeavesPartsBehind(Broken):
    fails, says = "test_parts_that_are_not_chosen_are_gone", "only the chosen parts are left"

    class kind(NativeMemory):  # noqa: N801
        @hookimpl
        async def completeMPU(self, request: Any) -> Any:
            result = await super().completeMPU(request)
            await keep(self, f"{request.name}/part", b"left")
            return result


class TestJoinsWhatItHas(Broken):
    fails, says = "test_completing_without_a_part_is_BlobMissing", "DID NOT RAISE"

    class kind(NativeMemory):  # noqa: N801
        @hookimpl
        async def completeMPU(self, request: Any) -> Any:
            there = tuple(part for part in request.parts if part.receipt in self._parts._blobs)
            return await super().completeMPU(replace(request, parts=there))


class TestKeepsCancelledParts(Broken):
    fails, says = "test_a_cancelled_part_leaves_nothing", "still there"

    class kind(NativeMemory):  # noqa: N801
        @hookimpl
        async def uploadPart(self, request: Any) -> Any:
            try:
                return await super().uploadPart(request)
            except CancelledError:
                await keep(self, f"{request.name}/cancelled", b"")
                raise


class TestMixesPartsUp(Broken):
    fails, says = "test_parts_at_once", "is not the one that was chosen"

    class kind(NativeMemory):  # noqa: N801
        last = b""

        @hookimpl
        async def uploadPart(self, request: Any) -> Any:
            self.last = await gathered(request.body)
            await task.deferLater(reactor, 0)
            body = BytesBody(self.last)
            return await super().uploadPart(replace(request, body=body, size=len(self.last)))
