"""The fixed sample of gateways with two workers (`make campaign` does all of it), and two that must be found out."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.campaign.crews import SETTINGS, Crew, crew_rounds, lives_of
from tests.campaign.histories import history
from tests.campaign.subject import Broken, Subject

SEED = 5


def test_a_sample_of_deaths_of_workers_and_supervisors(tmp_path: Path) -> None:
    tally = crew_rounds(tmp_path, lives_of(2, SEED))
    assert tally.violations == []
    assert tally.kills >= 4


def test_workers_that_die_in_a_system_call(strace: None, tmp_path: Path) -> None:
    """Their sibling serves what they committed, and nothing else."""
    with Crew(tmp_path / "crew") as this:
        this.die_in("overwrite of a file by a row", "pwrite64", 3)
        this.die_in("overwrite of a row by a file", "linkat", 1)
        assert this.end().violations == []
        assert this.tally.kills == 2


@pytest.mark.parametrize(("control", "found"), [("", False), ("stale-reads", True)])
def test_histories_that_two_workers_answer(tmp_path: Path, control: str, found: bool) -> None:
    subject = Subject(tmp_path / "gateway", control, settings=SETTINGS)
    try:
        subject.start()
        assert len(subject.workers()) == 2
        count, wrong = history(subject, tmp_path / "journal", 800, SEED)
        assert count >= 800 and bool(wrong) == found, wrong
    finally:
        subject.kill()


def test_workers_that_outlive_their_supervisor_are_found_out(tmp_path: Path) -> None:
    with Crew(tmp_path / "broken", "outliving-workers") as this:
        workers = this.subject.workers()
        this.subject.kill_first()
        with pytest.raises(Broken, match="in use by the gateway"):
            this.subject.start()
        assert len(workers) == 2 and set(workers) <= {*this.subject.strangers()}
