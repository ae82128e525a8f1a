"""docs/durability.md, drawn from what the phases of the campaign found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

_HEAD = """# 200 means durable: the record

`make campaign` wrote this page. It runs the real gateway on the local backend, lets it die, starts it again, and
compares what it serves with what its clients had been told (their journal is synced outside of the gateway's folder).
`make test` runs a fixed sample of the same.

## What must hold

- An operation that was answered with success is there after the restart, whole. Nothing deleted or replaced returns.
- An operation that was not answered was done wholly or not at all, and nothing of it happens after the restart.
- A GET gives the bytes of one write, with its ETag. Lists and GETs agree. Conditional writes have one winner.
- No version lacks its blob; after `gateway reap --now` no blob lacks its version.

Every history of answers, those before a kill and those after the restart together, must have one order that explains
it ([linear.py](../tests/campaign/linear.py) searches for it, key by key).

"""
_TABLE = "| what | cases | violations | seed | commit | |\n|---|---:|---:|---:|---|---|\n"
_CONTROLS = """
## Gateways that are broken on purpose

A campaign that cannot fail proves nothing. Each of these must be found out:

| control | found out after | by |
|---|---|---|
"""


def draw(state: Mapping[str, Any], order: Sequence[str]) -> str:
    """``state``: phase -> its seed, commit, date, machine and lines."""
    rows, controls, found_wrong, machines = "", "", "", set()
    for name in order:
        if name not in state:
            continue
        phase = state[name]
        machines.add(f"{phase['date']}, {phase['machine']}")
        for line in phase["lines"]:
            if line["control"]:
                found = _first(line["violations"]) or "**not found out**"
                controls += f"| {line['what']} | {line['cases']} {line['note']} | {found} |\n"
            else:
                rows += (
                    f"| {line['what']} | {line['cases']:,} | {len(line['violations'])} | {phase['seed']} |"
                    f" {phase['commit']} | {line['note']} |\n"
                )
                if line["violations"]:
                    found_wrong += f"- {line['what']}: `{_first(line['violations'])}`\n"
    missing = [name for name in order if name not in state]
    text = _HEAD + "## The last runs\n\n" + _TABLE + rows
    if missing:
        text += f"\nNot run yet: {', '.join(missing)}.\n"
    if found_wrong:
        text += "\nThe first violation of each line:\n\n" + found_wrong
    if controls:
        text += _CONTROLS + controls
    return text + "\nMachines: " + "; ".join(sorted(machines)) + ".\n"


def _first(violations: Sequence[str]) -> str:
    return violations[0].replace("|", "/").replace("\n", " ")[:160] if violations else ""
