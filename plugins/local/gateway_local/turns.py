"""The one thread of a process that writes rows: changes that wait together are committed together.

A commit costs a sync of the disk, so up to 64 changes share one. What comes in one turn of the reactor is handed over
at its end: a thread that was woken by the first would commit that one alone. Each change is answered after the commit
returned; where it fails, all of them failed, and the connection is thrown away: after a failed sync nothing that it
remembers is certain. A fault before the commit may be one change's own (a damaged page, say): then each gets a
transaction of its own.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from itertools import groupby
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, TypeVar, cast

from twisted.internet.threads import deferToThread
from twisted.python.failure import Failure

from gateway.api import BackendDown, BackendError
from gateway_local.threadwork import ThreadWork, named

T = TypeVar("T")
GROUP = 64


class Turn:
    """The transaction that changes run in, one after the other, while no other process writes.

    ``free``: bytes that may still be taken, asked for when it is wanted first.
    """

    def __init__(self, connection: Any, free: Callable[[], int]) -> None:
        self.connection = connection
        self.later: list[tuple[int, Callable[[Turn], None]]] = []
        self.number = 0  # of the change that runs
        self._ask = free
        self._free: int | None = None

    def claim(self, size: int) -> None:
        """Raises OSError where the disk has no room for it."""
        self._free = (self._ask() if self._free is None else self._free) - size
        if self._free < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def goes_on(self) -> bool:
        """Whether there is a transaction still, after a fault for which SQLite may have given it up.

        The first change may begin it anew, for nothing is lost; one behind it is done again by itself.
        """
        if not self.connection.in_transaction and self.number == 0:
            self.connection.execute("BEGIN IMMEDIATE")
        return bool(self.connection.in_transaction)

    def afterwards(self, work: Callable[[Turn], None]) -> None:
        """Once this is committed, and before the change is answered, do that in a transaction of its own."""
        self.later.append((self.number, work))


Work = Callable[[Turn], Any]


class _Change:
    """``once``: it must not run twice; a thread waits for it."""

    __slots__ = ("answer", "once", "work")

    def __init__(self, work: Work, answer: ThreadWork[Any] | Future[Any], *, once: bool) -> None:
        self.work = work
        self.answer = answer
        self.once = once


class Writer:
    """Runs changes in the order in which they came, on a connection that nobody else uses.

    ``connect`` makes it, ``name`` makes a backend error of what SQLite raised on it. A change raises BackendError or
    OSError before it has changed anything; then it hurts no other of its group. ``start`` it once; once stopped, it
    stays so.
    """

    def __init__(
        self, connect: Callable[[], Any], free: Callable[[], int], name: Callable[[BaseException, Any], BaseException]
    ) -> None:
        self._connect = connect
        self._free = free
        self._name = name
        self._connection: Any = None
        self._queue: SimpleQueue[_Change | None] = SimpleQueue()
        self._held: list[_Change] = []  # until the reactor's turn ends
        self._thread: Thread | None = None

    def start(self, reactor: Any) -> None:
        self._reactor = reactor
        self._thread = Thread(target=self._run, name="local-rows", daemon=True)
        self._thread.start()

    async def stop(self) -> None:
        """Do what waits, then end; fine twice, and before the start."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._hand_over()
            self._queue.put(None)
            await deferToThread(thread.join)

    def submit(self, work: Callable[[Turn], T]) -> ThreadWork[T]:
        """From the reactor's thread. Fires with what ``work`` returns or raises, once it is durable.

        Work may run twice: where it raised something else before the commit, what it had done is rolled back.
        """
        answer: ThreadWork[T] = ThreadWork()
        if self._thread is None:
            answer.errback(BackendDown("this location is not open"))
        else:
            if not self._held:
                self._reactor.callLater(0, self._hand_over)
            self._held.append(_Change(work, answer, once=False))
        return answer

    def _hand_over(self) -> None:
        held, self._held = self._held, []
        for change in held:
            self._queue.put(change)

    def wait_for(self, work: Callable[[Turn], T]) -> T:
        """From a thread that may wait. The work runs once; it must undo what it did beside the rows if this raises."""
        if self._thread is None:
            raise BackendDown("this location is not open")
        answer: Future[T] = Future()
        self._queue.put(_Change(work, answer, once=True))
        return answer.result()

    # ------------------------------------------------------------ in the thread

    def _run(self) -> None:
        while self._round():  # a call, so that what changes refer to (open directories) is let go while nothing waits
            pass
        self._drop()

    def _round(self) -> bool:
        """Do what waits; False at the end."""
        changes = [self._queue.get()]
        with suppress(Empty):
            while changes[-1] is not None and len(changes) < GROUP:
                changes.append(self._queue.get_nowait())
        for _, together in groupby(filter(None, changes), lambda change: change.once):
            self._answer(list(together))
        return changes[-1] is not None

    def _answer(self, changes: Sequence[_Change]) -> None:
        outcomes = self._group(changes)
        if not changes[0].once:
            self._reactor.callFromThread(_tell, changes, outcomes)
            return
        for change, outcome in zip(changes, outcomes, strict=True):
            told = cast("Future[Any]", change.answer)
            told.set_exception(outcome) if isinstance(outcome, BaseException) else told.set_result(outcome)

    def _group(self, changes: Sequence[_Change]) -> list[Any]:
        """What each change returned, or what it raised."""
        committing = False
        try:
            turn = self._begin()
            outcomes = [self._one(turn, number, change) for number, change in enumerate(changes)]
            committing = True
            turn.connection.execute("COMMIT")
        except BaseException as fault:  # not swallowed: every change is answered with it
            told = self._name(fault, self._connection)
            self._drop()
            if not committing and len(changes) > 1 and not changes[0].once:
                return [outcome for change in changes for outcome in self._group([change])]
            return [told] * len(changes)
        for number, work in turn.later:
            try:
                again = self._begin()
                work(again)
                again.connection.execute("COMMIT")
            except BaseException as fault:  # not swallowed: as above
                outcomes[number] = self._name(fault, self._connection)
                self._drop()
        return outcomes

    def _begin(self) -> Turn:
        if self._connection is None:
            self._connection = self._connect()
        self._connection.execute("BEGIN IMMEDIATE")
        return Turn(self._connection, self._free)

    @staticmethod
    def _one(turn: Turn, number: int, change: _Change) -> Any:
        turn.number = number
        outcome: Any
        try:
            outcome = change.work(turn)
        except OSError as fault:
            outcome = fault if change.once else named(fault)
        except BackendError as fault:
            outcome = fault
        if not turn.connection.in_transaction:  # SQLite gave it up, and with it what the others had done
            raise outcome if isinstance(outcome, BaseException) else BackendDown("SQLite gave up the transaction")
        return outcome

    def _drop(self) -> None:
        """Closing rolls back what is not committed."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close(True)


def _tell(changes: Sequence[_Change], outcomes: Sequence[Any]) -> None:
    for change, outcome in zip(changes, outcomes, strict=True):
        answer = cast("ThreadWork[Any]", change.answer)
        answer.callback(Failure(outcome) if isinstance(outcome, BaseException) else outcome)  # type: ignore[no-untyped-call]
