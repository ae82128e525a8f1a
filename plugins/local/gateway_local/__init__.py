"""Blobs in a local directory: nothing is acknowledged that power loss could take away.

Small blobs are rows of a database in the directory (``rows``), large ones files (``files``).
"""

from __future__ import annotations

import errno
import secrets
from contextlib import suppress
from pathlib import Path

from twisted.internet.defer import CancelledError

from gateway.api import (
    BackendDown,
    BackendError,
    BackendUnfit,
    BlobChanged,
    BlobMissing,
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
    ListRequest,
    ListResult,
    PutRequest,
    PutResult,
    Setting,
    Values,
    hookimpl,
    network_disk,
)
from gateway_local import listing
from gateway_local.blobfile import DRAW, fingerprint, footer
from gateway_local.draft import Draft, supports_unnamed
from gateway_local.files import Files
from gateway_local.folder import Folder
from gateway_local.names import refuses, segments
from gateway_local.rowfile import FILE, LARGEST, Row, fresh
from gateway_local.rows import Rows
from gateway_local.threadwork import Behind, Threads

__all__ = ["LocalBackend", "refuses"]

_BATCH = 1024 * 1024  # bytes that are gathered for one write, and so the largest body that needs only one thread hop
_PIECES = 1000  # chunks that are gathered at most, for writev takes 1024


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
        self._unnamed = True
        self._reading = Threads("local-read", 4)
        self._writing = Threads("local-write", 16)
        self._folder = Folder(self._path)
        self._rows: Rows | None = None
        self._largest_row = -1
        self._files = Files(self._folder)

    async def open(self) -> None:
        """Prepare the folder. Raises BackendUnfit, BackendError."""
        from twisted.internet import reactor  # not at import: who loads a plugin has yet to choose the reactor

        self._reading.start()
        self._writing.start()
        try:
            await self._writing(self._prepare)
            if self._rows:
                self._rows.start(reactor)
        except BaseException:
            await self.close()
            raise

    def _prepare(self) -> None:
        try:
            self._folder.open()
            self._unnamed = supports_unnamed(self._folder)
            # On a network disk no row is written: SQLite's locks do not hold there. What rows there are can be read.
            shared = network_disk(self._path)
            if not shared or (self._folder.real_path / FILE).exists():
                rows = Rows(self._folder, self._reserve)
                rows.prepare()
                self._rows, self._files = rows, Files(self._folder, rows.make_way)
                self._largest_row = -1 if shared else LARGEST
        except BackendUnfit as fault:
            raise BackendUnfit(str(fault), key="local.path", fix="choose the folder that this gateway wrote") from fault
        except OSError as fault:
            message = f"{self._path} cannot hold blobs: {fault.strerror}"
            raise BackendUnfit(message, key="local.path", fix=_fix(fault, self._path)) from fault

    async def close(self) -> None:
        """Wait for what is under way; fine twice."""
        await self._reading.stop()
        await self._writing.stop()
        if self._rows:
            await self._rows.stop()
        self._folder = Folder(self._path)  # the old one closes its descriptors
        self._files = Files(self._folder)

    # ------------------------------------------------------------ put

    @hookimpl
    async def put(self, request: PutRequest) -> PutResult:
        segments(request.name)
        if self._rows and request.size <= self._largest_row:
            return await self._put_row(self._rows, request)
        return await self._put_file(request)

    async def _put_row(self, rows: Rows, request: PutRequest) -> PutResult:
        chunks: list[bytes] = []
        size = 0
        async for chunk in request.body:
            chunks.append(chunk)
            size += len(chunk)
            if size > request.size:
                break
        _check_size(request, size)
        row = fresh(request.name, chunks[0] if len(chunks) == 1 else b"".join(chunks), request.metadata)
        await rows.put(row, if_absent=request.if_absent)
        return PutResult(row.fingerprint)  # also if it was cancelled meanwhile: the blob is there

    async def _put_file(self, request: PutRequest) -> PutResult:
        draft = Draft(self._folder, self._unnamed, self._reserve)
        draw = secrets.token_bytes(DRAW)
        chunks: list[bytes] = []
        size = written = 0
        writing = Behind(self._writing)
        try:
            async for chunk in request.body:
                chunks.append(chunk)
                size += len(chunk)
                if size > request.size:
                    break
                if size < request.size and (size - written >= _BATCH or len(chunks) >= _PIECES):
                    await writing.call(draft.write, chunks, more=True)
                    if not written:
                        await writing.ended()  # this one opened the file: who is refused hears it now
                    chunks, written = [], size
            _check_size(request, size)
            await writing.ended()
            chunks.append(footer(size, draw, request.metadata))
            status = await self._writing(self._files.finish, request.name, draft, chunks, request.if_absent)
        except BaseException:
            with suppress(BackendError, CancelledError):  # what went wrong first is what counts
                await writing.ended()
            with suppress(BackendError):
                await self._writing(draft.discard)
            raise
        return PutResult(fingerprint(status.st_mtime_ns, status.st_size, draw))  # as above

    # ------------------------------------------------------------ get, head, delete, list

    def _row(self, name: str) -> Row | None:
        return self._rows.find(name) if self._rows else None

    @hookimpl
    async def get(self, request: GetRequest) -> GetResult:
        segments(request.name)
        row = self._row(request.name)
        if row is None:
            try:
                return await self._get_file(request)
            except BlobMissing:
                row = self._row(request.name)  # it may have become a row meanwhile
                if row is None:
                    raise
        if request.expect not in (None, row.fingerprint):
            raise BlobChanged(request.name)
        stop = None if request.length is None else request.start + request.length
        body = BytesBody(memoryview(row.data)[request.start : stop])
        return GetResult(size=len(row.data), fingerprint=row.fingerprint, body=body)

    async def _get_file(self, request: GetRequest) -> GetResult:
        work = self._reading(self._files.read, request.name)
        file = await work
        if work.cancelled:
            file.close()
            raise CancelledError()
        if request.expect not in (None, file.fingerprint):
            file.close()
            raise BlobChanged(request.name)
        file.cut(request.start, request.length)
        return GetResult(size=file.size, fingerprint=file.fingerprint, region=file)

    @hookimpl
    async def head(self, request: HeadRequest) -> HeadResult:
        segments(request.name)
        row = self._row(request.name)
        if row is None:
            try:
                return await self._reading(self._files.head, request.name)
            except BlobMissing:
                row = self._row(request.name)
                if row is None:
                    raise
        return HeadResult(len(row.data), row.fingerprint, row.metadata(), row.modified / 1e9)

    @hookimpl
    async def delete(self, request: DeleteRequest) -> DeleteResult:
        segments(request.name)
        if self._rows and self._rows.holds(request.name):
            await self._rows.delete(request.name, request.expect)
        else:
            await self._writing(self._files.delete, request.name, request.expect)
        return DeleteResult()

    @hookimpl
    async def list(self, request: ListRequest) -> ListResult:
        return await self._reading(listing.page, request, self._folder, self._files, self._rows)

    # ------------------------------------------------------------ healthcheck

    @hookimpl
    async def healthcheck(self, request: HealthcheckRequest) -> HealthcheckResult:
        """Raises also when the path no longer leads to the folder that was opened (unmounted, replaced)."""
        segments(request.probe)
        result = await self._writing(self._healthcheck, request.probe)
        if self._rows and self._largest_row >= 0:
            row = fresh(request.probe, secrets.token_bytes(DRAW), {})
            try:
                await self._rows.put(row, if_absent=False)
                if self._rows.find(row.name) != row:
                    raise BackendDown(f"{self._path} does not give back what was written")
            except BaseException:
                with suppress(BackendError):  # what went wrong first is what counts
                    await self._rows.delete(row.name, None)
                raise
            await self._rows.delete(row.name, None)
        return result

    def _healthcheck(self, probe: str) -> HealthcheckResult:
        if self._folder.moved():
            raise BackendDown(f"{self._path} is not the folder that was opened: was it unmounted or replaced?")
        self._files.probe(probe, self._unnamed, self._reserve)
        free, total = self._folder.room()
        return HealthcheckResult({"free_bytes": str(free), "total_bytes": str(total)})


def _check_size(request: PutRequest, size: int) -> None:
    if size != request.size:
        raise BackendDown(f"{request.name}: the body has not the {request.size} bytes that were promised")


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
