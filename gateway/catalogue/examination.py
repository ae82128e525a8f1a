"""The whole catalogue is read, page by page: at every start beside serving, and after a fault of the disk."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import apsw
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads

from gateway.catalogue.database import first_row
from gateway.catalogue.faults import CatalogueDamaged, CatalogueFault, CatalogueForgot, Condition, is_damage
from gateway.catalogue.witness import Witness


def examine(connection: apsw.Connection, *, path: Path, witness: Witness) -> None:
    """Raises CatalogueForgot, CatalogueDamaged, and apsw.Error where it could not be read."""
    known = witness.changes
    row = first_row(connection, "SELECT changes FROM about")
    if row is None or row[0] < known:
        raise CatalogueForgot(f"{path} has forgotten changes: {known} were committed, it knows {row and row[0]}")
    try:
        found = connection.execute("PRAGMA quick_check(1)").fetchall()
    except apsw.Error as fault:
        if not is_damage(fault):
            raise
        raise CatalogueDamaged(f"{path}: a page is not what was written") from fault
    if found != [("ok",)]:
        raise CatalogueDamaged(f"{path}: {' '.join(str(found[0][0]).split())}")


class Examination:
    """One examination in a thread with a connection of its own; ``condition`` has what it found."""

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
        self._stopped = False

    def run(self) -> Deferred[None]:
        """Fires when it is through, whatever it found."""
        done: Deferred[None] = Deferred()
        self._running.append(done)
        if len(self._running) == 1:
            threading.Thread(target=self._work, name="catalogue-examination", daemon=True).start()
        return done

    def stop(self) -> Deferred[None]:
        """Break off; fires when the thread has ended."""
        self._stopped = True
        done: Deferred[None] = Deferred()
        if not self._running:
            done.callback(None)
            return done
        self._running.append(done)
        return done

    def _work(self) -> None:
        why, connection = "", None
        try:
            connection = self._connect()
            connection.set_progress_handler(lambda: self._stopped, 100_000)
            self._examine(connection)
        except apsw.InterruptError:
            pass
        except (CatalogueFault, apsw.Error, OSError) as fault:
            why = f"the catalogue is damaged: {fault}" if is_damage(fault) else ""
            self._condition.trouble = f"{type(fault).__name__}: {fault}"
        finally:
            if connection is not None:
                connection.close()
            self._reactor.callFromThread(self._told, why)

    def _told(self, why: str) -> None:
        if why:
            self._condition.doubted(why)
        waiting, self._running = self._running, []
        for each in waiting:
            each.callback(None)
