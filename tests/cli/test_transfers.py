"""Large files, pipes, bad lines and Ctrl-C: what is not done whole is not done, and memory does not grow."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from middle import Middle

from gateway.cli.client import path_of

MIB = 1 << 20


@pytest.fixture
def between(porch: Any) -> Iterator[Callable[..., Middle]]:
    made: list[Middle] = []

    def make(**how: Any) -> Middle:
        made.append(Middle(porch.port, **how))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def through(porch: Any, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """`gateway ARGS` by way of somebody in between."""

    def run(middle: Middle, *args: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        extra = {**porch.keys, "AWS_ENDPOINT_URL": middle.url}
        done: subprocess.CompletedProcess[str] = porch.commands.run("gateway", *args, cwd=tmp_path, code=code, **extra)
        return done

    return run


def sample(path: Path, size: int) -> None:
    """A file whose every MiB is another."""
    with path.open("wb") as file:
        for number in range(0, size, MIB):
            file.write((number.to_bytes(8, "big") * (MIB // 8))[: size - number])


def uploads(porch: Any, bucket: str) -> list[str]:
    """The uploads that are open in a bucket."""
    with porch.client() as client:
        page = client.document("GET", path_of(bucket), {"uploads": ""})
    return [one.findtext("Key", "") for one in page.iter("Upload")]


def heaviest(porch: Any, *args: str, cwd: Path, stdin: Any = None) -> int:
    """The most memory that a command held, in bytes."""
    process = subprocess.Popen(
        ["gateway", *args], cwd=cwd, env=porch.environment(), stdin=stdin, stdout=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, args
    return usage.ru_maxrss * 1024


def test_large_files_and_pipes_go_in_parts_and_memory_stays(porch: Any, bucket: str, tmp_path: Path) -> None:
    sample(tmp_path / "small", 17 * MIB)
    sample(tmp_path / "large", 150 * MIB + 12345)
    weights = {}
    for name in ("small", "large"):
        with (tmp_path / name).open("rb") as pipe:
            weights[name] = [
                heaviest(porch, "put", name, f"{bucket}/{name}", cwd=tmp_path),
                heaviest(porch, "put", "-", f"{bucket}/{name}.pipe", cwd=tmp_path, stdin=pipe),
                heaviest(porch, "get", f"{bucket}/{name}", "back", cwd=tmp_path),
            ]
        for stored in (name, f"{name}.pipe"):
            porch.run("get", f"{bucket}/{stored}", "back", cwd=tmp_path)
            assert subprocess.run(["cmp", name, "back"], cwd=tmp_path, check=False).returncode == 0
    for small, large in zip(weights["small"], weights["large"], strict=True):
        assert large < small + 24 * MIB, weights
    assert uploads(porch, bucket) == []


def test_pipes_of_every_kind(porch: Any, bucket: str, tmp_path: Path) -> None:
    for data in ("", "few bytes\n"):
        call = ["gateway", "put", "-", f"{bucket}/p"]
        done = subprocess.run(
            call, cwd=tmp_path, env=porch.environment(), input=data, text=True, capture_output=True, check=True
        )
        assert done.stderr == ""
        assert porch.run("get", f"{bucket}/p", "-", cwd=tmp_path).stdout == data
    assert "BUCKET/KEY" in porch.run("put", "-", f"{bucket}/", cwd=tmp_path, code=2).stderr
    sample(tmp_path / "f", 2 * MIB)
    porch.run("put", "f", f"{bucket}/f", cwd=tmp_path)
    call = f"gateway get {bucket}/f -"
    done = subprocess.run(
        ["sh", "-c", f"{call} | head -c 10 | wc -c"],
        cwd=tmp_path, env=porch.environment(), text=True, capture_output=True, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == "10" and done.stderr == ""
    if Path("/dev/full").exists():
        done = subprocess.run(
            ["sh", "-c", f"{call} >/dev/full"],
            cwd=tmp_path, env=porch.environment(), text=True, capture_output=True, check=False,
        )  # fmt: skip
        assert done.returncode == 1 and done.stderr == "gateway: standard output: No space left on device\n"


def test_what_passes_by_itself_is_tried_again(bucket: str, between: Any, through: Any, tmp_path: Path) -> None:
    (tmp_path / "f").write_text("f")
    twice = between(drop=2)
    through(twice, "put", "f", f"{bucket}/f")
    assert twice.connections == 3
    for ever in (between(drop=1000),):
        (line,) = through(ever, "get", f"{bucket}/f", "back", code=4).stderr.splitlines()
        assert line.startswith(f"gateway: no sensible answer from {ever.url}") and ever.connections == 4


def test_what_arrives_damaged_or_cut_is_no_file(
    porch: Any, bucket: str, between: Any, through: Any, tmp_path: Path
) -> None:
    sample(tmp_path / "f", 18 * MIB)
    porch.run("put", "f", f"{bucket}/parts", cwd=tmp_path)
    sample(tmp_path / "g", 3 * MIB)
    porch.run("put", "g", f"{bucket}/whole", cwd=tmp_path)
    for name in ("parts", "whole"):
        flipped = between(down=lambda data, before: bytes([data[0] ^ 1]) + data[1:] if before > MIB else data)
        (line,) = through(flipped, "get", f"{bucket}/{name}", "back", code=1).stderr.splitlines()
        assert "arrived damaged: its CRC64NVME is" in line
        cut = between(down=lambda data, before: None if before > MIB else data)
        (line,) = through(cut, "get", f"{bucket}/{name}", "back", code=4).stderr.splitlines()
        assert "stopped" in line
    assert sorted(path.name for path in tmp_path.iterdir()) == ["f", "g"]


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_upload_is_ended(porch: Any, bucket: str, tmp_path: Path, how: signal.Signals) -> None:
    putting = subprocess.Popen(
        ["gateway", "put", "-", f"{bucket}/half"],
        cwd=tmp_path, env=porch.environment(), stdin=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert putting.stdin is not None
    putting.stdin.write(bytes(17 * MIB))
    putting.stdin.flush()
    wait_until(lambda: uploads(porch, bucket) == ["half"])
    putting.send_signal(how)
    _, told = putting.communicate(timeout=60)
    assert putting.returncode == 1 and told.split() == [b"Aborted!"]
    assert uploads(porch, bucket) == []
    assert porch.run("ls", bucket, cwd=tmp_path).stdout == ""


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_download_leaves_no_file(
    porch: Any, bucket: str, between: Any, tmp_path: Path, how: signal.Signals
) -> None:
    sample(tmp_path / "f", 4 * MIB)
    porch.run("put", "f", f"{bucket}/f", cwd=tmp_path)
    (tmp_path / "back").write_text("as it was")
    slow = between(down=lambda data, before: data if before < MIB else time.sleep(60))
    getting = subprocess.Popen(
        ["gateway", "get", f"{bucket}/f", "back"],
        cwd=tmp_path, env=porch.environment(AWS_ENDPOINT_URL=slow.url),
        stderr=subprocess.PIPE,
    )  # fmt: skip
    wait_until(lambda: any(path.name.startswith(".back.") and path.stat().st_size for path in tmp_path.iterdir()))
    getting.send_signal(how)
    _, told = getting.communicate(timeout=60)
    assert getting.returncode == 1 and told.split() == [b"Aborted!"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["back", "f"]
    assert (tmp_path / "back").read_text() == "as it was"


def wait_until(what: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not what():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.02)


def on_terminal(porch: Any, *args: str, cwd: Path) -> tuple[str, str]:
    """What a command prints on standard output, and on a terminal as its standard error."""
    ours, theirs = pty.openpty()
    running = subprocess.Popen(
        ["gateway", *args], cwd=cwd, env=porch.environment(COLUMNS="100"), stdout=subprocess.PIPE, stderr=theirs
    )
    os.close(theirs)
    shown = b""
    while True:
        try:
            piece = os.read(ours, 65536)
        except OSError:  # how Linux tells that the other end is closed
            break
        shown += piece
    os.close(ours)
    out, _ = running.communicate(timeout=60)
    assert running.returncode == 0, shown
    return out.decode(), shown.decode()


def test_bars_are_for_terminals(porch: Any, bucket: str, tmp_path: Path) -> None:
    sample(tmp_path / "f", 20 * MIB)
    out, bar = on_terminal(porch, "put", "f", f"{bucket}/f", cwd=tmp_path)
    assert out == f"{bucket}/f\t20.0 MiB\n"
    assert re.search(r"put: +\d+%\|.*\| [\d.]+M?/20\.0M \[[\d:]+<[\d:?]+, .*B/s\]", bar), bar
    (tmp_path / "d").mkdir()
    out, bar = on_terminal(porch, "get", "-r", f"{bucket}/", "d", cwd=tmp_path)
    assert out == "d/f\t20.0 MiB\n" and "/20.0M [" in bar
    assert porch.run("get", "-r", f"{bucket}/", "d", cwd=tmp_path).stderr == ""
    assert porch.run("put", "f", f"{bucket}/f", cwd=tmp_path).stderr == ""
