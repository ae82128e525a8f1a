"""What the processes of one server use: memory, processor time, and how often they ask the kernel to sync."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")


def family(pid: int) -> list[int]:
    """A process and all that descend from it."""
    found = [pid]
    for each in found:
        try:
            tasks = list(Path(f"/proc/{each}/task").iterdir())
        except OSError:
            continue  # it ended meanwhile
        for task in tasks:
            found += map(int, _text(f"{task}/children").split())
    return found


def memory(pid: int, *, shared_once: bool = False) -> int:
    """Resident bytes of a process and its children; ``shared_once``: what they share is not counted for each."""
    file, field = ("smaps_rollup", "Pss:") if shared_once else ("status", "VmRSS:")
    return sum(_kib(_text(f"/proc/{each}/{file}"), field) for each in family(pid)) * 1024


def peak(pid: int) -> int:
    """The most resident bytes that each of these processes ever had, together."""
    return sum(_kib(_text(f"/proc/{each}/status"), "VmHWM:") for each in family(pid)) * 1024


def processor(pid: int, *, user: bool = True) -> float:
    """Seconds of processor time that a process and its living children used; the kernel's only without ``user``."""
    ticks = 0
    for each in family(pid):
        fields = _text(f"/proc/{each}/stat").rpartition(")")[2].split()
        if fields:
            ticks += int(fields[11]) * user + int(fields[12])
    return ticks / _TICK


def threads(pid: int) -> dict[int, float]:
    """Seconds of processor time that each thread of a process and its children used, by the thread's id."""
    return {
        int(task.name): int(_text(f"{task}/schedstat").split()[0]) / 1e9
        for each in family(pid)
        for task in Path(f"/proc/{each}/task").iterdir()
    }


def age(pid: int) -> float:
    """Seconds since a process began, to a hundredth."""
    begun = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]) / _TICK
    return time.clock_gettime(time.CLOCK_BOOTTIME) - begun


def syncs(pid: int, log: Path, work: Callable[[], object]) -> int:
    """How often the processes sync in ``work``: fsync, fdatasync and their kin, or a file opened to sync each write."""
    words = ["strace", "-f", "-qq", "-o", str(log)]
    words += ["-e", "trace=fsync,fdatasync,sync,syncfs,sync_file_range,msync,open,openat"]
    for each in family(pid):
        words += ["-p", str(each)]
    tracing = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 10
        while not all("TracerPid:\t0" not in _text(f"/proc/{each}/status") for each in family(pid)):
            if tracing.poll() is not None or time.monotonic() > until:
                raise OSError("strace does not attach (apt-get install strace)")
            time.sleep(0.01)
        work()
    finally:
        tracing.send_signal(signal.SIGINT)
        tracing.wait(20)
    return len(re.findall(r"^\d+ +(?:f?data|f|m)?sync(?:fs|_file_range)?\(|O_D?SYNC", log.read_text(), re.MULTILINE))


def _text(file: str) -> str:
    try:
        return Path(file).read_text()
    except OSError:
        return ""


def _kib(text: str, field: str) -> int:
    return sum(int(line.split()[1]) for line in text.splitlines() if line.startswith(field))
