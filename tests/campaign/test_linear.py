"""The checker itself: histories whose answer is known, and every small history against a search without any wit."""

from __future__ import annotations

import itertools
import random

import pytest

from tests.campaign.linear import NEVER, NOTHING, Op, Undecided, explain, saw, saw_other, swapped, wrote


def op(start: float, end: float, *steps: object) -> Op:
    return Op(start, end, tuple(steps))  # type: ignore[arg-type]


GOOD = {
    "nothing at all": [],
    "one after the other": [op(0, 1, wrote("a")), op(2, 3, saw("a")), op(4, 5, wrote(None)), op(6, 7, saw(None))],
    "a read beside a write sees the old": [op(0, 1, wrote("a")), op(2, 5, wrote("b")), op(3, 4, saw("a"))],
    "a read beside a write sees the new": [op(0, 1, wrote("a")), op(2, 5, wrote("b")), op(3, 4, saw("b"))],
    "old, then new, both beside the write": [op(0, 9, wrote("b")), op(1, 2, saw(None)), op(3, 4, saw("b"))],
    "no answer, and it was done much later": [
        op(0, NEVER, wrote("a"), NOTHING),
        op(5, 6, saw(None)),
        op(7, 8, saw("a")),
    ],
    "no answer, and it was never done": [op(0, NEVER, wrote("a"), NOTHING), op(5, 6, saw(None))],
    "two creators, one winner": [op(0, 5, swapped(None, "a")), op(0, 5, saw_other(None)), op(6, 7, saw("a"))],
    "crossed writers": [op(0, 5, wrote("a")), op(0, 5, wrote("b")), op(6, 7, saw("a")), op(8, 9, saw("a"))],
}
BAD = {
    "an acknowledged write is lost": [op(0, 1, wrote("a")), op(2, 3, saw(None))],
    "a deleted object comes back": [op(0, 1, wrote("a")), op(2, 3, wrote(None)), op(4, 5, saw("a"))],
    "a stale read": [op(0, 1, wrote("a")), op(2, 3, wrote("b")), op(4, 5, saw("a"))],
    "new, then old": [op(0, 9, wrote("b")), op(1, 2, saw("b")), op(3, 4, saw(None))],
    "two creators, two winners": [op(0, 5, swapped(None, "a")), op(0, 5, swapped(None, "b"))],
    "a refusal that was no refusal": [op(0, 1, NOTHING), op(2, 3, saw("a"))],
    "applied only after the restart": [op(0, 1, wrote("a"), NOTHING), op(2, 3, saw(None)), op(4, 5, saw("a"))],
    "read from nowhere": [op(0, 1, wrote("a")), op(0, 3, saw("b"))],
    "a swap of what was not there": [op(0, 1, wrote("a")), op(2, 3, swapped("b", "c"))],
    "flickering": [
        op(0, 9, wrote("a")),
        op(0, 9, wrote("b")),
        *(op(10 + n, 10.5 + n, saw("ab"[n % 2])) for n in range(4)),
    ],
}


@pytest.mark.parametrize("history", GOOD.values(), ids=list(GOOD))
def test_what_can_be_explained(history: list[Op]) -> None:
    assert explain(history) == ""


@pytest.mark.parametrize("history", BAD.values(), ids=list(BAD))
def test_what_nothing_explains(history: list[Op]) -> None:
    assert explain(history) != ""


def by_force(ops: list[Op]) -> bool:
    """Every order and every step of each."""
    for order in itertools.permutations(ops):
        if any(later.end < sooner.start for sooner, later in itertools.combinations(order, 2)):
            continue
        states: set[str | None] = {None}
        for each in order:
            states = {after[0] for state in states for step in each.steps if (after := step.after(state)) is not None}
        if states:
            return True
    return False


def test_it_agrees_with_a_search_by_force_on_a_thousand_small_histories() -> None:
    draw = random.Random(5)
    steps = [wrote("a"), wrote("b"), wrote(None), saw("a"), saw("b"), saw(None), saw_other(None), swapped("a", "b")]
    outcomes = []
    for _ in range(1000):
        history = []
        for _ in range(draw.randint(2, 6)):
            start = draw.uniform(0, 10)
            chosen = [draw.choice(steps)] + [NOTHING] * draw.choice([0, 0, 0, 1])
            history.append(op(start, draw.choice([start + draw.uniform(0, 5), NEVER]), *chosen))
        outcomes.append(explain(history) == "")
        assert outcomes[-1] == by_force(history), history
    assert 200 < sum(outcomes) < 800  # both answers were tried


def test_long_histories_are_decided() -> None:
    draw = random.Random(7)
    state, history = "", []
    for number in range(2000):
        start = number / 8 + draw.random()
        if draw.random() < 0.5:
            state = f"v{number}"
            history.append(op(start, number / 8 + 1 + draw.random(), wrote(state)))
        else:
            history.append(op(start, number / 8 + 1 + draw.random(), saw(state) if state else saw(None)))
    assert explain(history) == ""
    broken = [*history, op(10_000, 10_001, saw("v1"))]
    assert explain(broken) != ""


def test_it_gives_up_rather_than_search_for_ever() -> None:
    crowd = [op(0, 100, wrote(f"v{number}")) for number in range(30)]
    with pytest.raises(Undecided):
        explain([*crowd, op(101, 102, saw("nobody"))], limit=10_000)
