"""Blobs as objects of one container of OpenStack Swift, or of Rackspace Cloud Files.

(https://docs.openstack.org/api-ref/object-store/; the settings are those of Tahoe-LAFS's page on cloud storage.)
"""

from __future__ import annotations

import hashlib
import secrets
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from gateway.api import (
    METADATA_PAIRS,
    METADATA_SIZE,
    BackendDown,
    BackendUnfit,
    BlobChanged,
    BlobExists,
    BlobMissing,
    Capabilities,
    DeleteRequest,
    DeleteResult,
    EmptyBody,
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
    Secret,
    Setting,
    Values,
    hookimpl,
    pack_metadata,
    timing_settings,
    whole_size,
)
from gateway_openstack.answers import etag
from gateway_openstack.identity import KEY, KINDS, RACKSPACE
from gateway_openstack.segments import HIDDEN, Segments
from gateway_openstack.storage import META, PAGE, UPLOAD, Found, Storage

_GIB = 1024**3
_LONGEST = 256  # bytes of a name
_PROBE = 1024  # bytes
_NOTHING = hashlib.md5(b"", usedforsecurity=False).hexdigest()


def refuses(name: str) -> str | None:
    """Why Swift, or this plugin, cannot keep a blob of that name."""
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        return "it is not Unicode"
    if not 1 <= size <= _LONGEST:
        return f"names have 1 to {_LONGEST} bytes"
    if "\0" in name:
        return "it contains NUL"
    return f"what begins with {HIDDEN} holds the segments of large blobs" if name.startswith(HIDDEN) else None


