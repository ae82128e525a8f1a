"""Backends that break promises_conditions.py."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from gateway import model
from gateway.api import BlobExists, Capabilities, hookimpl
from gateway.plugins.memory import MemoryBackend
from tests.testing.broken.frame import Broken


class TestLooksTooEarly(Broken):
    fails, says = "test_if_absent_has_one_winner", "exactly one may"

    class kind(MemoryBackend):  # noqa: N801
        @hookimpl
        async def put(self, request: Any) -> Any:
            self._check_absent(request)
            return await super().put(replace(request, if_absent=False))


class TestIgnoresIfAbsent(Broken):
    fails, says = "test_if_absent_keeps_the_blob_that_is_there", "DID NOT RAISE"
    broad = True

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
    broad = True

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


class TestAsksOnlyWhoIsWriting(Broken):
    fails, says = "test_if_absent_keeps_the_blob_that_is_there", "Raise BlobExists"

    class kind(MemoryBackend):  # noqa: N801
        writing: frozenset[str] = frozenset()

        @hookimpl
        async def put(self, request: Any) -> Any:
            if request.if_absent and request.name in self.writing:
                raise BlobExists(request.name)
            self.writing |= {request.name}
            try:
                return await super().put(replace(request, if_absent=False))
            finally:
                self.writing -= {request.name}


class TestLooksAtTheFirstByte(Broken):
    fails, says = "test_a_fingerprint_changes_with_the_bytes", "fingerprints repeat"

    class kind(MemoryBackend):  # noqa: N801
        @hookimpl
        async def put(self, request: Any) -> Any:
            await super().put(request)
            kept = self._blobs[request.name]
            fingerprint = f"first {kept.data[:1].hex()}"
            self._blobs[request.name] = replace(kept, fingerprint=fingerprint)
            return model.PutResult(fingerprint)
