"""The page hides nothing: violations, controls that were not found out, and what was not run."""

from __future__ import annotations

from typing import Any

from tests.campaign.page import draw


def run(seed: int, *lines: dict[str, Any]) -> dict[str, Any]:
    return {"seed": seed, "commit": "abc", "date": "2026-01-02", "machine": "a machine", "load": 1.2, "lines": lines}


def line(what: str, cases: int, *violations: str, control: bool = False) -> dict[str, Any]:
    return {"what": what, "cases": cases, "violations": violations, "note": "a note", "control": control}


def test_what_went_wrong_is_told() -> None:
    state = {
        "kills 1": run(1, line("kills", 1000)),
        "kills 2": run(2, line("kills", 234, "a|b is\nlost", "more")),
        "power 1": run(1, line("no sync", 7, control=True), line("NORMAL", 3, "seen", control=True), line("states", 5)),
    }
    page = draw(state, ["controls", "kills", "power"])
    assert "Together: 1,234 kills, 5 crash states, 0 operations in histories, 0 faults of a disk, 0 copies;" in page
    assert "**2 violations**; 1 of 2 controls" in page
    assert "| kills | 234 | 2 | 2 | abc | a note |" in page and "- kills: `a/b is lost`" in page
    assert "| no sync | 7 a note | **not found out** |" in page and "| NORMAL | 3 a note | seen |" in page
    assert "Not run yet: controls." in page
