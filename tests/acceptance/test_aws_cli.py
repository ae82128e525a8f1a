"""aws-cli's ``s3`` commands as people type them."""

from __future__ import annotations

import filecmp
import os
import random
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

MIB = 1024 * 1024
HOUR_AGO = time.time() - 3600


@pytest.fixture
def aws(site: Any) -> Callable[..., str]:
    """``aws("s3", "ls", ...)`` -> what it prints; a failure shows what it said."""
    program = Path(sys.executable).parent / "aws"
    keys = {"AWS_ACCESS_KEY_ID": site.access_key, "AWS_SECRET_ACCESS_KEY": site.secret_key}
    environment = {**os.environ, **keys, "AWS_DEFAULT_REGION": site.region, "AWS_PAGER": ""}

    def run(*words: str, ok: bool = True) -> str:
        command = [str(program), "--endpoint-url", site.endpoint, *words]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
        assert (done.returncode == 0) is ok, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout if ok else done.stderr

    return run


@pytest.fixture
def place(aws: Callable[..., str]) -> str:
    """A bucket made by ``aws s3 mb``."""
    url = f"s3://cli-{uuid.uuid4().hex[:20]}"
    assert "make_bucket" in aws("s3", "mb", url)
    return url


def write(path: Path, size: int, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(random.Random(seed).randbytes(size))
    os.utime(path, (HOUR_AGO, HOUR_AGO))  # S3's times are whole seconds: sync would see a younger file here
    return path


def test_from_make_bucket_to_remove_bucket(aws: Callable[..., str], place: str, tmp_path: Path) -> None:
    source = write(tmp_path / "a file.txt", 1000)
    aws("s3", "cp", str(source), f"{place}/dir/a file.txt")
    assert "PRE dir/" in aws("s3", "ls", f"{place}/")
    assert "1000 a file.txt" in aws("s3", "ls", f"{place}/dir/")
    assert place.removeprefix("s3://") in aws("s3", "ls")
    aws("s3", "cp", f"{place}/dir/a file.txt", str(tmp_path / "back"))
    assert filecmp.cmp(source, tmp_path / "back", shallow=False)
    assert "BucketNotEmpty" in aws("s3", "rb", place, ok=False)
    aws("s3", "rm", f"{place}/dir/a file.txt")
    aws("s3", "rb", place)
    assert "NoSuchBucket" in aws("s3", "ls", place, ok=False)


def test_remove_bucket_with_all_that_is_in_it(aws: Callable[..., str], place: str, tmp_path: Path) -> None:
    for number in range(5):
        write(tmp_path / "many" / f"{number}", 10)
    aws("s3", "cp", "--recursive", str(tmp_path / "many"), f"{place}/deep/er")
    aws("s3", "rb", "--force", place)
    assert place.removeprefix("s3://") not in aws("s3", "ls")


def test_a_hundred_megabytes_up_and_down(aws: Callable[..., str], place: str, tmp_path: Path) -> None:
    """Above 8 MiB aws-cli uploads in parts and downloads in ranges, several at a time."""
    source = write(tmp_path / "big", 100 * 1000 * 1000 + 17)
    aws("s3", "cp", str(source), f"{place}/big", "--only-show-errors")
    assert "100000017 big" in aws("s3", "ls", f"{place}/big")
    aws("s3", "cp", f"{place}/big", str(tmp_path / "back"), "--only-show-errors")
    assert filecmp.cmp(source, tmp_path / "back", shallow=False)


def test_sync_goes_both_ways_and_only_what_changed(aws: Callable[..., str], place: str, tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    for number, name in enumerate(("one", "two words", "sub/three", "sub/deep/four", "grün")):
        write(here / name, 100 + number, number)
    write(here / "big", 9 * MIB, 9)
    aws("s3", "sync", str(here), f"{place}/tree")
    assert aws("s3", "sync", str(here), f"{place}/tree") == ""
    aws("s3", "sync", f"{place}/tree", str(there))
    compared = filecmp.dircmp(here, there)
    assert not (compared.left_only or compared.right_only or compared.diff_files)
    assert filecmp.cmp(here / "big", there / "big", shallow=False)
    (here / "one").unlink()
    write(here / "sub/three", 5000, 33)
    told = aws("s3", "sync", "--delete", str(here), f"{place}/tree")
    assert sorted(line.split(":")[0] for line in told.splitlines() if line[:6] in ("upload", "delete")) == [
        "delete",
        "upload",
    ]
    listed = aws("s3", "ls", "--recursive", f"{place}/tree/")
    assert "tree/one" not in listed
    assert "5000 tree/sub/three" in listed


def test_move_and_remove(aws: Callable[..., str], place: str, tmp_path: Path) -> None:
    source = write(tmp_path / "moved", 1234)
    aws("s3", "mv", str(source), f"{place}/moved")
    assert not source.exists()
    aws("s3", "mv", f"{place}/moved", str(source))
    assert source.stat().st_size == 1234
    assert aws("s3", "ls", place) == ""
    aws("s3", "cp", str(source), f"{place}/a/1")
    aws("s3", "cp", str(source), f"{place}/a/2")
    aws("s3", "rm", "--recursive", f"{place}/a/")
    assert aws("s3", "ls", "--recursive", place) == ""


def test_the_size_of_a_prefix(aws: Callable[..., str], place: str, tmp_path: Path) -> None:
    for name in ("p/1", "p/2", "q"):
        aws("s3", "cp", str(write(tmp_path / "x", MIB)), f"{place}/{name}", "--only-show-errors")
    told = aws("s3", "ls", "--recursive", "--summarize", "--human-readable", f"{place}/p/")
    assert "Total Objects: 2" in told
    assert "Total Size: 2.0 MiB" in told
