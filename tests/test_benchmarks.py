"""`make bench` measures: one row on this gateway and a peer, and a page that says what was seen."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import page

ROOT = Path(__file__).parent.parent


def test_a_row_is_measured_beside_a_peer() -> None:
    if shutil.which("wrk") is None:
        if os.environ.get("CI") == "true":
            pytest.fail("no wrk: apt-get install wrk")
        pytest.skip("no wrk: apt-get install wrk")
    words = "peers --peers rclone --rows page --objects 50 --seconds 1 --repeats 1 --print-only".split()
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", *words], cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    (line,) = (line for line in done.stdout.splitlines() if line.startswith("page of 1,000 keys"))
    figures = dict(each.split(" ") for each in line.partition(": ")[2].split(", "))
    assert set(figures) == {"txgateway", "rclone"}, done.stdout
    assert all(float(figure.replace(",", "")) > 0 for figure in figures.values())


def test_the_page_names_ratios_and_what_was_missing() -> None:
    row = {"name": "GET", "unit": "1/s", "more": True, "figures": {"txgateway": 300.0, "rclone": 200.0}}
    slow = {"name": "p99", "unit": "ms", "more": False, "figures": {"txgateway": 3.0}}
    state = {
        "peers": {
            "servers": ["txgateway", "rclone"],
            "notes": {"txgateway": "fsync"},
            "absent": ["minio: no Go"],
            "objects": 5,
            "rows": [row, slow],
            "machine": "a machine",
        },
    }
    lines = page.draw(state).splitlines()
    assert "| GET | 1/s | 300 | 200 | 1.50 |" in lines
    assert "| p99 | ms | 3.00 | failed |  |" in lines
    assert "- not in this run: minio: no Go" in lines
