"""What a look finds, and what there is to look at."""

from __future__ import annotations

import fcntl
import os
from dataclasses import dataclass
from pathlib import Path

from gateway.node.lock import NAME
from gateway.node.read import Reading
from gateway.settings import Values

FINE = "fine"
WARNING = "warning"
FAULT = "fault"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line for the operator. ``fix``: the command, or the words, that mend it; "" where nothing is to be mended."""

    check: str
    state: str
    seen: str
    fix: str = ""


@dataclass(frozen=True, slots=True)
class Patient:
    """A configuration as far as it could be read, and the process that serves it (None: nobody, 0: it did not say)."""

    path: Path
    reading: Reading
    served_by: int | None

    @property
    def values(self) -> Values | None:
        return self.reading.gateway

    @property
    def folder(self) -> Path:
        return self.reading.document.folder


def served_by(data: Path) -> int | None:
    """The process that holds the lock of a data folder; asked without taking or making it. Raises OSError."""
    try:
        descriptor = os.open(data / NAME, os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        text = os.pread(descriptor, 32, 0).strip()
        return int(text) if text.isdigit() else 0
    else:
        return None
    finally:
        os.close(descriptor)
