"""Blobs as files of an SFTP server: opened with their header, read some pieces ahead, listed in byte order."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Mapping
from typing import Any

from twisted.conch.ssh.filetransfer import FXF_READ, ClientFile
from twisted.internet.defer import Deferred, ensureDeferred

from gateway import api
from gateway_sftp.line import PIECE, Session

AHEAD = 8  # pieces that a get asks for before its reader wants them
HEADER = 4096  # most headers are shorter, and come with the first read


class Reading:
    """The pieces of an open file from ``at`` to ``end``, a few of them asked for ahead."""

    def __init__(self, session: Session, file: ClientFile, at: int, end: int) -> None:
        self._session, self._file, self._at, self._end = session, file, at, end
        self._asked: deque[tuple[int, int, Deferred[bytes]]] = deque()

    def __aiter__(self) -> Reading:
        return self

    async def __anext__(self) -> bytes:
        while self._at < self._end and len(self._asked) < AHEAD:
            length = min(PIECE, self._end - self._at)
            answer = ensureDeferred(self._session.read(self._file, self._at, length))
            self._asked.append((self._at, length, answer))
            self._at += length
        if not self._asked:
            raise StopAsyncIteration
        at, length, answer = self._asked.popleft()
        data = await answer
        while len(data) < length:  # a server may give less than it was asked for
            more = await self._session.read(self._file, at + len(data), length - len(data))
            if not more:
                raise api.BackendDown("a file on the server is shorter than its header says")
            data += more
        return data

    def close(self) -> None:
        while self._asked:
            forget(self._asked.popleft()[2])
        forget(self._session.ask(self._file.close(), "close"))


async def open_blob(session: Session, path: str) -> tuple[ClientFile, api.HeadResult, int]:
    """An open file, what its header says, and where its bytes begin. Raises BlobMissing."""
    file = await session.ask(session.openFile(path.encode(), FXF_READ, {}), path)
    try:
        attributes = await session.ask(file.getAttrs(), path)
        first = await session.read(file, 0, HEADER)
        length = int(first[:8], 16)
        while len(first) < 8 + length:
            more = await session.read(file, len(first), 8 + length - len(first))
            if not more:
                raise ValueError("too short")
            first += more
        header = json.loads(first[8 : 8 + length])
        head = api.HeadResult(header["size"], header["fingerprint"], header["metadata"], float(attributes["mtime"]))
    except ValueError as fault:
        forget(session.ask(file.close(), "close"))
        raise api.BackendDown(f"{path} on the server is no blob of ours: {fault}") from fault
    except BaseException:
        forget(session.ask(file.close(), "close"))
        raise
    return file, head, 8 + length


async def entries(session: Session, folder: str) -> list[tuple[str, dict[str, Any]]]:
    """What is in a folder, in the byte order of the names below it ('/' sorts before '0'); a missing one is empty."""
    found: list[tuple[str, dict[str, Any]]] = []
    try:
        reading = await session.ask(session.openDirectory(folder.encode()), folder)
    except api.BlobMissing:
        return found
    try:
        while True:
            page = await session.ask(reading.read(), folder)
            found += [(name.decode("utf-8", "replace"), attributes) for name, _, attributes in page]
    except EOFError:
        pass
    finally:
        forget(session.ask(reading.close(), folder))
    plain = [(name, attributes) for name, attributes in found if name not in (".", "..")]
    return sorted(plain, key=lambda entry: entry[0] + "/" * is_folder(entry[1]))


def is_folder(attributes: Mapping[str, Any]) -> bool:
    return bool(attributes["permissions"] & 0o170000 == 0o040000)


def forget(work: Any) -> None:
    """Nobody waits for this one; if it fails, nothing is lost."""
    ensureDeferred(work).addErrback(lambda reason: None)
