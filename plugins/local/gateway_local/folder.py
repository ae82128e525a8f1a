"""The storage's folder and its directories.

    <path>/blobs/<a name, its segments as directories>      <path>/staging/  what has no place yet, or takes another's
    <path>/small.sqlite  small blobs (``rows``)

All calls block, may be made from any thread, and raise OSError. A name is a tuple of segments whose grammar was
checked; even so no symbolic link is followed below ``path``, whoever planted it. This room, ``draft`` and ``blobfile``
make every system call of the backend through their ``os``, which tests replace.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import stat
import time
from collections import OrderedDict
from collections.abc import Callable, Generator
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import TypeVar

from gateway_local.blobfile import BlobFile

T = TypeVar("T")
Name = tuple[str, ...]

SEGMENT = re.compile(r"[a-z0-9]{1,40}")
DEPTH = 3
_STAGED = re.compile(r"[0-9a-f]{32}")
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK  # a planted pipe must not hold the thread
_KEPT = 128  # open directories
_STALE = 60.0  # seconds without a write, after which a staging file that nobody locks is a crash's leftover


class _Round:
    """One fsync that several threads wait for."""

    done = False
    fault: tuple[object, ...] = ()  # not the exception: its traceback would keep the directory open


class Directory:
    """An open directory; its descriptor is closed when the last thread that uses it lets go."""

    def __init__(self, fd: int, parent: Directory | None = None) -> None:
        self.fd = fd
        self._parent = parent
        self._settled = parent is None
        self._turn = Lock()
        self._round = _Round()

    def __del__(self) -> None:
        with suppress(OSError):  # nothing was written to it, and what was linked was synced
            os.close(self.fd)

    def sync(self) -> None:
        """Fsync; one call serves all threads whose changes were made before it began."""
        mine = self._round
        with self._turn:
            if not mine.done:
                self._round = _Round()  # whoever comes from here on may have changed it too late for this one
                try:
                    os.fsync(self.fd)
                except OSError as fault:
                    mine.fault = fault.args
                mine.done = True
        if mine.fault:
            raise OSError(*mine.fault)

    def settle(self) -> None:
        """Let the directory itself survive power loss; whoever made it may not have come so far."""
        if self._parent and not self._settled:
            self._parent.settle()
            self._parent.sync()
            self._settled = True


class Folder:
    """The storage under ``path``, once ``open`` was called; closed when nobody refers to it any more."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = Lock()
        self._known: OrderedDict[Name, Directory] = OrderedDict()

    def open(self) -> None:
        """Make what is missing (but not the parent of ``path``) and drop what a crash left in staging."""
        with suppress(FileExistsError):
            os.mkdir(self.path, 0o700)
            Directory(os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY)).sync()
        self._root = Directory(os.open(self.path, os.O_RDONLY | os.O_DIRECTORY))
        self._blobs, self.staging = self._own("blobs"), self._own("staging")
        self._root.sync()
        if os.fstat(self._blobs.fd).st_dev != os.fstat(self.staging.fd).st_dev:
            raise OSError(errno.EXDEV, "blobs and staging lie on different file systems")
        self._sweep()

    def _own(self, name: str) -> Directory:
        with suppress(FileExistsError):
            os.mkdir(name, 0o700, dir_fd=self._root.fd)
        return Directory(os.open(name, _DIRECTORY, dir_fd=self._root.fd))

    def _sweep(self) -> None:
        for name in filter(_STAGED.fullmatch, os.listdir(self.staging.fd)):
            with suppress(OSError):  # another process finished it, or still holds it
                file = os.open(name, _READ, dir_fd=self.staging.fd)
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    if time.time() - os.fstat(file).st_mtime > _STALE:
                        os.unlink(name, dir_fd=self.staging.fd)
                finally:
                    os.close(file)

    def moved(self) -> bool:
        """Whether ``path`` now leads elsewhere: unmounted, mounted over, replaced, removed."""
        try:
            return not os.path.samestat(os.stat(self.path), os.fstat(self._root.fd))
        except FileNotFoundError:
            return True

    @property
    def real_path(self) -> Path:
        """Without links."""
        return Path(os.path.realpath(self.path))

    def holds(self, name: str) -> bool:
        """Whether a file, or something that is not ours, lies under a name; what lies there is not opened."""
        try:
            status = os.stat(name, dir_fd=self._blobs.fd, follow_symlinks=False)
        except (FileNotFoundError, NotADirectoryError):
            return False
        return not stat.S_ISDIR(status.st_mode)

    def room(self) -> tuple[int, int]:
        """Bytes that are free for us, and bytes in all."""
        facts = os.fstatvfs(self._root.fd)
        return facts.f_bavail * facts.f_frsize, facts.f_blocks * facts.f_frsize

    def directory(self, names: Name, make: bool = False) -> Directory:
        """Open, or known to be: then it may have been removed meanwhile. FileNotFoundError unless ``make``."""
        if not names:
            return self._blobs
        with self._lock:
            if known := self._known.get(names):
                self._known.move_to_end(names)
                return known
        parent = self.directory(names[:-1], make)
        if make:
            with suppress(FileExistsError):
                os.mkdir(names[-1], 0o700, dir_fd=parent.fd)
        found = Directory(os.open(names[-1], _DIRECTORY, dir_fd=parent.fd), parent)
        with self._lock:
            found = self._known.setdefault(names, found)
            if len(self._known) > _KEPT:
                self._known.popitem(last=False)
        return found

    def forget(self, names: Name) -> None:
        """Look these directories up anew next time."""
        with self._lock:
            for depth in range(len(names)):
                self._known.pop(names[: depth + 1], None)

    def _at(self, names: Name, call: Callable[[str, Directory], T]) -> T:
        """``call(last segment, directory)``; twice if it finds nothing, for a known directory may be a removed one."""
        try:
            return call(names[-1], self.directory(names[:-1]))
        except FileNotFoundError:
            self.forget(names[:-1])
            return call(names[-1], self.directory(names[:-1]))

    def read(self, names: Name) -> BlobFile:
        """Raises FileNotFoundError, Damaged."""
        return BlobFile(self._at(names, lambda name, directory: os.open(name, _READ, dir_fd=directory.fd)))

    def remove(self, names: Name) -> None:
        """Unlink for good, with the directories that are empty then. A missing blob is fine."""
        try:
            self._at(names, lambda name, directory: os.unlink(name, dir_fd=directory.fd))
        except FileNotFoundError:
            pass
        except IsADirectoryError:  # no blob: whoever removed the last blob below it died before its rmdir
            self.tidy(names)
        with suppress(FileNotFoundError):
            self.directory(names[:-1]).sync()  # also if it was missing: who removed it may not have come so far
        self.tidy(names[:-1])

    def tidy(self, names: Name) -> None:
        """Remove these directories where they are empty."""
        with suppress(OSError):  # not empty, or gone already
            for depth in range(len(names), 0, -1):
                parent = self.directory(names[: depth - 1])
                os.rmdir(names[depth - 1], dir_fd=parent.fd)
                self.forget(names[:depth])

    def walk(self, prefix: str, after: str) -> Generator[str, None, None]:
        """Names of files that start with ``prefix`` and come after ``after``, in byte order."""
        blobs = Directory(os.open(".", _DIRECTORY, dir_fd=self._blobs.fd))  # a place to read at that no thread shares
        yield from self._walk(blobs.fd, "", prefix, after)

    def _walk(self, fd: int, above: str, prefix: str, after: str) -> Generator[str, None, None]:
        with os.scandir(fd) as entries:
            # a directory sorts as its names do: "ab/x" comes before "ab0", "ab" before both
            found = sorted(_shown(entry) for entry in entries if SEGMENT.fullmatch(entry.name))
        for entry in found:
            name = above + entry
            if not entry.endswith("/"):
                if entry and name.startswith(prefix) and name > after:
                    yield name
            elif name.count("/") < DEPTH and _may_hold(name, prefix, after):
                with suppress(FileNotFoundError):
                    below = Directory(os.open(entry[:-1], _DIRECTORY, dir_fd=fd))
                    yield from self._walk(below.fd, name, prefix, after)


def _shown(entry: os.DirEntry[str]) -> str:
    if entry.is_dir(follow_symlinks=False):
        return entry.name + "/"
    return entry.name if entry.is_file(follow_symlinks=False) else ""  # links and pipes are not ours


def _may_hold(directory: str, prefix: str, after: str) -> bool:
    on_the_way = directory.startswith(prefix) or prefix.startswith(directory)
    return on_the_way and (directory > after or after.startswith(directory))
