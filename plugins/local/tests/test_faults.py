"""A disk that fails: every changing system call of every operation, one after the other, with each errno."""

from __future__ import annotations

import errno
import gc
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.defer import DeferredList, ensureDeferred

from gateway.api import (
    BackendBusy,
    BackendDenied,
    BackendDown,
    BackendError,
    BackendFull,
    BackendUnfit,
    BlobMissing,
    DeleteRequest,
    HeadRequest,
    HealthcheckRequest,
    ListRequest,
)

pytestmark = pytest.mark.usefixtures("as_files")

KINDS = {
    errno.EIO: BackendDown,
    errno.ENOSPC: BackendFull,
    errno.EDQUOT: BackendFull,
    errno.EROFS: BackendDenied,
    errno.EACCES: BackendDenied,
    errno.EMFILE: BackendBusy,
}
FAULTS = sorted(KINDS)
OLD, NEW = b"old" * 1000, b"new!" * 700_000


def fail(number: int, code: int) -> Callable[[int, str, tuple[Any, ...]], None]:
    def before(count: int, call: str, args: tuple[Any, ...]) -> None:
        if count == number:
            raise OSError(code, os.strerror(code))

    return before


@pytest.mark.parametrize("unnamed", [True, False])
@pytest.mark.parametrize("code", FAULTS)
@pytest_twisted.ensureDeferred
async def test_a_put_that_fails_leaves_nothing_and_can_be_tried_again(
    local: Any, recorder: Any, ways: Any, path: Path, unnamed: bool, code: int
) -> None:
    local._unnamed = unnamed
    await ways.put(local, "other/blob", OLD)
    clean, number, failed = ways.files(path), 0, 0
    descriptors = ways.descriptors(path)
    while True:
        recorder.restart()
        recorder.before = fail(number, code)
        name = f"lease{number}/a/b"
        try:
            await ways.put(local, name, NEW, if_absent=True)
        except BackendError as error:
            assert type(error) is KINDS[code]
            failed += 1
            count = recorder.count
            recorder.restart()
            with pytest.raises(BlobMissing):
                await local.head(HeadRequest(name=name))
            assert [each for each in ways.files(path) if not each.startswith("blobs/lease")] == clean
            assert not list((path / "blobs").rglob("lease*/**/b"))
            await ways.put(local, name, NEW)
        else:
            count = recorder.count
        recorder.restart()
        assert await ways.get(local, name) == NEW
        await local.delete(DeleteRequest(name=name))
        local._folder._known.clear()
        gc.collect()  # Twisted's threads keep what a failure's traceback refers to until then
        assert (ways.files(path), ways.descriptors(path)) == (clean, descriptors - 1)
        number += 1
        if number > count:
            break
    # mkdirs 2, open 1, writes 3, fsyncs 5, link 1, close 1 and, if named before, unlink 1
    assert failed >= 12 + (not unnamed)


@pytest.mark.parametrize("unnamed", [True, False])
@pytest_twisted.ensureDeferred
async def test_a_put_in_anothers_place_that_fails_leaves_either(
    local: Any, recorder: Any, ways: Any, path: Path, unnamed: bool
) -> None:
    local._unnamed = unnamed
    outcomes = set()
    for number in range(20):
        recorder.restart()
        await ways.put(local, "a/b", OLD, metadata={"which": "old"})
        recorder.restart()
        recorder.before = fail(number, errno.EIO)
        try:
            await ways.put(local, "a/b", NEW, metadata={"which": "new"})
        except BackendDown:
            recorder.restart()
            there = await ways.get(local, "a/b")
            outcomes.add(there)
            assert there in (OLD, NEW)
            assert (await local.head(HeadRequest(name="a/b"))).metadata["which"] == ("old" if there == OLD else "new")
            assert ways.files(path) == ["blobs/a", "blobs/a/b"]
        else:
            break
    else:
        pytest.fail("no put was without a fault")
    assert OLD in outcomes


