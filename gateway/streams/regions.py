"""A stretch of an open file, read block by block: from the page cache at once, from a disk in a thread."""

from __future__ import annotations

import errno
import os

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread
from twisted.python.failure import Failure

from gateway.errors import BackendDown
from gateway.model import Region
from gateway.wire.checksums import BLOCK

# New memory for each MiB (its pages are faulted in one by one) takes ten times as long as reading it from the cache.
_SPARE: list[bytearray] = []
_MOST_SPARE = 8


class RegionReader:
    """Takes a region over, and reads it from its start into one buffer that it has to itself until ``close``."""

    def __init__(self, region: Region) -> None:
        self._region: Region | None = region
        self._position = region.offset
        self._buffer = _SPARE.pop() if _SPARE else bytearray(BLOCK)
        self._reading = False
        self._closed = False

    async def read(self, wanted: int) -> memoryview:
        """The next ``wanted`` bytes (a MiB at most), fewer only at the file's end. It holds until the next call.

        Raises BackendDown.
        """
        region = self._region
        assert region is not None, "it is open"
        view = memoryview(self._buffer)[:wanted]
        got = _read_cached(region.fd, view, self._position)
        while got < wanted:
            more = await self._read(region.fd, view[got:], self._position + got)
            if not more:
                break
            got += more
        self._position += got
        return view[:got]

    def _read(self, fd: int, into: memoryview, position: int) -> Deferred[int]:
        # Whoever waits may be cancelled while the thread still reads; only its end frees descriptor and buffer.
        self._reading = True
        waiting: Deferred[int] = Deferred()

        def done(result: int | Failure) -> None:
            self._reading = False
            if self._closed:
                self._give_back()
            if not waiting.called:
                waiting.callback(result)  # a Failure starts the errbacks

        deferToThread(_read_waiting, fd, into, position).addBoth(done)
        return waiting

    def close(self) -> None:
        """Close the region; fine at any time and twice."""
        # A thread may still be reading from the descriptor: closing it now could let it read another file's bytes.
        self._closed = True
        if not self._reading:
            self._give_back()

    def _give_back(self) -> None:
        region, self._region = self._region, None
        if region is not None:
            if len(_SPARE) < _MOST_SPARE:
                _SPARE.append(self._buffer)
            region.close()


def _read_waiting(fd: int, into: memoryview, position: int) -> int:
    try:
        return os.preadv(fd, [into], position)
    except OSError as fault:
        raise BackendDown(f"read failed: {fault}") from fault


def _read_cached(fd: int, into: memoryview, position: int) -> int:
    """How many bytes the page cache gave, without ever waiting for a disk; 0 also at the file's end."""
    try:
        return os.preadv(fd, [into], position, os.RWF_NOWAIT)
    except OSError as fault:
        if fault.errno in (errno.EAGAIN, errno.EOPNOTSUPP, errno.EINVAL):
            return 0
        raise BackendDown(f"read failed: {fault}") from fault


def is_cached(fd: int, position: int, length: int) -> bool:
    """Whether the first and the last byte of a stretch can be had without waiting for a disk."""
    one = memoryview(bytearray(1))
    return _read_cached(fd, one, position) == 1 and _read_cached(fd, one, position + length - 1) == 1
