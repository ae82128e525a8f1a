"""What lies in the folder of a local location, and what somebody does to it behind the gateway's back.

A blob is a file, or a row of the folder's database; to these tests it is bytes under a name.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apsw
from gateway_local.rowfile import FILE, Row, fresh

from gateway import sqlitefile

_TRAILER = struct.Struct(">q8sIII")  # modified, draw, crc, and how long metadata and data are


@contextmanager
def database(storage: Path) -> Iterator[apsw.Connection]:
    connection = sqlitefile.connect(storage / FILE)
    try:
        yield connection
    finally:
        connection.close()


@dataclass(frozen=True, slots=True, order=True)
class Blob:
    """A blob, there or not. Its bytes are followed by what the backend keeps beside them."""

    storage: Path
    name: str

    @property
    def file(self) -> Path:
        return self.storage / "blobs" / self.name

    def exists(self) -> bool:
        return self.name in names(self.storage)

    def read_bytes(self) -> bytes:
        row = self._row()
        if row is None:
            return self.file.read_bytes()
        text = row.text.encode()
        trailer = _TRAILER.pack(row.modified, row.draw, row.crc, len(text), len(row.data))
        return row.data + text + trailer

    def write_bytes(self, raw: bytes) -> None:
        """As a bad disk would: nothing is made right."""
        if not self._is_row(raw) and self._row() is None:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            times = self.file.stat() if self.file.exists() else None
            self.file.write_bytes(raw)
            if times is not None:
                os.utime(self.file, ns=(times.st_atime_ns, times.st_mtime_ns))
            return
        self.file.unlink(missing_ok=True)
        row = Row(self.name, 0, bytes(8), 0, "{}", raw)
        if self._is_row(raw):
            modified, draw, crc, text, data = _TRAILER.unpack(raw[-_TRAILER.size :])
            told = raw[data : data + text].decode(errors="replace")
            row = Row(self.name, modified, draw, crc, told, raw[:data])
        self._keep(row)

    @staticmethod
    def _is_row(raw: bytes) -> bool:
        if len(raw) < _TRAILER.size:
            return False
        *_, text, data = _TRAILER.unpack(raw[-_TRAILER.size :])
        return bool(text + data + _TRAILER.size == len(raw))

    def becomes(self, other: Blob) -> None:
        """Whole, with the bytes of another one."""
        row = other._row()
        if row is None:
            self.file.write_bytes(other.file.read_bytes())
        else:
            self._keep(fresh(self.name, row.data, row.metadata()))

    def flip(self, at: int, bit: int = 1) -> None:
        data = bytearray(self.read_bytes())
        data[at] ^= bit
        self.write_bytes(bytes(data))

    def unlink(self) -> None:
        if self._row() is None:
            self.file.unlink()
        else:
            with database(self.storage) as connection:
                connection.execute("DELETE FROM blobs WHERE name = ?", (self.name,))

    def _keep(self, row: Row) -> None:
        with database(self.storage) as connection:
            columns = "name, modified, draw, crc, metadata, data"
            connection.execute(f"INSERT OR REPLACE INTO blobs ({columns}) VALUES (?, ?, ?, ?, ?, ?)", row)

    def _row(self) -> Row | None:
        if not (self.storage / FILE).exists():
            return None
        with database(self.storage) as connection:
            sql = "SELECT name, modified, draw, crc, metadata, data FROM blobs WHERE name = ?"
            found: list[Any] = connection.execute(sql, (self.name,)).fetchall()
        return Row(*found[0]) if found else None


def names(storage: Path) -> set[str]:
    """Every blob's name; of both kinds, however they changed while we looked."""
    top = storage / "blobs"
    # os.walk goes on where the reaper takes away a directory meanwhile
    found = {os.path.relpath(os.path.join(above, name), top) for above, _, files in os.walk(top) for name in files}
    if (storage / FILE).exists():
        with database(storage) as connection:
            found |= {str(name) for (name,) in connection.execute("SELECT name FROM blobs").fetchall()}
    return found


def blobs(storage: Path, prefix: str = "") -> list[Blob]:
    return [Blob(storage, name) for name in sorted(names(storage)) if name.startswith(prefix)]
