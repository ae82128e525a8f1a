"""How far the catalogue had come, told by a file beside it: ``data/witness``.

SQLite drops the end of a log silently from the first damaged frame on, and an old copy put in the place of the
catalogue is a good database. Both would make the gateway forget what it acknowledged, and reap the bytes. So each
commit counts itself in the catalogue (``about.changes``), and the number is then written here: without a sync, which
is why it may be behind after power loss, but never ahead, for it is written only once the commit is durable. Several
processes write it: each looks first, so that it never goes back.
"""

from __future__ import annotations

import fcntl
import os
import re
from contextlib import suppress
from pathlib import Path
from typing import Any
from zlib import crc32

import apsw
from twisted.logger import Logger

from gateway.catalogue.faults import CatalogueForgot

log = Logger()

FILE = "witness"
_LINE = re.compile(rb"(([0-9a-f]{32}) ([0-9]{20})) ([0-9a-f]{8})\n")
_LENGTH = 32 + 1 + 20 + 1 + 8 + 1


class Witness:
    """The file of one folder, open. ``changes``: the number that this process saw last."""

    def __init__(self, folder: Path) -> None:
        """Raises OSError."""
        self.path = folder / FILE
        self.changes = 0
        self._id = b""
        self._told = False
        self._heard = 0
        self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def said(self) -> tuple[str, int] | None:
        """The catalogue's id and its changes; None where nothing (or nothing readable) was written."""
        found = _LINE.fullmatch(os.pread(self._descriptor, _LENGTH + 1, 0))
        if found is None or crc32(found[1]) != int(found[4], 16):
            return None
        return found[2].decode(), int(found[3])

    def begin(self, id_: str, changes: int) -> None:
        """From now on commits of the catalogue ``id_`` are noted. Raises OSError."""
        self._id = id_.encode()
        self.note(changes)
        os.fsync(self._descriptor)

    def heard(self, changes: int) -> None:
        """There were so many, says somebody else; whatever is noted from now on does not hide it."""
        self._heard = changes
        self.note(self.changes)

    def note(self, changes: int) -> None:
        """A commit is durable. Called on the writer's thread; costs microseconds."""
        self.changes = changes
        changes = max(changes, self._heard)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX)  # held for two system calls
            try:
                said = self.said()
                if said is None or said[0] != self._id.decode() or said[1] < changes:
                    text = b"%s %020d" % (self._id, changes)
                    os.pwrite(self._descriptor, b"%s %08x\n" % (text, crc32(text)), 0)
            finally:
                fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        except OSError as fault:  # the commit stands all the same; what is lost is only the second opinion
            if not self._told:
                self._told = True
                log.warn("{path} cannot be written: {fault}", path=str(self.path), fault=fault)

    def close(self) -> None:
        """Twice is fine."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            with suppress(OSError):
                os.fsync(descriptor)
            os.close(descriptor)


def count(connection: apsw.Connection) -> int:
    """One more change, inside the transaction that makes it."""
    connection.execute("UPDATE about SET changes = changes + 1")  # RETURNING would make a table each time
    return committed(connection)


def committed(connection: apsw.Connection) -> int:
    """How many changes the catalogue knows of."""
    rows: list[Any] = connection.execute("SELECT changes FROM about").fetchall()
    return int(rows[0][0])


def compare(what: str, there: tuple[str, int] | None, said: tuple[str, int] | None) -> None:
    """``there``: id and changes of the catalogue at ``what``; ``said``: what the witness knows. CatalogueForgot."""
    if said is None:
        return
    if there is None:
        raise CatalogueForgot(f"{what} is empty, and {said[1]} changes were committed to it")
    if there[0] != said[0]:
        raise CatalogueForgot(f"{what} is the catalogue {there[0]}, and {said[0]} belongs here")
    if there[1] < said[1]:
        raise CatalogueForgot(f"{what} has forgotten the last {said[1] - there[1]} of {said[1]} changes")


def forgive(connection: apsw.Connection, *, at_least: int) -> None:
    """Go on with a catalogue that forgot changes, inside a transaction.

    What it forgot cannot be told any more from what dead processes left behind. So nothing of that is ever swept or
    ended: leases and uploads that had begun to end are dropped, and their blobs stay.
    """
    connection.execute("DELETE FROM leases")
    connection.execute(
        "DELETE FROM upload_parts WHERE upload IN (SELECT row FROM uploads WHERE state IN ('opening', 'aborting'))"
    )
    connection.execute("DELETE FROM uploads WHERE state IN ('opening', 'aborting')")
    connection.execute("UPDATE about SET changes = max(changes, ?) + 1", (at_least,))
