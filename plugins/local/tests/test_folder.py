"""What lies in the folder: order, damage, links that somebody planted, leftovers, names."""

from __future__ import annotations

import fcntl
import os
import random
import shutil
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from gateway_local import folder, refuses
from gateway_local.folder import Directory

from gateway.api import (
    BackendDenied,
    BackendDown,
    BackendUnfit,
    BlobChanged,
    BlobMissing,
    DeleteRequest,
    GetRequest,
    HeadRequest,
    ListRequest,
)


@pytest_twisted.ensureDeferred
async def test_a_listing_is_in_byte_order_of_whole_names(local: Any, ways: Any) -> None:
    chance = random.Random(7)
    names = {"ab/x", "ab0", "ab0a", "abc/z/y", "abc/z0", "a"}
    while len(names) < 120:
        name = "/".join("".join(chance.choices("ab0", k=chance.randint(1, 3))) for _ in range(chance.randint(1, 3)))
        above = {name.rsplit("/", cut)[0] for cut in range(1, 3)}
        if not above & names - {name} and not any(each.startswith(f"{name}/") for each in names):
            names.add(name)
    for name in names:
        await ways.put(local, name, b"")
    words = ["", "a", "ab", "ab/", "ab0", "b/a", "b0/b", "zz", *chance.sample(sorted(names), 10)]
    for prefix in words:
        for after in words:
            found: list[str] = []
            page = await local.list(ListRequest(prefix=prefix, after=after, limit=7))
            while True:
                found += [blob.name for blob in page.blobs]
                if page.after is None:
                    break
                assert len(page.blobs) == 7
                page = await local.list(ListRequest(prefix=prefix, after=page.after, limit=7))
            assert found == sorted(name for name in names if name.startswith(prefix) and name > after)


