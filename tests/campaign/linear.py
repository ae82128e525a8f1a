"""Is there an order of one register's operations, each between its start and its end, that explains every answer?

The search of Wing and Gong ("Testing and verifying concurrent objects", 1993) with Lowe's memory of configurations
that led nowhere ("Testing for linearizability", 2017). Keys are independent registers, so each is searched alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

NEVER = math.inf

Value = str | None  # None: the key is not there


@dataclass(frozen=True, slots=True)
class Step:
    """One way in which an operation may have gone.

    It happened in state ``seen`` (any state, where ``seen`` is empty; any other, where ``other``), and then ``wrote``
    became the state (where ``wrote`` is empty, nothing did).
    """

    seen: tuple[Value, ...] = ()
    other: bool = False
    wrote: tuple[Value, ...] = ()

    def after(self, state: Value) -> tuple[Value] | None:
        """The state that follows, in a tuple; None where the step is impossible in ``state``."""
        if self.seen and (state in self.seen) == self.other:
            return None
        return (self.wrote[0],) if self.wrote else (state,)


NOTHING = Step()  # it changed nothing, and tells nothing


def wrote(value: Value) -> Step:
    return Step(wrote=(value,))


def saw(value: Value) -> Step:
    return Step(seen=(value,))


def saw_other(value: Value) -> Step:
    return Step(seen=(value,), other=True)


def swapped(old: Value, new: Value) -> Step:
    return Step(seen=(old,), wrote=(new,))


@dataclass(frozen=True, slots=True)
class Op:
    """An operation of one client: it took effect in one of ``steps`` between ``start`` and ``end``.

    One that was never answered has NOTHING among its steps, and NEVER as its end unless the server died.
    """

    start: float
    end: float
    steps: tuple[Step, ...]
    what: str = ""


class Undecided(Exception):
    """The search was given up: more configurations than the limit."""


def explain(ops: Iterable[Op], initial: Value = None, limit: int = 2_000_000) -> str:
    """ "" where the operations are linearizable, else the operation that nothing explains. Raises Undecided."""
    ordered = sorted(ops, key=lambda op: (op.start, op.end))
    first = (0, 0, initial)  # operations below ``low`` are done, and those of the bits of ``mask`` above it
    seen = {first}
    stack = [first]
    furthest = 0
    while stack:
        low, mask, state = stack.pop()
        furthest = max(furthest, low)
        if low == len(ordered):
            return ""
        for following in _following(ordered, low, mask, state):
            if following not in seen:
                if len(seen) >= limit:
                    raise Undecided(f"{len(ordered)} operations, {limit} configurations")
                seen.add(following)
                stack.append(following)
    stuck = ordered[furthest]
    return f"{stuck.what or stuck.steps} ({furthest + 1} of {len(ordered)} by start)"


def _following(ordered: Sequence[Op], low: int, mask: int, state: Value) -> Iterable[tuple[int, int, Value]]:
    """The configurations after one more operation: each that no other had to come before."""
    earliest = NEVER
    for at in range(low, len(ordered)):
        if mask >> (at - low) & 1:
            continue
        op = ordered[at]
        if op.start > earliest:
            return
        earliest = min(earliest, op.end)
        for step in op.steps:
            after = step.after(state)
            if after is not None:
                yield _done(low, mask | 1 << (at - low), after[0])


def _done(low: int, mask: int, state: Value) -> tuple[int, int, Value]:
    while mask & 1:
        low, mask = low + 1, mask >> 1
    return low, mask, state
