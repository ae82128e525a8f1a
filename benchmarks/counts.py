"""What one request costs in instructions, by callgrind: ``make counts`` measures and keeps the figures in counts.json.

Seconds vary with the machine and with what else it does; the instructions of the gateway's processes do not. The
kernel's are not among them. Valgrind shows programs a processor of its own, with AVX2 where the real one has it, and
nothing newer: which code OpenSSL, awscrt and glibc choose depends on that alone. What does change the counts is another
build of Python: figures are kept for each minor version, with the build that they were taken on.
"""

from __future__ import annotations

import argparse
import http.client
import json
import platform
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.kinds import Kind, fill, kinds
from benchmarks.presign import Signer
from benchmarks.processes import family
from benchmarks.servers import Missing, Server
from gateway.testing.server import LiveGateway

ROOT = Path(__file__).resolve().parent.parent
FIGURES = ROOT / "benchmarks" / "counts.json"
DUMPS = ROOT / ".make" / "counts"
VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"
TOLERANCE = 0.05
TIMES = {"PUT": 20, "page": 3}  # requests of a window, where they are not 40
WARM = 20  # requests of each kind before any is counted: Python makes code quicker that it has run some times
WINDOWS = 6
IDLE = 2.0  # seconds, in which the timers are counted
SETTLE = 1.0
# Nothing but the requests: no duty falls due while they are counted.
QUIET = {"probe_interval": "1d", "reap_interval": "1d", "snapshot_interval": "0", "workers": "1"}


@dataclass(frozen=True, slots=True)
class Count:
    """Instructions of one request: the fewest of the windows, and how far these lie apart, as a share of it.

    Whatever else goes on only adds: a timer, a thread that is called once more where the machine is busy.
    """

    instructions: int
    spread: float


class Counted:
    """A gateway whose processes run under callgrind; nothing is counted before ``begin``."""

    def __init__(self, live: LiveGateway, folder: Path) -> None:
        self._live = live
        self._folder = folder
        self._per_second = 0.0

    def begin(self) -> None:
        self._tell("instrumentation", "on")
        time.sleep(SETTLE)
        begun = self._zero()
        time.sleep(IDLE)
        total, took = self._total(begun)
        self._per_second = total / took

    def window(self, line: socket.socket, kind: Kind) -> float:
        """Instructions of each of a number of requests, less what the timers cost meanwhile."""
        times = TIMES.get(kind.name, 40)
        begun = self._zero()
        send(line, kind, times)
        total, took = self._total(begun)
        return (total - took * self._per_second) / times

    def keep(self, name: str) -> None:
        """Leave what the last window counted, function by function, for callgrind_annotate."""
        DUMPS.mkdir(parents=True, exist_ok=True)
        for old in DUMPS.glob(f"{name}.*"):
            old.unlink()
        for pid, file in self._dumps().items():
            shutil.copy(file, DUMPS / f"{name}.{pid}")

    def _zero(self) -> float:
        self._tell("zero")
        return time.monotonic()

    def _total(self, begun: float) -> tuple[int, float]:
        took = time.monotonic() - begun
        self._tell("dump")
        return sum(_totals(file) for file in self._dumps().values()), took

    def _tell(self, *words: str) -> None:
        for pid in family(self._live.pid):
            told = ["vgdb", f"--vgdb-prefix={self._folder}/vgdb", f"--pid={pid}", *words]
            done = subprocess.run(told, capture_output=True, text=True, timeout=120)
            if done.returncode:
                raise Missing(f"{' '.join(told)}: {done.stderr or done.stdout}")

    def _dumps(self) -> Mapping[int, Path]:
        """The newest dump of each process."""
        found = {}
        for pid in family(self._live.pid):
            files = self._folder.glob(f"out.{pid}.*")
            found[pid] = max(files, key=lambda file: int(file.suffix[1:]))
        return found


def _totals(file: Path) -> int:
    with file.open() as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith("totals:"))


@contextmanager
def counted(folder: Path, backend: str = "local") -> Iterator[tuple[Counted, Server]]:
    """A gateway under callgrind, with ``LISTED`` keys in it, that were put before it was slow."""
    for program in ("valgrind", "vgdb"):
        if shutil.which(program) is None:
            raise Missing(f"no {program}: apt-get install valgrind")
    place = folder / "gateway"
    with LiveGateway(place, backend, gateway=QUIET) as live:
        fill(Signer(_server(live)))
    words = ["env", "PYTHONHASHSEED=0", "valgrind", "-q", "--tool=callgrind", "--trace-children=yes"]
    words += ["--instr-atstart=no", f"--vgdb-prefix={folder}/vgdb", f"--callgrind-out-file={folder}/out.%p"]
    with LiveGateway(place, backend, gateway=QUIET, before=words, patience=180) as live:
        yield Counted(live, folder), _server(live)