@pytest.mark.usefixtures("as_files")
@pytest_twisted.ensureDeferred
async def test_a_page_opens_only_the_directories_it_needs(
    local: Any, ways: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(30):
        await ways.put(local, f"lease{number:02}/a", b"")
    scanned: list[int] = []
    real = os.scandir

    class Counting:
        def __getattr__(self, name: str) -> Any:
            return getattr(os, name)

        def scandir(self, fd: int) -> Any:
            scanned.append(fd)
            return real(fd)

    monkeypatch.setattr(folder, "os", Counting())
    await local.list(ListRequest(prefix="lease07/"))
    assert len(scanned) == 2
    scanned.clear()
    await local.list(ListRequest(after="lease28/a"))
    assert len(scanned) == 3  # blobs, lease28 and lease29
    scanned.clear()
    await local.list(ListRequest(limit=2))
    assert len(scanned) == 4


@pytest.mark.usefixtures("as_files")
@pytest_twisted.ensureDeferred
async def test_any_damage_to_the_footer_is_seen(local: Any, ways: Any, path: Path) -> None:
    data = b"d" * 1000
    await ways.put(local, "a/b", data, metadata={"one": "1", "two": "zwei"})
    file = path / "blobs/a/b"
    whole = file.read_bytes()
    for at in range(len(data), len(whole)):
        broken = bytearray(whole)
        broken[at] ^= 1 << (at % 8)
        file.write_bytes(broken)
        with pytest.raises(BackendDown, match="damaged"):
            await local.head(HeadRequest(name="a/b"))
    for broken in (whole[:-1], whole[:500], b"", whole + b"x", whole[1:]):
        file.write_bytes(broken)
        with pytest.raises(BackendDown, match="damaged"):
            await local.get(GetRequest(name="a/b"))
        assert [blob.name for blob in (await local.list(ListRequest())).blobs] == ["a/b"]
    with pytest.raises(BlobChanged):
        await local.delete(DeleteRequest(name="a/b", expect="what it was"))
    await local.delete(DeleteRequest(name="a/b"))
    assert ways.files(path) == []


@pytest.mark.usefixtures("as_files")
@pytest_twisted.ensureDeferred
async def test_a_change_from_outside_changes_the_fingerprint(local: Any, ways: Any, path: Path) -> None:
    fingerprint = await ways.put(local, "a", b"12345")
    file = path / "blobs/a"
    with file.open("r+b") as change:
        change.write(b"x")
    os.utime(file, ns=(0, file.stat().st_mtime_ns + 1))
    with pytest.raises(BlobChanged):
        await local.get(GetRequest(name="a", expect=fingerprint))


@pytest_twisted.ensureDeferred
async def test_a_restored_copy_has_the_same_fingerprints(make: Any, local: Any, ways: Any, path: Path) -> None:
    fingerprint = await ways.put(local, "a/b", b"12345", metadata={"k": "v"})
    shutil.copytree(path, path.parent / "restored")
    restored = await make(path.parent / "restored")
    assert await ways.get(restored, "a/b", expect=fingerprint) == b"12345"
    assert (await restored.head(HeadRequest(name="a/b"))).metadata == {"k": "v"}


@pytest.mark.usefixtures("as_files")
@pytest_twisted.ensureDeferred
async def test_planted_things_are_neither_read_nor_written_through(local: Any, ways: Any, path: Path) -> None:
    secret = path.parent / "secret"
    secret.mkdir()
    (secret / "b").write_bytes(b"not yours")
    blobs = path / "blobs"
    (blobs / "link").symlink_to(secret / "b")
    (blobs / "lease").symlink_to(secret)
    (blobs / "real").mkdir()
    (blobs / "real/lease").symlink_to(secret)
    os.mkfifo(blobs / "pipe")
    for name in ("link", "lease/b", "real/lease/b"):
        with pytest.raises(BackendDenied, match="not ours"):
            await local.get(GetRequest(name=name))
        with pytest.raises(BackendDenied, match="not ours"):
            await local.head(HeadRequest(name=name))
    with pytest.raises(BackendDenied, match="not ours"):
        await local.get(GetRequest(name="pipe"))
    for name in ("lease/b", "lease/new", "real/lease/new"):
        with pytest.raises(BackendDenied, match="not ours"):
            await ways.put(local, name, b"overwritten")
        with pytest.raises(BackendDenied, match="not ours"):
            await local.delete(DeleteRequest(name=name))
    await ways.put(local, "link", b"ours")  # takes the link's place, not its target's
    assert await ways.get(local, "link") == b"ours"
    assert [blob.name for blob in (await local.list(ListRequest())).blobs] == ["link"]
    assert [(each.name, each.read_bytes()) for each in secret.iterdir()] == [("b", b"not yours")]


@pytest.mark.parametrize("room", ["blobs", "staging"])
@pytest_twisted.ensureDeferred
async def test_a_link_in_place_of_our_own_folders_is_refused(make: Any, path: Path, room: str) -> None:
    elsewhere = path.parent / "elsewhere"
    os.mkdir(elsewhere)
    os.mkdir(path)
    os.symlink(elsewhere, path / room)
    with pytest.raises(BackendUnfit, match="cannot hold blobs") as caught:
        await make(path)
    assert "link" in caught.value.fix


@pytest_twisted.ensureDeferred
async def test_a_file_or_a_missing_parent_is_refused(make: Any, path: Path) -> None:
    with pytest.raises(BackendUnfit) as caught:
        await make(path / "deeper")
    assert str(path) in caught.value.fix
    os.close(os.open(path, os.O_CREAT))
    with pytest.raises(BackendUnfit) as caught:
        await make(path)
    assert caught.value.key == "local.path"


@pytest_twisted.ensureDeferred
async def test_only_the_owner_may_look(local: Any, ways: Any, path: Path) -> None:
    await ways.put(local, "a/b/c", b"x" * 3_000_000)
    modes = {name: os.stat(path / name).st_mode & 0o777 for name in ("", "staging", *ways.files(path))}
    directories = ("", "staging", "blobs/a", "blobs/a/b")
    assert modes == {"blobs/a/b/c": 0o600, **dict.fromkeys(directories, 0o700)}
    assert os.stat(path / "blobs").st_mode & 0o777 == 0o700


NAUGHTY = ["", "/", "a/", "/a", "a//b", "..", "a/..", "../../etc/passwd", ".", "A", "a.b", "a\n", "a/b/c/d", "é", "a\0"]
LONG = ["x" * 41, "/".join(["x" * 30] * 3)]


@pytest.mark.parametrize("name", [*NAUGHTY, *LONG])
@pytest_twisted.ensureDeferred
async def test_names_that_are_not_opaque_names_never_reach_the_disk(
    local: Any, recorder: Any, ways: Any, name: str
) -> None:
    assert refuses(name)
    for call in (local.get, local.head, local.delete):
        request = {local.get: GetRequest, local.head: HeadRequest, local.delete: DeleteRequest}[call]
        with pytest.raises(BackendDenied):
            await call(request(name=name))
    with pytest.raises(BackendDenied):
        await ways.put(local, name, b"x")
    assert recorder.steps == []


@pytest.mark.parametrize("name", ["a", "0" * 40, "0123456789abcdef/00000a", "0123456789abcdef/00000a/10000"])
def test_opaque_names_are_not_refused(name: str) -> None:
    assert refuses(name) is None


@pytest_twisted.ensureDeferred
async def test_leftovers_go_at_the_next_start_and_nothing_else_does(
    make: Any, local: Any, ways: Any, path: Path
) -> None:
    staging = path / "staging"
    leftover, young, held, foreign = (staging / name for name in ("0" * 32, "1" * 32, "2" * 32, "notes.txt"))
    for each in (leftover, young, held, foreign):
        each.write_bytes(b"x")
    for each in (leftover, held, foreign):
        os.utime(each, (time.time() - 3600,) * 2)
    with held.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        await make(path)
        assert set(staging.iterdir()) == {young, held, foreign}
    os.utime(young, (time.time() - 3600,) * 2)
    await make(path)
    assert set(staging.iterdir()) == {foreign}


@pytest.mark.usefixtures("as_files")
@pytest_twisted.ensureDeferred
async def test_a_directory_that_another_process_removed_is_found_anew(
    make: Any, local: Any, ways: Any, path: Path
) -> None:
    other = await make(path)
    for turn in range(3):
        await ways.put(local, f"lease/up/{turn}", b"ours")
        await other.delete(DeleteRequest(name=f"lease/up/{turn}"))
        assert ways.files(path) == []
        await ways.put(other, "lease/up/other", b"theirs")
        assert await ways.get(local, "lease/up/other") == b"theirs"
        await local.delete(DeleteRequest(name="lease/up/other"))
        with pytest.raises(BlobMissing):
            await ways.get(other, "lease/up/other")


def test_one_fsync_serves_all_who_came_before_it_began(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = Directory(os.open(tmp_path, os.O_RDONLY))
    running, go_on, begun, done = threading.Event(), threading.Event(), [0], [0]

    class Slow:
        close = staticmethod(os.close)

        @staticmethod
        def fsync(fd: int) -> None:
            begun[0] += 1
            running.set()
            go_on.wait()
            done[0] += 1

    monkeypatch.setattr(folder, "os", Slow)
    first = threading.Thread(target=directory.sync)
    first.start()
    running.wait()
    late: list[int] = []

    def come_late() -> None:
        directory.sync()
        late.append(done[0])

    threads = [threading.Thread(target=come_late) for _ in range(20)]
    for thread in threads:
        thread.start()
    while begun[0] == 1 and sum(thread.is_alive() for thread in threads) < 20:
        time.sleep(0.001)
    time.sleep(0.05)  # they all wait by now; if one does not, it syncs once more and the test is still right
    go_on.set()
    for thread in [first, *threads]:
        thread.join()
    assert set(late) <= {2, 3}  # never only the one that had begun before they came
    assert begun[0] in (2, 3)
