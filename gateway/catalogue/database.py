"""The SQLite file of a catalogue: made, migrated, and opened for the one writer and the one reader of a process."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

import apsw

from gateway import sqlitefile
from gateway.catalogue.faults import CatalogueFault, Condition, refusal_of
from gateway.catalogue.schema import MIGRATIONS
from gateway.catalogue.writer import Writer
from gateway.sqlitefile import SqliteUnfit

FILE = "catalogue.sqlite"
APPLICATION_ID = 0x74784757  # "txGW": tells our file from another program's

T = TypeVar("T")
V = TypeVar("V")


class Database:
    """What the other files here need: bounded reads on the reactor thread, changes on the writer thread."""

    def __init__(
        self, reader: apsw.Connection, writer: Writer, clock: Callable[[], float], condition: Condition
    ) -> None:
        self.reader = reader
        self._cursor = reader.cursor()  # a new one for each statement costs a quarter of a small one
        self._writer = writer
        self._clock = clock
        self._condition = condition
        self.generation = self.epoch = -1

    def look(self) -> None:
        """See where the catalogue is now: ``generation`` moves on with every change of an account, key or bucket,
        ``epoch`` whenever a blob is doomed. Each request begins with it (2 us)."""
        ((self.generation, self.epoch),) = self.rows("SELECT generation, epoch FROM about")

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[Any]:
        """All rows, as tuples. The statement is finished on return, so that no old snapshot stays open.

        A fault of the disk is an S3Error.
        """
        try:
            return cast("list[Any]", self._cursor.execute(sql, values).fetchall())
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


class Kept(Generic[V]):
    """Rows that many requests ask for, as they were at the last ``look`` of the database; strangers' names are none.

    They are read after the generation that they are kept for, so they are never older than it says.
    """

    MOST = 10_000  # so that very many do not fill the memory

    def __init__(self, database: Database, read: Callable[[str], V | None]) -> None:
        self._database = database
        self._read = read
        self._generation = -1
        self._rows: dict[str, V] = {}

    def get(self, name: str) -> V | None:
        """What ``read`` gives for that name, from memory where nothing has changed."""
        if self._database.generation != self._generation or len(self._rows) >= self.MOST:
            self._rows.clear()
            self._generation = self._database.generation
        known = self._rows.get(name)
        if known is None:
            known = self._read(name)
            if known is not None:
                self._rows[name] = known
        return known


def first_row(connection: apsw.Connection, sql: str, values: Sequence[Any] = ()) -> Any | None:
    """The first row of a statement that has at most a few, or None."""
    rows = connection.execute(sql, values).fetchall()
    return rows[0] if rows else None


def move_on(connection: apsw.Connection) -> None:
    """Inside a change of an account, a key or a bucket: what was kept of them is looked up anew."""
    connection.execute("UPDATE about SET generation = generation + 1")


def prepare(folder: Path) -> Path:
    """Make the folder and the file (readable by nobody else), durably; give the file's path."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    sqlitefile.create(folder / FILE)
    return folder / FILE


@contextmanager
def _told() -> Iterator[None]:
    """What is wrong with an SQLite file is wrong with the catalogue."""
    try:
        yield
    except SqliteUnfit as fault:
        raise CatalogueFault(str(fault)) from fault.__cause__


def connect(path: Path, patience: float = sqlitefile.PATIENCE) -> apsw.Connection:
    """A connection that may write. Raises apsw.Error, CatalogueFault where SQLite is too old."""
    with _told():
        connection = sqlitefile.connect(path, patience=patience)
    connection.pragma("foreign_keys", True)
    connection.pragma("journal_size_limit", 64 << 20)
    return connection


def connect_reader(path: Path) -> apsw.Connection:
    """A connection for the reactor thread, which can neither write nor wait long."""
    connection = connect(path, patience=1.0)  # readers meet a lock only while a log is being recovered
    connection.pragma("query_only", True)
    return connection


def use_wal(connection: apsw.Connection, *, patience: float = sqlitefile.PATIENCE) -> None:
    """Switch to write-ahead logging. Raises CatalogueFault where there is none."""
    with _told():
        sqlitefile.use_wal(connection, patience=patience)


def migrate(connection: apsw.Connection, steps: Sequence[str] = MIGRATIONS) -> None:
    """Bring the schema up to date. Raises CatalogueFault for a newer or foreign file."""
    with _told():
        sqlitefile.migrate(connection, steps, mark=APPLICATION_ID, what="a catalogue")
