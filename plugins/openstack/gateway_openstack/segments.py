"""Multipart uploads as static large objects (https://docs.openstack.org/swift/latest/overview_large_objects.html).

The parts of an upload are objects ``!segments/NAME!TOKEN/...`` of the same container, which no listing shows:

    open                    as long as the upload is open; holds the metadata
    00001<nonce>            one part, one object
    m00000                  a manifest of 1,000 parts, where there are more than one manifest may name

A manifest under NAME itself makes them one blob; it remembers TOKEN. Whatever belongs to a token that is neither open
nor remembered by NAME is rubbish, and goes with the next complete, abort or delete of NAME.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from gateway.api import (
    AbortMPURequest,
    AbortMPUResult,
    BackendDown,
    BlobExists,
    BlobMissing,
    BlobSize,
    CompleteMPURequest,
    CompleteMPUResult,
    CreateMPURequest,
    CreateMPUResult,
    UploadPartRequest,
    UploadPartResult,
    hookimpl,
    pack_metadata,
    read_json,
)
from gateway_openstack.answers import etag, outcome
from gateway_openstack.storage import META, UPLOAD, Found, Storage

HIDDEN = "!segments/"
_LARGEST_MANIFEST = 1000  # Swift's max_manifest_segments
_BELOW = re.compile(r"([0-9a-f]{16})/(?:open|m[0-9]{5}|[0-9]{5}[0-9a-f]{12})")
_RECEIPT = re.compile(r"([0-9]{5}[0-9a-f]{12})([0-9a-f]{32})")
_LOST = ("404", "Etag Mismatch", "Size Mismatch")


@dataclass(frozen=True, slots=True)
class Segment:
    """An object that a manifest names."""

    name: str
    etag: str
    size: int


class Segments:
    """The four multipart hooks. ``manifest_limit``: how many segments one manifest names."""

    manifest_limit = _LARGEST_MANIFEST

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    @hookimpl
    async def createMPU(self, request: CreateMPURequest) -> CreateMPUResult:
        token = secrets.token_hex(8)
        headers = {META + name: text for name, text in pack_metadata(request.metadata).items()}
        await self._storage.put(_marker(request.name, token), b"", 0, headers)
        return CreateMPUResult(token)

    @hookimpl
    async def uploadPart(self, request: UploadPartRequest) -> UploadPartResult:
        own = f"{request.number:05d}{secrets.token_hex(6)}"
        name = f"{_stem(request.name, request.token)}/{own}"
        fingerprint = await self._storage.put(name, request.body, request.size, {})
        # Whoever ends an upload removes the marker first and lists the parts then: between us no part is left behind.
        if await self._storage.find(_marker(request.name, request.token)) is None:
            await self._storage.remove(name)
            raise BlobMissing(f"the upload {request.token} of {request.name} is not open")
        return UploadPartResult(own + fingerprint)

    @hookimpl
    async def completeMPU(self, request: CompleteMPURequest) -> CompleteMPUResult:
        stem = _stem(request.name, request.token)
        below, top = self._plan(stem, _chosen(stem, request))
        fingerprint = _joint(top)
        found = await self._storage.find(request.name)
        marker = await self._storage.find(_marker(request.name, request.token))
        if found is None or found.upload != request.token:
            if marker is None:
                raise BlobMissing(f"the upload {request.token} of {request.name} is not open")
            if found is not None and request.if_absent:
                raise BlobExists(request.name)  # Ceph does not look at If-None-Match
            headers = {META + name: text for name, text in pack_metadata(marker.metadata).items()}
            await self._join(request, below, top, {**headers, UPLOAD: request.token})
        elif found.fingerprint != fingerprint:
            raise BlobMissing(f"{request.name} was completed with other parts")
        await self._storage.remove(_marker(request.name, request.token))
        used = [segment for manifest, segments in below for segment in (manifest, *segments)]
        await self._sweep(request.name, {segment.name for segment in (*used, *top)})
        return CompleteMPUResult(fingerprint, (BlobSize(request.name, sum(part.size for part in request.parts)),))

    @hookimpl
    async def abortMPU(self, request: AbortMPURequest) -> AbortMPUResult:
        tokens = {request.token} if request.token else set(await self._below(request.name))
        for token in tokens:
            await self._storage.remove(_marker(request.name, token))
        await self._sweep(request.name)
        return AbortMPUResult()

    async def remove(self, name: str, found: Found | None) -> None:
        """Delete a blob and its segments, also those of a delete that did not get that far."""
        if found is not None and found.large:
            params, headers = {"multipart-manifest": "delete"}, {"Accept": "application/json"}
            await self._storage.ask("DELETE", name, params=params, headers=headers, expect=(200, 404))
        if found is not None:  # also after Swift's own attempt: it begins nothing where there are too many segments
            await self._storage.remove(name)
        if found is None or found.upload:
            await self._sweep(name)

    async def _sweep(self, name: str, used: Sequence[str] | set[str] | None = None) -> None:
        """Delete what belongs to no open upload and not to the blob itself, of whose segments only ``used`` are."""
        for token, names in (await self._below(name)).items():
            if await self._storage.find(_marker(name, token)) is not None:
                continue
            blob = await self._storage.find(name)  # looked at after the marker: complete writes it before
            if blob is not None and blob.upload == token:
                names = [each for each in names if each not in used] if used is not None else []
            await self._storage.remove_all(names)

    async def _below(self, name: str) -> dict[str, list[str]]:
        """The objects of each upload under that name."""
        found: dict[str, list[str]] = {}
        prefix = f"{HIDDEN}{name}!"
        async for each in self._storage.names(prefix):
            if match := _BELOW.fullmatch(each, len(prefix)):
                found.setdefault(match[1], []).append(each)
        return found

    def _plan(self, stem: str, segments: list[Segment]) -> tuple[list[tuple[Segment, list[Segment]]], list[Segment]]:
        """Manifests that must be there first, with what they name; and what the blob's own manifest names."""
        below: list[tuple[Segment, list[Segment]]] = []
        while len(segments) > self.manifest_limit:
            upper: list[Segment] = []
            for at in range(0, len(segments), self.manifest_limit):
                named = segments[at : at + self.manifest_limit]
                upper.append(Segment(f"{stem}/m{len(below):05d}", _joint(named), sum(each.size for each in named)))
                below.append((upper[-1], named))
            segments = upper
        return below, segments

    async def _join(
        self,
        request: CompleteMPURequest,
        below: list[tuple[Segment, list[Segment]]],
        top: list[Segment],
        headers: dict[str, str],
    ) -> None:
        for manifest, named in below:
            await self._write(manifest.name, named, {})
        condition = {"If-None-Match": "*"} if request.if_absent else {}
        with suppress(BlobExists):  # perhaps it is ours, and only the first answer was lost
            if top:
                await self._write(request.name, top, {**headers, **condition})
            else:
                await self._storage.put(request.name, b"", 0, {**headers, **condition})
        if request.if_absent:
            await self._storage.settle(request.name, request.token)

    async def _write(self, name: str, segments: list[Segment], headers: dict[str, str]) -> None:
        """Write a manifest; Swift looks at every segment meanwhile, and keeps us company until it is done."""
        path = self._storage.path
        rows = [{"path": path(each.name), "etag": each.etag, "size_bytes": each.size} for each in segments]
        reply = await self._storage.ask(
            "PUT",
            name,
            params={"multipart-manifest": "put", "heartbeat": "on"},
            headers={"Content-Type": "application/octet-stream", "Accept": "application/json", **headers},
            body=json.dumps(rows).encode(),
            expect=(201, 202, 400),
        )
        if reply.status == 201:
            written = etag(reply)
        else:
            told = read_json(reply.content)
            errors = told.get("Errors") if isinstance(told, dict) else None
            if errors and all(str(reason).startswith(_LOST) for _, reason in errors):
                raise BlobMissing(f"{name}: parts are gone: {errors[:3]}")
            written = str(outcome(reply, "PUT").get("Etag", "")).strip('"')
        if written != _joint(segments):
            raise BackendDown(f"{name} is not what was written")


def _stem(name: str, token: str) -> str:
    return f"{HIDDEN}{name}!{token}"


def _marker(name: str, token: str) -> str:
    return f"{_stem(name, token)}/open"


def _joint(segments: Sequence[Segment]) -> str:
    """The ETag that Swift gives to segments that are joined."""
    return hashlib.md5("".join(each.etag for each in segments).encode(), usedforsecurity=False).hexdigest()


def _chosen(stem: str, request: CompleteMPURequest) -> list[Segment]:
    """The parts that have bytes: Swift joins no empty ones. Raises BlobMissing for a receipt that is not ours."""
    segments = []
    for part in request.parts:
        match = _RECEIPT.fullmatch(part.receipt)
        if match is None or int(match[1][:5]) != part.number:
            raise BlobMissing(f"part {part.number} of {request.name} was never sent")
        if part.size:
            segments.append(Segment(f"{stem}/{match[1]}", match[2], part.size))
    return segments
