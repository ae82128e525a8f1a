"""What is measured of one S3 server. Each row gives one figure; the runner repeats it, server by server."""

from __future__ import annotations

import http.client
import secrets
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks import transfers
from benchmarks.load import Load, drive
from benchmarks.presign import BUCKET, Signer
from benchmarks.servers import Server, memory

SMALL = 4096
LARGE = 64 * transfers.MIB
KEYS = 1000
PAGED = "paged/"


@dataclass(slots=True)
class Bench:
    """One server with what the rows need of it, and the knobs of this run."""

    server: Server
    scratch: Path
    seconds: int
    objects: int  # how many keys the listed prefix holds
    signer: Signer = field(init=False)
    small: list[str] = field(init=False)

    def __post_init__(self) -> None:
        self.signer = Signer(self.server)

    def fill(self) -> None:
        """The bucket, 1,000 small objects to read, a large one, and the prefix that is listed."""
        self.signer.client.create_bucket(Bucket=BUCKET)
        keys = [f"small/{number:04d}" for number in range(KEYS)]
        put_all(self.signer, keys, SMALL)
        self.small = self.signer.targets("get_object", keys)
        put_all(self.signer, [f"{PAGED}{number:08d}" for number in range(self.objects)], 0)
        transfers.put(
            self.server.endpoint,
            self.signer.target("put_object", Key="large"),
            transfers.random_file(self.scratch, LARGE),
        )


def put_all(signer: Signer, keys: list[str], size: int) -> None:
    """Every one of ``keys``, over eight connections."""
    targets = signer.targets("put_object", keys)
    place = urlsplit(signer.client.meta.endpoint_url)
    body = b"x" * size

    def some(mine: list[str]) -> Callable[[], None]:
        def run() -> None:
            line = http.client.HTTPConnection(str(place.hostname), place.port, timeout=60)
            for target in mine:
                for last in (False, False, True):  # rclone fails where two requests make one folder at once
                    line.request("PUT", target, body)
                    reply = line.getresponse()
                    said = reply.read()
                    if reply.status == 200:
                        break
                    if last:
                        raise transfers.Refused(f"PUT: {reply.status} {said[:300]!r}", reply.status)
            line.close()

        return run

    transfers.at_once([some(targets[lane::8]) for lane in range(8)])


@dataclass(frozen=True, slots=True)
class Row:
    """``more``: whether a larger figure is the better one."""

    name: str
    unit: str
    measure: Callable[[Bench], float]
    more: bool = True


def _sound(load: Load) -> Load:
    if load.bad:
        raise transfers.Refused(f"{load.bad} replies were no success")
    return load


def small_get(connections: int) -> Callable[[Bench], float]:
    return lambda b: _sound(drive(b.server, "GET", b.small, connections=connections, seconds=b.seconds)).rate


def small_put(connections: int) -> Callable[[Bench], float]:
    """Every run writes keys of its own, so that no server gains by overwriting."""

    def measure(bench: Bench) -> float:
        run = secrets.token_hex(4)
        targets = bench.signer.targets("put_object", [f"put/{run}/{number:05d}" for number in range(4000)])
        load = drive(bench.server, "PUT", targets, connections=connections, seconds=bench.seconds, size=SMALL)
        return _sound(load).rate

    return measure


def large_get(lanes: int) -> Callable[[Bench], float]:
    def measure(bench: Bench) -> float:
        target = bench.signer.target("get_object", Key="large")
        took = transfers.at_once([lambda: transfers.get(bench.server.endpoint, target, LARGE)] * lanes)
        return lanes * LARGE / transfers.MIB / took

    return measure


def large_put(lanes: int) -> Callable[[Bench], float]:
    def measure(bench: Bench) -> float:
        file = transfers.random_file(bench.scratch, LARGE)
        targets = [bench.signer.target("put_object", Key=f"large-{lane}") for lane in range(lanes)]

        def job(target: str) -> Callable[[], None]:
            return lambda: transfers.put(bench.server.endpoint, target, file)

        return lanes * LARGE / transfers.MIB / transfers.at_once([job(target) for target in targets])

    return measure


def pages(bench: Bench) -> float:
    """Pages of 1,000 keys from all over the prefix."""
    step = max(bench.objects // 50, 1)
    targets = [
        bench.signer.target("list_objects_v2", Prefix=PAGED, StartAfter=f"{PAGED}{number:08d}", MaxKeys=1000)
        for number in range(0, max(bench.objects - 1000, 1), step)
    ]
    return _sound(drive(bench.server, "GET", targets, connections=4, seconds=bench.seconds)).rate


def deletes(bench: Bench) -> float:
    """Keys a second, by DeleteObjects of 1,000 at a time."""
    run = secrets.token_hex(4)
    keys = [f"gone/{run}/{number:05d}" for number in range(2000)]
    put_all(bench.signer, keys, 0)
    begun = time.monotonic()
    for start in range(0, len(keys), 1000):
        listed = {"Objects": [{"Key": key} for key in keys[start : start + 1000]], "Quiet": True}
        answer = bench.signer.client.delete_objects(Bucket=BUCKET, Delete=listed)
        if answer.get("Errors"):
            raise transfers.Refused(str(answer["Errors"][0]))
    return len(keys) / (time.monotonic() - begun)


def at_half_rate(pick: Callable[[Load], float]) -> Callable[[Bench], float]:
    """A latency of small GETs, milliseconds, while the server gets half of what it can serve."""

    def measure(bench: Bench) -> float:
        most = drive(bench.server, "GET", bench.small, connections=16, seconds=1).rate
        delay = max(round(16 / (most / 2) * 1000), 1)
        load = drive(bench.server, "GET", bench.small, connections=16, seconds=bench.seconds, delay=delay)
        return pick(_sound(load)) / 1000

    return measure


def cpu(bench: Bench) -> float:
    return _sound(drive(bench.server, "GET", bench.small, connections=16, seconds=bench.seconds)).cpu


def memory_with(connections: int) -> Callable[[Bench], float]:
    """MiB while that many connections are open and say nothing."""

    def measure(bench: Bench) -> float:
        place = urlsplit(bench.server.endpoint)
        lines = [socket.create_connection((place.hostname, place.port), timeout=60) for _ in range(connections)]
        try:
            time.sleep(0.5)
            return memory(bench.server.pid) / transfers.MIB
        finally:
            for line in lines:
                line.close()

    return measure


ROWS = (
    Row("4 KiB GET, 16 connections", "1/s", small_get(16)),
    Row("4 KiB GET, 128 connections", "1/s", small_get(128)),
    Row("4 KiB PUT, 16 connections", "1/s", small_put(16)),
    Row("4 KiB PUT, 128 connections", "1/s", small_put(128)),
    Row("64 MiB GET, 1 connection", "MiB/s", large_get(1)),
    Row("64 MiB GET, 8 connections", "MiB/s", large_get(8)),
    Row("64 MiB PUT, 1 connection", "MiB/s", large_put(1)),
    Row("64 MiB PUT, 8 connections", "MiB/s", large_put(8)),
    Row("page of 1,000 keys", "1/s", pages),
    Row("keys deleted, 1,000 a call", "1/s", deletes),
    Row("4 KiB GET at half rate, p50", "ms", at_half_rate(lambda load: load.p50), more=False),
    Row("4 KiB GET at half rate, p99", "ms", at_half_rate(lambda load: load.p99), more=False),
    Row("processor, 10,000 small GETs", "s", cpu, more=False),
    Row("memory, idle", "MiB", memory_with(0), more=False),
    Row("memory, 1,000 idle connections", "MiB", memory_with(1000), more=False),
)
