"""Real file systems that are full, read-only, unmounted or several. They need root for mount(8)."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from gateway_local import LocalBackend
from twisted.internet.defer import DeferredList, ensureDeferred

from gateway.api import (
    BackendDenied,
    BackendDown,
    BackendFull,
    BackendUnfit,
    DeleteRequest,
    HealthcheckRequest,
    ListRequest,
    Values,
)

PROBE = HealthcheckRequest(probe="probe/1")
BLOCK = b"z" * 65536

Mount = Callable[..., None]


def unmount(path: Path) -> None:
    subprocess.run(["umount", "-l", str(path)], capture_output=True)  # it may be so already


@pytest.fixture
def mount() -> Iterator[Mount]:
    """``mount(path, *arguments of mount(8))``; everything is unmounted after the test."""
    mounted: list[Path] = []

    def mount(path: Path, *arguments: str) -> None:
        subprocess.run(["mount", *arguments, str(path)], check=True, capture_output=True)
        mounted.append(path)

    if os.geteuid() != 0 or subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode:
        if os.environ.get("CI") == "true":
            pytest.fail("mounting needs root")
        pytest.skip("mounting needs root")
    yield mount
    for path in reversed(mounted):
        unmount(path)


@pytest.fixture
def disk(mount: Mount, path: Path) -> Path:
    path.mkdir()
    mount(path, "-t", "tmpfs", "-o", "size=1m", "tmpfs")
    return path


@pytest_twisted.ensureDeferred
async def test_a_full_disk_refuses_puts_serves_the_rest_and_recovers_without_a_restart(
    make: Any, ways: Any, disk: Path
) -> None:
    backend = await make(disk)
    await ways.put(backend, "a/first", b"first")
    kept = 0
    with pytest.raises(BackendFull):
        while True:
            await ways.put(backend, f"a/{kept:04}", BLOCK)
            kept += 1
    assert kept > 8
    with pytest.raises(BackendFull):
        await ways.put(backend, "a/large", b"z" * 3_000_000)
    while os.statvfs(disk).f_bavail:  # the last few pages
        (disk / f"filler{os.statvfs(disk).f_bavail}").write_bytes(b"z" * 4096)
    with pytest.raises(BackendFull):
        await backend.healthcheck(PROBE)
    results = await DeferredList(
        [ensureDeferred(ways.put(backend, f"b/{number}", BLOCK)) for number in range(30)], consumeErrors=True
    )
    assert all(not success and failure.check(BackendFull) for success, failure in results)
    assert await ways.get(backend, "a/first") == b"first"
    assert len((await backend.list(ListRequest())).blobs) == kept + 1
    again = await make(disk)  # a full disk does not stop the start
    assert await ways.get(again, "a/0000") == BLOCK
    await backend.delete(DeleteRequest(name="a/0000"))
    await ways.put(backend, "a/again", b"again")
    assert int((await backend.healthcheck(PROBE)).details["total_bytes"]) == 1024 * 1024


@pytest_twisted.ensureDeferred
async def test_the_reserve_stays_free_for_deletes_and_the_catalogue(ways: Any, disk: Path) -> None:
    reserve = 256 * 1024
    values = Values.of(LocalBackend.settings, {"local.path": disk, "local.reserve": "256KiB"})
    backend = LocalBackend(values)
    await backend.open()
    kept = 0
    with pytest.raises(BackendFull):
        while True:
            await ways.put(backend, f"a/{kept:04}", BLOCK)
            kept += 1
    free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
    assert reserve <= free < reserve + 2 * len(BLOCK) + 8192
    await backend.delete(DeleteRequest(name="a/0000"))
    await ways.put(backend, "a/again", b"again")
    await backend.close()


@pytest.fixture
def journalled(mount: Mount, path: Path) -> Path:
    """An ext4 that turns read-only after a fault, whoever has files open; ``remount`` would say that it is busy."""
    image = path.with_name("image")
    image.touch()
    os.truncate(image, 16 * 1024 * 1024)
    subprocess.run(["mkfs.ext4", "-q", "-F", str(image)], check=True)
    path.mkdir()
    mount(path, "-o", "loop,errors=remount-ro", str(image))
    return path


def break_down(disk: Path) -> None:
    """What the kernel does when it finds a fault in the file system."""
    source = subprocess.run(["findmnt", "-no", "SOURCE", str(disk)], check=True, capture_output=True, text=True).stdout
    Path("/sys/fs/ext4", Path(source.strip()).name, "trigger_fs_error").write_text("1")


@pytest_twisted.ensureDeferred
async def test_a_disk_that_became_read_only_is_seen_and_still_read(make: Any, ways: Any, journalled: Path) -> None:
    backend = await make(journalled)
    large = b"data" * 25_000
    await ways.put(backend, "a/b", b"data")
    await ways.put(backend, "a/large", large)
    break_down(journalled)
    for size in (1, 100_000, 3_000_000):
        with pytest.raises(BackendDenied):
            await ways.put(backend, "a/c", b"x" * size)
    for name in ("a/b", "a/large"):
        with pytest.raises(BackendDenied):
            await backend.delete(DeleteRequest(name=name))
    with pytest.raises(BackendDenied):
        await backend.healthcheck(PROBE)
    assert await ways.get(backend, "a/b") == b"data"
    assert await ways.get(backend, "a/large") == large
    with pytest.raises(BackendUnfit) as caught:
        await make(journalled)
    assert caught.value.fix == f"mount {journalled} for writing"


@pytest_twisted.ensureDeferred
async def test_an_unmounted_storage_is_seen(make: Any, mount: Mount, disk: Path) -> None:
    backend = await make(disk)
    await backend.healthcheck(PROBE)
    unmount(disk)
    with pytest.raises(BackendDown, match="unmounted"):
        await backend.healthcheck(PROBE)


@pytest_twisted.ensureDeferred
async def test_a_storage_that_something_was_mounted_over_is_seen(make: Any, mount: Mount, disk: Path) -> None:
    backend = await make(disk)
    mount(disk, "-t", "tmpfs", "tmpfs")
    with pytest.raises(BackendDown, match="unmounted"):
        await backend.healthcheck(PROBE)


@pytest_twisted.ensureDeferred
async def test_a_removed_storage_is_seen(make: Any, path: Path) -> None:
    backend = await make(path)
    os.rename(path, path.with_name("moved"))
    with pytest.raises(BackendDown, match="unmounted"):
        await backend.healthcheck(PROBE)


@pytest_twisted.ensureDeferred
async def test_staging_on_another_file_system_is_refused(make: Any, mount: Mount, path: Path) -> None:
    (path / "staging").mkdir(parents=True)
    mount(path / "staging", "-t", "tmpfs", "tmpfs")
    with pytest.raises(BackendUnfit, match="different file systems"):
        await make(path)


@pytest_twisted.ensureDeferred
async def test_a_file_system_mounted_inside_blobs_is_a_fault_of_the_storage(
    make: Any, ways: Any, mount: Mount, path: Path
) -> None:
    backend = await make(path)
    (path / "blobs/lease").mkdir()
    mount(path / "blobs/lease", "-t", "tmpfs", "tmpfs")
    with pytest.raises(BackendDown):  # EXDEV: no link leads from one file system to another
        await ways.put(backend, "lease/a", b"x" * 100_000)
    await ways.put(backend, "other/a", b"x")
