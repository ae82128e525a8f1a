"""Keeps the blobs of a txgateway on an SFTP server: one file each, as OpenSSH's sftp-server can keep them safely.

A file is the blob's header (metadata as JSON behind its length) and then its bytes. It is written as a draft, synced,
and renamed: to its name, if nobody has it (`if_absent`), or in place of whoever has.
"""

from __future__ import annotations

import json
import re
import secrets as random_names
import struct
from contextlib import suppress
from typing import Any

from twisted.conch.ssh.filetransfer import FXF_CREAT, FXF_EXCL, FXF_WRITE, ClientFile
from twisted.conch.ssh.keys import BadKeyError, EncryptedKeyError, Key
from twisted.internet import reactor
from twisted.internet.defer import Deferred, DeferredList, ensureDeferred

from gateway import api
from gateway_sftp.files import Reading, entries, forget, is_folder, open_blob
from gateway_sftp.line import PIECE, Finished, Line, Login, Session

ENTRIES = 16  # headers that a list reads at once
STALE = 24 * 3600.0  # seconds; a draft this old belongs to nobody: its put fails when it comes back, and says so
UNREADABLE = (BadKeyError, EncryptedKeyError, ValueError, KeyError, struct.error)  # what conch makes of no key
NAME = re.compile(r"[a-z0-9]{1,40}(/[a-z0-9]{1,40}){0,2}")


def refuses(name: str) -> str | None:
    return None if NAME.fullmatch(name) else "names are up to three segments of a-z and 0-9"