def _server(live: LiveGateway) -> Server:
    return Server("txgateway", live.endpoint, live.access_key, live.secret_key, live.pid)


def send(line: socket.socket, kind: Kind, times: int) -> None:
    """So many requests on one connection, each after the reply to the one before. Raises Missing."""
    for number in range(times):
        line.sendall(kind.requests[number % len(kind.requests)])
        with http.client.HTTPResponse(line, method=kind.method) as reply:
            reply.begin()
            said = reply.read()
            if reply.status != 200:
                raise Missing(f"{kind.name}: {reply.status} {said[:300]!r}")


def measure(names: Sequence[str] = ()) -> dict[str, Count]:
    """Count each kind of request, or those of ``names``. Leaves a dump of each in ``DUMPS``. Raises Missing."""
    found = {}
    with tempfile.TemporaryDirectory(prefix="gateway-counts-") as folder, counted(Path(folder)) as (gateway, server):
        place = urlsplit(server.endpoint)
        with socket.create_connection((place.hostname, place.port), timeout=120) as line:
            every = kinds(server)
            for kind in every:
                send(line, kind, WARM)
            gateway.begin()
            for kind in every:
                if names and kind.name not in names:
                    continue
                send(line, kind, 2)  # what is done once is not counted
                seen = [gateway.window(line, kind) for _ in range(WINDOWS)]
                gateway.keep(kind.name)
                found[kind.name] = Count(round(min(seen)), (max(seen) - min(seen)) / min(seen))
    return found


def build() -> str:
    """What the counts hold for, besides the gateway's own code."""
    built = " ".join(platform.python_build()[1].split()[:3])
    python = f"Python {platform.python_version()} ({platform.python_compiler()}, built {built})"
    valgrind = subprocess.run(["valgrind", "--version"], capture_output=True, text=True).stdout.strip()
    avx2 = "AVX2" if " avx2" in Path("/proc/cpuinfo").read_text() else "no AVX2"
    return ", ".join([python, " ".join(platform.libc_ver()), valgrind, avx2])


def compare(kept: Mapping[str, int], now: Mapping[str, Count]) -> list[str]:
    """What changed by more than the tolerance, one line for each kind of request. Empty: all is as it was."""
    lines = []
    for name, count in now.items():
        if name not in kept:
            lines.append(f"{name} has no figure yet: `make counts` writes it.")
            continue
        change = count.instructions / kept[name] - 1
        said = f"{kept[name]:,} -> {count.instructions:,} instructions, {change:+.1%}"
        if change > TOLERANCE:
            lines.append(
                f"{name} became dearer: {said}. Where they went: by C function, `callgrind_annotate {_dump(name)}`; by"
                f" Python function, `python -m benchmarks.where {name}`, with the change and without it. If the change"
                " is worth it, `make counts` keeps the new figure."
            )
        elif change < -TOLERANCE:
            lines.append(f"{name} became cheaper: {said}. `make counts` keeps the new figure.")
    return lines


def _dump(name: str) -> str:
    return str(next(iter(sorted(DUMPS.glob(f"{name}.*"), key=lambda file: -_totals(file))), DUMPS / name))


def main() -> int:
    parser = argparse.ArgumentParser(prog="benchmarks.counts", description=__doc__)
    parser.add_argument("names", nargs="*", help="PUT, GET, HEAD, page; default: all")
    parser.add_argument("--print-only", action="store_true", help="leave counts.json as it is")
    asked = parser.parse_args()
    try:
        now = measure(asked.names)
    except Missing as why:
        print(f"counts: {why}")
        return 1
    figures = json.loads(FIGURES.read_text()) if FIGURES.exists() else {}
    kept = figures.get(VERSION, {}).get("instructions", {})
    for name, count in now.items():
        change = f"{count.instructions / kept[name] - 1:+7.2%}" if name in kept else "new"
        print(f"{name:5} {kept.get(name, 0):>12,} -> {count.instructions:>12,}  {change}  (spread {count.spread:.2%})")
    if not asked.print_only:
        taken = {**kept, **{name: count.instructions for name, count in now.items()}}
        figures[VERSION] = {"build": build(), "instructions": taken}
        FIGURES.write_text(json.dumps(dict(sorted(figures.items())), indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
