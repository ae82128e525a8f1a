"""`make bench` measures: rows on this gateway and a peer, and a page that says what was seen."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from benchmarks import client, full, page, where
from benchmarks.aims import judge
from benchmarks.bench import Sizes
from benchmarks.transfers import Refused

ROOT = Path(__file__).parent.parent
REPLY = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def test_rows_are_measured_beside_a_peer() -> None:
    for program in ("wrk", "strace"):
        if shutil.which(program) is None:
            if os.environ.get("CI") == "true":
                pytest.fail(f"no {program}: apt-get install {program}")
            pytest.skip(f"no {program}: apt-get install {program}")
    words = (
        "peers --peers rclone --workers 1 --listed 50 --deleted 50 --half-open 50 --seconds 1 --repeats 1 --print-only"
    )
    rows = ["page of", "HEAD", "deleted", "half-open", "syncs"]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", *words.split(), "--rows", *rows],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    seen = {}
    for line in done.stdout.splitlines():
        title, colon, figures = line.rpartition("): ")
        if colon and not line.startswith(" "):
            seen[title.partition(" (")[0]] = dict(each.rsplit(" ", 1) for each in figures.split(", "))
    titles = ("page of 1,000 out of 50 keys", "HEAD, 16 connections", "50 keys deleted, 1,000 a call")
    titles += ("processor for 10,000: HEAD, 16 connections", "memory, 50 half-open connections")
    for title in titles:
        assert {"txgateway", "rclone"} <= set(seen[title]), done.stdout
        assert all(float(figure.replace(",", "")) > 0 for figure in seen[title].values()), done.stdout
    assert float(seen["syncs for 100 PUTs"]["txgateway"]) >= 100, "what is acknowledged is on the disk"


def test_a_page_of_a_catalogue_that_was_filled_by_sql_costs_the_same_steps(tmp_path: Path) -> None:
    said: list[str] = []
    state = full.run(tmp_path, (2500, 10_000), 1, Sizes(seconds=1, deleted=1), 1, said.append)
    rows = {row["name"]: row["figures"] for row in state["rows"]}
    few, many = rows["SQLite's steps for such a page"]
    assert few == many
    assert all(figure > 0 for figures in rows.values() for figure in figures), said
    again: list[str] = []
    full.fill(tmp_path / "2500", 2500, again.append)
    assert not again, "what is filled is kept"


@contextmanager
def slow_once(after: int, pause: float, reply: bytes = REPLY) -> Iterator[str]:
    """A server of one connection that stands still once, before its reply number ``after``."""
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        line, _ = listening.accept()
        with line:
            for number in range(1_000_000):
                if not line.recv(4096):
                    return
                if number == after:
                    time.sleep(pause)
                line.sendall(reply)

    serving = threading.Thread(target=serve)
    serving.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        serving.join()
        listening.close()


def test_at_a_fixed_rate_a_pause_is_charged_to_all_who_waited_for_it() -> None:
    request = b"GET / HTTP/1.1\r\n\r\n"
    with slow_once(10, 0.5) as endpoint:
        open_loop = client.drive(endpoint, [request], seconds=1, rate=200, connections=1)
    assert len(open_loop.latencies) > 150
    assert sum(latency > 0.1 for latency in open_loop.latencies) > 60, (
        "some 80 were due in the first 0.4 s of the pause"
    )
    with slow_once(10, 0.5) as endpoint:
        closed = client.drive(endpoint, [request], seconds=1, connections=1)
    assert max(closed.latencies) >= 0.5


def test_a_reply_that_is_no_success_is_no_measurement() -> None:
    with slow_once(0, 0, b"HTTP/1.1 503 Slow Down\r\nContent-Length: 0\r\n\r\n") as endpoint, pytest.raises(Refused):
        client.drive(endpoint, [b"GET / HTTP/1.1\r\n\r\n"], seconds=1, connections=1)


def test_looks_are_charged_to_the_innermost_room_of_ours() -> None:
    raw = """\
