"""The SQLite file of a catalogue: made, migrated, and opened for the one writer and the one reader of a process.

WAL with ``synchronous=FULL``: a commit that returned survives power loss. SQLite before 3.51.3 is refused, because it
can corrupt a WAL that several connections write (sqlite.org/wal.html, "the WAL-reset bug").
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar, cast

import apsw

from gateway.catalogue.checked_pages import checked_pages
from gateway.catalogue.faults import CatalogueFault, Condition, refusal_of
from gateway.catalogue.schema import MIGRATIONS
from gateway.catalogue.writer import Writer

FILE = "catalogue.sqlite"
APPLICATION_ID = 0x74784757  # "txGW": tells our file from another program's
OLDEST_SQLITE = (3, 51, 3)
BUSY_MILLISECONDS = 30_000  # other processes write too; theirs are groups of a few milliseconds

T = TypeVar("T")


class Database:
    """What the other files here need: bounded reads on the reactor thread, changes on the writer thread."""

    def __init__(
        self, reader: apsw.Connection, writer: Writer, clock: Callable[[], float], condition: Condition
    ) -> None:
        self.reader = reader
        self._writer = writer
        self._clock = clock
        self._condition = condition

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[Any]:
        """All rows, as tuples. The statement is finished on return, so that no old snapshot stays open.

        A fault of the disk is an S3Error.
        """
        try:
            return cast("list[Any]", self.reader.execute(sql, values).fetchall())
        except apsw.Error as fault:
            self._condition.met(fault)
            refusal = refusal_of(fault)
            if refusal is None:
                raise
            raise refusal from fault

    def row(self, sql: str, values: Sequence[Any] = ()) -> Any | None:
        """The first row, or None."""
        rows = self.rows(sql, values)
        return rows[0] if rows else None

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Several reads that see the same moment; never awaited in."""
        self.rows("BEGIN")
        try:
            yield
        finally:
            if self.reader.in_transaction:  # a fault of the disk ended it
                self.reader.execute("COMMIT")

    async def change(self, work: Callable[[apsw.Connection], T]) -> T:
        """Run ``work`` in a transaction of the writer thread; what it raises comes out unchanged."""
        return cast("T", await self._writer.submit(work))

    async def run(self, sql: str, rows: Sequence[tuple[Any, ...]], *, counts: bool = True) -> None:
        """A change of one statement, run for each of ``rows`` in one transaction. ``counts``: see Writer.submit."""

        def work(connection: apsw.Connection) -> None:
            connection.executemany(sql, rows)

        await self._writer.submit(work, counts=counts)

    def now(self) -> int:
        """Milliseconds since the epoch."""
        return round(self._clock() * 1000)


def first_row(connection: apsw.Connection, sql: str, values: Sequence[Any] = ()) -> Any | None:
    """The first row of a statement that has at most a few, or None."""
    rows = connection.execute(sql, values).fetchall()
    return rows[0] if rows else None


def prepare(folder: Path) -> Path:
    """Make the folder and the file (readable by nobody else), durably; give the file's path."""
    path = folder / FILE
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return path


def connect(path: Path) -> apsw.Connection:
    """A connection that may write. Raises apsw.Error, CatalogueFault where SQLite is too old."""
    version = tuple(int(digits) for digits in apsw.sqlite_lib_version().split("."))
    if version < OLDEST_SQLITE:
        raise CatalogueFault(f"SQLite {apsw.sqlite_lib_version()} may corrupt a catalogue; 3.51.3 or newer is needed")
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE, vfs=checked_pages())
    connection.set_busy_timeout(BUSY_MILLISECONDS)
    connection.pragma("synchronous", "full")
    # Without it SQLite looks at the bound values and plans joins anew with every call: 21 us instead of 4 for a find.
    connection.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)
    connection.pragma("foreign_keys", True)
    connection.pragma("journal_size_limit", 64 << 20)
    return connection


def connect_reader(path: Path) -> apsw.Connection:
    """A connection for the reactor thread, which can neither write nor wait long."""
    connection = connect(path)
    connection.set_busy_timeout(1000)  # readers meet a lock only while a log is being recovered
    connection.pragma("query_only", True)
    return connection


def use_wal(connection: apsw.Connection, *, patience: float = 30.0) -> None:
    """Switch to write-ahead logging. SQLite does not wait for a lock here, and other processes start at the same
    time: so wait ourselves, up to ``patience`` seconds."""
    end = time.monotonic() + patience
    while True:
        try:
            mode = connection.pragma("journal_mode", "wal")
        except apsw.BusyError:
            if time.monotonic() > end:
                raise
            time.sleep(0.01)
            continue
        if mode != "wal":
            raise CatalogueFault(f"{connection.filename}: this file system has no write-ahead log (got {mode!r})")
        return


def migrate(connection: apsw.Connection, steps: Sequence[str] = MIGRATIONS) -> None:
    """Run the steps that the file has not seen, each in one transaction with its number (``user_version``), so that
    an interruption leaves the old schema or the new one. Raises CatalogueFault for a newer or foreign file."""
    while True:
        with Exclusive(connection):  # inside, so that two processes that start together do not run a step twice
            seen = connection.pragma("user_version")
            mark = connection.pragma("application_id")
            if mark != APPLICATION_ID and (mark or seen or connection.pragma("schema_version")):
                raise CatalogueFault(f"{connection.filename}: not a catalogue of this gateway")
            if seen > len(steps):
                raise CatalogueFault(
                    f"{connection.filename}: written by a newer gateway (schema {seen}, this one knows {len(steps)})"
                )
            if seen == len(steps):
                return
            connection.execute(steps[seen]).fetchall()
            connection.pragma("application_id", APPLICATION_ID)
            connection.pragma("user_version", seen + 1)


class Exclusive:
    """One transaction, for the few changes made before the writer thread runs."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection

    def __enter__(self) -> None:
        self._connection.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._connection.in_transaction:
            self._connection.execute("COMMIT" if kind is None else "ROLLBACK")
