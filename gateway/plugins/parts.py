"""Multipart uploads for backends that have none: one blob per part, and completing moves no byte.

Below the blob name of an upload lie ``<token><number><nonce>`` for each part that was sent and ``<token>open`` as long
as the upload is open. The marker goes last, so that whoever dies on the way leaves an open upload, never half a result.
Whoever puts a part looks for the marker afterwards; whoever removes the marker looks for parts afterwards: between them
no part is left behind.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import AsyncIterator, Awaitable, Generator, Iterable, Sequence
from dataclasses import replace
from typing import Protocol

from twisted.internet import defer
from twisted.python.failure import Failure

from gateway import model
from gateway.bodies import EmptyBody
from gateway.errors import BlobExists, BlobMissing
from gateway.plugins.hookspecs import hookimpl

TOKEN = 16  # hex digits: two uploads under one name never meet
NONCE = 12  # hex digits: a number sent again is another blob
OPEN = "open"
_PART = re.compile(rf"(?P<token>.*/[0-9a-f]{{{TOKEN}}})[0-9]{{5}}[0-9a-f]{{{NONCE}}}", re.DOTALL)
AT_ONCE = 8  # deletes under way together


class Below(Protocol):
    """The blob hooks beneath the wrappers."""

    async def put(self, request: model.PutRequest) -> model.PutResult: ...

    async def head(self, request: model.HeadRequest) -> model.HeadResult: ...

    async def delete(self, request: model.DeleteRequest) -> model.DeleteResult: ...

    async def list(self, request: model.ListRequest) -> model.ListResult: ...


class Parts:
    """The four multipart hooks over the blob hooks of ``below``.

    The blob name of an upload has at most two segments and 46 characters, so that its parts' names are still opaque
    names. Its caller completes an upload with one list of parts only, however often (the catalogue keeps that list).
    """

    def __init__(self, below: Below) -> None:
        self._below = below

    @hookimpl(trylast=True)
    async def createMPU(self, request: model.CreateMPURequest) -> model.CreateMPUResult:
        token = secrets.token_hex(TOKEN // 2)
        marker = f"{request.name}/{token}{OPEN}"
        await self._below.put(
            model.PutRequest(name=marker, body=EmptyBody(), size=0, if_absent=True, metadata=request.metadata)
        )
        return model.CreateMPUResult(token)

    @hookimpl(trylast=True)
    async def uploadPart(self, request: model.UploadPartRequest) -> model.UploadPartResult:
        receipt = f"{request.number:05d}{secrets.token_hex(NONCE // 2)}"
        part = f"{request.name}/{request.token}{receipt}"
        await self._below.put(model.PutRequest(name=part, body=request.body, size=request.size, if_absent=True))
        if not await self._is_open(f"{request.name}/{request.token}"):
            await self._below.delete(model.DeleteRequest(name=part))
            raise BlobMissing(f"the upload {request.token} of {request.name} is not open any more")
        return model.UploadPartResult(receipt)

    @hookimpl(trylast=True)
    async def completeMPU(self, request: model.CompleteMPURequest) -> model.CompleteMPUResult:
        stem = f"{request.name}/{request.token}"
        marker = stem + OPEN
        stored = {blob.name: blob async for blob in self._all(f"{request.name}/")}
        blobs = tuple(model.BlobSize(stem + part.receipt, part.size) for part in request.parts)
        for blob in blobs:
            kept = stored.get(blob.name)
            if kept is None or kept.size != blob.size:
                raise BlobMissing(f"{blob.name}: expected a part of {blob.size} bytes, found {kept}")
        if request.if_absent and _completed(stored, besides=stem):
            raise BlobExists(f"another upload of {request.name} was completed")
        chosen = {blob.name for blob in blobs}
        if marker in stored:  # else it was completed before: nothing may be deleted now
            await self._forget(name for name in _of(stem, stored) if name not in chosen)
            await self._forget([marker])
            late = [blob.name async for blob in self._all(stem) if blob.name not in chosen]
            await self._forget(late)
        return model.CompleteMPUResult(_fingerprint([stored[blob.name] for blob in blobs]), blobs)

    @hookimpl(trylast=True)
    async def abortMPU(self, request: model.AbortMPURequest) -> model.AbortMPUResult:
        stem = f"{request.name}/{request.token or ''}"
        stored = [blob.name async for blob in self._all(stem)]
        for marker in [name for name in stored if _is_marker(name)]:
            upload = marker.removesuffix(OPEN)
            await self._forget(_of(upload, stored))
            await self._forget([marker])
            await self._forget([blob.name async for blob in self._all(upload)])
        return model.AbortMPUResult()

    @hookimpl(wrapper=True, trylast=True)
    def list(
        self, request: model.ListRequest
    ) -> Generator[None, Awaitable[model.ListResult] | None, Awaitable[model.ListResult] | None]:
        """What belongs to an open upload does not show."""
        page = yield
        return None if page is None else self._without_open(page)

    async def _without_open(self, page: Awaitable[model.ListResult]) -> model.ListResult:
        result = await page
        names = [blob.name for blob in result.blobs]
        stems = dict.fromkeys(match["token"] for match in map(_PART.fullmatch, names) if match)
        hidden = {stem for stem in stems if await self._is_open(stem)}
        shown = tuple(blob for blob in result.blobs if not _hides(blob.name, hidden))
        return result if len(shown) == len(names) else replace(result, blobs=shown)

    async def _is_open(self, stem: str) -> bool:
        try:
            await self._below.head(model.HeadRequest(name=stem + OPEN))
        except BlobMissing:
            return False
        return True

    async def _all(self, prefix: str) -> AsyncIterator[model.ListedBlob]:
        after: str | None = ""
        while after is not None:
            page = await self._below.list(model.ListRequest(prefix=prefix, after=after))
            for blob in page.blobs:
                yield blob
            after = page.after

    async def _forget(self, names: Iterable[str]) -> None:
        """Delete several blobs at once; the first failure is raised when all are done."""
        waiting = iter(tuple(names))

        async def some() -> None:
            for name in waiting:
                await self._below.delete(model.DeleteRequest(name=name))

        done = await defer.DeferredList([defer.ensureDeferred(some()) for _ in range(AT_ONCE)], consumeErrors=True)
        for _, outcome in done:
            if isinstance(outcome, Failure):
                outcome.raiseException()


def _is_marker(name: str) -> bool:
    return re.fullmatch(rf".*/[0-9a-f]{{{TOKEN}}}{OPEN}", name, re.DOTALL) is not None


def _of(stem: str, names: Iterable[str]) -> list[str]:
    """The parts, without the marker, of one upload."""
    return [name for name in names if (match := _PART.fullmatch(name)) and match["token"] == stem]


def _hides(name: str, hidden: set[str]) -> bool:
    match = _PART.fullmatch(name)
    return _is_marker(name) or (match is not None and match["token"] in hidden)


def _completed(names: Iterable[str], besides: str) -> bool:
    """Whether another upload than ``besides`` left parts and no marker."""
    everything = set(names)
    stems = {match["token"] for match in map(_PART.fullmatch, everything) if match} - {besides}
    return any(stem + OPEN not in everything for stem in stems)


def _fingerprint(parts: Sequence[model.ListedBlob]) -> str:
    """Changes whenever a part's does."""
    text = "\n".join(f"{part.name} {part.fingerprint}" for part in parts)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