class SftpBackend:
    settings = (
        api.Setting("sftp.host", "text", "The server's name or address."),
        api.Setting("sftp.port", "integer", "The server's port.", default="22", low=1, high=65535),
        api.Setting("sftp.host_key", "text", "The server's public key as ssh-keyscan shows it: `ssh-ed25519 AAAA...`."),
        api.Setting("sftp.user", "text", "Who we are there."),
        api.Setting("sftp.path", "text", "A folder that is there; a relative one is in the user's home.", default="."),
        api.Setting("sftp.timeout", "seconds", "How long the server may take to answer.", default="30s", low=0.01),
    )
    secrets = (api.Secret("sftp_key", "The private key of sftp.user, in OpenSSH's format, without a passphrase."),)
    capabilities = api.Capabilities(shared=True, refuses=refuses)
    kit_version = 2

    def __init__(self, values: api.Values) -> None:
        self._root = values["sftp.path"].rstrip("/") or "/"
        self._blobs, self._drafts = f"{self._root}/blobs", f"{self._root}/drafts"
        login = Login(values["sftp.user"], _private_key(values), _host_key(values["sftp.host_key"]))
        self._line = Line(reactor, values["sftp.host"], values["sftp.port"], login, values["sftp.timeout"])

    async def open(self) -> None:
        session = await self._line.session()
        try:
            await session.ask(session.getAttrs(self._root.encode(), followLinks=1), self._root)
            for folder in (self._blobs, self._drafts):
                await self._make_folder(session, folder)
            await self._sweep(session)
        except (api.BlobMissing, api.BackendDenied) as fault:
            fix = "make that folder on the server, owned by sftp.user"
            raise api.BackendUnfit(f"no folder for us: {fault}", key="sftp.path", fix=fix) from fault

    async def close(self) -> None:
        await self._line.close()

    @api.hookimpl
    async def put(self, request: api.PutRequest) -> api.PutResult:
        target = self._path(request.name)
        session = await self._line.session()
        fingerprint = random_names.token_hex(16)
        draft = f"{self._drafts}/{fingerprint}"
        flags = FXF_WRITE | FXF_CREAT | FXF_EXCL
        file = await session.ask(session.openFile(draft.encode(), flags, {"permissions": 0o600}), draft)
        try:
            await self._write(session, file, request, fingerprint)
            await Finished(self._keep(session, file, draft, target, request))
        except BaseException:
            await Finished(self._discard(session, file, draft))
            raise
        forget(session.ask(file.close(), "close"))
        return api.PutResult(fingerprint)

    def _path(self, name: str) -> str:
        """Where a blob lies. A name that could lead elsewhere is refused: the kit asks the bare hooks, too."""
        reason = refuses(name)
        if reason is not None:
            raise api.BackendUnfit(f"{name!r}: {reason}")
        return f"{self._blobs}/{name}"

    async def _write(self, session: Session, file: ClientFile, request: api.PutRequest, fingerprint: str) -> None:
        """Header and body, many pieces on their way at once. A body of another size, or a full disk, is an error."""
        header = {"size": request.size, "fingerprint": fingerprint, "metadata": dict(request.metadata)}
        text = json.dumps(header).encode()
        faults: list[BaseException] = []
        pending: set[Deferred[Any]] = set()
        offset = given = 0

        async def send(piece: bytes, at: int) -> None:
            try:
                await session.ask(file.writeChunk(at, piece), "write")
            except api.BackendError as fault:
                faults.append(fault)
            finally:
                session.pieces.release()

        async def write(data: bytes) -> None:
            nonlocal offset
            for start in range(0, len(data), PIECE):
                await session.pieces.acquire()
                piece = data[start : start + PIECE]
                sending = ensureDeferred(send(piece, offset))
                offset += len(piece)
                if not sending.called:
                    pending.add(sending)
                    sending.addBoth(lambda _, done=sending: pending.discard(done))

        await write(b"%08x" % len(text) + text)
        async for chunk in request.body:
            given += len(chunk)
            if given > request.size or faults:
                break
            await write(chunk)
        await Finished(DeferredList(list(pending)))
        if faults:
            raise await self._reason(session, faults[0], request.size)
        if given != request.size:
            raise api.BackendDown(f"the body gave {given} bytes and announced {request.size}")

    async def _reason(self, session: Session, fault: BaseException, size: int) -> BaseException:
        """SFTP says no more than "failure" of a write; the free space says whether the disk is full."""
        free = await session.free(self._root)
        return api.BackendFull(f"{self._root} has {free} bytes left") if free < size + PIECE else fault

    async def _keep(self, session: Session, file: ClientFile, draft: str, target: str, request: api.PutRequest) -> None:
        """Give the draft its name. The second sync is for the name: it makes the file system write its journal."""
        await session.ask(session.sync(file), "fsync")
        for _ in range(10):
            try:
                if request.if_absent:  # OpenSSH renames by link(2), which never replaces a file
                    await session.ask(session.renameFile(draft.encode(), target.encode()), draft)
                else:
                    await session.ask(session.replace(draft, target), draft)
                break
            except api.BlobMissing:  # no such folder yet, or a delete has just removed it
                await self._make_folder(session, target.rpartition("/")[0])
            except api.BackendDown:
                if request.if_absent and await self._is_there(session, target):
                    raise api.BlobExists(request.name) from None
                raise
        else:
            raise api.BackendDown(f"{draft} could not be renamed to {target}")
        await session.ask(session.sync(file), "fsync")

    async def _discard(self, session: Session, file: ClientFile, draft: str) -> None:
        for request in (file.close(), session.removeFile(draft.encode())):
            with suppress(api.BackendError):  # what is left of a draft is swept up by a later start
                await session.ask(request, draft)

    @api.hookimpl
    async def get(self, request: api.GetRequest) -> api.GetResult:
        session = await self._line.session()
        file, head, begin = await Finished(open_blob(session, self._path(request.name)))
        if request.expect not in (None, head.fingerprint):
            forget(session.ask(file.close(), "close"))
            raise api.BlobChanged(request.name)
        start = min(request.start, head.size)
        end = head.size if request.length is None else min(head.size, start + request.length)
        reading = Reading(session, file, begin + start, begin + end)
        return api.GetResult(head.size, head.fingerprint, body=api.StreamBody(reading, end - start, reading.close))

    @api.hookimpl
    async def head(self, request: api.HeadRequest) -> api.HeadResult:
        session = await self._line.session()
        file, head, _ = await Finished(open_blob(session, self._path(request.name)))
        forget(session.ask(file.close(), "close"))
        return head

    @api.hookimpl
    async def delete(self, request: api.DeleteRequest) -> api.DeleteResult:
        try:
            if request.expect is not None:
                head = await self.head(api.HeadRequest(name=request.name))
                if head.fingerprint != request.expect:
                    raise api.BlobChanged(request.name)
            session = await self._line.session()
            path = self._path(request.name)
            await session.ask(session.removeFile(path.encode()), path)
        except api.BlobMissing:
            return api.DeleteResult()
        await self._tidy(session, path)
        return api.DeleteResult()

    async def _tidy(self, session: Session, path: str) -> None:
        """Remove the folders above a deleted blob that are empty now."""
        folder = path.rpartition("/")[0]
        while folder != self._blobs:
            try:
                await session.ask(session.removeDirectory(folder.encode()), folder)
            except (api.BlobMissing, api.BackendDown):
                return
            folder = folder.rpartition("/")[0]

    @api.hookimpl
    async def list(self, request: api.ListRequest) -> api.ListResult:
        session = await self._line.session()
        names: list[str] = []
        await self._walk(session, "", request, names)
        page = names[: request.limit]
        blobs: list[api.ListedBlob] = []
        for first in range(0, len(page), ENTRIES):
            looking = [ensureDeferred(self._entry(name)) for name in page[first : first + ENTRIES]]
            found = await Finished(DeferredList(looking, fireOnOneErrback=True, consumeErrors=True))
            blobs += [blob for _, blob in found if blob is not None]
        return api.ListResult(tuple(blobs), page[-1] if len(names) > len(page) else None)

    async def _walk(self, session: Session, above: str, request: api.ListRequest, names: list[str]) -> None:
        """Add the names below ``above`` (empty, or with a slash at its end) in byte order, one more than asked for."""
        for name, attributes in await entries(session, f"{self._blobs}/{above}".rstrip("/")):
            path = above + name
            if len(names) > request.limit:
                return
            if is_folder(attributes):
                inside = f"{path}/"
                begins = inside.startswith(request.prefix) or request.prefix.startswith(inside)
                if begins and (inside > request.after or request.after.startswith(inside)):
                    await self._walk(session, inside, request, names)
            elif path.startswith(request.prefix) and path > request.after:
                names.append(path)

    async def _entry(self, name: str) -> api.ListedBlob | None:
        try:
            head = await self.head(api.HeadRequest(name=name))
        except api.BlobMissing:
            return None  # deleted since its folder was read
        return api.ListedBlob(name, head.size, head.fingerprint, head.modified)

    @api.hookimpl
    async def healthcheck(self, request: api.HealthcheckRequest) -> api.HealthcheckResult:
        await self.put(api.PutRequest(name=request.probe, body=api.BytesBody(b"alive"), size=5))
        await self.head(api.HeadRequest(name=request.probe))
        await self.delete(api.DeleteRequest(name=request.probe))
        session = await self._line.session()
        return api.HealthcheckResult({"free_bytes": str(await session.free(self._root))})

    async def _make_folder(self, session: Session, folder: str) -> None:
        """With those above it, below the root. One that is there is fine."""
        made = self._root
        for name in folder.removeprefix(self._root).strip("/").split("/"):
            made = f"{made}/{name}"
            try:
                await session.ask(session.makeDirectory(made.encode(), {"permissions": 0o700}), made)
            except api.BackendDown:
                if not await self._is_there(session, made):
                    raise
            except api.BlobMissing:
                return  # the one above was removed meanwhile: whoever needs this one tries again

    async def _is_there(self, session: Session, path: str) -> bool:
        try:
            await session.ask(session.getAttrs(path.encode()), path)
        except api.BlobMissing:
            return False
        return True

    async def _sweep(self, session: Session) -> None:
        """Remove drafts that nobody finishes any more, by the server's own clock."""
        probe = f"{self._drafts}/{random_names.token_hex(16)}"
        file = await session.ask(session.openFile(probe.encode(), FXF_WRITE | FXF_CREAT | FXF_EXCL, {}), probe)
        now = (await session.ask(file.getAttrs(), probe))["mtime"]
        await self._discard(session, file, probe)
        for name, attributes in await entries(session, self._drafts):
            if attributes["mtime"] < now - STALE:
                path = f"{self._drafts}/{name}"
                with suppress(api.BlobMissing):  # another process sweeps, too
                    await session.ask(session.removeFile(path.encode()), path)


def _private_key(values: api.Values) -> Key:
    try:
        return Key.fromString((values.secret("sftp_key") or "").encode() + b"\n")
    except UNREADABLE as fault:
        why = "private/sftp_key is no private key that we can read"
        raise api.BackendUnfit(why, key="sftp.user", fix="ssh-keygen -t ed25519 -N ''") from fault


def _host_key(text: str) -> Key:
    try:
        return Key.fromString(text.encode())
    except UNREADABLE as fault:
        why = "sftp.host_key is no public key"
        raise api.BackendUnfit(why, key="sftp.host_key", fix="copy it from ssh-keyscan: ssh-ed25519 AAAA...") from fault
