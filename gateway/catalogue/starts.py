"""When a write began, in the catalogue's own count: it goes into the manifest beside the bytes, so that
the order of two writes of one key can be told from the storage alone, whatever any clock says.

``sequence`` is the number of the newest version when the write began. ``floor`` is the smallest such number among the
writes of the same key that were under way then, this one included. So a write whose sequence is below another's floor
had ended (committed or refused) before that other one began: what the other one made is newer.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from gateway.catalogue.database import Database


@dataclass(frozen=True, slots=True)
class Start:
    """Where a write stands in the order."""

    bucket: int
    key: bytes
    sequence: int
    floor: int


class Starts:
    """The writes that are under way in this process; one process serves a gateway (its data lock)."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._under_way: dict[tuple[int, bytes], list[int]] = {}

    @contextmanager
    def begin(self, bucket: int, key: bytes) -> Iterator[Start]:
        """A write is under way inside the ``with``: until it is committed, or was given up."""
        row = self._database.row("SELECT seq FROM sqlite_sequence WHERE name = 'versions'")
        sequence = 0 if row is None else int(row[0])
        beside = self._under_way.setdefault((bucket, key), [])
        beside.append(sequence)
        try:
            yield Start(bucket, key, sequence, min(beside))
        finally:
            beside.remove(sequence)
            if not beside:
                del self._under_way[bucket, key]
