"""A request costs about as many instructions as when somebody last looked: benchmarks/counts.json, by `make counts`."""

from __future__ import annotations

import json
import os
import shutil
from typing import NoReturn

import pytest

from benchmarks import counts
from benchmarks.counts import Count

CI = os.environ.get("CI") == "true"


def unable(why: str) -> NoReturn:
    if CI:
        pytest.fail(why)
    pytest.skip(why)


def test_no_request_became_dearer_or_cheaper_unnoticed() -> None:
    """Renewed with one command, so that whoever changes a cost sees by how much."""
    if shutil.which("valgrind") is None:
        unable("no valgrind: apt-get install valgrind")
    figures = json.loads(counts.FIGURES.read_text())
    if counts.VERSION not in figures:
        unable(f"no figures for Python {counts.VERSION} in {counts.FIGURES.name}: `make counts` writes them")
    kept = figures[counts.VERSION]
    faults = counts.compare(kept["instructions"], counts.measure())
    if faults and kept["build"] != (here := counts.build()):
        faults.append(
            f"The figures were taken with {kept['build']}; this is {here}. Renew them here on the commit before the"
            " change to see which of the two it was."
        )
    assert not faults, "\n".join(faults)


def test_what_changed_is_told_with_the_way_to_look() -> None:
    kept = {"GET": 1_000_000, "PUT": 2_000_000, "HEAD": 500_000}
    now = {
        "GET": Count(1_051_000, 0.0),
        "PUT": Count(1_899_000, 0.0),
        "HEAD": Count(524_000, 0.0),
        "page": Count(1, 0.0),
    }
    dearer, cheaper, new = counts.compare(kept, now)
    assert dearer.startswith("GET became dearer: 1,000,000 -> 1,051,000 instructions, +5.1%")
    assert "callgrind_annotate" in dearer
    assert "benchmarks.where GET" in dearer
    assert cheaper.startswith("PUT became cheaper: 2,000,000 -> 1,899,000 instructions, -5.0%")
    assert "make counts" in cheaper
    assert new.startswith("page has no figure yet")


def test_every_kind_of_request_has_a_figure_for_each_python() -> None:
    for version, kept in json.loads(counts.FIGURES.read_text()).items():
        assert set(kept["instructions"]) == {"PUT", "GET", "HEAD", "page"}, version


@pytest.mark.parametrize(("ci", "outcome"), [(True, pytest.fail.Exception), (False, pytest.skip.Exception)])
def test_a_python_without_figures_is_told_and_fails_on_ci(
    monkeypatch: pytest.MonkeyPatch, ci: bool, outcome: type[BaseException]
) -> None:
    monkeypatch.setattr(counts, "VERSION", "2.7")
    monkeypatch.setattr(f"{__name__}.CI", ci)
    monkeypatch.setattr(shutil, "which", lambda program: program)
    with pytest.raises(outcome, match=r"no figures for Python 2\.7 in counts\.json: `make counts` writes them"):
        test_no_request_became_dearer_or_cheaper_unnoticed()
