"""The fixed sample of the kill campaign (`make campaign` does all of it), and gateways that must be found out."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.campaign.kills import Round, in_rounds, jobs_of, loads_of, pairs_of

SEED = 5


def test_a_sample_of_kills_at_system_calls(strace: None, tmp_path: Path) -> None:
    with Round(tmp_path / "first") as first:
        jobs = random.Random(SEED).sample(jobs_of(first), 30)
        assert first.end().violations == []
    tally = in_rounds(tmp_path / "kills", jobs)
    assert tally.violations == []
    assert tally.kills >= 20  # the others died only after the answer


def test_a_sample_of_pairs(strace: None, tmp_path: Path) -> None:
    with Round(tmp_path / "first") as first:
        jobs = pairs_of(first, 20, SEED)
    tally = in_rounds(tmp_path / "pairs", jobs)
    assert tally.violations == []
    assert tally.kills >= 12


def test_a_sample_of_kills_under_eight_clients(tmp_path: Path) -> None:
    tally = in_rounds(tmp_path, loads_of(8, SEED))
    assert tally.violations == []
    assert tally.kills == 8


def test_a_kill_of_what_twistd_started(tmp_path: Path) -> None:
    tally = in_rounds(tmp_path, loads_of(1, SEED), twistd=True)
    assert tally.violations == []
    assert tally.kills == 1


@pytest.mark.parametrize(
    ("control", "story", "call", "number"),
    [
        ("commit-before-blob", "put", "sendto", 3),
        ("answer-before-commit", "overwrite", "sendto", 3),
        ("forgotten-sweep", "put of 3 MiB", "fsync", 2),
    ],
)
def test_a_broken_gateway_is_found_out(
    strace: None, tmp_path: Path, control: str, story: str, call: str, number: int
) -> None:
    with Round(tmp_path / "broken", control) as this:
        this.die_in(story, call, number)
        assert this.end().violations
