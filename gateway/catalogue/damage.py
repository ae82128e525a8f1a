"""Which blobs were found damaged. A mark goes with its blob; until then each block of it is checked when it is read."""

from __future__ import annotations

from collections.abc import Iterable

from gateway.catalogue.database import Database


class Damage:
    """Marks of blobs, for every process that serves."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def mark(self, location: str, names: Iterable[str]) -> None:
        """These blobs are not what was written."""
        sql = "UPDATE blobs SET damaged = 1 WHERE location = ? AND name = ? AND damaged = 0"
        await self._database.run(sql, [(location, name) for name in names], counts=False)

    async def any(self, location: str, names: Iterable[str]) -> bool:
        """Whether one of these blobs has a mark."""
        if self._database.row("SELECT 1 FROM blobs WHERE damaged = 1 LIMIT 1") is None:
            return False
        sql = "SELECT 1 FROM blobs WHERE location = ? AND name = ? AND damaged = 1"
        return any(self._database.row(sql, (location, name)) is not None for name in names)
