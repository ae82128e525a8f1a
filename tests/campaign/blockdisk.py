"""A disk that remembers: ``python blockdisk.py IMAGE LOG FOLDER`` serves the image as FOLDER/disk, through FUSE.

Every write goes to the log before it is answered, and so does every flush: a head of two numbers (offset and length,
-1 and 0 for a flush), then the bytes. It ends when FOLDER is unmounted.
"""

from __future__ import annotations

import os
import stat
import struct
import sys
from typing import Any

HEAD = struct.Struct("<qq")
FLUSH = HEAD.pack(-1, 0)
NAME = "disk"


class Disk:
    """One file, as large as its image."""

    use_ns = True

    def __init__(self, image: str, log: str) -> None:
        self._image = os.open(image, os.O_RDWR)
        self._log = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def getattr(self, path: str, fh: int | None = None) -> dict[str, Any]:
        if path == "/":
            return {"st_mode": stat.S_IFDIR | 0o700, "st_nlink": 2}
        if path != f"/{NAME}":
            raise FileNotFoundError(2, path)
        return {"st_mode": stat.S_IFREG | 0o600, "st_nlink": 1, "st_size": os.fstat(self._image).st_size}

    def readdir(self, path: str, fh: int) -> list[str]:
        return [".", "..", NAME]

    def open(self, path: str, flags: int) -> int:
        return 0

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        return os.pread(self._image, size, offset)

    def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
        os.pwrite(self._image, data, offset)
        os.writev(self._log, [HEAD.pack(offset, len(data)), data])
        return len(data)

    def fsync(self, path: str, datasync: int, fh: int) -> int:
        os.write(self._log, FLUSH)
        return 0


if __name__ == "__main__":
    import mfusepy  # needs libfuse; only this process does

    image, log, folder = sys.argv[1:]
    mfusepy.FUSE(Disk(image, log), folder, foreground=True, nothreads=True, big_writes=True)
