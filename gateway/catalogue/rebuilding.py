"""A catalogue that is being brought back: a file that no gateway opens yet, compared with what lies in the storage.

Every method blocks. What is decided here is decided by sequence numbers, never by a clock. Nothing is doomed: blobs
that lose their row are unknown to the catalogue from then on, and the reaper leaves what it does not know alone.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, islice
from pathlib import Path
from typing import Any

from gateway.catalogue.copying import PROOF
from gateway.catalogue.database import connect, first_row, migrate
from gateway.catalogue.faults import CatalogueFault
from gateway.catalogue.references import BlobDoomed
from gateway.catalogue.rows import names_above
from gateway.catalogue.versions import Change, commit_version, drop_version
from gateway.model import NewVersion
from gateway.seal import Seal
from gateway.sqlitefile import reserve

_TEMPORARY = """
CREATE TEMP TABLE gone (location TEXT, name TEXT, PRIMARY KEY (location, name)) STRICT, WITHOUT ROWID;
CREATE TEMP TABLE stray (                -- blobs that the catalogue does not know; seen: some manifest tells of them
    location TEXT, name TEXT, size INTEGER, PRIMARY KEY (location, name)
) STRICT, WITHOUT ROWID;
CREATE TEMP TABLE candidates (
    location TEXT, name TEXT, bucket TEXT, bucket_id INTEGER, bucket_owner TEXT, key BLOB,
    sequence INTEGER, floor INTEGER, at INTEGER, sealed BLOB, own INTEGER, PRIMARY KEY (bucket, key, location, name)
) STRICT, WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A blob with a manifest that the catalogue does not know. ``sealed``: the manifest; ``own``: it is the blob."""

    location: str
    name: str
    bucket: str
    bucket_id: int
    bucket_owner: str
    key: bytes
    sequence: int
    floor: int
    at: int  # milliseconds since the epoch
    sealed: bytes
    own: bool


class Draft:
    """Opened from a snapshot's or backup's file, or made empty for a catalogue whose id is known."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._connection = connect(path)
        self._connection.pragma("synchronous", "off")  # it is synced once, as a whole, before it gets its name
        self._connection.pragma("journal_mode", "memory")
        reserve(self._connection)
        migrate(self._connection)
        self._connection.execute(_TEMPORARY)
        self.newest_bucket = self._newest("buckets")
        self.sequence = self._newest("versions")

    @classmethod
    def empty(cls, path: Path, catalogue_id: str | None, seal: Seal) -> Draft:
        """Nothing is known but whose the storage is. ``path`` is a file without bytes."""
        draft = cls(path)
        id_ = catalogue_id or secrets.token_hex(16)
        draft._connection.execute(
            "INSERT INTO about (one, id, proof, generation, epoch, live, doomed) VALUES (1, ?, ?, 0, 0, 0, 0)",
            (id_, seal.close(id_.encode(), PROOF)),
        )
        return draft

    def _newest(self, table: str) -> int:
        row = first_row(self._connection, "SELECT seq FROM sqlite_sequence WHERE name = ?", (table,))
        return 0 if row is None else int(row[0])

    @property
    def id(self) -> str:
        """The catalogue's."""
        return str(self._value("SELECT id FROM about"))

    def _rows(self, sql: str, values: Sequence[Any] = ()) -> list[Any]:
        return list(self._connection.execute(sql, values))

    def _value(self, sql: str, values: Sequence[Any] = ()) -> Any:
        row = first_row(self._connection, sql, values)
        return None if row is None else row[0]

    def close(self) -> None:
        """Only its own pages are left in the file, and no temporary table."""
        self._connection.close()

    def finish(self, changes: int) -> None:
        """No process of before lives, and no lease of before is swept: what lies under them may be needed.

        ``changes``: how many somebody knows of; from here on there are more.
        """
        connection = self._connection
        connection.execute("BEGIN")
        connection.execute("DELETE FROM owners; DELETE FROM leases").fetchall()
        connection.execute("UPDATE about SET changes = max(changes, ?) + 1, generation = generation + 1", (changes,))
        connection.execute("COMMIT")
        wrong = connection.execute("PRAGMA integrity_check(1)").fetchall()
        if wrong != [("ok",)]:
            raise CatalogueFault(f"{self.path}: damaged ({wrong[0][0]})")
        self.close()

    # ------------------------------------------------------------ storage and rows compared

    def compare(self, location: str, after: str, blobs: Sequence[tuple[str, int]], end: str | None) -> list[str]:
        """A page of the storage's list (name, size): all there is behind ``after``, up to ``end`` (None: for good).

        Notes the blobs that rows need and that are not there; gives the names that no row knows.
        """
        connection = self._connection
        rows = self._rows(
            "SELECT name, doomed IS NULL FROM blobs WHERE location = ?1 AND name > ?2 AND (?3 IS NULL OR name <= ?3)",
            (location, after, end),
        )
        there = {name for name, _ in blobs}
        known = {name for name, _ in rows}
        connection.executemany(
            "INSERT INTO gone VALUES (?, ?)", [(location, name) for name, live in rows if live and name not in there]
        )
        unknown = [(location, name, size) for name, size in blobs if name not in known]
        connection.executemany("INSERT INTO stray VALUES (?, ?, ?)", unknown)
        return [name for _, name, _ in unknown]

    def was_never_committed(self, name: str) -> bool:
        """The name was given by a process that was dead already when the snapshot was taken."""
        lease = name.partition("/")[0]
        return bool(
            self._value(
                "SELECT 1 FROM leases WHERE id = ? AND owner NOT IN (SELECT id FROM owners)",
                (lease,),
            )
        )

    def add(self, candidates: Iterable[Candidate]) -> None:
        """To be decided about later."""
        self._connection.executemany(
            "INSERT INTO candidates VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (
                    each.location, each.name, each.bucket, each.bucket_id, each.bucket_owner, each.key,
                    each.sequence, each.floor, each.at, each.sealed, each.own,
                )
                for each in candidates
            ],
        )  # fmt: skip

    # ------------------------------------------------------------ buckets

    def settle_buckets(self) -> tuple[list[tuple[str, str]], list[str]]:
        """Make the buckets that only candidates know; forget candidates of buckets that were deleted.

        A bucket is deleted only when it is empty, and its number is never used again: so of two of one name the lower
        one is gone, and a number that the snapshot could know and does not is gone too. Gives (name, owner) of those
        that were made, and the names of those that were made anew after the snapshot.
        """
        connection = self._connection
        connection.execute(
            "DELETE FROM candidates WHERE bucket_id <= ? AND bucket_id NOT IN (SELECT id FROM buckets)",
            (self.newest_bucket,),
        )
        connection.execute(
            "DELETE FROM candidates WHERE (bucket, bucket_id) NOT IN"
            " (SELECT bucket, max(bucket_id) FROM candidates GROUP BY bucket)"
        )
        rows = self._rows(
            "SELECT bucket, bucket_id, min(bucket_owner), min(location), min(at) FROM candidates"
            " WHERE bucket_id NOT IN (SELECT id FROM buckets) GROUP BY bucket"
        )
        anew = []
        for name, id_, owner, location, at in rows:
            old = self._value("SELECT id FROM buckets WHERE name = ?", (name,))
            if old is not None:
                anew.append(name)
                self._drop("bucket = ?", (old,))
                connection.execute("DELETE FROM uploads WHERE bucket = ?", (old,))
                connection.execute("DELETE FROM buckets WHERE id = ?", (old,))
            connection.execute("INSERT INTO buckets VALUES (?, ?, ?, ?, '', ?)", (id_, name, owner, location, at))
        return [(name, owner) for name, _, owner, _, _ in rows], anew

    # ------------------------------------------------------------ candidates

    def groups(self, after: tuple[str, bytes], limit: int = 200) -> list[list[Candidate]]:
        """The candidates of up to ``limit`` keys behind ``after`` (bucket, key)."""
        rows = self._connection.execute(
            "SELECT location, name, bucket, bucket_id, bucket_owner, key, sequence, floor, at, sealed, own"
            " FROM candidates WHERE (bucket, key) > (?, ?) ORDER BY bucket, key, sequence, name",
            after,
        )  # not all at once: without a snapshot these are all objects
        keyed = groupby(map(_candidate, rows), key=lambda each: (each.bucket, each.key))
        return [list(group) for _, group in islice(keyed, limit)]

    def size_of(self, location: str, name: str) -> int | None:
        """The size of a blob that no row knew, None where it is not there."""
        found = self._value("SELECT size FROM stray WHERE location = ? AND name = ?", (location, name))
        return None if found is None else int(found)

    def is_live(self, location: str, name: str) -> bool:
        """Whether a row needs the blob, and it is there."""
        live = self._value(
            "SELECT 1 FROM blobs WHERE location = ? AND name = ? AND doomed IS NULL"
            " AND (location, name) NOT IN (SELECT location, name FROM gone)",
            (location, name),
        )
        return live is not None

    def bring_back(self, new: NewVersion, at: int) -> bool:
        """Make ``new`` the version of its key; what it replaces is set aside. False where its blobs are doomed."""
        connection = self._connection
        epoch = self._value("SELECT epoch FROM about")
        connection.execute("SAVEPOINT one")
        try:
            commit_version(connection, Change(new, None, lambda name: True, at))
        except BlobDoomed:
            connection.execute("ROLLBACK TO one; RELEASE one").fetchall()
            return False
        connection.execute("RELEASE one")
        self._set_aside(epoch)
        connection.executemany(
            "DELETE FROM stray WHERE location = ? AND name = ?", [(new.location, piece.blob) for piece in new.pieces]
        )
        return True

    def end_uploads(self, location: str, blobs: Iterable[str]) -> None:
        """Uploads that became an object after the snapshot: ending them now would delete the object's bytes."""
        names = {above for blob in blobs for above in names_above(blob)}
        self._connection.executemany(
            "DELETE FROM uploads WHERE location = ? AND blob = ? AND state <> 'completed'",
            [(location, name) for name in names],
        )

    def leave_out(self, bucket: str, key: bytes) -> None:
        """The key has no version that is known to be the newest; what the snapshot had is set aside."""
        self._drop("bucket = (SELECT id FROM buckets WHERE name = ?) AND key = ?", (bucket, key))

    # ------------------------------------------------------------ what is left over

    def drop_gone(self) -> Iterator[tuple[str, bytes, str]]:
        """Forget versions whose bytes are not there; (bucket, key, one missing blob) of each."""
        rows = self._rows(
            "SELECT DISTINCT v.id, b.name, v.key, g.name FROM gone g JOIN pieces p ON p.blob = g.name"
            " JOIN versions v ON v.id = p.version AND v.location = g.location LEFT JOIN buckets b ON b.id = v.bucket"
            " GROUP BY v.id ORDER BY b.name, v.key"
        )
        for id_, bucket, key, blob in rows:
            self._drop("id = ?", (id_,))
            yield str(bucket), key, str(blob)

    def _drop(self, which: str, values: Sequence[Any]) -> None:
        connection, epoch = self._connection, self._value("SELECT epoch FROM about")
        for (id_,) in self._rows(f"SELECT id FROM versions WHERE {which}", values):
            drop_version(connection, id_)
        self._set_aside(epoch)

    def _set_aside(self, epoch: int) -> None:
        """Blobs that lost their last row since ``epoch`` are nobody's, not doomed."""
        rows = self._rows("DELETE FROM blobs WHERE doomed > ? RETURNING location, name", (epoch,))
        self._connection.executemany("INSERT OR IGNORE INTO stray VALUES (?, ?, NULL)", rows)
        self._connection.execute("DELETE FROM stray WHERE (location, name) IN (SELECT location, name FROM gone)")

    def strays(self) -> Iterator[tuple[str, str]]:
        """(location, name) of the blobs that no row knows in the end."""
        for location, name in self._rows("SELECT location, name FROM stray ORDER BY location, name"):
            yield str(location), str(name)

    def open_uploads(self) -> list[tuple[str, bytes, str]]:
        """(bucket, key, upload id) of the uploads that were under way when the snapshot was taken."""
        rows = self._rows(
            "SELECT b.name, u.key, u.id FROM uploads u JOIN buckets b ON b.id = u.bucket"
            " WHERE u.state IN ('open', 'completing') ORDER BY b.name, u.key, u.id"
        )
        return [(str(bucket), key, str(id_)) for bucket, key, id_ in rows]

    def owners_without_account(self) -> list[str]:
        """Canonical ids that own something, and that no account has."""
        rows = self._rows(
            "SELECT owner FROM buckets UNION SELECT owner FROM versions EXCEPT SELECT id FROM accounts ORDER BY 1"
        )
        return [str(owner) for (owner,) in rows]

    def objects(self) -> int:
        return int(self._value("SELECT count(*) FROM current_versions"))


def _candidate(row: Any) -> Candidate:
    location, name, bucket, bucket_id, bucket_owner, key, sequence, floor, at, sealed, own = row
    return Candidate(location, name, bucket, bucket_id, bucket_owner, key, sequence, floor, at, sealed, bool(own))
