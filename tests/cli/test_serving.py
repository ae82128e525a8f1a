"""`gateway run` and `twistd gateway`: they serve, stop cleanly, keep what was stored, and tell each fault in a line."""

from __future__ import annotations

import os
import signal
import subprocess
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

Run = Callable[..., "subprocess.CompletedProcess[str]"]
AT = ("-c", "porch/tahoe.cfg")


def endpoint(folder: Path) -> str:
    return "http://127.0.0.1:" + (folder / "tahoe.cfg").read_text().partition("tcp:")[2].partition(":")[0]


def wait_for(what: Callable[[], Any], seconds: float = 60) -> Any:
    end = time.monotonic() + seconds
    while True:
        try:
            return what()
        except OSError:
            assert time.monotonic() < end, "it never came"
            time.sleep(0.05)


def test_the_banner_says_where_everything_is(folder: Path, command: Any) -> None:
    printed = command.start("gateway", "run", *AT, cwd=folder.parent, until="log  ")
    for what in (endpoint(folder), "us-east-1", str(folder / "data"), "storage: local", str(folder / "log")):
        assert what in printed
    assert urllib.request.urlopen(endpoint(folder) + "/_/live", timeout=30).status == 200
    assert (folder / "log" / "gateway.log").read_text().count("serving S3 at") == 1


def test_what_was_stored_is_there_after_a_restart(folder: Path, command: Any, run: Run) -> None:
    start = ("gateway", "run", *AT)
    command.start(*start, cwd=folder.parent, until="log  ")
    run("bucket", "add", "attic", *AT)
    run("put", "porch/tahoe.cfg", "attic/", *AT)
    command.stop()
    command.start(*start, cwd=folder.parent, until="log  ")
    assert run("get", "attic/tahoe.cfg", "-", *AT).stdout == (folder / "tahoe.cfg").read_text()


def test_a_second_gateway_on_the_same_data_is_told_the_first_ones_process(serving: Path, run: Run) -> None:
    pid = (serving / "data" / "gateway.lock").read_text().strip()
    for verb in ("run", "check"):
        (line,) = run(verb, *AT, code=3).stderr.splitlines()
        assert f"in use by the gateway of process {pid}" in line and line.startswith("porch/tahoe.cfg:")


def test_twistd_serves_in_the_background_and_stops(folder: Path, command: Any, run: Run) -> None:
    here = folder.parent
    command.run("twistd", "gateway", *AT, cwd=here)
    pid = int(wait_for((here / "twistd.pid").read_text))
    try:
        wait_for(lambda: urllib.request.urlopen(endpoint(folder) + "/_/live", timeout=30))
        run("bucket", "add", "attic", *AT)
        run("put", "porch/tahoe.cfg", "attic/", *AT)
        assert run("get", "attic/tahoe.cfg", "-", *AT).stdout == (folder / "tahoe.cfg").read_text()
    finally:
        os.kill(pid, signal.SIGTERM)
        end = time.monotonic() + 60
        while (here / "twistd.pid").exists() and time.monotonic() < end:
            time.sleep(0.05)
    log = (here / "twistd.log").read_text()
    assert "Server Shut Down" in log and "Traceback" not in log


def test_twistd_tells_faults_in_one_line_each(folder: Path, command: Any) -> None:
    (folder / "tahoe.cfg").write_text("[gateway]\nlisen = tcp:1\n[storage]\nbackend = memroy\n")
    for mode in ((), ("-n",)):
        done = command.run("twistd", *mode, "gateway", *AT, cwd=folder.parent, code=1)
        lines = [line for line in done.stdout.splitlines() if line.strip()]
        assert len(lines) == 2, lines
        assert "porch/tahoe.cfg:2: " in lines[0] and "did you mean listen?" in lines[0]
        assert "porch/tahoe.cfg:4: " in lines[1] and "did you mean memory?" in lines[1]
    assert not (folder.parent / "twistd.pid").exists()


def test_twistd_that_cannot_start_after_all_does_not_end_well(folder: Path, command: Any, tmp_path: Path) -> None:
    """A fault that comes between twistd's check and its start: the log says it in a line, the exit code is 1."""
    code = (
        "import sys, types; from gateway import tap;"
        "tap.subprocess = types.SimpleNamespace(run=lambda *a, **k: types.SimpleNamespace(returncode=0), DEVNULL=0);"
        "from twisted.scripts.twistd import run;"
        "sys.argv = ['twistd', '-n', 'gateway', '-c', 'porch/tahoe.cfg']; run()"
    )
    command.start("gateway", "run", *AT, cwd=folder.parent, until="log  ")
    done = command.run("python3", "-c", code, cwd=tmp_path, code=1)
    assert "in use by the gateway of process" in done.stdout
