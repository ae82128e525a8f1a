"""A catalogue in a folder of its own, and the few steps that most tests begin with."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred, ensureDeferred

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


class World:
    """Catalogues of one folder: the first as the process under test, more as other processes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = Clock()
        self.opened: list[Catalogue] = []

    def open(self) -> Catalogue:
        catalogue = open_catalogue(self.folder, Seal(KEY), clock=self.clock)
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


def run(work: Awaitable[Any]) -> Any:
    """Wait for a coroutine in a test that is not one itself."""
    waiting: Deferred[Any] = ensureDeferred(work)  # type: ignore[arg-type]
    return pytest_twisted.blockon(waiting)


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
def wait() -> Callable[[Awaitable[Any]], Any]:
    return run


@pytest.fixture
def version_of() -> Callable[..., NewVersion]:
    """Makes a NewVersion of whole blobs: ``version_of(bucket, key, (name, size), ...)``."""

    def make(bucket: Bucket, key: bytes, *blobs: tuple[str, int], **more: Any) -> NewVersion:
        size = sum(size for _, size in blobs)
        fields: dict[str, Any] = {"etag": "e" * 32, "owner": "owner", "size": size, "stored": size, **more}
        pieces = tuple(Piece(name, 0, size, b"crcs") for name, size in blobs)
        return NewVersion(bucket=bucket.id, key=key, location="storage", pieces=pieces, **fields)

    return make
