"""Power loss below ext4: a sample, and a gateway that does not sync its files."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.campaign.blocks import check, record, states

MEMORY = Path("/dev/shm")


@pytest.fixture
def scratch(tmp_path: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else tmp_path) as folder:
        yield Path(folder) / "disk"


def test_what_was_told_survives_power_loss_below_ext4(mounts: None, scratch: Path) -> None:
    tape = record(scratch, seed=1, rounds=4)
    assert sum(told.done for _, told in tape.told) >= 5
    assert sum(entry is None for entry in tape.entries) > 20  # flushes came through
    outcome = check(tape, scratch, seed=1, most=10)
    assert outcome.violations == []
    assert outcome.states == 10


def test_a_gateway_that_does_not_sync_files_is_found_out(mounts: None, scratch: Path) -> None:
    tape = record(scratch, seed=1, rounds=4, control="no-file-sync")
    assert check(tape, scratch, seed=1, most=40, stop_early=True).violations


def test_what_a_disk_may_hold() -> None:
    """All that a flush covered is there; of what came later nothing, everything, or some, the last one torn."""
    one, two, three = (0, b"1" * 512), (512, b"2" * 1024), (4096, b"3" * 1024)
    found = list(states([one, None, two, three], random.Random(1)))
    assert all(flushed == (2 if moment > 1 else 0) for moment, flushed, _ in found)
    assert [chosen for moment, _, chosen in found if moment == 1] == [[], [one]]
    assert [chosen for moment, _, chosen in found if moment == 2] == [[]]
    last = [chosen for moment, _, chosen in found if moment == 4]
    assert last[:4] == [[], [two, three], [two, (4096, b"3" * 512)], [three]]
