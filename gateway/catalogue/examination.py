"""The whole catalogue is read, page by page: at every start beside serving, and after a fault of the disk."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import apsw
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads

from gateway.catalogue.database import first_row
from gateway.catalogue.faults import CatalogueDamaged, CatalogueFault, CatalogueForgot, Condition, is_suspicious
from gateway.catalogue.witness import Witness

_CHUNK = 1 << 20
_RETRY = 1.0  # seconds


def examine(connection: apsw.Connection, *, path: Path, witness: Witness) -> None:
    """Raises CatalogueForgot, CatalogueDamaged, and apsw.Error where it could not be read."""
    known = witness.changes
    told = _look(connection)
    if told:  # the truth, or only a disk that could not be read for a moment?
        _read(path)
        told = _look(connection)
    if told:
        raise CatalogueDamaged(f"{path}: {told}")
    row = first_row(connection, "SELECT changes FROM about")
    if row is None or row[0] < known:
        raise CatalogueForgot(f"{path} has forgotten changes: {known} were committed, it knows {row and row[0]}")


def _look(connection: apsw.Connection) -> str:
    """The first thing that is wrong with a page, or ""."""
    try:
        found = connection.execute("PRAGMA quick_check(1)").fetchall()
    except apsw.Error as fault:
        if not is_suspicious(fault):
            raise
        return f"{type(fault).__name__}: {fault}"
    return "" if found == [("ok",)] else " ".join(str(found[0][0]).split())


def _read(path: Path) -> None:
    """Raises apsw.IOError where the disk does not give all of the files.

    The database is opened by SQLite's own means: a descriptor of ours that is closed would take away the locks that
    this process has on it, and who thinks that nobody else is there removes the log.
    """
    database = apsw.VFSFile("unix", str(path), [apsw.SQLITE_OPEN_MAIN_DB | apsw.SQLITE_OPEN_READONLY, 0])
    try:
        for start in range(0, database.xFileSize(), _CHUNK):
            database.xRead(min(_CHUNK, database.xFileSize() - start), start)
    finally:
        database.xClose()
    try:
        with suppress(FileNotFoundError), path.with_name(f"{path.name}-wal").open("rb", buffering=0) as log:
            while log.read(_CHUNK):
                pass
    except OSError as fault:
        raise apsw.IOError(f"{path} cannot be read: {fault}") from fault


class Examination:
    """One examination in a thread with a connection of its own; ``condition`` has what it found.

    Where the disk does not let it read, it tries again until it could, or is stopped.
    """

    def __init__(
        self,
        connect: Callable[[], apsw.Connection],
        examine: Callable[[apsw.Connection], None],
        condition: Condition,
        reactor: IReactorFromThreads,
    ) -> None:
        self._connect = connect
        self._examine = examine
        self._condition = condition
        self._reactor = reactor
        self._running: list[Deferred[None]] = []
        self._stopped = threading.Event()

    def run(self) -> Deferred[None]:
        """Fires when it is through, whatever it found."""
        done: Deferred[None] = Deferred()
        self._running.append(done)
        if len(self._running) == 1:
            threading.Thread(target=self._work, name="catalogue-examination", daemon=True).start()
        return done

    def stop(self) -> Deferred[None]:
        """Break off; fires when the thread has ended."""
        self._stopped.set()
        done: Deferred[None] = Deferred()
        if not self._running:
            done.callback(None)
            return done
        self._running.append(done)
        return done

    def _work(self) -> None:
        try:
            while not self._stopped.is_set() and not self._once():
                self._stopped.wait(_RETRY)
        finally:
            self._reactor.callFromThread(self._told)

    def _once(self) -> bool:
        """Whether it is known now how the catalogue is; False where the disk did not let us look."""
        connection = None
        try:
            connection = self._connect()
            connection.set_progress_handler(self._stopped.is_set, 100_000)
            self._examine(connection)
        except apsw.InterruptError:
            return False
        except (CatalogueFault, apsw.Error) as fault:
            self._condition.met(fault)
            return bool(self._condition.doubt)
        finally:
            if connection is not None:
                connection.close()
        return True

    def _told(self) -> None:
        waiting, self._running = self._running, []
        for each in waiting:
            each.callback(None)
