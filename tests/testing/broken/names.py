"""Backends that break promises_names.py."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

from gateway import model
from gateway.api import Capabilities, hookimpl
from gateway.plugins.memory import MemoryBackend
from tests.testing.broken.frame import Broken


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
    broad = True

    class kind(Sorted):  # noqa: N801
        def order(self, name: str) -> Any:
            *folders, file = name.split("/")
            return [*((1, folder) for folder in folders), (0, file)]


class TestNeverEndsItsPages(Broken):
    fails, says = "test_lists_are_in_byte_order_across_pages", "the pages never end"
    broad = True

    class kind(MemoryBackend):  # noqa: N801
        @hookimpl
        async def list(self, request: Any) -> Any:
            return replace(await super().list(request), after=request.after)


class TestListsTooMuch(Broken):
    fails, says = "test_lists_are_in_byte_order_across_pages", "keep to the limit"

    class kind(MemoryBackend):  # noqa: N801
        @hookimpl
        async def list(self, request: Any) -> Any:
            return await super().list(replace(request, limit=max(2, request.limit)))


class TestKnowsOnlyFolders(Broken):
    fails, says = "test_lists_know_prefixes", "prefix '0/a'"
    broad = True

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
    broad = True

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


class TestPagesOfNothing(Broken):
    fails, says = "test_the_last_page_says_so", "an empty list has no next page"

    class kind(MemoryBackend):  # noqa: N801
        @hookimpl
        async def list(self, request: Any) -> Any:
            result = await super().list(request)
            return result if result.blobs or request.after else replace(result, after="zzz")


class TestCountsTheMetadata(Broken):
    fails, says = "test_a_list_shows_what_a_head_shows", "list says"

    class kind(MemoryBackend):  # noqa: N801
        @hookimpl
        async def list(self, request: Any) -> Any:
            result = await super().list(request)
            return replace(
                result,
                blobs=tuple(
                    replace(blob, size=blob.size + len("".join(self._blobs[blob.name].metadata.values())))
                    for blob in result.blobs
                ),
            )


class TestLeavesOutTheNameItself(Broken):
    fails, says = "test_lists_know_prefixes", "Take a prefix for text"

    class kind(MemoryBackend):  # noqa: N801
        @hookimpl
        async def list(self, request: Any) -> Any:
            result = await super().list(request)
            shown = [blob for blob in result.blobs if "/" not in request.prefix or blob.name != request.prefix]
            return replace(result, blobs=tuple(shown))


class TestStartsAgainWhereAfterIsNoBlob(Broken):
    fails, says = "test_lists_start_after_any_text", "whether or not a blob has that name"

    class kind(MemoryBackend):  # noqa: N801
        @hookimpl
        async def list(self, request: Any) -> Any:
            return await super().list(request if request.after in self._blobs else replace(request, after=""))
