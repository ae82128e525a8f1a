"""A catalogue in a folder of its own, and the few steps that most tests begin with."""

from __future__ import annotations

import queue
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.defer import ensureDeferred
from twisted.python.failure import Failure

from gateway.catalogue import Catalogue, open_catalogue
from gateway.model import Bucket, NewVersion, Piece
from gateway.seal import Seal

KEY = b"k" * 32


class Clock:
    """Time that tests move."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


class Loop:
    """What a catalogue needs of a reactor, for tests that are no coroutines (hypothesis calls them many times)."""

    def __init__(self) -> None:
        self._calls: queue.Queue[Callable[[], object]] = queue.Queue()

    def callFromThread(self, call: Callable[..., object], *values: Any) -> None:
        self._calls.put(lambda: call(*values))

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Wait for a coroutine."""
        outcomes: list[Any] = []
        ensureDeferred(work).addBoth(outcomes.append)
        while not outcomes:
            self._calls.get(timeout=60)()
        if isinstance(outcomes[0], Failure):
            outcomes[0].raiseException()
        return outcomes[0]


class World:
    """Catalogues of one folder: the first as the process under test, more as other processes."""

    def __init__(self, folder: Path, reactor: Any = None) -> None:
        self.folder = folder
        self.reactor = reactor
        self.clock = Clock()
        self.opened: list[Catalogue] = []

    def open(self) -> Catalogue:
        catalogue = open_catalogue(self.folder, Seal(KEY), clock=self.clock, reactor=self.reactor)
        self.opened.append(catalogue)
        return catalogue

    async def close(self, catalogue: Catalogue) -> None:
        self.opened.remove(catalogue)
        await catalogue.close()

    def die(self, catalogue: Catalogue) -> None:
        """What the others see of a process that was killed: its lock is free, its rows stay."""
        catalogue._owner.release()

    async def end(self) -> None:
        for catalogue in self.opened:
            await catalogue.close()


def run(work: Coroutine[Any, Any, Any]) -> Any:
    """Wait for a coroutine in a fixture."""
    return pytest_twisted.blockon(ensureDeferred(work))


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path / "data")
    yield world
    run(world.end())


@pytest.fixture
def catalogue(world: World) -> Catalogue:
    return world.open()


@pytest.fixture
def bucket(catalogue: Catalogue) -> Bucket:
    made: tuple[Bucket, bool] = run(catalogue.buckets.create("bucket", "owner", "storage", ""))
    return made[0]


@pytest.fixture
def loop() -> Loop:
    return Loop()


@pytest.fixture
def lone(tmp_path: Path, loop: Loop) -> Iterator[Catalogue]:
    """A catalogue that is driven by ``loop.run`` alone."""
    world = World(tmp_path / "lone", loop)
    yield world.open()
    loop.run(world.end())


@pytest.fixture
def version_of() -> Callable[..., NewVersion]:
    """Makes a NewVersion of whole blobs: ``version_of(bucket, key, (name, size), ...)``."""

    def make(bucket: Bucket, key: bytes, *blobs: tuple[str, int], **more: Any) -> NewVersion:
        size = sum(size for _, size in blobs)
        fields: dict[str, Any] = {"etag": "e" * 32, "owner": "owner", "size": size, "stored": size, **more}
        pieces = tuple(Piece(name, 0, size, b"crcs") for name, size in blobs)
        return NewVersion(bucket=bucket.id, key=key, location="storage", pieces=pieces, **fields)

    return make


@pytest.fixture
def steps() -> Callable[[Catalogue], Any]:
    """``with steps(catalogue) as counted: reads``; then ``counted()`` SQLite virtual-machine steps were run."""

    @contextmanager
    def count(catalogue: Catalogue) -> Iterator[Callable[[], int]]:
        ticks = [0]

        def tick() -> bool:
            ticks[0] += 1
            return False

        reader = catalogue._database.reader
        reader.set_progress_handler(tick, 1)
        try:
            yield lambda: ticks[0]
        finally:
            reader.set_progress_handler(None)

    return count