@pytest.mark.parametrize("code", FAULTS)
@pytest_twisted.ensureDeferred
async def test_a_delete_that_fails_can_be_tried_again(
    local: Any, recorder: Any, ways: Any, path: Path, code: int
) -> None:
    failed = 0
    for number in range(10):
        recorder.restart()
        await ways.put(local, "a/b/c", OLD)
        local._folder._known.clear()
        recorder.restart()
        recorder.before = fail(number, code)
        try:
            await local.delete(DeleteRequest(name="a/b/c"))
        except BackendError as error:
            assert type(error) is KINDS[code]
            failed += 1
            recorder.restart()
            await local.delete(DeleteRequest(name="a/b/c"))
            assert recorder.steps[-1].call in ("fsynced", "rmdir")  # it synced, although there was nothing any more
        recorder.restart()
        with pytest.raises(BlobMissing):
            await local.head(HeadRequest(name="a/b/c"))
    assert failed == 2  # unlink and fsync; a directory that cannot be removed hurts nobody


@pytest_twisted.ensureDeferred
async def test_a_failed_fsync_is_not_tried_again(local: Any, recorder: Any, ways: Any, path: Path) -> None:
    """After a failed fsync the kernel calls the pages clean: a second one would succeed, and lie."""
    tried: list[int] = []

    def before(count: int, call: str, args: tuple[Any, ...]) -> None:
        if call == "fsync":
            tried.append(os.fstat(args[0]).st_ino)
            if len(tried) == 1:
                raise OSError(errno.EIO, "lost")

    recorder.before = before
    with pytest.raises(BackendDown):
        await ways.put(local, "a", OLD)
    assert len(tried) == 1
    await ways.put(local, "a", OLD)
    assert await ways.get(local, "a") == OLD


@pytest_twisted.ensureDeferred
async def test_a_failed_fsync_of_a_directory_fails_all_who_wait_for_it_and_nobody_else(
    local: Any, recorder: Any, ways: Any, path: Path
) -> None:
    await ways.put(local, "a/first", OLD)
    lease = os.stat(path / "blobs/a").st_ino
    broken = [True]

    def before(count: int, call: str, args: tuple[Any, ...]) -> None:
        if call == "fsync" and os.fstat(args[0]).st_ino == lease and broken[0]:
            raise OSError(errno.EIO, "lost")

    recorder.before = before
    puts = [ensureDeferred(ways.put(local, f"a/{number}", OLD)) for number in range(40)]
    results = await DeferredList(puts, consumeErrors=True)
    assert all(not success and failure.check(BackendDown) for success, failure in results)
    broken[0] = False
    await ways.put(local, "a/last", OLD)
    page = await local.list(ListRequest())
    assert [blob.name for blob in page.blobs] == ["a/first", "a/last"]


@pytest_twisted.ensureDeferred
async def test_the_healthcheck_sees_each_fault(local: Any, recorder: Any, ways: Any, path: Path) -> None:
    failed = 0
    for number in range(30):
        recorder.restart()
        recorder.before = fail(number, errno.EIO)
        try:
            await local.healthcheck(HealthcheckRequest(probe=f"probe/{number}"))
        except BackendDown:
            failed += 1
        recorder.restart()
        await local.delete(DeleteRequest(name=f"probe/{number}"))
        assert ways.files(path) == []
    assert failed >= 9


@pytest_twisted.ensureDeferred
async def test_a_file_system_without_unnamed_files_is_found_out(
    recorder: Any, ways: Any, path: Path, make: Any
) -> None:
    def before(count: int, call: str, args: tuple[Any, ...]) -> None:
        if call == "open" and args[1] & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(errno.EOPNOTSUPP, "no such thing")

    recorder.before = before
    backend = await make(path)
    await ways.put(backend, "a/b", OLD)
    assert await ways.get(backend, "a/b") == OLD
    assert ways.files(path) == ["blobs/a", "blobs/a/b"]


@pytest.mark.parametrize(
    ("call", "code", "word"),
    [
        ("link", errno.EPERM, "user"),
        ("link", errno.EOPNOTSUPP, "hard links"),
        ("open", errno.EROFS, "mount"),
        ("mkdir", errno.ENOENT, "make the folder"),
        ("mkdir", errno.EACCES, "let the user"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_an_unfit_storage_is_refused_with_what_mends_it(
    recorder: Any, path: Path, make: Any, call: str, code: int, word: str
) -> None:
    def before(count: int, name: str, args: tuple[Any, ...]) -> None:
        if name == call:
            raise OSError(code, os.strerror(code))

    recorder.before = before
    with pytest.raises(BackendUnfit) as caught:
        await make(path)
    assert caught.value.key == "local.path"
    assert word in caught.value.fix
    assert str(path) in str(caught.value)
