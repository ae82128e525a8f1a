"""docs/benchmarks.md, drawn from what runs left in .make/bench.json and from counts.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.aims import judge, ratio

_HEAD = """# Speed, side by side

`make bench` wrote this page, `make bench-large` the part about many objects. Every figure is the median of measurements
that took turns between the servers of one run on one machine, so read the ratios: the machine is small, and the
servers and their client share it.
"""
_ROWS = """
- *GET*, *PUT*: pre-signed requests by wrk, which is one thread; every PUT has a key of its own.
- *HEAD*: wrk cannot; a client over bare sockets that takes 10 microseconds of processor for each.
- *64 MiB*: over bare sockets, by `sendfile` out and into one buffer in.
- *in parts*: by clients that people use; the start of the program and the check of its file are in it.
- *page*: from all over the prefix, on 4 connections; the files of rclone were laid in its folder, where its PUTs get
  slower with each. *Deleted*: on one connection.
- *at half rate*: each server gets half of what it could do the second before, at a fixed rate, on up to 64 connections.
  A latency runs from the moment a request was due, not from when a connection was free for it, so that nobody gains by
  standing still (no coordinated omission).
- *processor*: seconds of all processes of a server, the kernel's included, for 10,000 such requests.
- *syncs*: calls of `fsync`, `fdatasync` and their kin, and files opened to sync each write, while 100 PUTs follow each
  other on one connection, as strace counts them. A server with none of them acknowledges what a power cut takes away.
- *memory*: resident pages of all processes of a server, added up, and the same with shared pages counted once.
  *Half-open* connections have sent a part of their headers. *Most*: the peaks of the processes over all rows before.
- *start*: from the start of the process until it served an object.
- *backend = memory* is the cost of this gateway where storing costs nothing.
"""
_LARGE = """
## Many objects

This gateway with that many objects. They are rows that were copied inside the catalogue's file, for nobody can put ten
million over HTTP in a while; what is asked for is real. Nothing but the file may grow with their number.

"""
_WHERE = """
## Where the microseconds go

Microseconds of processor time of one small request, with one worker, by the room of
[the architecture](architecture.md) whose function was innermost; a room pays for the library that it calls.
`python -m benchmarks.where GET` shows functions.

"""
_COUNTS = """
## Instructions of a request

What callgrind counts in the gateway's processes, without the kernel, for one request on a connection that stays;
`verify = always`, objects of 4 KiB, a page of 1,000 keys. A test fails where a count moves by more than 5 %;
`make counts` renews them. They hold for one build of Python.

"""
_THIN = """
## How thin the middle is

The same client through the gateway (one worker) and straight to the same storage. *put* and *get*: MiB/s of 64 MiB on
one connection. *small*: ms of a 4 KiB GET on a connection that stays. *memory*: MiB of the gateway, idle and at most
while that many uploads, and {many} downloads, of 64 MiB run at once; *503*: how many the storage was too slow for.

