"""``python -m benchmarks [peers] [where] [thin]``: measure, print, and draw docs/benchmarks.md anew."""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from benchmarks import compare, full, page, thin, where
from benchmarks.bench import Sizes
from benchmarks.counts import FIGURES
from benchmarks.kinds import fill
from benchmarks.peers import PEERS
from benchmarks.presign import Signer
from benchmarks.servers import Missing, gateway

WHAT = ("peers", "where", "thin")
ROOT = Path(__file__).resolve().parent.parent
LARGE = ROOT / ".make" / "bench-large"
STATE = ROOT / ".make" / "bench.json"


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def machine() -> str:
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True)
    model = next((line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")), "")
    memory = next(line.split()[1] for line in Path("/proc/meminfo").read_text().splitlines() if "MemTotal" in line)
    hardware = f"{os.cpu_count()} x {model.partition(': ')[2]}, {int(memory) >> 20} GiB"
    date = time.strftime("%Y-%m-%d", time.gmtime())
    system = f"Linux {platform.release().partition('-')[0]}, Python {platform.python_version()}"
    return f"{date}, commit {commit.stdout.strip()}, {hardware}, {system}."


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
    return {"rows": rows, "many": asked.many}


def room_by_room(folder: Path, seconds: float) -> dict[str, Any]:
    """Where the microseconds of a small GET go."""
    with gateway(folder / "where", gateway={"workers": "1"}) as server:
        fill(Signer(server))
        kinds = {name: where.look(server, name, seconds) for name in ("GET", "HEAD")}
    for name, seen in kinds.items():
        rooms = ", ".join(f"{room} {cost:.0f}" for room, cost in seen.rooms.items())
        say(f"{name}: {seen.total:.0f} us, {seen.kernel:.0f} of them in the kernel: {rooms}")
    return {"kinds": {name: asdict(seen) for name, seen in kinds.items()}}


def main() -> int:
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("what", nargs="*", choices=[*WHAT, "large", []], help="default: all but large")
    parser.add_argument("--repeats", type=int, default=5, help="measurements of each figure; the median counts")
    for knob in fields(Sizes):
        parser.add_argument(f"--{knob.name.replace('_', '-')}", type=type(knob.default), default=knob.default)
    parser.add_argument("--peers", nargs="*", default=list(PEERS), metavar="PEER", choices=list(PEERS))
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="processes of ours; default: one per core")
    parser.add_argument("--rows", nargs="*", default=[], help="only rows whose name holds one of these words")
    parser.add_argument("--storages", nargs="*", default=list(thin.STORAGES), choices=list(thin.STORAGES))
    parser.add_argument("--many", type=int, default=thin.MANY, help="transfers at once for the memory figures")
    parser.add_argument("--counts", type=int, nargs="*", default=full.COUNTS, help="objects of `large`, a column each")
    parser.add_argument("--print-only", action="store_true", help="leave docs/benchmarks.md as it is")
    asked = parser.parse_args()
    sizes = Sizes(**{knob.name: getattr(asked, knob.name) for knob in fields(Sizes)})
    state = json.loads(STATE.read_text()) if STATE.exists() else {}
    with tempfile.TemporaryDirectory(prefix="gateway-bench-") as name:
        folder = Path(name)
        runs: dict[str, Callable[[], dict[str, Any]]] = {
            "peers": lambda: compare.run(folder, asked.peers, asked.workers, sizes, asked.repeats, asked.rows, say),
            "where": lambda: room_by_room(folder, max(4 * sizes.seconds, 2)),
            "large": lambda: full.run(LARGE, asked.counts, asked.workers, sizes, asked.repeats, say),
            "thin": lambda: middle(asked, folder),
        }
        try:
            for what in asked.what or WHAT:
                begun = time.monotonic()
                state[what] = {**runs[what](), "machine": machine()}
                say(f"{what}: {time.monotonic() - begun:.0f} s")
                if not asked.print_only:
                    write(state)
        except Missing as why:
            say(f"benchmarks: {why}")
            return 1
    return 0


def write(state: dict[str, Any]) -> None:
    STATE.parent.mkdir(exist_ok=True)
    STATE.write_text(json.dumps(state, indent=1))
    (ROOT / "docs" / "benchmarks.md").write_text(page.draw(state, json.loads(FIGURES.read_text())))


if __name__ == "__main__":
    sys.exit(main())
