"""put, get, ls, du and rm against a gateway that serves: what goes comes back, and what cannot is told in one line."""

from __future__ import annotations

import json
import os
import pty
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def rows(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    (folder / "2026" / "älbum & more").mkdir(parents=True)
    (folder / "a.jpg").write_bytes(b"a" * 2000)
    (folder / "2026" / "b+1.jpg").write_bytes(b"b" * 3000)
    (folder / "2026" / "älbum & more" / "c.jpg").write_bytes(bytes(range(256)))
    (folder / "empty").write_bytes(b"")
    return folder


def test_a_file_goes_and_comes_back(porch: Any, bucket: str, photos: Path, tmp_path: Path) -> None:
    told = porch.run("put", "photos/a.jpg", f"{bucket}/2026/älbum & more/", cwd=tmp_path)
    assert told.stdout == f"{bucket}/2026/älbum & more/a.jpg\t2.0 KiB\n" and told.stderr == ""
    porch.run("put", "photos/a.jpg", f"s3://{bucket}/copy+1.bin", cwd=tmp_path)
    assert "2026/" in porch.run("ls", bucket, cwd=tmp_path).stdout
    (line,) = porch.run("ls", f"{bucket}/2026/älbum & more/", cwd=tmp_path).stdout.splitlines()
    assert line.endswith("  2026/älbum & more/a.jpg") and "2.0 KiB" in line
    os.umask(before := os.umask(0o022))
    told = porch.run("get", f"{bucket}/2026/älbum & more/a.jpg", "back.bin", cwd=tmp_path)
    assert told.stdout == "back.bin\t2.0 KiB\n" and told.stderr == ""
    assert (tmp_path / "back.bin").read_bytes() == b"a" * 2000
    assert stat.S_IMODE((tmp_path / "back.bin").stat().st_mode) == 0o666 & ~before
    porch.run("get", f"{bucket}/copy+1.bin", cwd=tmp_path)
    assert (tmp_path / "copy+1.bin").read_bytes() == b"a" * 2000
    porch.run("rm", f"{bucket}/copy+1.bin", f"{bucket}/never-there", cwd=tmp_path)
    assert "copy+1.bin" not in porch.run("ls", bucket, cwd=tmp_path).stdout


def test_folders_go_and_come_back(porch: Any, bucket: str, photos: Path, tmp_path: Path) -> None:
    stored = rows(porch.run("put", "-r", "--json", "photos", f"{bucket}/x/", cwd=tmp_path))
    assert {row["key"] for row in stored} == {f"x/photos/{name}" for name in tree(photos)}
    assert {row["state"] for row in stored} == {"stored"} and sum(row["size"] for row in stored) == 5256
    porch.run("put", "-r", "photos/", bucket, cwd=tmp_path)
    listed = {row["key"]: row["size"] for row in rows(porch.run("ls", "-r", "--json", bucket, cwd=tmp_path))}
    assert listed == {f"{top}{name}": len(data) for name, data in tree(photos).items() for top in ("", "x/photos/")}
    (line,) = porch.run("du", f"{bucket}/x", cwd=tmp_path).stdout.splitlines()
    assert line == f"4 objects\t5.1 KiB\t{bucket}/x"
    told = json.loads(porch.run("du", "--json", f"{bucket}/a.jpg", cwd=tmp_path).stdout)
    assert (told["objects"], told["size"]) == (1, 2000)
    porch.run("get", "-r", f"{bucket}/x/photos", "back/", cwd=tmp_path)
    porch.run("get", "-r", f"{bucket}/x/photos/", "bare", cwd=tmp_path)
    assert tree(tmp_path / "back" / "photos") == tree(tmp_path / "bare") == tree(photos)
    assert "there is nothing at" in porch.run("get", "-r", f"{bucket}/phot", "none", cwd=tmp_path, code=1).stderr


def test_several_files_need_a_folder(porch: Any, bucket: str, photos: Path, tmp_path: Path) -> None:
    porch.run("put", "photos/a.jpg", "photos/empty", bucket, cwd=tmp_path)
    assert "end it with a slash" in porch.run(
        "put", "photos/a.jpg", "photos/empty", f"{bucket}/x", cwd=tmp_path, code=2
    ).stderr.replace("\n", " ")
    assert "put -r" in porch.run("put", "photos", bucket, cwd=tmp_path, code=2).stderr
    assert "there is no gone" in porch.run("put", "gone", bucket, cwd=tmp_path, code=2).stderr
    (tmp_path / "into").mkdir()
    porch.run("get", f"{bucket}/a.jpg", f"{bucket}/empty", "into", cwd=tmp_path)
    assert set(tree(tmp_path / "into")) == {"a.jpg", "empty"}
    porch.run("get", f"{bucket}/a.jpg", f"{bucket}/empty", "nowhere", cwd=tmp_path, code=2)
    porch.run("get", f"{bucket}/a.jpg", f"{bucket}/empty", cwd=tmp_path, code=1)  # BUCKET/empty is no folder here
    porch.run("get", f"{bucket}/", cwd=tmp_path, code=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["into", "photos"]


def test_what_is_there_stays_when_asked(porch: Any, bucket: str, photos: Path, tmp_path: Path) -> None:
    with (photos / "big").open("wb") as big:
        big.truncate(17 << 20)
    porch.run("put", "photos/big", f"{bucket}/big", cwd=tmp_path)
    porch.run("put", "photos/a.jpg", f"{bucket}/a", cwd=tmp_path)
    for name in ("big", "a"):
        for file in ("photos/empty", "photos/big"):
            (row,) = rows(porch.run("put", "-n", "--json", file, f"{bucket}/{name}", cwd=tmp_path))
            assert row["state"] == "kept"
    porch.run("put", "photos/empty", f"{bucket}/a", cwd=tmp_path)
    sizes = {row["key"]: row["size"] for row in rows(porch.run("ls", "--json", bucket, cwd=tmp_path))}
    assert sizes == {"big": 17 << 20, "a": 0}
    (tmp_path / "a").write_text("mine")
    assert "is there already" in porch.run("get", "-n", f"{bucket}/a", cwd=tmp_path).stdout
    assert (tmp_path / "a").read_text() == "mine"
    porch.run("get", f"{bucket}/a", cwd=tmp_path)
    assert (tmp_path / "a").read_text() == ""


def test_one_of_many_that_cannot_go_is_told_and_the_rest_goes(
    porch: Any, bucket: str, photos: Path, tmp_path: Path
) -> None:
    Path(os.fsdecode(bytes(photos) + b"/\xff.jpg")).write_bytes(b"x")
    (photos / "link").symlink_to(photos / "2026")
    os.mkfifo(photos / "pipe")
    done = porch.run("put", "-r", "photos/", bucket, cwd=tmp_path, code=5)
    assert done.stderr.splitlines()[-1] == "gateway: 3 of 7 not stored"
    for why in ("not UTF-8", "a link to a folder", "neither a file nor a folder"):
        assert sum(why in line for line in done.stderr.splitlines()) == 1, done.stderr
    assert len(done.stderr.splitlines()) == 4 and len(done.stdout.splitlines()) == 4
    told = rows(porch.run("put", "-r", "--json", "photos/", bucket, cwd=tmp_path, code=5))
    assert len([row for row in told if "error" in row]) == 3


def test_a_key_never_leaves_its_folder(porch: Any, bucket: str, photos: Path, tmp_path: Path) -> None:
    for key in ("../evil", "x/../../evil", "/etc/evil", "a//b", "fine"):
        porch.run("put", "photos/a.jpg", f"{bucket}/{key}", cwd=tmp_path)
    (tmp_path / "deep").mkdir()
    done = porch.run("get", "-r", f"{bucket}/", "here", cwd=tmp_path / "deep", code=5)
    assert done.stderr.count("its key is no path below a folder") == 4
    assert set(tree(tmp_path)) - {f"photos/{name}" for name in tree(photos)} == {"deep/here/fine"}


def test_folders_are_deleted_only_when_meant(porch: Any, bucket: str, photos: Path, tmp_path: Path) -> None:
    porch.run("put", "-r", "photos", bucket, cwd=tmp_path)
    porch.run("put", "photos/a.jpg", f"{bucket}/photos-not", cwd=tmp_path)
    porch.run("put", "photos/a.jpg", f"{bucket}/photos/\x01odd\nkey\r", cwd=tmp_path)
    assert "gateway rm -r" in " ".join(porch.run("rm", bucket, cwd=tmp_path, code=2).stderr.split())
    assert "--yes" in porch.run("rm", "-r", bucket, cwd=tmp_path, code=2).stderr
    assert answered(porch, "n\n", "rm", "-r", f"{bucket}/photos", cwd=tmp_path) == 1
    assert len(rows(porch.run("ls", "-r", "--json", bucket, cwd=tmp_path))) == 6
    assert answered(porch, "y\n", "rm", "-r", f"{bucket}/photos", cwd=tmp_path) == 0
    assert [row["key"] for row in rows(porch.run("ls", "-r", "--json", bucket, cwd=tmp_path))] == ["photos-not"]
    (row,) = rows(porch.run("rm", "-r", "--yes", "--json", bucket, cwd=tmp_path))
    assert (row["key"], row["state"]) == ("photos-not", "deleted")
    assert porch.run("ls", bucket, cwd=tmp_path).stderr == f"gateway: nothing at {bucket}/\n"


def answered(porch: Any, answer: str, *args: str, cwd: Path) -> int:
    """The exit code of a command that is asked on a terminal."""
    ours, theirs = pty.openpty()
    asked = subprocess.Popen(["gateway", *args], cwd=cwd, env=porch.environment(), stdin=theirs)
    os.write(ours, answer.encode())
    code = asked.wait(60)
    os.close(ours)
    os.close(theirs)
    return code


def test_pages_of_a_long_listing_are_joined(porch: Any, bucket: str, tmp_path: Path) -> None:
    (tmp_path / "many").mkdir()
    for number in range(1005):
        (tmp_path / "many" / f"{number:04}").write_bytes(b"1")
    porch.run("put", "-r", "many", bucket, cwd=tmp_path)
    assert porch.run("du", bucket, cwd=tmp_path).stdout.startswith("1005 objects\t")
    keys = [row["key"] for row in rows(porch.run("ls", "--json", f"{bucket}/many/", cwd=tmp_path))]
    assert keys == [f"many/{number:04}" for number in range(1005)]
    assert len(porch.run("rm", "-r", "-y", bucket, cwd=tmp_path).stdout.splitlines()) == 1005
    assert porch.run("du", bucket, cwd=tmp_path).stdout.startswith("0 objects\t")


def test_a_refusal_shows_s3s_words_and_leaves_no_file(porch: Any, bucket: str, tmp_path: Path) -> None:
    (tmp_path / "f").write_text("f")
    refused = porch.run("get", f"{bucket}/absent", "here", cwd=tmp_path, code=1)
    assert refused.stderr.startswith("gateway: NoSuchKey: ") and refused.stdout == ""
    assert [path.name for path in tmp_path.iterdir()] == ["f"]
    for args in (("put", "f", "cellar/x"), ("ls", "cellar"), ("du", "cellar"), ("rm", "cellar/x"), ("get", "cellar/x")):
        (line,) = porch.run(*args, cwd=tmp_path, code=1).stderr.splitlines()
        assert line.startswith("gateway: NoSuchBucket: "), line
    (line,) = porch.run("put", "-r", f"{tmp_path}/", "No_Bucket", cwd=tmp_path, code=1).stderr.splitlines()
    assert "InvalidBucketName" in line or "NoSuchBucket" in line
    assert "BUCKET/KEY is expected" in porch.run("ls", "/x", cwd=tmp_path, code=2).stderr
    (line,) = porch.run("get", f"{bucket}/absent", "no/such/folder", cwd=tmp_path, code=1).stderr.splitlines()
    assert line.endswith("No such file or directory")
