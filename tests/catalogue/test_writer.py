"""Changes share a commit, and one that fails hurts no other."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred, DeferredList

from gateway.catalogue import CatalogueFault
from gateway.catalogue.writer import GROUP, Writer
from gateway.errors import S3Error

Insert = Callable[[int], Callable[[apsw.Connection], int]]


class Gate:
    """A change that holds the writer thread, so that what is submitted behind it becomes one group with it."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.opened = threading.Event()

    def __call__(self, connection: apsw.Connection) -> None:
        self.entered.set()
        assert self.opened.wait(30)


@pytest.fixture
def path(tmp_path: Path) -> str:
    path = str(tmp_path / "db")
    connection = apsw.Connection(path)
    connection.pragma("journal_mode", "wal")
    connection.execute("CREATE TABLE t (n INTEGER PRIMARY KEY) STRICT")
    connection.close()
    return path


@pytest.fixture
def connections() -> list[apsw.Connection]:
    return []


@pytest.fixture
def writer(path: str, connections: list[apsw.Connection]) -> Iterator[Writer]:
    def connect() -> apsw.Connection:
        connections.append(apsw.Connection(path))
        return connections[-1]

    writer = Writer(connect, reactor)  # type: ignore[arg-type]
    yield writer
    pytest_twisted.blockon(writer.stop())


def insert(number: int) -> Callable[[apsw.Connection], int]:
    def work(connection: apsw.Connection) -> int:
        connection.execute("INSERT INTO t VALUES (?)", (number,))
        return number

    return work


def stored(path: str) -> set[Any]:
    connection = apsw.Connection(path)
    try:
        return {n for (n,) in connection.execute("SELECT n FROM t")}
    finally:
        connection.close()


async def outcomes(answers: list[Deferred[Any]]) -> list[Any]:
    """Each result, or the exception."""
    return [value if ok else value.value for ok, value in await DeferredList(answers, consumeErrors=True)]


def submit_group(writer: Writer, works: list[Callable[[apsw.Connection], Any]]) -> list[Deferred[Any]]:
    """The works, submitted while the writer is held: they run in one group."""
    gate = Gate()
    writer.submit(gate).addErrback(lambda failure: None)  # it shares the group's fate
    assert gate.entered.wait(30)
    answers = [writer.submit(work) for work in works]
    gate.opened.set()
    return answers


@pytest_twisted.ensureDeferred
async def test_a_failing_change_leaves_nothing_and_hurts_no_other(writer: Writer, path: str) -> None:
    def fails(connection: apsw.Connection) -> None:
        connection.execute("INSERT INTO t VALUES (100)")
        raise ValueError("no")

    found = await outcomes(submit_group(writer, [insert(1), fails, insert(2), insert(1), insert(3)]))
    assert [found[0], found[2], found[4]] == [1, 2, 3]
    assert isinstance(found[1], ValueError)
    assert isinstance(found[3], apsw.ConstraintError)
    assert stored(path) == {1, 2, 3}


@pytest_twisted.ensureDeferred
async def test_changes_that_wait_share_commits_of_at_most_fifty(
    writer: Writer, path: str, connections: list[apsw.Connection]
) -> None:
    commits: list[int] = []

    def watch(connection: apsw.Connection) -> None:
        connection.set_commit_hook(lambda: bool(commits.append(1)))

    await writer.submit(watch)
    commits.clear()
    found = await outcomes(submit_group(writer, [insert(n) for n in range(2 * GROUP)]))
    assert found == list(range(2 * GROUP))
    assert len(commits) == 3  # the gate and 49 changes, 50 changes, one change


@pytest_twisted.ensureDeferred
async def test_an_answer_comes_after_its_commit_and_on_the_reactor_thread(writer: Writer, path: str) -> None:
    seen: list[tuple[bool, bool]] = []

    def look(number: int) -> int:
        seen.append((number in stored(path), threading.current_thread() is threading.main_thread()))
        return number

    await outcomes([answer.addCallback(look) for answer in submit_group(writer, [insert(n) for n in range(20)])])
    assert seen == [(True, True)] * 20


