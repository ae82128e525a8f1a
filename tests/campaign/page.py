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

## What is done

- **Kills.** `strace` kills the process as one of its threads enters a system call that changes something: each such
  call of each [operation](../tests/campaign/stories.py), of a start that finds work for the reaper, and of
  `gateway reap --now`. Pairs are two operations on the same names, with the kill in the second. Other kills come 10 ms
  to 2 s after eight clients began. After each kill the gateway starts again and everything is read back, and after at
  most twenty `gateway reap --now` must leave no blob without its version. Most gateways are forked from a process that
  has imported their modules; those started by `twistd` start from nothing.
- **Power loss.** Every write and sync of the local backend and of SQLite is recorded. A
  [state](../tests/campaign/disk.py) is what was synced and a part of what was not: none, all, one, all but one,
  a random half, the last write torn. The gateway's rooms are opened on it, and every key is read.
- **Images.** The gateway runs on ext4 on a [disk](../tests/campaign/blocks.py) that remembers its writes and flushes.
  An image is what was flushed and a part of what was not. ext4 replays its journal, and a gateway starts on it.
- **Histories.** Eight clients at once put, get, head, delete, copy, complete uploads, write under conditions and list
  page by page; every answer must fit. Once with one process, once with two workers.
- **Workers.** With two of them, [one is killed](../tests/campaign/crews.py) at a random moment under eight clients,
  perhaps a second one, and then all at once or their supervisor alone. What a dead process had not done by the time its
  connections ended is never done, and no worker outlives the supervisor. Others die in a system call of an operation,
  and the one that lives is asked at once what there is.
- **Faults of a disk.** Each system call of each operation, of a start and of the reaper
  [fails](../tests/campaign/errors.py) with each error that it may have, once or until the disk is mended. The gateway
  lives on and mends itself.
- **Copies.** `gateway backup` and `python -m gateway_local` [copy](../tests/campaign/copies.py) a gateway that eight
  clients write to, and `gateway restore` starts from that. Each key is what it was at a moment between the beginning of
  the first and the end of the second, or is listed as doubtful.

Values are rows of the local backend's database (up to 32 KiB) and files; in uploads, overwrites, copies and deletes
each kind meets the other.

"""
_TABLE = "| what | cases | violations | seed | commit | |\n|---|---:|---:|---:|---|---|\n"
_CONTROLS = """
## Gateways that are broken on purpose

A campaign that cannot fail proves nothing. Each of these must be found out:

| control | found out after | by |
|---|---|---|
"""
_KILLS, _STATES = ("kills", "pairs", "loads", "twistd", "crews", "workercalls"), ("power", "images")
_HISTORIES = ("histories", "sharedhistories")


def draw(state: Mapping[str, Any], order: Sequence[str]) -> str:
    """``state``: phase and seed -> its seed, commit, date, machine, load and lines; several seeds are several runs."""
    rows, controls, found_wrong, machines = "", "", "", set()
    for phase in (each for name in order for each in _runs(state, name)):
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
    missing = [name for name in order if not _runs(state, name)]
    text = _HEAD + "## The last runs\n\n" + _sum(state) + "\n\n" + _TABLE + rows
    if missing:
        text += f"\nNot run yet: {', '.join(missing)}.\n"
    if found_wrong:
        text += "\nThe first violation of each line:\n\n" + found_wrong
    if controls:
        text += _CONTROLS + controls
    loads = sorted(phase["load"] for phase in state.values())
    text += "\nMachines: " + "; ".join(sorted(machines))
    return text + f"; with other work on them (a load of {loads[0]:.0f} to {loads[-1]:.0f}).\n"


def _sum(state: Mapping[str, Any]) -> str:
    """The whole in one sentence."""

    def cases(names: Sequence[str]) -> int:
        phases = [phase for name in names for phase in _runs(state, name)]
        return sum(line["cases"] for phase in phases for line in phase["lines"] if not line["control"])

    lines = [line for phase in state.values() for line in phase["lines"]]
    wrong = sum(len(line["violations"]) for line in lines if not line["control"])
    controls = [line for line in lines if line["control"]]
    caught = sum(bool(line["violations"]) for line in controls)
    return (
        f"Together: {cases(_KILLS):,} kills, {cases(_STATES):,} crash states, {cases(_HISTORIES):,} operations in"
        f" histories, {cases(['errors']):,} faults of a disk, {cases(['copies']):,} copies; **{wrong} violations**;"
        f" {caught} of {len(controls)} controls found out."
    )


def _runs(state: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    return [state[key] for key in sorted(state) if key.partition(" ")[0] == name]


def _first(violations: Sequence[str]) -> str:
    return violations[0].replace("|", "/").replace("\n", " ")[:160] if violations else ""
