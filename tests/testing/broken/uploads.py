"""Backends that break promises_uploads.py."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from twisted.internet import reactor, task
from twisted.internet.defer import CancelledError

from gateway import model
from gateway.api import BytesBody, hookimpl
from gateway.errors import ClientGone
from gateway.testing.native import NativeMemory
from tests.testing.broken.frame import Broken, gathered, keep


class TestJoinsAsTheyCame(Broken):
    fails, says = "test_parts_join_in_the_chosen_order", "in the order in which completeMPU names them"

    class kind(NativeMemory):  # noqa: N801
        def _came(self, part: model.ChosenPart) -> int:
            kept = self._parts._blobs.get(part.receipt)
            return int(kept.fingerprint) if kept else part.number

        @hookimpl
        async def completeMPU(self, request: Any) -> Any:
            parts = sorted(request.parts, key=self._came)
            return await super().completeMPU(replace(request, parts=tuple(parts)))


class TestForgetsTheMetadataOfUploads(Broken):
    fails, says = "test_an_upload_has_its_metadata", "the metadata of createMPU"

    class kind(NativeMemory):  # noqa: N801
        @hookimpl
        async def createMPU(self, request: Any) -> Any:
            return await super().createMPU(replace(request, metadata={}))


class TestCompletesOnce(Broken):
    fails, says = "test_completing_again_gives_the_same_answer", "Answer a completeMPU that is tried again"

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
        async def list(self, request: Any) -> Any:
            result = await super().list(request)
            shown = {blob.name for blob in result.blobs}
            if "/" in request.prefix:
                return result
            begun = {upload.name for upload in self._open.values() if upload.name.startswith(request.prefix)} - shown
            return replace(result, blobs=(*result.blobs, *(model.ListedBlob(name, 0, "begun") for name in begun)))


class TestAbortsTooMuch(Broken):
    fails, says = "test_abort_with_a_token_ends_one_upload", "End in abortMPU the upload of that token alone"

    class kind(NativeMemory):  # noqa: N801
        @hookimpl
        async def abortMPU(self, request: Any) -> Any:
            return await super().abortMPU(replace(request, token=None))


class TestAbortsTooLittle(Broken):
    fails, says = "test_abort_without_a_token_ends_them_all", "every open upload of that very name"

    class kind(NativeMemory):  # noqa: N801
        @hookimpl
        async def abortMPU(self, request: Any) -> Any:
            return await super().abortMPU(request) if request.token else model.AbortMPUResult()


class TestAbortsWhatWasCompleted(Broken):
    fails, says = "test_abort_keeps_what_was_completed", "Leave in abortMPU what was completed before"

    class kind(NativeMemory):  # noqa: N801
        @hookimpl
        async def abortMPU(self, request: Any) -> Any:
            self._forget(request.name)
            return await super().abortMPU(request)


class TestJoinsOverAnother(Broken):
    fails, says = "test_if_absent_refuses_a_second_completion", "Raise BlobExists in completeMPU"

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
            except ClientGone:
                await keep(self, f"{request.name}/broken", b"")
                raise


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
            sent = {name.split("/")[1] for name in self._parts._blobs if name.startswith(f"{request.token}/")}
            result = await super().completeMPU(request)
            for number in sent - {str(part.number) for part in request.parts}:
                await keep(self, f"{request.name}/{number}", b"left")
            return result


class TestJoinsWhatItHas(Broken):
    fails, says = "test_completing_without_a_part_is_BlobMissing", "Raise BlobMissing where a chosen part is not there"

    class kind(NativeMemory):  # noqa: N801
        @hookimpl
        async def completeMPU(self, request: Any) -> Any:
            if request.token in self._joined:
                return await super().completeMPU(request)
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
    fails, says = "test_parts_at_once", "keep them apart"

    class kind(NativeMemory):  # noqa: N801
        last = b""

        @hookimpl
        async def uploadPart(self, request: Any) -> Any:
            self.last = await gathered(request.body)
            await task.deferLater(reactor, 0)
            body = BytesBody(self.last)
            return await super().uploadPart(replace(request, body=body, size=len(self.last)))