@pytest_twisted.ensureDeferred
async def test_a_commit_that_fails_fails_its_whole_group_and_the_next_works(writer: Writer, path: str) -> None:
    def spoil(connection: apsw.Connection) -> None:
        connection.set_commit_hook(lambda: True)  # turns COMMIT into a failure and a rollback

    found = await outcomes(submit_group(writer, [insert(1), spoil, insert(2)]))
    assert all(isinstance(outcome, apsw.ConstraintError) for outcome in found)
    assert stored(path) == set()
    assert await writer.submit(insert(3)) == 3
    assert stored(path) == {3}


@pytest_twisted.ensureDeferred
async def test_a_transaction_that_sqlite_itself_ends_fails_its_group(writer: Writer, path: str) -> None:
    def lose(connection: apsw.Connection) -> None:
        connection.execute("ROLLBACK")
        raise apsw.FullError("database or disk is full")

    found = await outcomes(submit_group(writer, [insert(1), lose, insert(2)]))
    first, second, third = found
    assert isinstance(first, S3Error) and first.code == "InsufficientStorage"
    assert isinstance(second, S3Error) and second.code == "InsufficientStorage"
    assert third == 2  # it had not begun: its own group, its own truth
    assert stored(path) == {2}


@pytest_twisted.ensureDeferred
async def test_a_lock_that_stays_fails_all_that_wait_at_once(path: str) -> None:
    gate, tries = Gate(), []

    def connect() -> apsw.Connection:
        tries.append(1)
        gate.entered.set()
        assert gate.opened.wait(30)
        return apsw.Connection(path)  # without a busy timeout

    other = apsw.Connection(path)
    other.execute("BEGIN IMMEDIATE")
    writer = Writer(connect, reactor)  # type: ignore[arg-type]
    held = [writer.submit(insert(n)) for n in range(10)]
    gate.opened.set()
    found = await outcomes(held)
    other.execute("ROLLBACK")
    other.close()
    assert {(type(outcome), outcome.code) for outcome in found} == {(S3Error, "ServiceUnavailable")}
    assert len(tries) == 1
    assert await writer.submit(insert(1)) == 1
    await writer.stop()


@pytest_twisted.ensureDeferred
async def test_cancelling_withdraws_a_change_that_has_not_begun(writer: Writer, path: str) -> None:
    gate = Gate()
    held = writer.submit(gate)
    assert gate.entered.wait(30)
    waiting, other = writer.submit(insert(1)), writer.submit(insert(2))
    waiting.cancel()
    gate.opened.set()
    assert isinstance((await outcomes([waiting]))[0], CancelledError)
    assert await other == 2
    await held
    assert stored(path) == {2}


@pytest_twisted.ensureDeferred
async def test_cancelling_a_change_that_began_still_tells_the_truth(writer: Writer, path: str) -> None:
    gate = Gate()

    def slow(connection: apsw.Connection) -> str:
        gate(connection)
        connection.execute("INSERT INTO t VALUES (1)")
        return "written"

    answer = writer.submit(slow)
    assert gate.entered.wait(30)
    answer.cancel()
    gate.opened.set()
    assert await answer == "written"
    assert stored(path) == {1}


@pytest_twisted.ensureDeferred
async def test_stopping_writes_what_waits_and_takes_nothing_more(path: str) -> None:
    writer = Writer(lambda: apsw.Connection(path), reactor)  # type: ignore[arg-type]
    answers = [writer.submit(insert(n)) for n in range(120)]
    await writer.stop()
    assert await outcomes(answers) == list(range(120))
    assert stored(path) == set(range(120))
    with pytest.raises(CatalogueFault):
        writer.submit(insert(500))
