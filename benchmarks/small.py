"""What small requests cost: rates, latencies, pages, deletes."""

from __future__ import annotations

import base64
import hashlib
import http.client
import secrets
import time
from collections.abc import Callable
from urllib.parse import urlsplit

from benchmarks import client
from benchmarks.bench import PAGED, SMALL, Bench
from benchmarks.load import Load, drive
from benchmarks.processes import processor, syncs
from benchmarks.transfers import Refused

PAGE = 1000


def _sound(load: Load) -> Load:
    if load.bad:
        raise Refused(f"{load.bad} replies were no success")
    return load


def gets(connections: int) -> Callable[[Bench], tuple[float, float]]:
    """(GETs a second, seconds of processor time for 10,000)"""

    def measure(bench: Bench) -> tuple[float, float]:
        load = drive(bench.server, "GET", bench.small, connections=connections, seconds=bench.sizes.seconds)
        return _sound(load).rate, load.cpu

    return measure


def puts(connections: int) -> Callable[[Bench], tuple[float, float]]:
    """(PUTs a second, seconds of processor time for 10,000); keys of its own, so that nobody gains by overwriting."""

    def measure(bench: Bench) -> tuple[float, float]:
        targets = _new_targets(bench, 20_000)
        load = drive(bench.server, "PUT", targets, connections=connections, seconds=bench.sizes.seconds, size=SMALL)
        return _sound(load).rate, load.cpu

    return measure


def heads(bench: Bench) -> tuple[float, float]:
    """(HEADs a second, seconds of processor time for 10,000)"""
    keys = [target.partition("?")[0].split("/", 2)[2] for target in bench.small]
    requests = [bench.request("HEAD", target) for target in bench.signer.targets("head_object", keys)]
    before = processor(bench.server.pid)
    seen = client.drive(bench.server.endpoint, requests, seconds=bench.sizes.seconds, bodiless=True)
    return seen.rate, (processor(bench.server.pid) - before) / len(seen.latencies) * 10_000


def at_half_rate(bench: Bench) -> tuple[float, ...]:
    """(GETs a second that were asked for, p50, p99, p99.9 in ms), at half of what the server can just then."""
    requests = [bench.request("GET", target) for target in bench.small]
    most = drive(bench.server, "GET", bench.small, connections=16, seconds=1).rate
    seconds = 2 * bench.sizes.seconds  # so that a thousandth is more than one or two requests
    seen = client.drive(bench.server.endpoint, requests, seconds=seconds, rate=most / 2, connections=64)
    return most / 2, *(seen.percentile(share) * 1000 for share in (0.5, 0.99, 0.999))


def pages(bench: Bench) -> tuple[float]:
    """Pages of 1,000 keys a second, from all over the prefix."""
    count = bench.sizes.listed
    targets = [
        bench.signer.target("list_objects_v2", prefix=PAGED, start_after=f"{PAGED}{number:08d}", max_keys=str(PAGE))
        for number in range(0, max(count - PAGE, 1), max(count // 50, 1))
    ]
    return (_sound(drive(bench.server, "GET", targets, connections=4, seconds=bench.sizes.seconds)).rate,)


def deletes(bench: Bench) -> tuple[float]:
    """Keys a second, by DeleteObjects of 1,000 at a time on one connection."""
    run = secrets.token_hex(4)
    keys = [f"gone-{run}/{number:05d}" for number in range(bench.sizes.deleted)]
    bench.put_all(keys, 0)
    place = urlsplit(bench.server.endpoint)
    line = http.client.HTTPConnection(str(place.hostname), place.port, timeout=120)
    begun = time.monotonic()
    for start in range(0, len(keys), 1000):
        listed = "".join(f"<Object><Key>{key}</Key></Object>" for key in keys[start : start + 1000])
        body = f"<Delete><Quiet>true</Quiet>{listed}</Delete>".encode()
        digest = base64.b64encode(hashlib.md5(body).digest()).decode()
        line.request("POST", bench.signer.target("delete_objects", md5=digest), body, {"Content-MD5": digest})
        reply = line.getresponse()
        said = reply.read()
        if reply.status != 200 or b"<Error>" in said:
            raise Refused(f"DeleteObjects: {reply.status} {said[:300]!r}", reply.status)
    took = time.monotonic() - begun
    line.close()
    return (len(keys) / took,)


def synced(bench: Bench) -> tuple[float]:
    """Calls that sync, for 100 PUTs that follow each other."""
    requests = [bench.request("PUT", target) for target in _new_targets(bench, 100)]
    log = bench.folder / "strace"
    return (syncs(bench.server.pid, log, lambda: client.send_all(bench.server.endpoint, requests, connections=1)),)


def _new_targets(bench: Bench, count: int) -> list[str]:
    run = secrets.token_hex(4)
    return bench.signer.targets("put_object", [f"put-{run}/{number:05d}" for number in range(count)])
