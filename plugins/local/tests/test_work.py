"""Many at once, and work that is cancelled: it waits for its thread, leaves nothing open and tells the truth."""

from __future__ import annotations

import os
import random
import resource
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred, DeferredList, ensureDeferred, gatherResults
from twisted.internet.task import deferLater

from gateway.api import (
    BackendBusy,
    BackendDown,
    BlobExists,
    BlobMissing,
    BytesBody,
    DeleteRequest,
    GetRequest,
    HeadRequest,
    ListRequest,
    PutRequest,
    StreamBody,
)

BIG = random.Random(1).randbytes(5_000_000)


@pytest.fixture(params=["rows", "files"])
def kind(request: pytest.FixtureRequest) -> None:
    """Small blobs are rows, or files like large ones."""
    if request.param == "files":
        request.getfixturevalue("as_files")


class Gate:
    """Stops the thread that makes one kind of call until ``opened``; ``reached`` fires when one stands there."""

    def __init__(self, recorder: Any, call: str, calls_before: int = 0) -> None:
        self.reached: Deferred[None] = Deferred()
        self.opened = threading.Event()
        self._left = calls_before

        def before(number: int, name: str, args: tuple[Any, ...]) -> None:
            if name == call:
                self._left -= 1
                if self._left == -1:
                    reactor.callFromThread(self.reached.callback, None)
                    assert self.opened.wait(30)

        recorder.before = before


async def still_waiting(work: Deferred[Any]) -> bool:
    """``called`` would not do: a cancelled coroutine's Deferred is called, and waits for another."""
    ended: list[None] = []

    def end(result: Any) -> Any:
        ended.append(None)
        return result

    work.addBoth(end)
    await deferLater(reactor, 0.05)
    return not ended


@pytest.mark.parametrize("call", ["fsync", "link", "close"])
@pytest.mark.usefixtures("as_files")
@pytest_twisted.ensureDeferred
async def test_a_put_cancelled_while_it_is_put_in_its_place_says_that_it_is_there(
    local: Any, recorder: Any, ways: Any, path: Path, call: str
) -> None:
    gate = Gate(recorder, call)
    work = ensureDeferred(ways.put(local, "a/b", b"data"))
    await gate.reached
    work.cancel()
    work.cancel()
    assert await still_waiting(work)
    gate.opened.set()
    fingerprint = await work
    assert (await local.head(HeadRequest(name="a/b"))).fingerprint == fingerprint


@pytest_twisted.ensureDeferred
async def test_a_put_cancelled_while_it_writes_waits_and_leaves_nothing(
    local: Any, recorder: Any, ways: Any, path: Path
) -> None:
    descriptors = ways.descriptors(path)
    gate = Gate(recorder, "writev", 1)
    work = ensureDeferred(ways.put(local, "a/b", BIG))
    await gate.reached
    work.cancel()
    assert await still_waiting(work)
    gate.opened.set()
    with pytest.raises(CancelledError):
        await work
    assert ways.files(path) == []
    assert ways.descriptors(path) == descriptors
    with pytest.raises(BlobMissing):
        await local.head(HeadRequest(name="a/b"))


class Source:
    """BIG in chunks of 64 KiB, which tells how much was ``given``, and raises ``fault`` after ``good`` bytes."""

    def __init__(self, good: int = len(BIG), fault: Exception | None = None) -> None:
        self.given = 0
        self.body = StreamBody(self._chunks(good, fault), len(BIG), lambda: None)

    async def _chunks(self, good: int, fault: Exception | None) -> Any:
        for at in range(0, good, 65536):
            self.given = min(at + 65536, good)
            yield BIG[at : self.given]
        if fault is not None:
            raise fault


@pytest.mark.parametrize(("write", "given"), [(1, 3 * 1024 * 1024), (3, len(BIG))])
@pytest_twisted.ensureDeferred
async def test_the_next_write_is_gathered_while_one_runs_and_no_more_than_that(
    local: Any, recorder: Any, ways: Any, write: int, given: int
) -> None:
    gate, source = Gate(recorder, "writev", write), Source()
    work = ensureDeferred(local.put(PutRequest(name="a/b", body=source.body, size=len(BIG))))
    await gate.reached
    assert await still_waiting(work)
    assert source.given == given  # written, being written, gathered: a MiB each, and the end
    gate.opened.set()
    await work
    assert await ways.get(local, "a/b") == BIG


