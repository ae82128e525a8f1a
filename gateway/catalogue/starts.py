"""When a write began, in the catalogue's own count: it goes into the manifest beside the bytes, so that
the order of two writes of one key can be told from the storage alone, whatever any clock says.

``sequence`` is the number of the newest version when the write began. ``floor`` is the smallest such number among the
writes of the same key that were under way then, this one included. So a write whose sequence is below another's floor
had ended (committed or refused) before that other one began: what the other one made is newer.

The writes of all processes of a gateway count. They tell each other in shared memory: a row of slots for each process,
a key belongs to one slot, and there each process says the lowest number of its running writes. Two keys in one slot,
and what a dead process left there until its successor takes the row, only make the floor lower; that is the safe side.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager
from zlib import crc32

from gateway.catalogue.database import Database
from gateway.model.record import record

SLOTS = 4096  # for each process; a power of two
_WIDTH = 8  # bytes: one store of the processor, so that nobody reads half a number
_NOTHING = 0  # is under way; a number is told as itself + 1


@record(frozen=True, slots=True)
class Start:
    """Where a write stands in the order."""

    bucket: int
    key: bytes
    sequence: int
    floor: int


class Slots:
    """The shared memory, and which row of it is ours: ``number`` of ``rows``. It is cleared here.

    ``descriptor``: a file of ``slots_memory(rows)``, which is closed here; without one nobody else sees it.
    """

    def __init__(self, number: int = 0, rows: int = 1, descriptor: int = -1) -> None:
        self._memory = mmap.mmap(descriptor, rows * SLOTS * _WIDTH)
        if descriptor >= 0:
            os.close(descriptor)
        self._numbers = memoryview(self._memory).cast("Q")
        self._ours = number * SLOTS
        self._others = [row * SLOTS for row in range(rows) if row != number]
        self._numbers[self._ours : self._ours + SLOTS] = memoryview(bytes(SLOTS * _WIDTH)).cast("Q")

    def tell(self, slot: int, lowest: int | None) -> None:
        """The lowest number of our writes in that slot, None where none is under way."""
        self._numbers[self._ours + slot] = _NOTHING if lowest is None else lowest + 1

    def told(self, slot: int) -> int | None:
        """The lowest number that the others told."""
        told = [number for row in self._others if (number := self._numbers[row + slot]) != _NOTHING]
        return min(told) - 1 if told else None


def slots_memory(rows: int) -> int:
    """A descriptor of memory for so many processes, empty, that goes with the last of them. Raises OSError."""
    descriptor = os.memfd_create("gateway-starts")
    os.ftruncate(descriptor, rows * SLOTS * _WIDTH)
    return descriptor


class Starts:
    """The writes that are under way, here and in the other processes."""

    def __init__(self, database: Database, slots: Slots | None = None) -> None:
        self._database = database
        self._slots = slots or Slots()
        self._under_way: dict[int, list[int]] = {}
        self._newest = 0  # as we saw it last

    @contextmanager
    def begin(self, bucket: int, key: bytes) -> Iterator[Start]:
        """A write is under way inside the ``with``: until it is committed, or was given up."""
        slot = crc32(key, bucket) % SLOTS
        beside = self._under_way.setdefault(slot, [])
        # Told before the number is read, with one that is not above it: who does not see us yet has read its own
        # number before we read ours, so its floor is not above ours. (SQLite's read is a memory barrier in between.)
        self._slots.tell(slot, min(beside, default=self._newest))
        try:
            sequence = self._newest = self._read()
            beside.append(sequence)
            lowest = min(beside)
            self._slots.tell(slot, lowest)
            others = self._slots.told(slot)
            floor = lowest if others is None else min(lowest, others)
            try:
                yield Start(bucket, key, sequence, floor)
            finally:
                beside.remove(sequence)
        finally:
            self._slots.tell(slot, min(beside, default=None))
            if not beside:
                del self._under_way[slot]

    def _read(self) -> int:
        row = self._database.row("SELECT seq FROM sqlite_sequence WHERE name = 'versions'")
        return 0 if row is None else int(row[0])
