"""s3fs-fuse (Debian): a bucket mounted as a folder.

Every touch on the mount is a child process with a deadline: a file system that hangs must not take the tests with it.
Source: https://github.com/s3fs-fuse/s3fs-fuse/wiki/Fuse-Over-Amazon
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.clients.shown import Shown

SIZE = 50 * 1000 * 1000 + 17
REMEDY = "apt-get install s3fs fuse"


@pytest.fixture
def words(live: Any, home: Path, needs: Callable[[str, str], str]) -> Callable[..., list[str]]:
    """``words(bucket, folder)``: how to mount, in the foreground."""
    program = needs("s3fs", REMEDY)
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        if os.environ.get("CI") == "true":
            pytest.fail("/dev/fuse may not be opened")
        pytest.skip("/dev/fuse may not be opened")

    def make(bucket: str, folder: Path, secret: str = "") -> list[str]:
        shown = Shown("s3fs", live, secret=secret)
        shown.write(home)
        options = {
            "retries": 1,
            "connect_timeout": 5,
            "readwrite_timeout": 30,
            "singlepart_copy_limit": 10,  # MB; larger files are renamed by UploadPartCopy
        }
        more = "".join(f",{name}={value}" for name, value in options.items())
        told = shown.part(r"^s3fs [^\n]* -o ([^\n]*)$") + more
        # If the tests are killed, it ends as well and takes its mount along.
        return ["setpriv", "--pdeathsig", "TERM", program, bucket, str(folder), "-f", "-o", told]

    return make


@contextmanager
def mounting(command: list[str], folder: Path, log: Path) -> Iterator[bool]:
    """Whether it was mounted before it gave up; whatever happens, no mount is left behind."""

    def is_there() -> bool:
        return subprocess.run(["mountpoint", "-q", str(folder)], timeout=10).returncode == 0

    folder.mkdir()
    with log.open("wb") as out, subprocess.Popen(command, stdout=out, stderr=out) as s3fs:
        try:
            until = time.monotonic() + 20
            while s3fs.poll() is None and not is_there():
                assert time.monotonic() < until, f"neither mounted nor refused: {log.read_text()}"
                time.sleep(0.05)
            if s3fs.poll() is None:
                # It asks the service only now, and unmounts where it is refused. A listing waits for that.
                subprocess.run(["ls", str(folder)], timeout=30, capture_output=True)
            yield is_there()
        finally:
            subprocess.run(["fusermount", "-uz", str(folder)], timeout=20, capture_output=True)
            try:
                s3fs.wait(10)
            except subprocess.TimeoutExpired:
                s3fs.kill()


@pytest.fixture
def mount(words: Callable[..., list[str]], bucket: str, tmp_path: Path) -> Iterator[Path]:
    """The folder where the bucket is mounted."""
    folder, log = tmp_path / "mount", tmp_path / "s3fs.log"
    with mounting(words(bucket, folder), folder, log) as mounted:
        assert mounted, log.read_text()
        yield folder


def test_the_story(mount: Path, run: Any, file: Any, judge: Any, bucket: str, odd_keys: tuple[str, ...]) -> None:
    small, big = file("small", 1000), file("big", SIZE)
    run(["cp", str(small), f"{mount}/small"])
    run(["cmp", str(small), f"{mount}/small"])
    run(["mkdir", f"{mount}/dir"])
    run(["cp", str(big), f"{mount}/dir/big"])
    run(["cmp", str(big), f"{mount}/dir/big"])
    assert "-" in judge.head_object(Bucket=bucket, Key="dir/big")["ETag"]  # it came in parts
    run(["cmp", "--ignore-initial=40000000", "--bytes=1000", str(big), f"{mount}/dir/big"])  # and a range of it goes

    for key in odd_keys:
        run(["mkdir", "-p", str((mount / "odd" / key).parent)])
        run(["cp", str(small), f"{mount}/odd/{key}"])
    found = run(["find", f"{mount}/odd", "-type", "f", "-printf", "%P\\n"]).splitlines()
    assert sorted(found) == sorted(odd_keys)
    listed = [one["Key"] for one in judge.list_objects_v2(Bucket=bucket, Prefix="odd/")["Contents"]]
    assert {f"odd/{key}" for key in odd_keys} <= set(listed)

    run(["cp", str(big), f"{mount}/small"])  # overwritten
    run(["cmp", str(big), f"{mount}/small"])
    run(["rm", "-r", f"{mount}/odd", f"{mount}/dir", f"{mount}/small"])
    assert run(["ls", str(mount)]) == ""
    assert "Contents" not in judge.list_objects_v2(Bucket=bucket)


def test_rename(mount: Path, run: Any, file: Any, judge: Any, bucket: str) -> None:
    """A rename is a copy on the server and a delete; of a folder, of everything below it."""
    small, big = file("small", 1000), file("big", 12 * 1000 * 1000)
    run(["mkdir", "-p", f"{mount}/a/b"])
    run(["cp", str(small), f"{mount}/a/b/small"])
    run(["cp", str(big), f"{mount}/a/big"])
    run(["mv", f"{mount}/a/b/small", f"{mount}/a/b/renamed"])
    run(["mv", f"{mount}/a/big", f"{mount}/a/large"])
    run(["mv", f"{mount}/a", f"{mount}/z"])
    run(["cmp", str(small), f"{mount}/z/b/renamed"])
    run(["cmp", str(big), f"{mount}/z/large"])
    listed = [one["Key"] for one in judge.list_objects_v2(Bucket=bucket)["Contents"]]
    assert sorted(listed) == ["z/", "z/b/", "z/b/renamed", "z/large"]


def test_modes_times_and_links(mount: Path, run: Any, file: Any, judge: Any, bucket: str) -> None:
    """They lie in user metadata, changed by copying an object onto itself."""
    run(["cp", str(file("small", 1000)), f"{mount}/small"])
    run(["chmod", "640", f"{mount}/small"])
    run(["chown", "1234:4321", f"{mount}/small"])
    run(["touch", "-d", "@1000000000", f"{mount}/small"])
    assert run(["stat", "-c", "%a %u %g %Y %s", f"{mount}/small"]).split() == "640 1234 4321 1000000000 1000".split()
    assert judge.head_object(Bucket=bucket, Key="small")["Metadata"]["uid"] == "1234"
    run(["ln", "-s", "small", f"{mount}/link"])
    assert run(["readlink", f"{mount}/link"]).strip() == "small"


def test_appended_and_cut(mount: Path, run: Any, file: Any, tmp_path: Path) -> None:
    """What is unchanged of a large file is copied on the server, part by part."""
    big = file("big", 30 * 1000 * 1000)
    run(["cp", str(big), f"{mount}/big"])
    for place in (tmp_path, mount):
        run(["sh", "-c", f"echo more >>{place}/big"])
    run(["cmp", str(big), f"{mount}/big"])
    for place in (tmp_path, mount):
        run(["truncate", "-s", "1000000", f"{place}/big"])
    run(["cmp", str(big), f"{mount}/big"])


@pytest.mark.parametrize(("suffix", "secret", "told"), [("", "wrong", "credentials"), ("-not", "", "not found")])
def test_a_wrong_key_is_told(
    words: Callable[..., list[str]], bucket: str, tmp_path: Path, suffix: str, secret: str, told: str
) -> None:
    folder, log = tmp_path / "never", tmp_path / "s3fs.log"
    with mounting(words(bucket + suffix, folder, secret), folder, log) as mounted:
        assert not mounted
        assert told in log.read_text().lower()