process 7;thread (71): Main;answer (/x/gateway/gate.py:3);route (/x/gateway/wire/route.py:9);sub (r.py:4) 6
process 7;thread (71): Main;run (tx.py:1);in_reactor (/x/gateway/cli/offline.py:3);write (twisted/tcp.py:9) 3
process 7;thread (72): pool;work (twisted/threads.py:1);read (/x/plugins/local/gateway_local/folder.py:5) 2
process 7;thread (72): pool;work (twisted/threads.py:1);Condition.wait (threading.py:5) 50
"""
    rooms, functions = where.charge(raw, {"71": 90.0, "72": 10.0})
    assert rooms == {"wire": 60.0, where.LIBRARIES: 30.0, "gateway_local": 10.0}
    assert functions["gateway/wire/route.py:route"] == 60.0
    assert functions["gateway_local/folder.py:read"] == 10.0


def line(name: str, more: bool | None, figures: dict[str, float], **variants: float) -> dict[str, Any]:
    return {"name": name, "unit": "1/s", "more": more, "figures": figures, "variants": variants}


GETS = line("4 KiB GET, 16 connections", True, {"txgateway": 300.0, "rclone": 200.0, "minio": 150.0})
P99 = line("4 KiB GET at half rate, p99", False, {"txgateway": 3.0, "rclone": 2.0})
SCRUBBED = {
    **line("64 MiB GET, 1 connection", True, {"txgateway": 1.0, "rclone": 2.0}),
    "variants": {"verify = scrub": 8.0},
}
LOST = line("HEAD", True, {"txgateway": 3.0})


def test_the_page_names_ratios_and_what_was_missing() -> None:
    state: dict[str, Any] = {
        "peers": {
            "servers": ["txgateway", "rclone", "minio"],
            "notes": {"txgateway": "fsync"},
            "absent": ["versitygw: no Go"],
            "clients": "wrk 4",
            "rows": [GETS, P99, SCRUBBED, LOST],
            "machine": "a machine",
        },
    }
    counts = {"3.11": {"build": "Python 3.11.7", "instructions": {"GET": 1_000_000}}}
    rows = [{"name": "start", "unit": "s", "figures": [0.5, 1.0]}]
    state["large"] = {"columns": ["1,000", "10,000,000"], "rows": rows, "machine": "a machine"}
    kinds = {"GET": {"total": 300.0, "kernel": 40.0, "rooms": {"wire": 80.0}, "functions": {}}}
    state["where"] = {"kinds": kinds, "machine": "a machine"}
    lines = page.draw(state, counts).splitlines()
    assert "| start | s | 0.50 | 1.00 | 2.00 |" in lines
    assert "| wire | 80.0 |" in lines
    assert "| 4 KiB GET, 16 connections | 1/s | 300 | 200 | 150 | 1.50 |" in lines
    assert "| 4 KiB GET at half rate, p99 | 1/s | 3.00 | 2.00 | failed | 1.50 |" in lines
    assert "| — with verify = scrub |  | 8.00 |  |  | 4.00 |" in lines
    assert "| HEAD | 1/s | 3.00 | failed | failed |  |" in lines
    assert "- not in this run: versitygw: no Go" in lines
    assert "| 1.5 x small GETs | 1.50 | reached |" in lines
    assert "| Python 3.11.7 | 1,000,000 |" in lines


def test_an_aim_is_reached_by_every_row_of_it() -> None:
    worse = line("4 KiB GET, 128 connections", True, {"txgateway": 299.0, "rclone": 200.0})
    names = ["txgateway", "rclone"]
    (gets, scrubbed, always, p99) = judge([GETS, worse, P99, SCRUBBED], names)
    assert (gets.reached, scrubbed.reached, always.reached, p99.reached) == (False, True, False, False)
    assert judge([GETS], names)[0].reached
    assert judge([line(P99["name"], False, {"txgateway": 1.9, "rclone": 2.0})], names)[0].reached
