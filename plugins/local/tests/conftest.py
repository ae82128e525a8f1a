"""An opened backend, and a stand-in for ``os`` in the backend's rooms that records calls and breaks one of them."""

from __future__ import annotations

import os
import threading
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import gateway_local
import pytest
import pytest_twisted
from gateway_local import LocalBackend, blobfile, draft, folder
from twisted.internet.defer import ensureDeferred

from gateway.api import BytesBody, GetRequest, PutRequest, Values

CHANGING = ("open", "mkdir", "writev", "fsync", "link", "rename", "unlink", "rmdir", "close")


class Step(NamedTuple):
    """One system call: ``files`` are inodes, the file or directory it is about first; ``names`` the names in it."""

    call: str
    files: tuple[int, ...]
    names: tuple[str, ...] = ()


class Recorder:
    """``os`` with a memory. ``before(number, call, args)`` may raise or wait; a failing close closes all the same."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.before: Callable[[int, str, tuple[Any, ...]], None] = lambda number, call, args: None
        self.skipped: Callable[[str, int], bool] = lambda call, fd: False  # for negative controls
        self._lock = threading.RLock()  # a descriptor may be collected, and so closed, at any time
        self._count = 0

    def __getattr__(self, name: str) -> Any:
        real = getattr(os, name)
        if name not in CHANGING:
            return real

        def call(*args: Any, **kwargs: Any) -> Any:
            if name == "open" and not args[1] & (os.O_CREAT | os.O_TMPFILE & ~os.O_DIRECTORY):
                return real(*args, **kwargs)
            with self._lock:
                number, self._count = self._count, self._count + 1
            try:
                self.before(number, name, args)
            except OSError:
                if name == "close":
                    os.close(*args)
                raise
            if name == "fsync":
                return self._fsync(args[0], str(number))
            with self._lock:  # so that steps stand in the order in which they happened
                step = None if name in ("open", "close", "mkdir") else _step(name, args, kwargs)
                result = real(*args, **kwargs)
                if name == "open":
                    step = Step("open", (_inode(result),))
                if name == "mkdir" and "dir_fd" in kwargs:
                    made = os.stat(args[0], dir_fd=kwargs["dir_fd"], follow_symlinks=False)
                    step = Step("mkdir", (_inode(kwargs["dir_fd"]), made.st_ino), (args[0],))
                if step:
                    self.steps.append(step)
            return result

        return call

    def _fsync(self, fd: int, ticket: str) -> None:
        if self.skipped("fsync", fd):
            return
        with self._lock:
            self.steps.append(Step("fsync", (_inode(fd),), (ticket,)))
        os.fsync(fd)
        with self._lock:
            self.steps.append(Step("fsynced", (_inode(fd),), (ticket,)))

    def restart(self) -> None:
        self.steps.clear()
        self._count = 0
        self.before = lambda number, call, args: None

    @property
    def count(self) -> int:
        return self._count


def _inode(fd: int) -> int:
    return os.fstat(fd).st_ino


def _step(call: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Step:
    """Inodes are read before the call, while the names are still there."""
    if call == "link":
        there = os.stat(args[0], dir_fd=kwargs["src_dir_fd"]).st_ino
        return Step("link", (_inode(kwargs["dst_dir_fd"]), there), (args[1],))
    if call == "rename":
        there = os.stat(args[0], dir_fd=kwargs["src_dir_fd"]).st_ino
        return Step("rename", (_inode(kwargs["dst_dir_fd"]), there, _inode(kwargs["src_dir_fd"])), (args[1], args[0]))
    if call in ("unlink", "rmdir"):
        return Step(call, (_inode(kwargs["dir_fd"]),), (args[0],))
    return Step(call, (_inode(args[0]),))


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    recorder = Recorder()
    for room in (blobfile, draft, folder):
        monkeypatch.setattr(room, "os", recorder)
    return recorder


@pytest.fixture
def as_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every blob is a file, however small (rows are there, and what puts a file asks whether one is in the way)."""
    monkeypatch.setattr(gateway_local, "LARGEST", -1)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "storage"


def made(path: Path) -> LocalBackend:
    return LocalBackend(Values.of(LocalBackend.settings, {"local.path": path, "local.reserve": "0"}))


@pytest.fixture
def make() -> Iterator[Callable[[Path], Awaitable[LocalBackend]]]:
    """Opens backends, and closes them at the end."""
    opened: list[LocalBackend] = []

    async def opener(path: Path) -> LocalBackend:
        backend = made(path)
        await backend.open()
        opened.append(backend)
        return backend

    yield opener
    for backend in opened:
        pytest_twisted.blockon(ensureDeferred(backend.close()))


@pytest.fixture
def local(make: Callable[[Path], Awaitable[LocalBackend]], path: Path) -> LocalBackend:
    backend: LocalBackend = pytest_twisted.blockon(ensureDeferred(make(path)))
    return backend


class Ways:
    """Short ways to do what nearly every test does."""

    async def put(self, backend: LocalBackend, name: str, data: bytes, **more: Any) -> str:
        result = await backend.put(PutRequest(name=name, body=BytesBody(data), size=len(data), **more))
        return str(result.fingerprint)

    async def get(self, backend: LocalBackend, name: str, **more: Any) -> bytes:
        result = await backend.get(GetRequest(name=name, **more))
        region = result.region
        if region is None:
            assert result.body is not None
            return b"".join([bytes(chunk) async for chunk in result.body])
        try:
            return os.pread(region.fd, region.length, region.offset)
        finally:
            region.close()

    def files(self, path: Path) -> list[str]:
        """Everything below blobs and staging, directories too."""
        rooms = (path / "blobs", path / "staging")
        return sorted(str(each.relative_to(path)) for room in rooms for each in room.rglob("*"))

    def descriptors(self, path: Path, rows: bool = False) -> int:
        """How many descriptors of ours lie below ``path``, files without a name among them.

        The database's (``rows``) come with the first read and the first change, and stay.
        """
        count = 0
        for fd in os.listdir("/proc/self/fd"):
            try:
                target = os.readlink(f"/proc/self/fd/{fd}")
            except FileNotFoundError:
                continue
            count += target.startswith(f"{path}/") and (rows or "/small.sqlite" not in target)
        return count


@pytest.fixture
def ways() -> Ways:
    return Ways()
