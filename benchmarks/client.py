"""A client over bare sockets, for what wrk cannot do: HEAD, and requests at a fixed rate.

It sends the next request of a connection as soon as the reply is whole (closed loop), or each request at the moment
that a rate gives it (open loop, as wrk2 does). In an open loop a latency runs from the moment at which the request was
due, whether or not a connection was free then: a server that stands still is charged with all who waited meanwhile.
"""

from __future__ import annotations

import select
import socket
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

from benchmarks.transfers import Refused

_WHOLE = b"\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Seen:
    """``latencies``: seconds of each request, in order of their replies; ``took``: seconds of the whole stretch."""

    latencies: Sequence[float]
    took: float

    @property
    def rate(self) -> float:
        return len(self.latencies) / self.took

    def percentile(self, share: float) -> float:
        ordered = sorted(self.latencies)
        return ordered[min(int(len(ordered) * share), len(ordered) - 1)]


@contextmanager
def connected(endpoint: str, connections: int) -> Iterator[list[socket.socket]]:
    place, lines = urlsplit(endpoint), []
    try:
        for _ in range(connections):
            lines.append(socket.create_connection((place.hostname, place.port), timeout=60))
        yield lines
    finally:
        for line in lines:
            line.close()


def drive(
    endpoint: str,
    requests: Sequence[bytes],
    *,
    seconds: float,
    connections: int = 16,
    rate: float | None = None,
    bodiless: bool = False,
) -> Seen:
    """Send ``requests`` in turn. Raises Refused where a reply is no success.

    ``rate``: so many a second, None: as fast as replies come; ``bodiless``: they are HEAD.
    """
    with connected(endpoint, connections) as lines:
        return _Stretch(lines, requests, bodiless).run(seconds, rate)


def send_all(endpoint: str, requests: Sequence[bytes], *, connections: int = 16) -> Seen:
    """Send each of ``requests`` once. Raises Refused where a reply is no success."""
    with connected(endpoint, connections) as lines:
        return _Stretch(lines, requests, False).run(None, None)


class _Stretch:
    """``seconds``: None sends each request once."""

    def __init__(self, lines: Sequence[socket.socket], requests: Sequence[bytes], bodiless: bool) -> None:
        self._free = deque(lines)
        self._requests = requests
        self._bodiless = bodiless
        self._sent = 0
        self._due: dict[socket.socket, float] = {}  # of the request that runs on it
        self._got: dict[socket.socket, bytes] = {}
        self._latencies: list[float] = []

    def run(self, seconds: float | None, rate: float | None) -> Seen:
        begun = time.perf_counter()
        end = begun + seconds if seconds else float("inf")
        last = float("inf") if seconds else len(self._requests)
        while (now := time.perf_counter()) < end and self._sent < last:
            pause = self._send_due(begun, now, rate, last)
            self._read(pause)
        while self._due:
            self._read(60.0)
        return Seen(self._latencies, time.perf_counter() - begun)

    def _send_due(self, begun: float, now: float, rate: float | None, last: float) -> float:
        """Send what is due, as far as connections are free; the seconds until something is due again."""
        while self._free and self._sent < last:
            due = begun + self._sent / rate if rate else now
            if due > now:
                return due - now
            line = self._free.popleft()
            line.sendall(self._requests[self._sent % len(self._requests)])
            self._due[line] = due
            self._sent += 1
        return 1.0

    def _read(self, pause: float) -> None:
        # select takes microseconds where epoll rounds up to milliseconds
        for line in select.select(list(self._due), (), (), pause)[0]:
            got = self._got.pop(line, b"") + line.recv(1 << 18)
            if self._is_whole(got):
                self._latencies.append(time.perf_counter() - self._due.pop(line))
                self._free.append(line)
            else:
                self._got[line] = got

    def _is_whole(self, got: bytes) -> bool:
        head, found, body = got.partition(_WHOLE)
        if not found:
            if not got:
                raise Refused("the server closed the connection")
            return False
        if not head.startswith(b"HTTP/1.1 200 "):
            raise Refused(f"{got[:300]!r}")
        if self._bodiless:
            return True
        start = head.lower().find(b"\r\ncontent-length:")
        if start < 0:
            raise Refused(f"no Content-Length: {head!r}")
        return len(body) >= int(head[start + 17 :].partition(b"\r")[0])
