"""Short histories of a living gateway; and gateways that answer out of order are found out."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.campaign.histories import Listing, history, wrong_in
from tests.campaign.linear import NEVER, NOTHING, Op, wrote
from tests.campaign.subject import Subject


def test_five_histories(tmp_path: Path) -> None:
    subject = Subject(tmp_path / "gateway")
    try:
        subject.start()
        for seed in range(1, 6):
            count, wrong = history(subject, tmp_path / "journal", 1000, seed)
            assert wrong == []
            assert count >= 1000
        subject.stop()
    finally:
        subject.kill()


@pytest.mark.parametrize("control", ["stale-reads", "unchecked-conditions"])
def test_a_gateway_that_answers_out_of_order_is_found_out(tmp_path: Path, control: str) -> None:
    subject = Subject(tmp_path / "gateway", control)
    try:
        subject.start()
        assert any(history(subject, tmp_path / "journal", 500, seed)[1] for seed in range(1, 6))
    finally:
        subject.kill()


PUT, DELETE = (wrote("a"),), (wrote(None),)


@pytest.mark.parametrize(
    ("ops", "listed", "wrong"),
    [
        ([], True, True),
        ([], False, False),
        ([Op(0, 1, PUT)], True, False),
        ([Op(0, 1, PUT)], False, True),
        ([Op(0, 11, PUT)], False, False),
        ([Op(0, 11, PUT)], True, False),
        ([Op(0, 1, PUT), Op(2, 3, DELETE)], True, True),
        ([Op(0, 1, PUT), Op(2, 3, DELETE)], False, False),
        ([Op(0, 1, PUT), Op(2, 12, DELETE)], True, False),
        ([Op(0, 1, PUT), Op(2, 12, DELETE)], False, False),
        ([Op(0, 1, PUT), Op(2, NEVER, (*DELETE, NOTHING))], False, False),
        ([Op(0, 1, DELETE), Op(0, NEVER, (*PUT, NOTHING))], True, False),
        ([Op(30, 31, PUT)], True, True),
    ],
)
def test_what_a_list_may_say(ops: list[Op], listed: bool, wrong: bool) -> None:
    listing = Listing(10, 20, frozenset(["key"] if listed else []))
    assert bool(wrong_in(listing, "key", ops)) == wrong
