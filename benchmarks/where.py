"""Where the microseconds of a request go, room by room: ``python -m benchmarks.where GET``.

py-spy looks at what the gateway's threads do some hundred times a second while it serves; each look is charged to the
innermost function of ours on the stack, so a room pays for the library that it calls. What is shared out is the
processor time of each thread of the gateway's, the kernel's part of it included, measured without py-spy. A thread that
waits for the disk looks busy, so a COMMIT takes too much of its own thread's time, and of no other's.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks import client
from benchmarks.kinds import fill, kinds
from benchmarks.presign import Signer
from benchmarks.processes import processor, threads
from benchmarks.servers import Missing, Server, gateway

RATE = 400  # looks a second
_FRAME = re.compile(r"^(?P<function>.+) \((?P<file>[^()]*):(?P<line>\d+)\)$")
_THREAD = re.compile(r"thread \((\w+)\)")
_OURS = re.compile(r"(?:^|/)(?:gateway/(?P<room>\w+)|(?P<plugin>gateway_\w+))(?:\.py|/)(?P<rest>.*)$")
# A thread that waits is no cost; py-spy takes some of them for busy.
_WAITS = re.compile(r"^(?:\w+\.)?(?:doPoll|wait|_wait_for_tstate_lock) ")
_LOOPS = ("cli", "tap", "workers", "__main__")  # rooms that only start the reactor
LIBRARIES = "reactor and Twisted"


@dataclass(frozen=True, slots=True)
class Where:
    """Microseconds of processor time of one request: in all, in the kernel, by room and by function of ours."""

    total: float
    kernel: float
    rooms: Mapping[str, float]
    functions: Mapping[str, float]


def look(server: Server, name: str, seconds: float) -> Where:
    """Send requests of one kind, by 16 connections, and see where the time goes. Raises Missing."""
    (kind,) = (kind for kind in kinds(server) if kind.name == name)

    def drive(length: float) -> int:
        bodiless = kind.method == "HEAD"
        return len(client.drive(server.endpoint, kind.requests, seconds=length, bodiless=bodiless).latencies)

    drive(1)
    before, kernel, spent = processor(server.pid), processor(server.pid, user=False), threads(server.pid)
    count = drive(seconds)
    total = (processor(server.pid) - before) / count * 1e6
    kernel = (processor(server.pid, user=False) - kernel) / count * 1e6
    each = {str(id_): (now - spent.get(id_, 0.0)) / count * 1e6 for id_, now in threads(server.pid).items()}
    rooms, functions = charge(_looks(server.pid, seconds, lambda: drive(seconds + 1)), each)
    return Where(total, kernel, _dearest(rooms), _dearest(functions))


def _dearest(costs: Mapping[str, float]) -> dict[str, float]:
    return dict(sorted(costs.items(), key=lambda item: -item[1]))


def _looks(pid: int, seconds: float, drive: object) -> str:
    program = Path(sys.executable).parent / "py-spy"
    if not program.exists():
        raise Missing("py-spy is not installed (PyPI: py-spy)")
    assert callable(drive)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "raw"
        words = [str(program), "record", "--format", "raw", "--subprocesses", "--threads", "--rate", str(RATE)]
        words += ["--duration", f"{seconds:.0f}", "--pid", str(pid), "--output", str(out)]
        spy = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        while spy.poll() is None:
            drive()
        if spy.returncode or not out.exists():
            raise Missing(f"py-spy: {spy.stderr.read() if spy.stderr else ''}")
        return out.read_text()


def charge(raw: str, spent: Mapping[str, float]) -> tuple[dict[str, float], dict[str, float]]:
    """What the threads ``spent``, shared out by room and by function: each look at a thread is worth the same.

    ``raw``: py-spy's lines, process, thread, frames from the outermost on, then how often that was seen.
    """
    seen = []
    for text in raw.splitlines():
        stack, _, often = text.rpartition(" ")
        thread, frames = _THREAD.search(stack), stack.split(";")
        if thread and not _WAITS.match(frames[-1]):
            seen.append((thread[1], frames, int(often)))
    looks: Counter[str] = Counter()
    for thread_id, _, times in seen:
        looks[thread_id] += times
    rooms: dict[str, float] = defaultdict(float)
    functions: dict[str, float] = defaultdict(float)
    for thread_id, frames, times in seen:
        room, function = LIBRARIES, frames[-1].partition(" (")[0]
        for frame in reversed(frames):
            parsed = _FRAME.match(frame)
            ours = _OURS.search(parsed["file"]) if parsed else None
            if parsed and ours and ours["room"] not in _LOOPS:
                room = ours["room"] or ours["plugin"]
                function = f"{parsed['file'][ours.start() :].lstrip('/')}:{parsed['function']}"
                break
        cost = spent.get(thread_id, 0.0) * times / looks[thread_id]
        rooms[room] += cost
        functions[function] += cost
    return rooms, functions


def main() -> int:
    parser = argparse.ArgumentParser(prog="benchmarks.where", description=__doc__)
    parser.add_argument("name", nargs="?", default="GET", choices=["PUT", "GET", "HEAD", "page"])
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--backend", default="local")
    parser.add_argument("--top", type=int, default=40, help="how many functions are shown")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="gateway-where-") as folder:
        try:
            with gateway(Path(folder), asked.backend) as server:
                fill(Signer(server))
                where = look(server, asked.name, asked.seconds)
        except Missing as why:
            print(f"where: {why}")
            return 1
    print(f"{asked.name}: {where.total:.0f} us of processor time, {where.kernel:.0f} of it in the kernel\n")
    for figures in (where.rooms, where.functions):
        for name, cost in list(figures.items())[: asked.top]:
            print(f"{cost:8.1f}  {cost / where.total:6.1%}  {name}")
        print()
    return 0


if __name__ == "__main__":
    sys.exit(main())
