"""A blob on its way into the folder: all of it or nothing of it.

Order: write, fsync of the file, link into its place, fsync of the directory, fsync of the directories above that are
new. A fault at any step, a failed fsync above all, ends the draft; no step is done twice. The link waits its turn where
a row may be in the way (``rows``).
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import secrets
from collections.abc import Callable, Sequence
from contextlib import suppress

from gateway_local.folder import Directory, Folder, Name

# sync_file_range(2), which Python's os lacks; a libc without it only makes the last fsync longer.
_sync_file_range = getattr(ctypes.CDLL(None), "sync_file_range", None)
if _sync_file_range is not None:
    _sync_file_range.argtypes = (ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint)
_SYNC_FILE_RANGE_WRITE = 2
_VECTOR = 1024  # Linux takes no more buffers in one call (IOV_MAX)
_TRIES = 100

Place = Callable[[], Directory]  # puts the file in its place, and gives the directory where that is


def at_once(place: Place) -> None:
    """Nothing is in the way."""
    place()


class Draft:
    """A file without a name (O_TMPFILE), which no crash can leave behind; without such things, one in staging."""

    def __init__(self, folder: Folder, unnamed: bool, reserve: int = 0) -> None:
        self._folder = folder
        self._unnamed = unnamed
        self._reserve = reserve
        self._fd = -1
        self._staged = ""
        self._size = 0
        self._directory: Directory | None = None
        self._fresh = False  # the name was free before

    def write(self, chunks: Sequence[bytes], *, more: bool = False) -> None:
        """Append. Raises OSError. ``more`` comes: the disk begins with these bytes now, so that it has few to do when
        all wait for the fsync. Only that call tells whether they are safe."""
        if self._fd < 0:
            self._begin()
        size = sum(map(len, chunks))
        if self._reserve:
            self._leave_room(size)
        for start in range(0, len(chunks), _VECTOR):
            left: list[bytes | memoryview] = list(chunks[start : start + _VECTOR])
            while left:
                wrote = os.writev(self._fd, left)
                while left and wrote >= len(left[0]):
                    wrote -= len(left.pop(0))
                if left:
                    left[0] = memoryview(left[0])[wrote:]
        if more and _sync_file_range is not None:
            _sync_file_range(self._fd, self._size, size, _SYNC_FILE_RANGE_WRITE)
        self._size += size

    def _leave_room(self, size: int) -> None:
        # A disk that is full to its last block takes no deletes either: the catalogue is often on the same one.
        disk = os.fstatvfs(self._fd)
        if disk.f_bavail * disk.f_frsize - size < self._reserve:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _begin(self) -> None:
        staging = self._folder.staging.fd
        if self._unnamed:
            self._fd = os.open(".", os.O_TMPFILE | os.O_WRONLY, 0o600, dir_fd=staging)
        else:
            name = secrets.token_hex(16)
            self._fd = os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600, dir_fd=staging)
            self._staged = name
            self._claim()

    def _claim(self) -> None:
        fcntl.flock(self._fd, fcntl.LOCK_EX)  # another process that starts now leaves it alone

    def _link(self, name: str, directory: Directory) -> None:
        source = self._staged or f"/proc/self/fd/{self._fd}"
        os.link(source, name, src_dir_fd=self._folder.staging.fd, dst_dir_fd=directory.fd, follow_symlinks=True)

    def stage(self) -> None:
        """Give the file a name in staging, if it has none. Raises OSError."""
        name = secrets.token_hex(16)
        if self._staged:
            self._link(name, self._folder.staging)
            os.unlink(name, dir_fd=self._folder.staging.fd)
        else:
            self._claim()
            self._link(name, self._folder.staging)
            self._staged = name

    def finish(
        self, names: Name, chunks: Sequence[bytes], if_absent: bool, in_turn: Callable[[Place], None] = at_once
    ) -> os.stat_result:
        """Append, then put the file in its place for good. Raises FileExistsError (``if_absent``), OSError, and what
        ``in_turn`` raises."""
        try:
            self.write(chunks)
            os.fsync(self._fd)
            status = os.fstat(self._fd)
            try:
                in_turn(lambda: self._place(names, if_absent))
                assert self._directory is not None
                self.discard()  # what closing has to say counts as well
                self._directory.sync()
                self._directory.settle()
            except BaseException:
                if self._directory and self._fresh:  # else taking it away would bring nothing back
                    self._withdraw(names, self._directory)
                raise
            return status
        finally:
            self.discard()

    def _place(self, names: Name, if_absent: bool) -> Directory:
        """The directory where the file now is."""
        for _ in range(_TRIES):
            with suppress(FileNotFoundError):  # a delete took the directory away as it was empty: make it again
                directory = self._folder.directory(names[:-1], make=True)
                try:
                    self._link(names[-1], directory)
                except FileExistsError:
                    if if_absent:
                        raise
                else:
                    self._directory, self._fresh = directory, True
                    return directory
                if not self._staged:
                    self.stage()
                os.rename(self._staged, names[-1], src_dir_fd=self._folder.staging.fd, dst_dir_fd=directory.fd)
                self._staged = ""
                self._directory = directory
                return directory
            self._folder.forget(names[:-1])
        raise OSError(errno.EIO, "its directory vanishes again and again")

    def _withdraw(self, names: Name, directory: Directory) -> None:
        with suppress(OSError):  # what is wrong already is what the caller shall hear of
            os.unlink(names[-1], dir_fd=directory.fd)
        self._folder.tidy(names[:-1])
        self._folder.forget(names[:-1])

    def discard(self) -> None:
        """Leave nothing; fine at any time, twice too. Raises OSError."""
        try:
            if self._staged:
                with suppress(FileNotFoundError):
                    os.unlink(self._staged, dir_fd=self._folder.staging.fd)
                self._staged = ""
        finally:
            self._close()

    def _close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


def supports_unnamed(folder: Folder) -> bool:
    """Whether files can be without a name until they are whole. Raises OSError where even the other way is closed."""
    for unnamed in (True, False):
        draft = Draft(folder, unnamed)
        try:
            draft.write([b"?"])
            draft.stage()
            return unnamed
        except OSError as fault:
            if fault.errno in (errno.ENOSPC, errno.EDQUOT):
                break  # full, not unfit: what is there can be read and deleted
            if not unnamed or fault.errno == errno.EROFS:
                raise  # elsewhere EOPNOTSUPP, EISDIR, EINVAL say "no such thing", and ENOENT where /proc is missing
        finally:
            draft.discard()
    return True