"""


def draw(state: Mapping[str, Any], counts: Mapping[str, Any]) -> str:
    parts = [_HEAD]
    if peers := state.get("peers"):
        parts += [_peers(peers), _ROWS, _aims(peers)]
    if large := state.get("large"):
        parts += [
            _LARGE,
            _table(["", "unit", *large["columns"], "last to first"], _large_lines(large), 2),
            f"\n{large['machine']}\n",
        ]
    if where := state.get("where"):
        parts += [_WHERE, _where(where["kinds"]), f"\n{where['machine']}\n"]
    if counts:
        names = sorted({name for kept in counts.values() for name in kept["instructions"]})
        lines = [
            [kept["build"], *(f"{kept['instructions'].get(name, 0):,}" for name in names)] for kept in counts.values()
        ]
        parts += [_COUNTS, _table(["build", *names], lines)]
    if thin := state.get("thin"):
        parts += [_THIN.format(many=thin["many"]), _thin(thin), f"\n{thin['machine']}\n"]
    return "".join(parts)


def _table(head: Sequence[str], lines: Sequence[Sequence[str]], texts: int = 1) -> str:
    """A table whose first ``texts`` columns are text."""
    rule = "|" + "---|" * texts + "---:|" * (len(head) - texts)
    return "\n".join([f"| {' | '.join(head)} |", rule, *(f"| {' | '.join(line)} |" for line in lines), ""])


def _peers(state: Mapping[str, Any]) -> str:
    names = state["servers"]
    notes = "".join(f"- {name}: {note}\n" for name, note in state["notes"].items())
    absent = "".join(f"- not in this run: {why}\n" for why in state["absent"])
    lines = []
    for row in state["rows"]:
        figures = [_figure(row["figures"].get(name)) for name in names]
        lines.append([row["name"], row["unit"], *figures, _ratio(ratio(row, names))])
        for variant, value in row["variants"].items():
            peers = [""] * (len(names) - 1)
            lines.append([f"— with {variant}", "", _figure(value), *peers, _ratio(ratio(row, names, variant))])
    table = _table(["", "unit", *names, "to the best peer"], lines, 2)
    drivers = f"- driven by {state['clients']}\n"
    return f"\n## Beside its peers, on a local directory\n\n{notes}{absent}{drivers}\n{table}\n{state['machine']}\n"


def _aims(state: Mapping[str, Any]) -> str:
    lines = []
    for outcome in judge(state["rows"], state["servers"]):
        seen = " and ".join(f"{figure:.2f}" for figure in outcome.ratios.values())
        said = "reached" if outcome.reached else f"not reached: {outcome.aim.why}"
        lines.append([outcome.aim.text, seen, said])
    return "\n### What we aim at, against the best peer\n\n" + _table(["aim", "seen", "outcome"], lines, 3)


def _ratio(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _figure(value: float | None) -> str:
    if value is None:
        return "failed"
    return f"{value:,.0f}" if value >= 100 or value == 0 else f"{value:.2f}" if value < 10 else f"{value:.1f}"


def _large_lines(large: Mapping[str, Any]) -> list[list[str]]:
    lines = []
    for row in large["rows"]:
        figures = [_figure(value) for value in row["figures"]]
        lines.append([row["name"], row["unit"], *figures, _ratio(row["figures"][-1] / row["figures"][0])])
    return lines


def _where(kinds: Mapping[str, Any]) -> str:
    rooms = sorted({room for kind in kinds.values() for room in kind["rooms"]}, key=lambda room: -_cost(kinds, room))
    lines = [[room, *(f"{kind['rooms'].get(room, 0.0):.1f}" for kind in kinds.values())] for room in rooms]
    lines.append(["all", *(f"{kind['total']:.0f}" for kind in kinds.values())])
    lines.append(["of it in the kernel", *(f"{kind['kernel']:.0f}" for kind in kinds.values())])
    return _table(["room", *kinds], lines)


def _cost(kinds: Mapping[str, Any], room: str) -> float:
    return float(next(iter(kinds.values()))["rooms"].get(room, 0.0))


def _thin(thin: Mapping[str, Any]) -> str:
    head = ["storage", "put direct", "through", "ratio", "get direct", "through", "ratio", "small direct"]
    head += ["through", "added", "idle", "uploads", "memory", f"{thin['many']} down", "503"]
    return _table(head, [_thin_line(row) for row in thin["rows"]])


def _thin_line(row: Mapping[str, Any]) -> list[str]:
    put, get, small = row["put"], row["get"], row["small"]
    cells = [row["storage"]]
    for direct, through in (put, get):
        cells += [_figure(direct), _figure(through), f"{through / direct:.2f}"]
    cells += [_figure(small[0]), _figure(small[1]), f"{small[1] - small[0]:.2f}"]
    cells += [_figure(row["idle"]), str(row["uploads"]), _figure(row["uploading"]), _figure(row["downloading"])]
    return [*cells, str(row["busy"])]
