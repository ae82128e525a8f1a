"""What a server holds in memory while connections are open."""

from __future__ import annotations

import resource
import socket
import time
from collections.abc import Callable
from urllib.parse import urlsplit

from benchmarks.bench import Bench
from benchmarks.processes import memory, peak
from benchmarks.transfers import MIB, Refused

HALF = b"GET /bench/key HTTP/1.1\r\nHost: localhost\r\nX-Unfinished: "


def with_idle(connections: int) -> Callable[[Bench], tuple[float, float]]:
    """(MiB, MiB with shared pages counted once) while so many connections are open and say nothing."""
    return lambda bench: _held(bench, connections, b"")


def with_half_open(bench: Bench) -> tuple[float, float]:
    """The same while connections have sent one half of their headers."""
    return _held(bench, bench.sizes.half_open, HALF)


def at_most(bench: Bench) -> tuple[float]:
    """The peak of each process, MiB together, since it started."""
    return (peak(bench.server.pid) / MIB,)


def _held(bench: Bench, connections: int, first: bytes) -> tuple[float, float]:
    _allow(connections + 100)
    place = urlsplit(bench.server.endpoint)
    lines: list[socket.socket] = []
    try:
        for _ in range(connections):
            lines.append(socket.create_connection((place.hostname, place.port), timeout=60))
            lines[-1].sendall(first)
        time.sleep(1)
        for line in lines:
            if _is_shut(line):
                raise Refused("the server closed a connection")
        pid = bench.server.pid
        return memory(pid) / MIB, memory(pid, shared_once=True) / MIB
    finally:
        for line in lines:
            line.close()
        time.sleep(0.5)


def _is_shut(line: socket.socket) -> bool:
    line.setblocking(False)
    try:
        return line.recv(1) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


def _allow(files: int) -> None:
    """So many open files for us; servers start with a limit of their own."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < files:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(files, hard), hard))
