"""Everything that the catalogue says must be in the storage, page by page, for whoever goes through all of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.catalogue.database import Database
from gateway.model import Piece


@dataclass(frozen=True, slots=True)
class Kept:
    """One version and every blob that it needs, those of no bytes too. ``id`` grows from page to page."""

    id: int
    bucket: str
    key: bytes
    location: str
    stored: int
    pieces: tuple[Piece, ...]


class Inventory:
    """Reads only; each function sees one moment."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def changes(self) -> int:
        """How many changes were committed, by whatever process."""
        row = self._database.row("SELECT changes FROM about")
        return 0 if row is None else int(row[0])

    async def newest(self) -> int:
        """The highest id of a version that ever was."""
        row = self._database.row("SELECT seq FROM sqlite_sequence WHERE name = 'versions'")
        return 0 if row is None else int(row[0])

    async def stored(self, after: int, until: int) -> int:
        """How many bytes the versions behind ``after``, up to ``until``, have."""
        row = self._database.row("SELECT total(stored) FROM versions WHERE id > ? AND id <= ?", (after, until))
        return 0 if row is None else int(row[0])

    async def page(self, after: int, until: int, limit: int = 100) -> list[Kept]:
        """Versions behind ``after``, up to ``until``, oldest first."""
        with self._database.snapshot():
            rows = self._database.rows(
                "SELECT v.id, b.name, v.key, v.location, v.stored"
                " FROM versions v LEFT JOIN buckets b ON b.id = v.bucket"
                " WHERE v.id > ? AND v.id <= ? ORDER BY v.id LIMIT ?",
                (after, until, limit),
            )
            return [
                Kept(id_, bucket or "", key, location, stored, self._pieces(id_))
                for id_, bucket, key, location, stored in rows
            ]

    def _pieces(self, version: int) -> tuple[Piece, ...]:
        sql = "SELECT blob, start, size, crcs FROM pieces WHERE version = ? ORDER BY at, number"
        return tuple(Piece(*row) for row in self._database.rows(sql, (version,)))

    async def is_there(self, version: int) -> bool:
        """Whether the version still is."""
        return self._database.row("SELECT 1 FROM versions WHERE id = ?", (version,)) is not None

    async def leased(self, names: Sequence[str]) -> set[str]:
        """Those of ``names`` that a process may be writing right now, or that the reaper will look at."""
        leases = {str(id_) for (id_,) in self._database.rows("SELECT id FROM leases")}
        return {name for name in names if name.partition("/")[0] in leases}
