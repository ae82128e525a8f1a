"""Versions of objects: looked up, committed and removed, with the references they hold on blobs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import apsw

from gateway.catalogue.blobs import Pending
from gateway.catalogue.database import Database, first_row
from gateway.catalogue.references import refer
from gateway.catalogue.rows import VERSION, checksum_columns, marks, pairs_of, text_of, version_of
from gateway.errors import S3Error
from gateway.model import NewVersion, PartFacts, Piece, Version
from gateway.model.record import record

UNVERSIONED = "null"  # S3's version id in a bucket without versioning

Check = Callable[[Version | None], None]

_FIND = f"SELECT {VERSION} FROM current_versions c JOIN versions v ON v.id = c.version WHERE c.bucket = ? AND c.key = ?"
# A row where there is the bucket, empty where the key has no version: one statement for what a commit must know first.
_PLACE = (
    f"SELECT v.modified, {VERSION} FROM buckets b LEFT JOIN current_versions c ON c.bucket = b.id AND c.key = ?2"
    " LEFT JOIN versions v ON v.id = c.version WHERE b.id = ?1"
)


class VersionGone(Exception):
    """The version was removed since it was found. Find again: there is a newer one, or none."""


@record(frozen=True, slots=True)
class Change:
    """One commit inside a transaction: what to write, and which blob names are ours to bring to life."""

    new: NewVersion
    check: Check | None
    is_new: Callable[[str], bool]
    now: int


class Versions:
    """Rows of versions.

    A ``check`` is called inside the transaction, on the writer thread, with the current version (None: there is
    none); it must be quick and may raise, which undoes this change and comes out unchanged.
    """

    def __init__(self, database: Database, pending: Pending) -> None:
        self._database = database
        self._pending = pending

    async def find(self, bucket_id: int, key: bytes) -> Version | None:
        """The current version of a key."""
        row = self._database.row(_FIND, (bucket_id, key))
        return None if row is None else version_of(row)

    async def pieces(self, version_id: int, start: int, stop: int) -> tuple[tuple[int, Piece], ...]:
        """The pieces that hold stored bytes ``start`` to ``stop`` (exclusive), each with its offset in the version.

        Raises VersionGone, never gives less than there is.
        """
        if start >= stop:
            return ()
        rows = self._database.rows(
            "SELECT at, blob, start, size, crcs FROM pieces"
            " WHERE version = ?1 AND at < ?3 AND at + size > ?2 AND size > 0"
            " AND at >= coalesce((SELECT max(at) FROM pieces WHERE version = ?1 AND at <= ?2), 0) ORDER BY at, number",
            (version_id, start, stop),
        )
        if not rows:
            self._check_still_there(version_id)
        return tuple((row[0], Piece(row[1], row[2], row[3], row[4])) for row in rows)

    async def parts(self, version_id: int, *, after: int = 0, limit: int = 1000) -> list[PartFacts]:
        """The parts with numbers beyond ``after``. Raises VersionGone."""
        rows = self._database.rows(
            "SELECT number, size, checksums FROM version_parts WHERE version = ? AND number > ?"
            " ORDER BY number LIMIT ?",
            (version_id, after, limit),
        )
        if not rows:
            self._check_still_there(version_id)
        return [PartFacts(number, size, pairs_of(checksums)) for number, size, checksums in rows]

    async def part(self, version_id: int, number: int) -> tuple[int, PartFacts] | None:
        """A part and its offset in the version's plain bytes; None where no part has the number. VersionGone."""
        row = self._database.row(
            "SELECT at, size, checksums FROM version_parts WHERE version = ? AND number = ?", (version_id, number)
        )
        if row is None:
            self._check_still_there(version_id)
            return None
        return row[0], PartFacts(number, row[1], pairs_of(row[2]))

    def _check_still_there(self, version_id: int) -> None:
        # Each read sees the newest commit, so a version found a moment ago may be gone, its pieces with it.
        if self._database.row("SELECT 1 FROM versions WHERE id = ?", (version_id,)) is None:
            raise VersionGone(f"version {version_id}")

    async def commit(self, new: NewVersion, check: Check | None = None) -> Version:
        """Make ``new`` the current version of its key; the unversioned one it replaces is removed.

        Its pieces are blobs that this process named (now live) or live ones (a copy: one more reference each).
        Raises S3Error NoSuchBucket, BlobDoomed, what ``check`` raises; ValueError where the pieces do not add up.
        """
        change = self.change_of(new, check, self._pending.__contains__)
        version = await self._database.change(lambda connection: commit_version(connection, change))
        self.settle(new)
        return version

    def change_of(self, new: NewVersion, check: Check | None, is_new: Callable[[str], bool]) -> Change:
        """For a commit that is part of a larger change."""
        return Change(new, check, is_new, self._database.now())

    def settle(self, new: NewVersion) -> None:
        """After a commit: its blobs are live, their names no longer pending."""
        self._pending.settle(piece.blob for piece in new.pieces)

    async def remove(self, bucket_id: int, key: bytes, check: Check | None = None) -> Version | None:
        """Remove the current version of a key and give it; None where there was none."""
        return await self._database.change(lambda connection: _remove_current(connection, bucket_id, key, check))

    async def remove_many(
        self, bucket_id: int, keys: Sequence[bytes], checks: Sequence[Check | None] = ()
    ) -> list[Version | S3Error | None]:
        """``remove`` for each key, in one transaction; an S3Error of a key's check is that key's outcome."""
        todo = list(zip(keys, checks or [None] * len(keys), strict=True))

        def change(connection: apsw.Connection) -> list[Version | S3Error | None]:
            return [_outcome(connection, bucket_id, key, check) for key, check in todo]

        return await self._database.change(change)