class OpenStackBackend(Segments):
    """A container as a location."""

    settings = (
        Setting(
            "openstack.provider",
            "choice",
            "Where the Rackspace account was made; openstack.url is for other services.",
            default="rackspace.com",
            choices=tuple(RACKSPACE),
        ),
        Setting("openstack.username", "text", "The user, or the id of an application credential."),
        Setting("openstack.container", "text", "Container that holds the blobs; no other gateway may use it."),
        Setting("openstack.url", "url", "The authentication service, instead of the provider's.", default=None),
        Setting(
            "openstack.auth",
            "choice",
            "How to prove who we are; default: the version that openstack.url ends with, else v2.",
            default=None,
            choices=KINDS,
        ),
        Setting("openstack.project", "text", "Project (tenant) that owns the container.", default=None),
        Setting("openstack.user_domain", "text", "Domain of the user, for v3.", default="Default"),
        Setting("openstack.project_domain", "text", "Domain of the project, for v3.", default="Default"),
        Setting("openstack.region", "text", "Region of the storage, where there are several.", default=None),
        *timing_settings("openstack"),
    )
    secrets = (Secret(KEY, "API key, password, or secret of the application credential."),)
    kit_version = 2
    capabilities = Capabilities(
        shared=True,
        largest_blob=5 * _GIB,
        largest_part=5 * _GIB,
        most_parts=10_000,
        metadata_pairs=METADATA_PAIRS,
        metadata_size=METADATA_SIZE,
        refuses=refuses,
    )

    def __init__(self, values: Values) -> None:
        super().__init__(Storage(values))

    async def open(self) -> None:
        """Get a token and find the container. Raises BackendUnfit, BackendDown."""
        try:
            await self._storage.open()
        except BaseException:
            await self._storage.close()
            raise

    async def close(self) -> None:
        """Fine twice."""
        await self._storage.close()

    @hookimpl
    async def put(self, request: PutRequest) -> PutResult:
        if reason := refuses(request.name):
            raise BackendUnfit(f"{request.name[:100]!r} cannot be kept: {reason}")
        headers = {META + name: text for name, text in pack_metadata(request.metadata).items()}
        if not request.if_absent:
            return PutResult(await self._storage.put(request.name, request.body, request.size, headers))
        if await self._storage.find(request.name) is not None:
            raise BlobExists(request.name)  # Ceph does not look at If-None-Match
        upload = secrets.token_hex(8)
        headers |= {"If-None-Match": "*", UPLOAD: upload}
        with suppress(BlobExists):  # perhaps it is ours, and only the first answer was lost
            await self._storage.put(request.name, request.body, request.size, headers)
        return PutResult((await self._storage.settle(request.name, upload)).fingerprint)

    @hookimpl
    async def get(self, request: GetRequest) -> GetResult:
        if request.length == 0:
            return await self._nothing(request)
        headers = {} if request.expect is None else {"If-Match": f'"{request.expect}"'}
        if request.start or request.length is not None:
            last = "" if request.length is None else request.start + request.length - 1
            headers["Range"] = f"bytes={request.start}-{last}"
        reply = await self._storage.stream(request.name, headers, expect=(200, 206, 416))
        if reply.status == 416:
            reply.body.close()
            return await self._nothing(request)
        try:
            return GetResult(whole_size(reply, request.start, request.length), etag(reply), body=reply.body)
        except BaseException:
            reply.body.close()
            raise

    async def _nothing(self, request: GetRequest) -> GetResult:
        """A range that has no bytes."""
        found = await self._found(request.name)
        if request.expect not in (None, found.fingerprint):
            raise BlobChanged(request.name)
        return GetResult(found.size, found.fingerprint, body=EmptyBody())

    @hookimpl
    async def head(self, request: HeadRequest) -> HeadResult:
        found = await self._found(request.name)
        return HeadResult(found.size, found.fingerprint, found.metadata, found.modified)

    async def _found(self, name: str) -> Found:
        found = await self._storage.find(name)
        if found is None:
            raise BlobMissing(name)
        return found

    @hookimpl
    async def delete(self, request: DeleteRequest) -> DeleteResult:
        found = await self._storage.find(request.name)
        if found is not None and request.expect not in (None, found.fingerprint):
            raise BlobChanged(request.name)
        await self.remove(request.name, found)
        return DeleteResult()

    @hookimpl
    async def list(self, request: ListRequest) -> ListResult:
        blobs: list[ListedBlob] = []
        after: str | None = request.after
        while after is not None and len(blobs) < request.limit:
            limit = min(PAGE, request.limit - len(blobs))
            page = await self._storage.page(request.prefix, after, limit)
            after = page[-1]["name"] if len(page) == limit else None
            blobs += [await self._listed(each) for each in page if not each["name"].startswith(HIDDEN)]
            if after is not None and after.startswith(HIDDEN):
                after = HIDDEN + "\U0010ffff"  # behind all segments
        return ListResult(tuple(blobs), after)

    async def _listed(self, each: dict[str, Any]) -> ListedBlob:
        """A row of the listing; a large object's own hash is that of its manifest."""
        try:
            modified = datetime.fromisoformat(each["last_modified"]).replace(tzinfo=UTC).timestamp()
            size, fingerprint = int(each["bytes"]), str(each.get("slo_etag") or each["hash"]).strip('"')
            if size and fingerprint == _NOTHING:  # Ceph's row for a large object tells the size of the manifest
                found = await self._storage.find(each["name"])
                size, fingerprint = (found.size, found.fingerprint) if found else (size, fingerprint)
            return ListedBlob(each["name"], size, fingerprint, modified)
        except (KeyError, TypeError, ValueError) as fault:
            raise BackendDown(f"the service lists an object that makes no sense: {each}") from fault

    @hookimpl
    async def healthcheck(self, request: HealthcheckRequest) -> HealthcheckResult:
        told = secrets.token_bytes(_PROBE)
        storage = self._storage
        await storage.put(request.probe, told, _PROBE, {})
        found = (await storage.ask("GET", request.probe)).content
        await storage.remove(request.probe)
        if found != told:
            raise BackendDown(f"the container {storage.container!r} does not give back what was written")
        container = (await storage.ask("HEAD", expect=(200, 204))).headers
        facts = {"objects": "x-container-object-count", "used_bytes": "x-container-bytes-used"}
        return HealthcheckResult({name: container[header] for name, header in facts.items() if header in container})
