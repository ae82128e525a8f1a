"""What a blob's file looks like, and a blob's file that is open for reading.

A file is the blob's bytes, then its metadata as JSON, then 36 bytes: size of the blob (8), a number drawn for this very
file (8), length of the JSON (4), CRC32 of the JSON (4), magic (8), CRC32 of all that (4); integers are big-endian.
The blob's bytes come first, so that a range of the blob is a range of the file. Extended attributes would be no
place for the metadata: ext4 stops at 4 KiB.
"""

from __future__ import annotations

import errno
import json
import os
import stat
import struct
from collections.abc import Mapping
from zlib import crc32

_FIELDS = struct.Struct(">Q8sII8s")
_MAGIC = b"txgwblob"
_LENGTH = _FIELDS.size + 4
DRAW = 8


class Damaged(Exception):
    """The file does not end as a blob's file does, or its metadata is not what was written."""


def footer(size: int, draw: bytes, metadata: Mapping[str, str]) -> bytes:
    """What follows the ``size`` bytes of a blob; ``draw`` is ``DRAW`` random bytes."""
    text = json.dumps(dict(metadata), separators=(",", ":")).encode()
    fields = _FIELDS.pack(size, draw, len(text), crc32(text), _MAGIC)
    return text + fields + crc32(fields).to_bytes(4, "big")


def fingerprint(modified: int, size: int, draw: bytes) -> str:
    """Another one for every put (``draw``) and after every change from outside (nanoseconds and bytes of the file).

    It has no inode number, so that storage restored from a backup that keeps times has the same fingerprints.
    """
    return f"{modified:x}-{size:x}-{draw.hex()}"


class BlobFile:
    """A blob's open file; as a Region it is the stretch that was cut, at first the whole blob of ``size`` bytes."""

    def __init__(self, fd: int) -> None:
        """Takes ``fd`` over. Raises Damaged, OSError."""
        self.fd = fd
        try:
            self.status = os.fstat(fd)
            if not stat.S_ISREG(self.status.st_mode):
                raise OSError(errno.ELOOP, "this is not a file")
            end = os.pread(fd, _LENGTH, max(0, self.status.st_size - _LENGTH))
            if len(end) != _LENGTH or crc32(end[:-4]) != int.from_bytes(end[-4:], "big"):
                raise Damaged("it does not end with a blob's trailer")
            self.size, draw, self._metadata, self._check, magic = _FIELDS.unpack(end[:-4])
            if magic != _MAGIC or self.size + self._metadata + _LENGTH != self.status.st_size:
                raise Damaged("it is longer or shorter than it was")
        except BaseException:
            self.close()
            raise
        self.fingerprint = fingerprint(self.status.st_mtime_ns, self.status.st_size, draw)
        self.offset, self.length = 0, self.size

    def cut(self, start: int, length: int | None) -> None:
        """Only up to ``length`` bytes from ``start``."""
        self.offset = min(start, self.size)
        self.length = min(self.size - self.offset, self.size if length is None else length)

    def content(self) -> bytes:
        return os.pread(self.fd, self.length, self.offset)

    def metadata(self) -> Mapping[str, str]:
        """What was given at put. Raises Damaged."""
        text = os.pread(self.fd, self._metadata, self.size)
        if crc32(text) != self._check:
            raise Damaged("its metadata is not what was written")
        told: dict[str, str] = json.loads(text)
        return told

    def close(self) -> None:
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)
