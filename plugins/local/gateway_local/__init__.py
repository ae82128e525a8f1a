"""Blobs as files of a local directory: nothing is acknowledged that power loss could take away."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import closing, suppress
from itertools import islice
from pathlib import Path

from twisted.internet.defer import CancelledError

from gateway.api import (
    BackendDenied,
    BackendDown,
    BackendError,
    BackendUnfit,
    BlobChanged,
    BlobExists,
    BlobMissing,
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
from gateway_local.blobfile import DRAW, BlobFile, Damaged, fingerprint, footer
from gateway_local.draft import Draft, supports_unnamed
from gateway_local.folder import DEPTH, SEGMENT, Folder, Name
from gateway_local.threadwork import Threads

_BATCH = 1024 * 1024  # bytes that are gathered for one write, and so the largest body that needs only one thread hop
_PIECES = 1000  # chunks that are gathered at most, for writev takes 1024
_LONGEST = 80
_PROBE = 4096  # bytes


def refuses(name: str) -> str | None:
    """Why ``name`` cannot be kept: it is not ``[a-z0-9]{1,40}(/[a-z0-9]{1,40}){0,2}`` of at most 80 characters."""
    segments = name.split("/")
    if len(name) > _LONGEST or len(segments) > DEPTH or not all(map(SEGMENT.fullmatch, segments)):
        return f"{name[:100]!r} is not one to three segments of a-z and 0-9, at most 80 characters"
    return None


def _segments(name: str) -> Name:
    if reason := refuses(name):
        raise BackendDenied(reason)
    return tuple(name.split("/"))


class LocalBackend:
    """A folder as a location. Readers have threads of their own: they do not wait behind writers that sync."""

    settings = (
        Setting("local.path", kind="path", default="storage", help="Folder that holds the blobs."),
        Setting(
            "local.reserve",
            kind="size",
            default="32MiB",
            help="Space that blobs leave free on the disk: deletes and the catalogue need some.",
        ),
    )
    capabilities = Capabilities(shared=True, refuses=refuses)
    kit_version = 2

    def __init__(self, values: Values) -> None:
        self._path: Path = values["local.path"]
        self._reserve: int = values["local.reserve"]
        self._folder = Folder(self._path)
        self._unnamed = True
        self._reading = Threads("local-read", 4)
        self._writing = Threads("local-write", 16)

    async def open(self) -> None:
        """Prepare the folder. Raises BackendUnfit."""
        self._reading.start()
        self._writing.start()
        try:
            await self._writing(self._prepare)
        except BaseException:
            await self.close()
            raise

    def _prepare(self) -> None:
        try:
            self._folder.open()
            self._unnamed = supports_unnamed(self._folder)
        except OSError as fault:
            message = f"{self._path} cannot hold blobs: {fault.strerror}"
            raise BackendUnfit(message, key="local.path", fix=_fix(fault, self._path)) from fault

    async def close(self) -> None:
        """Wait for what is under way; fine twice."""
        await self._reading.stop()
        await self._writing.stop()
        self._folder = Folder(self._path)  # the old one closes its descriptors

    @hookimpl
    async def put(self, request: PutRequest) -> PutResult:
        names = _segments(request.name)
        draft = Draft(self._folder, self._unnamed, self._reserve)
        draw = secrets.token_bytes(DRAW)
        chunks: list[bytes] = []
        size = written = 0
        try:
            async for chunk in request.body:
                chunks.append(chunk)
                size += len(chunk)
                if size > request.size:
                    break
                if size < request.size and (size - written >= _BATCH or len(chunks) >= _PIECES):
                    work = self._writing(draft.write, chunks, more=True)
                    await work
                    if work.cancelled:
                        raise CancelledError()
                    chunks, written = [], size
            if size != request.size:
                raise BackendDown(f"{request.name}: the body has not the {request.size} bytes that were promised")
            chunks.append(footer(size, draw, request.metadata))
            status = await self._writing(self._finish, draft, names, chunks, request.if_absent)
        except BaseException:
            with suppress(BackendError):  # what went wrong first is what counts
                await self._writing(draft.discard)
            raise
        return PutResult(fingerprint(status, draw))  # also if it was cancelled meanwhile: the blob is there

    def _finish(self, draft: Draft, names: Name, chunks: list[bytes], if_absent: bool) -> os.stat_result:
        try:
            return draft.finish(names, chunks, if_absent)
        except FileExistsError:
            raise BlobExists("/".join(names)) from None

    @hookimpl
    async def get(self, request: GetRequest) -> GetResult:
        work = self._reading(self._read, request.name)
        file = await work
        if work.cancelled:
            file.close()
            raise CancelledError()
        if request.expect not in (None, file.fingerprint):
            file.close()
            raise BlobChanged(request.name)
        file.cut(request.start, request.length)
        return GetResult(size=file.size, fingerprint=file.fingerprint, region=file)

    def _read(self, name: str) -> BlobFile:
        try:
            return self._folder.read(_segments(name))
        except FileNotFoundError:
            raise BlobMissing(name) from None
        except Damaged as fault:
            raise BackendDown(f"{name} is damaged: {fault}") from fault

    @hookimpl
    async def head(self, request: HeadRequest) -> HeadResult:
        return await self._reading(self._head, request.name)

    def _head(self, name: str) -> HeadResult:
        with closing(self._read(name)) as file:
            try:
                metadata = file.metadata()
            except Damaged as fault:
                raise BackendDown(f"{name} is damaged: {fault}") from fault
            return HeadResult(file.size, file.fingerprint, metadata, file.status.st_mtime)

    @hookimpl
    async def delete(self, request: DeleteRequest) -> DeleteResult:
        return await self._writing(self._delete, request)

    def _delete(self, request: DeleteRequest) -> DeleteResult:
        names = _segments(request.name)
        if request.expect is not None:
            listed = self._listed(request.name)
            if listed and listed.fingerprint != request.expect:
                raise BlobChanged(request.name)
        self._folder.remove(names)
        return DeleteResult()

    @hookimpl
    async def list(self, request: ListRequest) -> ListResult:
        return await self._reading(self._list, request)

    def _list(self, request: ListRequest) -> ListResult:
        with closing(self._folder.walk(request.prefix, request.after)) as names:
            found: Iterator[ListedBlob] = filter(None, map(self._listed, names))
            blobs = tuple(islice(found, request.limit))
            more = next(found, None) is not None
        return ListResult(blobs, blobs[-1].name if blobs and more else None)

    def _listed(self, name: str) -> ListedBlob | None:
        try:
            with closing(self._folder.read(_segments(name))) as file:
                return ListedBlob(name, file.size, file.fingerprint, file.status.st_mtime)
        except FileNotFoundError:
            return None  # deleted meanwhile
        except Damaged:
            return ListedBlob(name, 0, "damaged")  # seen, so that it can be reported and deleted; no get gives it

    @hookimpl
    async def healthcheck(self, request: HealthcheckRequest) -> HealthcheckResult:
        """Raises also when the path no longer leads to the folder that was opened (unmounted, replaced)."""
        return await self._writing(self._healthcheck, request.probe)

    def _healthcheck(self, probe: str) -> HealthcheckResult:
        if self._folder.moved():
            raise BackendDown(f"{self._path} is not the folder that was opened: was it unmounted or replaced?")
        names = _segments(probe)
        told = secrets.token_bytes(_PROBE)
        try:
            draft = Draft(self._folder, self._unnamed, self._reserve)
            draft.finish(names, [told, footer(_PROBE, bytes(DRAW), {})], if_absent=False)
            with closing(self._read(probe)) as file:
                if file.content() != told:
                    raise BackendDown(f"{self._path} does not give back what was written")
        except BaseException:
            with suppress(OSError):
                self._folder.remove(names)
            raise
        self._folder.remove(names)
        free, total = self._folder.room()
        return HealthcheckResult({"free_bytes": str(free), "total_bytes": str(total)})


def _fix(fault: OSError, path: Path) -> str:
    if fault.errno == errno.ENOENT:
        return f"make the folder {path.parent}, or mount what belongs there"
    if fault.errno in (errno.EACCES, errno.EPERM):
        return f"let the user who runs the gateway write to {path}"
    if fault.errno == errno.EROFS:
        return f"mount {path} for writing"
    if fault.errno in (errno.ENOTDIR, errno.ELOOP):
        return "choose a folder; neither it nor blobs and staging in it may be a file, nor these two a link"
    return "choose a folder on a file system with hard links and locks"