@pytest.mark.parametrize("late", [False, True], ids=["in a chunk", "at the end"])
@pytest_twisted.ensureDeferred
async def test_a_body_that_fails_while_a_write_runs_waits_for_it_and_leaves_nothing(
    local: Any, recorder: Any, ways: Any, path: Path, late: bool
) -> None:
    descriptors = ways.descriptors(path)
    fault = None if late else OSError(5, "the client's own")
    gate, source = Gate(recorder, "writev", 1), Source(2_500_000, fault)
    work = ensureDeferred(local.put(PutRequest(name="a/b", body=source.body, size=len(BIG))))
    await gate.reached
    assert await still_waiting(work)
    assert source.given == 2_500_000
    gate.opened.set()
    with pytest.raises(BackendDown if late else OSError, match="promised" if late else "own"):
        await work
    assert ways.files(path) == []
    assert ways.descriptors(path) == descriptors


@pytest_twisted.ensureDeferred
async def test_a_put_cancelled_while_its_body_waits_leaves_nothing(local: Any, ways: Any, path: Path) -> None:
    descriptors = ways.descriptors(path)
    never: Deferred[None] = Deferred()
    waits: Deferred[None] = Deferred()

    async def chunks() -> Any:
        for at in range(0, 3 * 1024 * 1024, 65536):
            yield BIG[at : at + 65536]
        reactor.callLater(0, waits.callback, None)  # once it really waits
        await never

    body = StreamBody(chunks(), len(BIG), lambda: None)
    work = ensureDeferred(local.put(PutRequest(name="a/b", body=body, size=len(BIG))))
    await waits
    assert ways.descriptors(path) == descriptors + 1  # the file without a name
    work.cancel()
    with pytest.raises(CancelledError):
        await work
    assert ways.files(path) == []
    assert ways.descriptors(path) == descriptors


