"""What the kernel is asked for, counted by strace(1), and what a killed process leaves."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

STORY = """
import sys
from pathlib import Path
from twisted.internet.defer import ensureDeferred, gatherResults
from twisted.internet.task import react
from gateway.api import BytesBody, PutRequest, Values
from gateway_local import LocalBackend

async def story(reactor):
    backend = LocalBackend(Values.of(LocalBackend.settings, {"local.path": sys.argv[1]}))
    await backend.open()
    async def put(name, size):
        await backend.put(PutRequest(name=name, body=BytesBody(bytes(size)), size=size))
        print("kept", name, flush=True)
    size = int(sys.argv[3])
    for number in range(int(sys.argv[2])):
        await put(f"one/{number}", size)
    await gatherResults([ensureDeferred(put(f"many/{number}", size)) for number in range(int(sys.argv[4]))])
    await backend.close()

react(lambda reactor: ensureDeferred(story(reactor)))
"""


@pytest.fixture
def strace() -> str:
    found = shutil.which("strace")
    works = found and subprocess.run([found, "-qq", "-o", "/dev/null", "true"], capture_output=True).returncode == 0
    if not found or not works:
        if os.environ.get("CI") == "true":
            pytest.fail("no strace that may trace")
        pytest.skip("no strace that may trace")
    return found


def run(strace: str, log: Path, path: Path, options: list[str], *numbers: int) -> subprocess.CompletedProcess[str]:
    story = [sys.executable, "-W", "error", "-c", STORY, str(path), *map(str, numbers)]
    command = [strace, "-f", "-y", "-qq", "-o", str(log), *options, *story]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


def fsyncs(log: Path, path: Path) -> list[str]:
    return [match[1] for match in re.finditer(rf"fsync\(\d+<{re.escape(str(path))}(.*?)>", log.read_text())]


def test_each_file_is_synced_and_many_puts_share_the_sync_of_their_directory(
    strace: str, tmp_path: Path, path: Path
) -> None:
    log = tmp_path / "log"
    trace = ["-e", "trace=fsync"]
    assert run(strace, log, path, trace, 20, 40_000, 0).returncode == 0
    synced = fsyncs(log, path)
    assert synced.count("/blobs/one") == 20
    assert synced.count("/blobs") == 1  # "one" was new, once
    assert sum(each.startswith("/staging/#") for each in synced) == 20
    assert run(strace, log, path, trace, 0, 40_000, 200).returncode == 0
    synced = fsyncs(log, path)
    assert sum(each.startswith("/staging/#") for each in synced) == 200
    assert 1 <= synced.count("/blobs/many") < 150


def test_a_large_blob_goes_to_the_disk_early_and_is_all_there_before_anybody_hears(
    strace: str, tmp_path: Path, path: Path
) -> None:
    log = tmp_path / "log"
    calls = ["-e", "trace=writev,sync_file_range,fsync,linkat,write", "-e", "signal=none"]
    assert run(strace, log, path, calls, 1, 5_000_000, 0).returncode == 0
    steps = []
    for line in log.read_text().splitlines():
        call = re.match(r"\d+ +(\w+)\(", line)
        for what, where in (("file", "/staging/#"), ("directory", "/blobs/one>"), ("told", '"one/0"')):
            if call and where in line:
                steps.append((call[1], what))
    early = [("writev", "file"), ("sync_file_range", "file")]
    at_last = [
        ("writev", "file"),
        ("fsync", "file"),
        ("linkat", "directory"),
        ("fsync", "directory"),
        ("write", "told"),
    ]
    assert steps[-13:] == early * 4 + at_last


@pytest.mark.parametrize(
    ("call", "when"),
    [*((call, when) for call in ("writev", "fsync", "linkat") for when in (1, 2, 3)), ("mkdirat", 1), ("mkdirat", 2)],
)
def test_a_killed_process_leaves_whole_blobs_and_nothing_else(
    strace: str, tmp_path: Path, path: Path, call: str, when: int
) -> None:
    inject = ["-e", f"trace={call}", "-e", f"inject={call}:signal=SIGKILL:when={when}"]
    log = tmp_path / "log"
    done = run(strace, log, path, inject, 2, 3_000_000, 4)
    assert done.returncode == -9  # strace dies as its child did
    kept = {line.split()[1] for line in done.stdout.splitlines()}
    assert list((path / "staging").glob("*")) == [] or call == "linkat"  # the trial at the start is linked there
    there = {str(each.relative_to(path / "blobs")) for each in path.glob("blobs/*/*")}
    assert kept <= there
    assert len(there - kept) <= 16
    assert all((path / "blobs" / name).stat().st_size == 3_000_000 + 2 + 36 for name in there)
    assert run(strace, log, path, ["-e", "trace=none"], 2, 3_000_000, 4).returncode == 0
