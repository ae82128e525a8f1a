"""The fixed sample of gateways that are copied while they serve, and one that is copied in the wrong order."""

from __future__ import annotations

from pathlib import Path

from tests.campaign.copies import Copied, copied_rounds, copies_of

SEED = 5


def test_a_copy_of_a_gateway_that_serves_is_what_it_was_meanwhile(tmp_path: Path) -> None:
    tally = copied_rounds(tmp_path, copies_of(2, SEED))
    assert tally.violations == []
    assert tally.kills == 2


def test_a_storage_that_is_copied_before_its_catalogue_is_found_out(tmp_path: Path) -> None:
    with Copied(tmp_path / "backwards") as this:
        this.copy(SEED, backwards=True)
        assert this.tally.violations