def _outcome(connection: apsw.Connection, bucket_id: int, key: bytes, check: Check | None) -> Version | S3Error | None:
    try:
        return _remove_current(connection, bucket_id, key, check)
    except S3Error as refused:  # only the check raises it, and nothing was written before the check
        return refused


def commit_version(connection: apsw.Connection, change: Change) -> Version:
    """Inside a change: what ``Versions.commit`` promises."""
    new = change.new
    if sum(piece.size for piece in new.pieces) != new.stored:
        raise ValueError(f"pieces of {sum(piece.size for piece in new.pieces)} bytes for a version of {new.stored}")
    row = first_row(connection, _PLACE, (new.bucket, new.key))
    if row is None:
        raise S3Error("NoSuchBucket")
    if change.check is not None:
        change.check(None if row[0] is None else version_of(row[1:]))
    version = _insert(connection, new, max(change.now, row[0] or 0))
    for piece in new.pieces:
        refer(connection, new.location, piece.blob, change.is_new)
    # A trigger ends the version that is replaced: after the new references, for a copy onto itself keeps its blobs.
    connection.execute(
        "INSERT INTO current_versions (bucket, key, version) VALUES (?, ?, ?)"
        " ON CONFLICT (bucket, key) DO UPDATE SET version = excluded.version",
        (new.bucket, new.key, version.id),
    )
    return version


def _current(connection: apsw.Connection, bucket_id: int, key: bytes) -> Version | None:
    row = first_row(connection, _FIND, (bucket_id, key))
    return None if row is None else version_of(row)


def _remove_current(connection: apsw.Connection, bucket_id: int, key: bytes, check: Check | None) -> Version | None:
    current = _current(connection, bucket_id, key)
    if check is not None:
        check(current)
    if current is not None:
        connection.execute("DELETE FROM current_versions WHERE bucket = ? AND key = ?", (bucket_id, key))
    return current


def drop_version(connection: apsw.Connection, version_id: int) -> None:
    """Remove a version by its number; its key has none then, unless another one is current."""
    connection.execute("DELETE FROM current_versions WHERE version = ?", (version_id,))
    connection.execute("DELETE FROM versions WHERE id = ?", (version_id,))  # where another one is current


_COLUMNS = VERSION.replace("v.", "").removeprefix("id, ")
_INSERT = f"INSERT INTO versions ({_COLUMNS}) VALUES ({marks(24)})"


def _insert(connection: apsw.Connection, new: NewVersion, modified: int) -> Version:
    content = new.content
    first, later = checksum_columns(new.checksums)
    connection.execute(
        _INSERT,
        (
            new.bucket,
            new.key,
            UNVERSIONED,
            new.owner,
            new.location,
            new.size,
            new.stored,
            new.etag,
            modified,
            text_of(content.headers),
            text_of(content.metadata),
            content.storage_class,
            *first,
            new.checksum_type,
            len(new.parts),
            *later,
        ),
    )
    sequence = connection.last_insert_rowid()
    connection.executemany(
        "INSERT INTO pieces (version, at, number, blob, start, size, crcs) VALUES (?, ?, ?, ?, ?, ?, ?)",
        _piece_rows(sequence, new.pieces),
    )
    if new.parts:
        connection.executemany(
            "INSERT INTO version_parts (version, number, at, size, checksums) VALUES (?, ?, ?, ?, ?)",
            _part_rows(sequence, new.parts),
        )
    return Version(
        id=sequence,
        bucket=new.bucket,
        key=new.key,
        version_id=UNVERSIONED,
        owner=new.owner,
        location=new.location,
        size=new.size,
        stored=new.stored,
        etag=new.etag,
        modified=modified / 1000,
        content=content,
        checksums=new.checksums,
        checksum_type=new.checksum_type,
        part_count=len(new.parts),
    )


def _piece_rows(sequence: int, pieces: Iterable[Piece]) -> Iterable[tuple[Any, ...]]:
    at = 0
    for number, piece in enumerate(pieces):
        yield sequence, at, number, piece.blob, piece.start, piece.size, piece.crcs
        at += piece.size


def _part_rows(sequence: int, parts: Iterable[PartFacts]) -> Iterable[tuple[Any, ...]]:
    at = 0
    for part in parts:
        yield sequence, part.number, at, part.size, text_of(part.checksums)
        at += part.size
