"""The database of small blobs, ``<path>/small.sqlite``: what a row is, how it is checked, what its faults mean.

    blobs (id, name, modified, draw, crc, metadata, data)       by_name: an index of the names

A row of a table with a number of its own goes to the table's end, so that puts write few pages; only the index is in
the order of names. ``crc`` covers everything else of the row: SQLite's pages have checksums of their own, but what
deletes a damaged row must write the page on which it lies anew, with its neighbours.
"""

from __future__ import annotations

import json
import os
import secrets
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple
from zlib import crc32

import apsw

from gateway.api import (
    BackendBusy,
    BackendDenied,
    BackendDown,
    BackendError,
    BackendFull,
    BackendUnfit,
    SqliteFile,
    SqliteUnfit,
)
from gateway_local.blobfile import DRAW, fingerprint
from gateway_local.threadwork import kind_of

FILE = "small.sqlite"
LARGEST = 32 * 1024  # bytes of a blob that is a row: from about here on a file costs less (docs/decisions)
MARK = 0x74784C62  # "txLb"
STEPS = (
    """
    CREATE TABLE blobs (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL,
        modified INTEGER NOT NULL,  -- nanoseconds since the epoch
        draw BLOB NOT NULL,  -- random bytes of this very put
        crc INTEGER NOT NULL,
        metadata TEXT NOT NULL,  -- JSON
        data BLOB NOT NULL
    ) STRICT;
    CREATE UNIQUE INDEX by_name ON blobs (name);
    """,
)


Fault = apsw.Error


def file_in(folder: Path) -> SqliteFile:
    """The database of a storage folder (a path without links)."""
    return SqliteFile(folder / FILE, mark=MARK, steps=STEPS, what="a store of small blobs")


def copy_rows(source: Path, target: Path) -> None:
    """Copy the database from one folder into another as it is at one moment, while others write.

    Not by a plain copy, which tears it, nor by another program: its pages would lack their checksums.
    """
    original, copy = file_in(source.resolve()), file_in(target.resolve())
    copy.prepare()
    reading, writing = original.connect(), copy.connect()
    try:
        reading.execute("BEGIN")  # one moment for all pages: without it each foreign commit begins the copy anew
        reading.execute("SELECT id FROM blobs LIMIT 1").fetchall()
        with writing.backup("main", reading, "main") as copying:
            while not copying.done:
                copying.step(256)
    finally:
        writing.close()
        reading.close()


class Row(NamedTuple):
    """A small blob. ``modified``: nanoseconds since the epoch; ``text``: its metadata as JSON."""

    name: str
    modified: int
    draw: bytes
    crc: int
    text: str
    data: bytes

    @property
    def fingerprint(self) -> str:
        return fingerprint(self.modified, len(self.data), self.draw)

    def metadata(self) -> Mapping[str, str]:
        told: dict[str, str] = json.loads(self.text)
        return told

    def is_whole(self) -> bool:
        return self.crc == _crc(self.name, self.modified, self.draw, self.text, self.data)


def fresh(name: str, data: bytes, metadata: Mapping[str, str]) -> Row:
    """The row of a new blob."""
    modified, draw = time.time_ns(), secrets.token_bytes(DRAW)
    text = json.dumps(dict(metadata), separators=(",", ":"))
    return Row(name, modified, draw, _crc(name, modified, draw, text, data), text, data)


def _crc(name: str, modified: int, draw: bytes, text: str, data: bytes) -> int:
    return crc32(data, crc32(f"{name} {modified} {draw.hex()} {text}".encode()))


_KINDS: tuple[tuple[type[apsw.Error], type[BackendError]], ...] = (
    (apsw.FullError, BackendFull),
    (apsw.ReadOnlyError, BackendDenied),
    (apsw.PermissionsError, BackendDenied),
    (apsw.BusyError, BackendBusy),
    (apsw.Error, BackendDown),
)


def is_damage(fault: BaseException) -> bool:
    """Whether what was read is not what was written."""
    torn = isinstance(fault, apsw.IOError) and getattr(fault, "extendedresult", 0) == apsw.SQLITE_IOERR_DATA
    return torn or isinstance(fault, (apsw.CorruptError, apsw.NotADBError))


def named(fault: apsw.Error | SqliteUnfit, code: int = 0) -> BackendError:
    """The backend error that says what SQLite's means; ``code`` is the system's, where that is known."""
    if isinstance(fault, SqliteUnfit):
        return BackendUnfit(str(fault))
    if is_damage(fault):
        return BackendDown(f"{FILE} is damaged: {fault}")
    kind = next(kind for raised, kind in _KINDS if isinstance(fault, raised))
    why = f"{FILE}: {type(fault).__name__}: {fault}"
    return kind_of(code)(f"{why}: {os.strerror(code)}") if kind is BackendDown and code else kind(why)
