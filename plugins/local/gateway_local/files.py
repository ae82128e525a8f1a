"""Blobs as files: what blocks, for threads. Raises BackendError and OSError."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Sequence
from contextlib import closing, suppress

from gateway.api import BackendDown, BlobChanged, BlobExists, BlobMissing, HeadResult, ListedBlob
from gateway_local.blobfile import DRAW, BlobFile, Damaged, footer
from gateway_local.draft import Draft, Place
from gateway_local.folder import Folder
from gateway_local.names import segments

_PROBE = 4096  # bytes

MakeWay = Callable[[str, bool, Place], None]  # name, if_absent, what puts the file there


def at_once(name: str, if_absent: bool, place: Place) -> None:
    """Where there are no rows, nothing else can be under a name."""
    place()


class Files:
    """The files of one folder. ``make_way``: see Rows."""

    def __init__(self, folder: Folder, make_way: MakeWay = at_once) -> None:
        self._folder = folder
        self._make_way = make_way

    def finish(self, name: str, draft: Draft, chunks: Sequence[bytes], if_absent: bool) -> os.stat_result:
        """Put a draft in its place, for good."""
        try:
            return draft.finish(segments(name), chunks, if_absent, lambda place: self._make_way(name, if_absent, place))
        except FileExistsError:
            raise BlobExists(name) from None

    def read(self, name: str) -> BlobFile:
        try:
            return self._folder.read(segments(name))
        except FileNotFoundError:
            raise BlobMissing(name) from None
        except Damaged as fault:
            raise BackendDown(f"{name} is damaged: {fault}") from fault

    def head(self, name: str) -> HeadResult:
        with closing(self.read(name)) as file:
            try:
                metadata = file.metadata()
            except Damaged as fault:
                raise BackendDown(f"{name} is damaged: {fault}") from fault
            return HeadResult(file.size, file.fingerprint, metadata, file.status.st_mtime)

    def look(self, name: str) -> ListedBlob | None:
        """What a listing tells of a file, None where it is gone."""
        try:
            with closing(self._folder.read(segments(name))) as file:
                return ListedBlob(name, file.size, file.fingerprint, file.status.st_mtime)
        except FileNotFoundError:
            return None
        except Damaged:
            return ListedBlob(name, 0, "damaged")  # seen, so that it can be reported and deleted; no get gives it

    def delete(self, name: str, expect: str | None) -> None:
        if expect is not None:
            found = self.look(name)
            if found and found.fingerprint != expect:
                raise BlobChanged(name)
        self._folder.remove(segments(name))

    def probe(self, name: str, unnamed: bool, reserve: int) -> None:
        """Write a file under a name that nobody else uses, read it and take it away again."""
        names = segments(name)
        told = secrets.token_bytes(_PROBE)
        try:
            Draft(self._folder, unnamed, reserve).finish(names, [told, footer(_PROBE, bytes(DRAW), {})], False)
            with closing(self.read(name)) as file:
                if file.content() != told:
                    raise BackendDown(f"{self._folder.path} does not give back what was written")
        except BaseException:
            with suppress(OSError):
                self._folder.remove(names)
            raise
        self._folder.remove(names)
