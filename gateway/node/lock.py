"""One gateway per data folder: the kernel's lock on ``gateway.lock``, which dies with the processes that hold it.

A gateway of several processes holds it in all of them, by the descriptor that the supervisor took it with. So no other
gateway touches the data before the last of them is dead, whoever of them died first.
"""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

NAME = "gateway.lock"
ORPHANS = 5.0  # seconds that the workers of a killed supervisor get to notice and to end

_held: list[DataLock] = []  # by this process


class DataInUse(Exception):
    """Another gateway serves this data; ``pid`` is its process, 0 where it has not said yet."""

    def __init__(self, pid: int) -> None:
        super().__init__(pid)
        self.pid = pid


class DataLock:
    """Held from ``take`` to ``release``, or to the end of the process."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor: int | None = descriptor
        _held.append(self)

    @classmethod
    def take(cls, folder: Path) -> DataLock:
        """Raises DataInUse where another process holds it, OSError where the folder cannot be written.

        Where the process that took it is dead, its workers are about to end: they are waited for, for some seconds.
        """
        until = time.monotonic() + ORPHANS
        while True:
            try:
                return cls._try(folder)
            except DataInUse as use:
                # our own number, where we hold no lock: that of a dead process in a container, where numbers are few
                dead = not _held if use.pid == os.getpid() else not _lives(use.pid)
                if not use.pid or not dead or time.monotonic() > until:
                    raise
            time.sleep(0.02)

    @classmethod
    def _try(cls, folder: Path) -> DataLock:
        descriptor = os.open(folder / NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        except BlockingIOError:
            text = os.pread(descriptor, 32, 0).strip()
            os.close(descriptor)
            raise DataInUse(int(text) if text.isdigit() else 0) from None
        except BaseException:
            os.close(descriptor)
            raise
        return cls(descriptor)

    @property
    def descriptor(self) -> int:
        """For the processes that hold it with us."""
        assert self._descriptor is not None, "it was given back"
        return self._descriptor

    def release(self) -> None:
        """Let another gateway serve this data. The file stays: removing it would let two hold the lock."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
            _held.remove(self)


def _lives(pid: int) -> bool:
    """Whether that process is there, and more than a zombie that nobody has buried yet."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] not in "ZX"
