"""The one thread of a process that writes: changes that wait together are committed together.

A commit costs a disk sync, so a group of up to 50 changes shares one. A change that raises leaves nothing and hurts no
other: nearly all that raise have written nothing yet. Where one has, the group is rolled back and done again, each
change in a SAVEPOINT of its own. A change is answered on the reactor thread, and only after COMMIT returned; where
COMMIT fails, every change of the group failed.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any

import apsw
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads
from twisted.python.failure import Failure

from gateway.catalogue.faults import (
    CatalogueDamaged,
    CatalogueFault,
    CatalogueForgot,
    Condition,
    is_suspicious,
    refusal_of,
)
from gateway.catalogue.witness import Witness, count
from gateway.errors import S3Error

GROUP = 50

Work = Callable[[apsw.Connection], Any]


def unreported(changes: int, seconds: float) -> None:
    """Nobody counts."""


class _GroupLost(Exception):
    """SQLite itself ended the transaction in the middle of a change."""


class _Spoilt(Exception):
    """A change raised after it had written something."""


class _Answer(Deferred[Any]):
    """Fires with a change's outcome.

    Cancelling withdraws a change that has not begun. One that began is answered with the truth a moment later, for a
    caller that gave up on a commit must still learn whether its version exists.
    """

    def __init__(self, withdraw: Callable[[], bool]) -> None:
        super().__init__()
        self._withdraw = withdraw

    def cancel(self) -> None:
        if self.called or self._withdraw():
            super().cancel()


class _Change:
    __slots__ = ("answer", "begun", "counts", "withdrawn", "work")

    def __init__(self, work: Work, withdraw: Callable[[_Change], bool], *, counts: bool) -> None:
        self.work = work
        self.counts = counts
        self.begun = False
        self.withdrawn = False
        self.answer = _Answer(lambda: withdraw(self))


class Writer:
    """Runs changes in the order of their ``submit`` on a connection that nobody else uses.

    ``connect`` makes that connection; it is called again after a fault of the disk, because what a connection
    remembers is not to be trusted then. After one that may have lost something ``examine`` looks at the file first
    (raises what is wrong). With a ``witness`` each commit is counted, and the witness told.
    """

    def __init__(
        self,
        connect: Callable[[], apsw.Connection],
        reactor: IReactorFromThreads,
        *,
        witness: Witness | None = None,
        condition: Condition | None = None,
        examine: Callable[[apsw.Connection], None] = lambda connection: None,
    ) -> None:
        self.report: Callable[[int, float], None] = unreported  # changes, seconds: after each commit
        self._connect = connect
        self._reactor = reactor
        self._witness = witness
        self._condition = condition or Condition()
        self._examine = examine
        self._connection: apsw.Connection | None = None
        self._waiting: SimpleQueue[_Change | None] = SimpleQueue()  # None: the end
        self._lock = threading.Lock()  # a change either begins or is withdrawn
        self._stopping: Deferred[None] | None = None
        self._thread = threading.Thread(target=self._run, name="catalogue-writer", daemon=True)
        self._thread.start()

    def submit(self, work: Work, *, counts: bool = True) -> Deferred[Any]:
        """Queue a change; fires with what ``work`` returns or raises. Raises CatalogueFault after ``stop``.

        It may run twice: what it did the first time was rolled back then.
        ``counts``: it would be missed; what a process only notes of itself would not.
        """
        change = _Change(work, self._withdraw, counts=counts)
        if self._stopping is not None:
            raise CatalogueFault("the catalogue is closed")
        self._waiting.put(change)
        return change.answer

    def stop(self) -> Deferred[None]:
        """Commit what waits, then end the thread; fires when it has ended."""
        if self._stopping is not None:
            raise CatalogueFault("the catalogue is closed")
        self._stopping = Deferred()
        self._waiting.put(None)
        return self._stopping

    def _withdraw(self, change: _Change) -> bool:
        with self._lock:
            change.withdrawn = not change.begun
            return change.withdrawn

    def _take(self, *, wait: bool) -> _Change | None:
        """The next change, None where there is none (``wait``: only at the end)."""
        try:
            while (change := self._waiting.get(wait)) is not None:
                with self._lock:
                    if not change.withdrawn:
                        change.begun = True
                        return change
            self._waiting.put(None)  # the end of a group is seen once more, as that of the thread
        except Empty:
            pass
        return None

    def _run(self) -> None:
        while (first := self._take(wait=True)) is not None:
            began = time.perf_counter()
            outcomes = self._group(first)
            self._reactor.callFromThread(self._tell, outcomes, time.perf_counter() - began)
        if self._connection is not None:
            self._connection.close()
        assert self._stopping is not None
        self._reactor.callFromThread(self._stopping.callback, None)

    @property
    def waiting(self) -> int:
        """How many changes wait for a commit to begin."""
        return self._waiting.qsize()

    def _tell(self, outcomes: list[tuple[_Change, Any]], seconds: float) -> None:
        self.report(len(outcomes), seconds)
        for change, outcome in outcomes:
            change.answer.callback(outcome)  # a Failure goes down the error path

    def _group(self, first: _Change) -> list[tuple[_Change, Any]]:
        """Run changes from ``first`` on in one transaction; each with its result or its Failure."""
        outcomes: list[tuple[_Change, Any]] = []
        change: _Change | None = first
        run = self._one
        try:
            connection = self._open()
            before, changes = connection.total_changes(), 0
            connection.execute("BEGIN IMMEDIATE")
            while change is not None:
                outcomes.append((change, None))  # its place is taken first: a lost group fails this one too
                try:
                    outcomes[-1] = (change, run(connection, change.work))
                except _Spoilt:
                    run = self._in_savepoint
                    connection.execute("ROLLBACK; BEGIN IMMEDIATE")
                    outcomes[:] = [(each, run(connection, each.work)) for each, _ in outcomes]
                change = self._take(wait=False) if len(outcomes) < GROUP else None
            if self._witness and connection.total_changes() > before and any(done.counts for done, _ in outcomes):
                changes = count(connection)
            connection.execute("COMMIT")
        except BaseException as fault:  # not swallowed: every change of the group is answered with it
            self._drop_connection()
            self._note(fault)
            failed = [change for change, _ in outcomes]
            if not failed:  # nothing could begin: those behind would each wait out the same lock again
                failed.append(first)
                while len(failed) < GROUP and (change := self._take(wait=False)) is not None:
                    failed.append(change)
            return [(change, _failure(fault)) for change in failed]
        if self._witness and changes:
            self._witness.note(changes)
        self._condition.trouble = ""
        return outcomes

    def _open(self) -> apsw.Connection:
        """The connection, examined first where somebody met a fault of the disk."""
        if self._condition.doubt:
            raise S3Error("ServiceUnavailable", cause=f"catalogue: {self._condition.doubt}")
        if self._connection is None:
            self._connection = self._connect()
        if self._condition.suspected:
            self._examine(self._connection)
            self._condition.suspected = False
        return self._connection

    def _note(self, fault: BaseException) -> None:
        """Remember what a fault means for the next group, and for those who ask how the catalogue is."""
        cause = fault.__cause__ if isinstance(fault, _GroupLost) else fault
        self._condition.met(cause)

    def _one(self, connection: apsw.Connection, work: Work) -> Any:
        """What one change returns, or its Failure where it wrote nothing. Raises _Spoilt where it did, _GroupLost."""
        before = connection.total_changes()
        try:
            return work(connection)
        except BaseException as fault:  # not swallowed: the change's caller is answered with it
            if not connection.in_transaction:
                raise _GroupLost from fault
            if connection.total_changes() != before:
                raise _Spoilt from fault
            return self._failed(fault)

    def _in_savepoint(self, connection: apsw.Connection, work: Work) -> Any:
        """What one change returns, or its Failure after everything it did was rolled back."""
        connection.execute("SAVEPOINT change")
        outcome: Any
        try:
            outcome = work(connection)
        except BaseException as fault:  # not swallowed: the change's caller is answered with it
            if not connection.in_transaction:
                raise _GroupLost from fault
            connection.execute("ROLLBACK TO change")
            outcome = self._failed(fault)
        connection.execute("RELEASE change")
        return outcome

    def _failed(self, fault: BaseException) -> Failure:
        if is_suspicious(fault):
            self._condition.met(fault)
        return _failure(fault)

    def _drop_connection(self) -> None:
        """Closing rolls back what is not committed."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close(True)


def _failure(fault: BaseException) -> Failure:
    return Failure(_refusal(fault))  # type: ignore[no-untyped-call]


def _refusal(fault: BaseException) -> BaseException:
    """What the caller gets: the disk's faults in words of S3, everything else unchanged."""
    cause = fault.__cause__ if isinstance(fault, _GroupLost) else fault
    refusal = None if cause is None else refusal_of(cause)
    if refusal is None and isinstance(fault, (_GroupLost, CatalogueForgot, CatalogueDamaged)):
        refusal = S3Error("ServiceUnavailable", cause=f"catalogue: {type(cause).__name__}: {cause}")
        refusal.__cause__ = cause
    return refusal or cause or fault
