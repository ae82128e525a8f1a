"""docs/benchmarks.md, drawn from what runs left in .make/benchmarks.json."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_HEAD = """# Speed, side by side

`make bench` wrote this page. Every figure is the median of several measurements that took turns between the servers of
one run on one machine, so read the ratios: the machine is small (two cores, shared by the servers and their client) and
noisy. This gateway syncs what it stores before it answers and checks every block before it sends it; what a peer does
is said beside its name.
"""
_THIN = """
## How thin the middle is

The same client through the gateway and straight to the same storage. *put* and *get*: MiB/s of 64 MiB on one
connection. *small*: ms of a 4 KiB GET on a connection that stays. *memory*: MiB of the gateway, idle and at most while
that many uploads, and {many} downloads, of 64 MiB run at once; *503*: how many the storage was too slow for.

"""


def draw(state: Mapping[str, Any]) -> str:
    parts = [_HEAD]
    if peers := state.get("peers"):
        parts.append(_peers(peers))
    if thin := state.get("thin"):
        parts.append(_THIN.format(many=thin["many"]))
        columns = ["storage", "put direct", "through", "ratio", "get direct", "through", "ratio", "small direct"]
        columns += ["through", "added", "idle", "uploads", "memory", f"{thin['many']} down", "503"]
        parts.append(f"| {' | '.join(columns)} |\n|---|{'---:|' * (len(columns) - 1)}\n")
        parts += [_thin_line(row) for row in thin["rows"]]
        parts.append(f"\n{thin['machine']}\n")
    return "".join(parts)


def _peers(state: Mapping[str, Any]) -> str:
    names = state["servers"]
    lines = ["\n## Beside its peers, on a local directory\n"]
    notes = "; ".join(f"{name}: {note}" for name, note in state["notes"].items())
    lines.append(f"{notes}. The listed prefix holds {state['objects']:,} keys.\n")
    lines.append("| | unit | " + " | ".join(names) + " | to the best peer |")
    lines.append("|---|---|" + "---:|" * (len(names) + 1))
    for row in state["rows"]:
        figures = [_figure(row["figures"].get(name)) for name in names]
        lines.append(f"| {row['name']} | {row['unit']} | {' | '.join(figures)} | {_ratio(row, names)} |")
    absent = [f"- not in this run: {why}" for why in state["absent"]]
    return "\n".join([*lines, "", *absent, *([""] if absent else []), state["machine"], ""])


def _ratio(row: Mapping[str, Any], names: list[str]) -> str:
    ours, *others = (row["figures"].get(name) for name in names)
    known = [figure for figure in others if figure]
    if not ours or not known:
        return ""
    return f"{ours / (max(known) if row['more'] else min(known)):.2f}"


def _figure(value: float | None) -> str:
    if value is None:
        return "failed"
    return f"{value:,.0f}" if value >= 100 else f"{value:.2f}" if value < 10 else f"{value:.1f}"


def _thin_line(row: Mapping[str, Any]) -> str:
    put, get, small = row["put"], row["get"], row["small"]
    cells = [row["storage"]]
    for direct, through in (put, get):
        cells += [_figure(direct), _figure(through), f"{through / direct:.2f}"]
    cells += [_figure(small[0]), _figure(small[1]), f"{small[1] - small[0]:.2f}"]
    cells += [_figure(row["idle"]), str(row["uploads"]), _figure(row["uploading"]), _figure(row["downloading"])]
    cells.append(str(row["busy"]))
    return f"| {' | '.join(cells)} |\n"