@pytest.mark.usefixtures("as_files")
@pytest_twisted.ensureDeferred
async def test_a_get_cancelled_while_it_opens_closes_what_it_opened(
    local: Any, recorder: Any, ways: Any, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await ways.put(local, "a/b", b"data")
    descriptors = ways.descriptors(path)
    reached: Deferred[None] = Deferred()
    opened = threading.Event()
    real = local._folder.read

    def slow(names: Any) -> Any:
        file = real(names)
        reactor.callFromThread(reached.callback, None)
        assert opened.wait(30)
        return file

    monkeypatch.setattr(local._folder, "read", slow)
    work = ensureDeferred(local.get(GetRequest(name="a/b")))
    await reached
    work.cancel()
    assert await still_waiting(work)
    opened.set()
    with pytest.raises(CancelledError):
        await work
    assert ways.descriptors(path) == descriptors


@pytest.mark.usefixtures("kind")
@pytest_twisted.ensureDeferred
async def test_a_body_that_is_not_as_long_as_promised_is_not_kept(local: Any, ways: Any, path: Path) -> None:
    for size in (0, 4, 6, 2_000_000):
        with pytest.raises(BackendDown, match="promised"):
            await local.put(PutRequest(name="a/b", body=BytesBody(b"12345"), size=size))
    with pytest.raises(BackendDown, match="promised"):
        await local.put(PutRequest(name="a/b", body=BytesBody(BIG), size=2_000_000))
    assert ways.files(path) == []


@pytest_twisted.ensureDeferred
async def test_an_oserror_of_the_body_comes_out_unchanged(local: Any, ways: Any, path: Path) -> None:
    fault = OSError(28, "the client's own disk")

    async def chunks() -> Any:
        yield BIG[:4_000_000]
        raise fault

    body = StreamBody(chunks(), len(BIG), lambda: None)
    with pytest.raises(OSError, match="own disk") as caught:
        await local.put(PutRequest(name="a/b", body=body, size=len(BIG)))
    assert caught.value is fault
    assert ways.files(path) == []


@pytest.mark.usefixtures("as_files")
@pytest_twisted.ensureDeferred
async def test_very_small_chunks_are_gathered(local: Any, recorder: Any, ways: Any) -> None:
    data = BIG[:5000]

    async def chunks() -> Any:
        for at in range(len(data)):
            yield data[at : at + 1]

    await local.put(PutRequest(name="a", body=StreamBody(chunks(), len(data), lambda: None), size=len(data)))
    assert await ways.get(local, "a") == data
    assert [step.call for step in recorder.steps].count("writev") <= 10


@pytest.fixture
def few_descriptors() -> Iterator[int]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    few = len(os.listdir("/proc/self/fd")) + 100
    resource.setrlimit(resource.RLIMIT_NOFILE, (few, hard))
    yield few
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.usefixtures("kind")
@pytest_twisted.ensureDeferred
async def test_a_thousand_small_puts_at_once_need_few_descriptors(local: Any, ways: Any, few_descriptors: int) -> None:
    await gatherResults([ensureDeferred(ways.put(local, f"a/{number}", b"x" * 4096)) for number in range(1000)])
    assert len((await local.list(ListRequest(limit=2000))).blobs) == 1000


@pytest_twisted.ensureDeferred
async def test_too_many_large_puts_are_told_to_come_again_and_leave_nothing(
    local: Any, ways: Any, path: Path, few_descriptors: int
) -> None:
    hold: Deferred[None] = Deferred()
    before = ways.descriptors(path)

    async def chunks() -> Any:
        yield BIG[: 1024 * 1024]
        await hold
        yield BIG[1024 * 1024 : 1024 * 1024 + 1]

    def put(number: int) -> Deferred[Any]:
        body = StreamBody(chunks(), 1024 * 1024 + 1, lambda: None)
        return ensureDeferred(local.put(PutRequest(name=f"a{number}", body=body, size=1024 * 1024 + 1)))

    puts = [put(number) for number in range(130)]
    await deferLater(reactor, 0.5)
    refused = [work for work in puts if work.called]
    for work in puts[len(puts) - 60 :]:
        work.cancel()
    hold.callback(None)
    results = await DeferredList(puts, consumeErrors=True)
    there = {blob.name for blob in (await local.list(ListRequest())).blobs}
    assert there == {f"a{number}" for number, (success, _) in enumerate(results) if success}
    assert refused
    assert all(failure.check(BackendBusy, CancelledError) for success, failure in results if not success)
    assert ways.descriptors(path) == before


@pytest.mark.usefixtures("kind")
@pytest_twisted.ensureDeferred
async def test_puts_and_deletes_in_directories_that_come_and_go(make: Any, local: Any, ways: Any, path: Path) -> None:
    """The last blob's delete removes the directory into which another put is just about to link."""
    other = await make(path)

    async def life(backend: Any, number: int) -> None:
        for turn in range(12):
            name = f"lease/{turn % 2}/{number}"
            fingerprint = await ways.put(backend, name, str(number).encode(), if_absent=True)
            assert await ways.get(backend, name, expect=fingerprint) == str(number).encode()
            await backend.delete(DeleteRequest(name=name))

    await gatherResults([ensureDeferred(life((local, other)[number % 2], number)) for number in range(12)])
    assert ways.files(path) == []


@pytest.mark.usefixtures("kind")
@pytest_twisted.ensureDeferred
async def test_one_of_many_wins_a_free_name(make: Any, local: Any, ways: Any, path: Path) -> None:
    other = await make(path)
    for turn in range(10):
        puts = [
            ensureDeferred(ways.put((local, other)[number % 2], f"a/{turn}", str(number).encode(), if_absent=True))
            for number in range(16)
        ]
        results = await DeferredList(puts, consumeErrors=True)
        winners = [str(number).encode() for number, (success, _) in enumerate(results) if success]
        assert winners == [await ways.get(local, f"a/{turn}")]
        assert all(failure.check(BlobExists) for success, failure in results if not success)


@pytest.mark.usefixtures("kind")
@pytest_twisted.ensureDeferred
async def test_a_closed_backend_says_so_and_holds_nothing(local: Any, ways: Any, path: Path) -> None:
    await ways.put(local, "a/b", b"x")
    await local.close()
    await local.close()
    assert ways.descriptors(path, rows=True) == 0
    with pytest.raises(BackendDown, match="not open"):
        await ways.put(local, "a/b", b"y")
    with pytest.raises(BackendDown, match="not open"):
        await local.head(HeadRequest(name="a/b"))
