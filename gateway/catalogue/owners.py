"""Which gateway processes live. A process holds ``flock`` on a file of its own for as long as it exists.

The kernel's word is the truth: a stopped (SIGSTOP) process still holds its lock, a dead one never does, and no clock
is asked. An id is never used again, so a free lock means dead for good.
"""

from __future__ import annotations

import fcntl
import os
import secrets
from pathlib import Path

import apsw

FOLDER = "owners"


class Owner:
    """This process, as others see it. ``claim`` before the row is written: a row promises that the lock was held."""

    def __init__(self, folder: Path) -> None:
        self.id = secrets.token_hex(8)
        self._folder = folder / FOLDER
        self._lock = -1

    def claim(self) -> None:
        """Take the lock, for the life of the process or until ``release``."""
        self._folder.mkdir(mode=0o700, exist_ok=True)
        self._lock = os.open(self._path(self.id), os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def release(self) -> None:
        """Let go; from now on this owner is dead."""
        descriptor, self._lock = self._lock, -1
        if descriptor >= 0:
            os.unlink(self._path(self.id))
            os.close(descriptor)

    def alive(self, owner: str) -> bool:
        """Does that process (or this one) hold its lock? It may, where the lock cannot be looked at: no descriptor is
        left, or the disk fails. Then nothing of it is touched, and somebody asks again later."""
        if owner == self.id:
            return self._lock >= 0
        try:
            descriptor = os.open(self._path(owner), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        except OSError:
            return True
        try:
            # Shared, so that two who ask at the same time do not take each other for the owner.
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:  # it is held, or nobody can tell
            return True
        else:
            return False
        finally:
            os.close(descriptor)

    def register(self, connection: apsw.Connection) -> None:
        """Write this process's row and forget the dead ones (their leases and uploads keep their names)."""
        for (other,) in connection.execute("SELECT id FROM owners").fetchall():
            if not self.alive(str(other)):
                connection.execute("DELETE FROM owners WHERE id = ?", (other,))
                self._path(str(other)).unlink(missing_ok=True)
        connection.execute(
            "INSERT INTO owners (id, pid, reading) SELECT ?, ?, epoch FROM about", (self.id, os.getpid())
        )

    def _path(self, owner: str) -> Path:
        return self._folder / f"{owner}.lock"
