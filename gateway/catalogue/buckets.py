"""Buckets: found by name, told apart by an id that is never used again."""

from __future__ import annotations

from typing import Any

import apsw

from gateway.catalogue.database import Database, Kept, first_row, move_on
from gateway.errors import S3Error
from gateway.model import Bucket

_BUCKET = "id, name, owner, location, location_constraint, created / 1000.0"
# No UTF-8 text sorts at or after this code point with anything behind it.
_LAST = "\U0010ffff"


class Buckets:
    """Rows of buckets."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known = Kept(database, self._find)

    async def create(self, name: str, owner: str, location: str, constraint: str) -> tuple[Bucket, bool]:
        """The new bucket and True, or the one that has the name already (whoever owns it) and False."""
        now = self._database.now()

        def change(connection: apsw.Connection) -> tuple[Bucket, bool]:
            connection.execute(
                "INSERT INTO buckets (name, owner, location, location_constraint, created) VALUES (?, ?, ?, ?, ?)"
                " ON CONFLICT DO NOTHING",
                (name, owner, location, constraint, now),
            )
            created = connection.changes() > 0
            move_on(connection)
            (row,) = connection.execute(f"SELECT {_BUCKET} FROM buckets WHERE name = ?", (name,)).fetchall()
            return _bucket(row), created

        return await self._database.change(change)

    async def known(self, name: str) -> Bucket | None:
        """The bucket of that name, as it was when this request looked at the catalogue (``Database.look``)."""
        return self._known.get(name)

    async def find(self, name: str) -> Bucket | None:
        """The bucket of that name now."""
        return self._find(name)

    def _find(self, name: str) -> Bucket | None:
        row = self._database.row(f"SELECT {_BUCKET} FROM buckets WHERE name = ?", (name,))
        return None if row is None else _bucket(row)

    async def owned_by(self, owner: str, *, prefix: str = "", after: str = "", limit: int = 1000) -> list[Bucket]:
        """An account's buckets whose names start with ``prefix`` and come after ``after``, by name."""
        rows = self._database.rows(
            f"SELECT {_BUCKET} FROM buckets WHERE owner = ? AND name > ? AND name >= ? AND name < ?"
            " ORDER BY name LIMIT ?",
            (owner, after, prefix, prefix + _LAST, limit),
        )
        return [_bucket(row) for row in rows]

    async def delete(self, bucket_id: int) -> None:
        """Delete an empty bucket; its open uploads become 'aborting'. S3Error NoSuchBucket, BucketNotEmpty."""

        def change(connection: apsw.Connection) -> None:
            if first_row(connection, "SELECT 1 FROM current_versions WHERE bucket = ? LIMIT 1", (bucket_id,)):
                raise S3Error("BucketNotEmpty")
            connection.execute("DELETE FROM buckets WHERE id = ?", (bucket_id,))
            if not connection.changes():
                raise S3Error("NoSuchBucket")
            move_on(connection)
            # Those being opened or completed right now notice at their next step that the bucket is gone.
            connection.execute(
                "UPDATE uploads SET state = 'aborting' WHERE bucket = ? AND state = 'open'", (bucket_id,)
            )

        await self._database.change(change)


def _bucket(row: Any) -> Bucket:
    return Bucket(*row)


def check_bucket(connection: apsw.Connection, bucket_id: int) -> None:
    """Inside a change: S3Error NoSuchBucket unless the bucket still exists."""
    if not first_row(connection, "SELECT 1 FROM buckets WHERE id = ?", (bucket_id,)):
        raise S3Error("NoSuchBucket")
