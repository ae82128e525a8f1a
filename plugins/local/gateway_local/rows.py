"""Small blobs as rows: written by one thread in groups, read on the reactor's thread without waiting for anybody.

A name is a row or a file. **The row counts**: where a crash left both, the file is not seen. So a put of a small blob
commits its row and then takes away the file that was there, a put of a large one puts its file in place and then takes
away the row, and a delete takes away the file first: each happens at once, with the commit. All of them have the
database's write lock meanwhile, so that no two processes are at one name.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from threading import Lock
from typing import Any, NamedTuple

import apsw

from gateway.api import (
    BackendDown,
    BlobChanged,
    BlobExists,
    SqliteUnfit,
)
from gateway_local import threadwork
from gateway_local.blobfile import Damaged, fingerprint
from gateway_local.folder import Directory, Folder
from gateway_local.names import segments
from gateway_local.rowfile import Row, file_in, is_damage, named
from gateway_local.threadwork import ThreadWork
from gateway_local.turns import Turn, Writer

_COLUMNS = "name, modified, draw, crc, metadata, data"
_FIND = f"SELECT {_COLUMNS} FROM blobs WHERE name = ?"
_PUT = f"INSERT OR REPLACE INTO blobs ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)"
_PUT_IF_ABSENT = f"INSERT INTO blobs ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
_IS_THERE = "SELECT 1 FROM blobs WHERE name = ?"
_DELETE = "DELETE FROM blobs WHERE name = ?"
_NAMES = "SELECT name FROM blobs WHERE name >= ? AND name < ? AND name > ? ORDER BY name LIMIT ?"
_LOOK = "SELECT name, modified, draw, length(data) FROM blobs WHERE name = ?"
_AFTER_ALL = "{"  # comes after every character of a name


class Look(NamedTuple):
    """What a listing tells of a row."""

    name: str
    modified: int
    draw: bytes
    size: int

    @property
    def fingerprint(self) -> str:
        return fingerprint(self.modified, self.size, self.draw)


class Rows:
    """The rows of one folder. ``reserve``: bytes that puts leave free on the disk."""

    def __init__(self, folder: Folder, reserve: int) -> None:
        self._folder = folder
        self._reserve = reserve
        self._file = file_in(folder.real_path)
        self._reader: apsw.Connection | None = None
        self._lister: apsw.Connection | None = None
        self._listing = Lock()
        self._opened = False
        self._writer = Writer(self._connect, self._free, _name)

    def prepare(self) -> None:
        """Make the database, or bring it up to date. Blocks. Raises BackendError, OSError."""
        try:
            self._file.prepare()
        except (apsw.Error, SqliteUnfit) as fault:
            raise named(fault) from fault

    def start(self, reactor: Any) -> None:
        self._opened = True
        self._writer.start(reactor)

    async def stop(self) -> None:
        """Do what waits, and let go of the files; fine twice."""
        self._opened = False
        await self._writer.stop()
        for connection in (self._reader, self._lister):
            if connection is not None:
                connection.close(True)
        self._reader = self._lister = None
        self._folder = Folder(self._folder.path)  # the old one closes its descriptors

    def _connect(self, patience: float = 30.0) -> apsw.Connection:
        if self._folder.moved():
            raise BackendDown(f"{self._folder.path} is not the folder that was opened: was it unmounted or replaced?")
        try:
            return self._file.connect(patience=patience)
        except apsw.CantOpenError:
            os.close(os.open(self._folder.real_path, os.O_RDONLY))  # SQLite does not tell why; this may (EMFILE, say)
            raise

    def _connect_reader(self) -> apsw.Connection:
        connection = self._connect(patience=1.0)  # readers meet a lock only while a log is being recovered
        connection.pragma("query_only", True)
        return connection

    @staticmethod
    def _closed(connection: apsw.Connection | None) -> apsw.Connection | None:
        """What it remembers is not to be trusted: the next read makes another."""
        if connection is not None:
            connection.close(True)
        return None

    def _free(self) -> int:
        """Bytes that puts may take."""
        return self._folder.room()[0] - self._reserve if self._reserve else 1 << 62

    # ------------------------------------------------------------ the reactor's thread

    def find(self, name: str) -> Row | None:
        """A bounded read, on the thread that asks. Raises BackendError, also where the row is damaged."""
        found = self._read(_FIND, name)
        if not found:
            return None
        row = Row(*found[0])
        if not row.is_whole():
            raise BackendDown(f"{name} is damaged: its row is not what was written")
        return row

    def holds(self, name: str) -> bool:
        """Whether there is a row, damaged or not."""
        return bool(self._read(_IS_THERE, name))

    def _read(self, sql: str, name: str) -> list[Any]:
        if not self._opened:
            raise BackendDown("this location is not open")
        try:
            if self._reader is None:
                self._reader = self._connect_reader()
            return self._reader.execute(sql, (name,)).fetchall()
        except (apsw.Error, SqliteUnfit, OSError) as fault:
            told = _name(fault, self._reader)
            self._reader = self._closed(self._reader)
            raise told from fault

    def put(self, row: Row, *, if_absent: bool) -> ThreadWork[None]:
        """Fires once the row is durable, with BlobExists where ``if_absent`` and the name is taken."""
        return self._writer.submit(partial(self._put, row, if_absent))

    def _put(self, row: Row, if_absent: bool, turn: Turn) -> None:
        hides = self._folder.holds(row.name)
        if hides and if_absent:
            raise BlobExists(row.name)
        turn.claim(len(row.data))
        turn.connection.execute(_PUT_IF_ABSENT if if_absent else _PUT, row)
        if if_absent and not turn.connection.changes():
            raise BlobExists(row.name)
        if hides:
            turn.afterwards(partial(self._uncover, row.name))

    def _uncover(self, name: str, turn: Turn) -> None:
        if _is_there(turn, name):
            self._folder.remove(segments(name))

    def delete(self, name: str, expect: str | None) -> ThreadWork[None]:
        """Fires once the row is gone for good; a missing one is fine. BlobChanged where it is not as expected."""
        return self._writer.submit(partial(self._delete, name, expect))

    def _delete(self, name: str, expect: str | None, turn: Turn) -> None:
        if expect is not None and not self._is(turn, name, expect):
            raise BlobChanged(name)
        if self._folder.holds(name):
            self._folder.remove(segments(name))
        try:
            turn.connection.execute(_DELETE, (name,))
        except apsw.Error as fault:
            if not is_damage(fault) or not turn.goes_on():
                raise
            turn.connection.pragma("checksum_verification", False)  # its neighbours' own checksums still tell
            try:
                turn.connection.execute(_DELETE, (name,))
            finally:
                turn.connection.pragma("checksum_verification", True)

    @staticmethod
    def _is(turn: Turn, name: str, expect: str) -> bool:
        try:
            found = turn.connection.execute(_LOOK, (name,)).fetchall()
        except apsw.Error as fault:
            if is_damage(fault):
                return False
            raise
        return not found or Look(*found[0]).fingerprint == expect

    # ------------------------------------------------------------ threads that may wait

    def make_way(self, name: str, if_absent: bool, place: Callable[[], Directory]) -> None:
        """Let ``place`` put a file under the name; it says in which directory. A row that was there goes.

        Raises what it raises, and BlobExists.
        """

        def work(turn: Turn) -> None:
            row = _is_there(turn, name)
            if row and if_absent:
                raise BlobExists(name)
            directory = place()
            if row:
                directory.sync()
                directory.settle()
                turn.connection.execute(_DELETE, (name,))

        self._writer.wait_for(work)

    def names(self, prefix: str, after: str, limit: int) -> Sequence[str]:
        """Up to ``limit`` names of rows that start with ``prefix`` and come after ``after``, in byte order."""
        return [name for (name,) in self._ask(_NAMES, (prefix, prefix + _AFTER_ALL, after, limit))]

    def look(self, name: str) -> Look | None:
        """What a listing tells of a row. Raises BackendError; Damaged where only this row cannot be read."""
        found = self._ask(_LOOK, (name,), damaged=Damaged)
        return Look(*found[0]) if found else None

    def _ask(self, sql: str, values: tuple[Any, ...], damaged: type[Exception] = BackendDown) -> list[Any]:
        with self._listing:
            if not self._opened:
                raise BackendDown("this location is not open")
            try:
                if self._lister is None:
                    self._lister = self._connect_reader()
                return self._lister.execute(sql, values).fetchall()
            except (apsw.Error, SqliteUnfit, OSError) as fault:
                told = damaged(str(fault)) if is_damage(fault) else _name(fault, self._lister)
                self._lister = self._closed(self._lister)
                raise told from fault


def _is_there(turn: Turn, name: str) -> bool:
    return bool(turn.connection.execute(_IS_THERE, (name,)).fetchall())


def _name(fault: BaseException, connection: apsw.Connection | None) -> BaseException:
    code = connection.system_errno if connection is not None else 0
    if isinstance(fault, OSError):
        return threadwork.named(fault)
    return named(fault, code) if isinstance(fault, (apsw.Error, SqliteUnfit)) else fault
