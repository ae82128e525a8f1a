"""Blobs in the memory of this process: for tests, demos, and as the smallest example of a backend.

Everything is gone when the process ends. What a plugin author may copy from here: reserve, read the body to its end,
undo whatever happens, and let the new blob appear in one step.
"""

from __future__ import annotations

import bisect
import time
from collections.abc import Mapping
from dataclasses import dataclass

from gateway.api import (
    BackendDown,
    BackendFull,
    BlobChanged,
    BlobExists,
    BlobMissing,
    Body,
    BytesBody,
    Capabilities,
    DeleteRequest,
    DeleteResult,
    GetRequest,
    GetResult,
    HeadRequest,
    HeadResult,
    HealthcheckRequest,
    HealthcheckResult,
    ListedBlob,
    ListRequest,
    ListResult,
    PutRequest,
    PutResult,
    Setting,
    Values,
    hookimpl,
)


@dataclass(frozen=True, slots=True)
class Kept:
    """One blob; ``data`` is never changed after it appeared."""

    data: bytearray
    fingerprint: str
    metadata: Mapping[str, str]
    modified: float


class MemoryBackend:
    """A mapping of names to bytes. ``memory.limit`` bounds what all blobs hold together."""

    settings = (Setting("memory.limit", kind="size", default="1GiB", help="How many bytes all blobs may hold."),)
    capabilities = Capabilities(shared=False)
    kit_version = 2  # of the promises that the kit saw it keep

    def __init__(self, values: Values) -> None:
        self._limit: int = values["memory.limit"]
        self._used = 0
        self._versions = 0
        self._blobs: dict[str, Kept] = {}

    @hookimpl
    async def put(self, request: PutRequest) -> PutResult:
        self._check_absent(request)
        self._reserve(request.size)
        try:
            data = await _read(request.body, request.size)
            self._check_absent(request)  # another put may have won while this one waited for its body
        except BaseException:
            self._used -= request.size
            raise
        self._versions += 1
        kept = Kept(data, str(self._versions), dict(request.metadata), time.time())
        self._forget(request.name)
        self._blobs[request.name] = kept
        return PutResult(kept.fingerprint)

    @hookimpl
    async def get(self, request: GetRequest) -> GetResult:
        kept = self._find(request.name, request.expect)
        end = None if request.length is None else request.start + request.length
        body = BytesBody(memoryview(kept.data)[request.start : end])
        return GetResult(len(kept.data), kept.fingerprint, body=body)

    @hookimpl
    async def delete(self, request: DeleteRequest) -> DeleteResult:
        if request.name in self._blobs:
            self._find(request.name, request.expect)
            self._forget(request.name)
        return DeleteResult()

    @hookimpl
    async def head(self, request: HeadRequest) -> HeadResult:
        kept = self._find(request.name)
        return HeadResult(len(kept.data), kept.fingerprint, dict(kept.metadata), kept.modified)

    @hookimpl
    async def list(self, request: ListRequest) -> ListResult:
        names = sorted((name for name in self._blobs if name.startswith(request.prefix)), key=str.encode)
        first = bisect.bisect_right(names, request.after.encode(), key=str.encode)
        page = names[first : first + request.limit]
        blobs = tuple(
            ListedBlob(name, len(kept.data), kept.fingerprint, kept.modified)
            for name, kept in ((name, self._blobs[name]) for name in page)
        )
        return ListResult(blobs, page[-1] if first + len(page) < len(names) else None)

    @hookimpl
    async def healthcheck(self, request: HealthcheckRequest) -> HealthcheckResult:
        self._reserve(1)
        self._used -= 1
        return HealthcheckResult({"free_bytes": str(self._limit - self._used), "blobs": str(len(self._blobs))})

    def _find(self, name: str, expect: str | None = None) -> Kept:
        kept = self._blobs.get(name)
        if kept is None:
            raise BlobMissing(name)
        if expect is not None and kept.fingerprint != expect:
            raise BlobChanged(name)
        return kept

    def _forget(self, name: str) -> None:
        kept = self._blobs.pop(name, None)
        self._used -= len(kept.data) if kept else 0

    def _reserve(self, size: int) -> None:
        if self._used + size > self._limit:
            raise BackendFull(f"{self._used} of {self._limit} bytes are used (memory.limit), {size} more are asked for")
        self._used += size

    def _check_absent(self, request: PutRequest) -> None:
        if request.if_absent and request.name in self._blobs:
            raise BlobExists(request.name)


async def _read(body: Body, size: int) -> bytearray:
    data = bytearray()
    async for chunk in body:
        data += chunk
        if len(data) > size:
            break
    if len(data) != size:
        raise BackendDown(f"the body gave {len(data)} bytes and announced {size}")
    return data
