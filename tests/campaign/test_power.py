"""A sample of what power loss may leave, and gateways that sync too little."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from pytest_twisted import ensureDeferred
from twisted.internet import reactor

from tests.campaign.disk import Disk, Entry, Event, Synced, Told, Write, is_of_rows
from tests.campaign.power import check, is_directory, is_file, record, sqlite_normal

MEMORY = Path("/dev/shm")


@pytest.fixture
def scratch(tmp_path: Path) -> Iterator[Path]:
    """In memory where there is such a place: what is synced here is only a model."""
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else tmp_path) as folder:
        yield Path(folder) / "disk"


@ensureDeferred
async def test_what_was_told_survives_power_loss(scratch: Path) -> None:
    events = await record(scratch, reactor, seed=1, rounds=24)
    assert sum(isinstance(event, Told) for event in events) > 48
    outcome = await check(events, scratch, reactor, seed=1, most=500)
    assert outcome.violations == []
    assert outcome.states > 400


@pytest.mark.parametrize(
    ("skips", "context"),
    [
        (is_file, nullcontext),
        (is_directory, nullcontext),
        (is_of_rows, nullcontext),
        (lambda file: False, sqlite_normal),
    ],
    ids=["no file is synced", "no directory is synced", "no row is synced", "SQLite NORMAL"],
)
@ensureDeferred
async def test_a_gateway_that_syncs_too_little_is_found_out(
    scratch: Path, skips: Callable[[Any], bool], context: Callable[[], Any]
) -> None:
    with context():
        events = await record(scratch, reactor, seed=1, rounds=14, skips=skips)
    outcome = await check(events, scratch, reactor, seed=1, most=400, stop_early=True)
    assert outcome.violations


def test_the_model_of_a_disk(tmp_path: Path) -> None:
    """A write that is not synced may be lost; one that was begun before a sync ended is not covered by it."""
    disk = Disk()
    events: list[Event] = [
        Entry(0, "a", 1),
        Write(1, 0, b"one"),
        Synced(1, 2),
        Write(1, 3, b"two"),
        Synced(0, 1),
        Synced(1, 3),
    ]
    for number, event in enumerate(events):
        disk.step(number, event)
    assert list(disk.pending.values()) == [Write(1, 3, b"two")]
    found = set()
    for number, chosen in enumerate([(), tuple(disk.pending.values())]):
        folder = tmp_path / str(number)
        disk.lay_out(chosen, folder / "data", folder / "storage")
        found.add((folder / "storage" / "a").read_bytes())
    assert found == {b"one", b"onetwo"}
