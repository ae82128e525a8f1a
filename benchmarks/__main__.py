"""``python -m benchmarks [peers] [thin]``: measure, print, and draw docs/benchmarks.md anew."""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks import page, thin
from benchmarks.rows import ROWS, Bench
from benchmarks.servers import PEERS, Missing, start_all
from benchmarks.transfers import Refused

ROOT = Path(__file__).resolve().parent.parent
STATE = ROOT / ".make" / "benchmarks.json"


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def machine() -> str:
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True)
    model = next((line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")), "")
    date = time.strftime("%Y-%m-%d", time.gmtime())
    system = f"Linux {platform.release().partition('-')[0]}, Python {platform.python_version()}"
    return f"{date}, commit {commit.stdout.strip()}, {model.partition(': ')[2]}, {system}."


def peers(asked: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Every row on every server, in turn."""
    with ExitStack() as stack:
        servers, absent = start_all(stack, folder, asked.peers)
        for why in absent:
            say(f"not in this run: {why}")
        benches = [Bench(server, folder, asked.seconds, asked.objects) for server in servers]
        for bench in benches:
            bench.fill()
        rows = []
        for row in ROWS:
            if asked.rows and not any(word in row.name for word in asked.rows):
                continue
            seen: dict[str, list[float]] = {server.name: [] for server in servers}
            for _ in range(asked.repeats):
                for bench in benches:
                    try:
                        seen[bench.server.name].append(row.measure(bench))
                    except (Refused, OSError) as fault:
                        say(f"  {bench.server.name}: {row.name}: {fault}")
            figures = {name: statistics.median(values) for name, values in seen.items() if values}
            say(f"{row.name} ({row.unit}): " + ", ".join(f"{name} {value:,.1f}" for name, value in figures.items()))
            rows.append({"name": row.name, "unit": row.unit, "more": row.more, "figures": figures})
    return {
        "servers": [server.name for server in servers],
        "notes": {server.name: server.note for server in servers},
        "absent": absent,
        "objects": asked.objects,
        "rows": rows,
        "machine": machine(),
    }


def middle(asked: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """The gateway before each storage, and the storage alone."""
    rows = []
    for name in asked.storages:
        with thin.STORAGES[name]() as storage:
            inside = folder / name
            inside.mkdir()
            row = thin.compare(storage, inside, asked.repeats, asked.many)
            say(str(row))
            rows.append(asdict(row))
    return {"rows": rows, "many": asked.many, "machine": machine()}


def main() -> int:
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("what", nargs="*", choices=["peers", "thin", []], help="default: both")
    parser.add_argument("--repeats", type=int, default=5, help="measurements of each figure; the median counts")
    parser.add_argument("--seconds", type=int, default=4, help="length of a stretch of small requests")
    parser.add_argument("--objects", type=int, default=20_000, help="keys of the prefix that is listed")
    parser.add_argument("--peers", nargs="*", default=list(PEERS), metavar="PEER", choices=list(PEERS))
    parser.add_argument("--rows", nargs="*", default=[], help="only rows whose name holds one of these words")
    parser.add_argument("--storages", nargs="*", default=list(thin.STORAGES), choices=list(thin.STORAGES))
    parser.add_argument("--many", type=int, default=thin.MANY, help="transfers at once for the memory figures")
    parser.add_argument("--print-only", action="store_true", help="leave docs/benchmarks.md as it is")
    asked = parser.parse_args()
    state = json.loads(STATE.read_text()) if STATE.exists() else {}
    with tempfile.TemporaryDirectory(prefix="gateway-bench-") as folder:
        try:
            if not asked.what or "peers" in asked.what:
                state["peers"] = peers(asked, Path(folder))
            if not asked.what or "thin" in asked.what:
                state["thin"] = middle(asked, Path(folder))
        except Missing as why:
            say(f"benchmarks: {why}")
            return 1
    if asked.print_only:
        return 0
    STATE.parent.mkdir(exist_ok=True)
    STATE.write_text(json.dumps(state, indent=1))
    (ROOT / "docs" / "benchmarks.md").write_text(page.draw(state))
    return 0


if __name__ == "__main__":
    sys.exit(main())
