"""One gateway per data folder: the kernel's lock on ``gateway.lock``, which dies with the process that took it."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

NAME = "gateway.lock"


class DataInUse(Exception):
    """Another gateway serves this data; ``pid`` is its process, 0 where it has not said yet."""

    def __init__(self, pid: int) -> None:
        super().__init__(pid)
        self.pid = pid


class DataLock:
    """Held from ``take`` to ``release``, or to the end of the process."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor: int | None = descriptor

    @classmethod
    def take(cls, folder: Path) -> DataLock:
        """Raises DataInUse where another process holds it, OSError where the folder cannot be written."""
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

    def release(self) -> None:
        """Let another gateway serve this data. The file stays: removing it would let two hold the lock."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
