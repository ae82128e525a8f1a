"""The fixed sample of a failing disk (`make campaign` does all of it)."""

from __future__ import annotations

import random
from pathlib import Path

from tests.campaign.errors import Fault, Sick, jobs_of, sick_rounds

SEED = 5


def test_a_sample_of_faults_at_system_calls(strace: None, tmp_path: Path) -> None:
    with Sick(tmp_path / "first") as first:
        jobs = random.Random(SEED).sample(jobs_of(first), 14)
    tally = sick_rounds(tmp_path / "faults", jobs)
    assert tally.violations == []
    assert tally.kills >= 7, "most of the faults must strike"


def test_a_gateway_that_answers_too_early_is_found_out(strace: None, tmp_path: Path) -> None:
    """The control: its commit fails after its answer."""
    with Sick(tmp_path / "broken", "answer-before-commit") as this:
        this.fail_in("overwrite", Fault("fdatasync", "EIO", 1, lasting=True), after=1.5)
        assert this.tally.kills == 1 and this.tally.violations
