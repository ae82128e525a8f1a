"""Where the microseconds of a request go, room by room: ``python -m benchmarks.where GET``.

py-spy looks at what the gateway's threads do some hundred times a second while it serves; each look is charged to the
innermost function of ours on the stack, so a room pays for the library that it calls. What is shared out is the
processor time of the gateway's processes, the kernel's part of it included, measured without py-spy. A thread that
waits for the disk looks busy, so of a PUT read only what does not sync.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks import client
from benchmarks.kinds import fill, kinds
from benchmarks.presign import Signer
from benchmarks.processes import processor
from benchmarks.servers import Missing, Server, gateway

RATE = 400  # looks a second
_FRAME = re.compile(r"^(?P<function>.+) \((?P<file>[^()]*):(?P<line>\d+)\)$")
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
    before, kernel = processor(server.pid), processor(server.pid, user=False)
    count = drive(seconds)
    total = (processor(server.pid) - before) / count * 1e6
    kernel = (processor(server.pid, user=False) - kernel) / count * 1e6
    rooms, functions = charge(_looks(server.pid, seconds, lambda: drive(seconds + 1)))
    looks = sum(rooms.values())
    return Where(
        total,
        kernel,
        {room: total * seen / looks for room, seen in rooms.most_common()},
        {function: total * seen / looks for function, seen in functions.most_common()},
    )


def _looks(pid: int, seconds: float, drive: object) -> str:
    program = Path(sys.executable).parent / "py-spy"
    if not program.exists():
        raise Missing("py-spy is not installed (PyPI: py-spy)")
    assert callable(drive)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "raw"
        words = [str(program), "record", "--format", "raw", "--subprocesses", "--rate", str(RATE)]
        words += ["--duration", f"{seconds:.0f}", "--pid", str(pid), "--output", str(out)]
        spy = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        while spy.poll() is None:
            drive()
        if spy.returncode or not out.exists():
            raise Missing(f"py-spy: {spy.stderr.read() if spy.stderr else ''}")
        return out.read_text()


def charge(raw: str) -> tuple[Counter[str], Counter[str]]:
    """Looks by room and by function. ``raw``: py-spy's lines, outermost frame first, then how often it was seen."""
    rooms: Counter[str] = Counter()
    functions: Counter[str] = Counter()
    for text in raw.splitlines():
        stack, _, times = text.rpartition(" ")
        frames = stack.split(";")
        if _WAITS.match(frames[-1]):
            continue
        room, function = LIBRARIES, frames[-1].partition(" (")[0]
        for frame in reversed(frames):
            parsed = _FRAME.match(frame)
            ours = _OURS.search(parsed["file"]) if parsed else None
            if parsed and ours and ours["room"] not in _LOOPS:
                room = ours["room"] or ours["plugin"]
                function = f"{parsed['file'][ours.start() :].lstrip('/')}:{parsed['function']}"
                break
        rooms[room] += int(times)
        functions[function] += int(times)
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
