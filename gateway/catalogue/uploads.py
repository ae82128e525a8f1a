"""Multipart uploads: opening -> open -> completing -> completed, or aborting until the backend ended it.

The process that opens or completes an upload is its holder. While the holder lives nobody else may touch the upload;
after its death an opening one is aborted and a completing one may be completed again.
"""

from __future__ import annotations

import secrets

import apsw

from gateway.catalogue.blobs import Pending
from gateway.catalogue.buckets import check_bucket
from gateway.catalogue.database import Database, first_row
from gateway.catalogue.owners import Owner
from gateway.catalogue.rows import (
    UPLOAD,
    UPLOADED_PART,
    kept_version,
    marks,
    saved_version,
    upload_columns,
    upload_of,
    uploaded_part_columns,
    uploaded_part_of,
)
from gateway.catalogue.upload_pages import UploadsPage, page_of
from gateway.catalogue.versions import Check, Versions, commit_version
from gateway.errors import S3Error
from gateway.model import Content, NewVersion, Upload, UploadedPart, Version

RESULT_KEPT_MS = 7 * 24 * 3600 * 1000

# An upload goes back to 'open' unless its bucket was deleted meanwhile; then nobody can ever complete it.
_OPEN_OR_ABORTING = (
    "CASE WHEN EXISTS (SELECT 1 FROM buckets b WHERE b.id = uploads.bucket) THEN 'open' ELSE 'aborting' END"
)


class Uploads:
    """Rows of uploads and of the parts that were acknowledged."""

    def __init__(self, database: Database, owner: Owner, pending: Pending, versions: Versions) -> None:
        self._database = database
        self._owner = owner
        self._pending = pending
        self._versions = versions

    async def create(
        self,
        *,
        bucket: int,
        key: bytes,
        owner: str,
        location: str,
        blob: str,
        content: Content,
        checksum_algorithm: str = "",
        checksum_type: str = "",
    ) -> Upload:
        """Note the intent and the blob name before the backend is asked (state 'opening'). S3Error NoSuchBucket."""
        now = self._database.now()
        upload = Upload(
            id=f"{now:012x}{secrets.token_urlsafe(24)}",  # sorts by age, as S3 lists uploads of one key
            bucket=bucket,
            key=key,
            owner=owner,
            location=location,
            blob=blob,
            token="",
            state="opening",
            started=now / 1000,
            content=content,
            checksum_algorithm=checksum_algorithm,
            checksum_type=checksum_type,
        )

        def change(connection: apsw.Connection) -> None:
            check_bucket(connection, bucket)
            connection.execute(
                f"INSERT INTO uploads ({UPLOAD.replace('u.', '')}, holder) VALUES ({marks(15)})",
                (*upload_columns(upload), self._owner.id),
            )

        await self._database.change(change)
        self._pending.settle([blob])
        return upload

    async def opened(self, upload_id: str, token: str) -> Upload:
        """The backend answered ``token``: clients may send parts. S3Error NoSuchBucket, NoSuchUpload, after which
        the upload is 'aborting' or forgotten, and the caller should end it in the backend."""

        def change(connection: apsw.Connection) -> Upload | None:
            row = first_row(
                connection,
                f"UPDATE uploads SET token = ?, state = {_OPEN_OR_ABORTING} WHERE id = ? AND state = 'opening'"
                f" RETURNING {UPLOAD.replace('u.', '')}",
                (token, upload_id),
            )
            return None if row is None else upload_of(row)

        upload = await self._database.change(change)
        if upload is None:
            raise S3Error("NoSuchUpload")
        if upload.state != "open":  # raised only now, for the token must stay written
            raise S3Error("NoSuchBucket")
        return upload

    async def find(self, bucket_id: int, key: bytes, upload_id: str) -> Upload | None:
        """The upload of that id, in whatever state, if it is for this bucket and key."""
        row = self._database.row(
            f"SELECT {UPLOAD} FROM uploads u WHERE u.id = ? AND u.bucket = ? AND u.key = ?", (upload_id, bucket_id, key)
        )
        return None if row is None else upload_of(row)

    async def put_part(self, upload_id: str, part: UploadedPart) -> UploadedPart | None:
        """Keep a part; gives the earlier one of that number, which it replaces. S3Error NoSuchUpload unless open."""

        def change(connection: apsw.Connection) -> UploadedPart | None:
            row = _require(connection, upload_id, "open")
            earlier = first_row(
                connection,
                f"SELECT {UPLOADED_PART} FROM upload_parts p WHERE p.upload = ? AND p.number = ?",
                (row, part.number),
            )
            connection.execute(
                f"INSERT OR REPLACE INTO upload_parts VALUES ({marks(9)})", (row, *uploaded_part_columns(part))
            )
            return None if earlier is None else uploaded_part_of(earlier)

        return await self._database.change(change)

    async def parts(self, upload_id: str, *, after: int = 0, limit: int = 1000) -> list[UploadedPart]:
        """The acknowledged parts with numbers beyond ``after``, by number."""
        rows = self._database.rows(
            f"SELECT {UPLOADED_PART} FROM uploads u JOIN upload_parts p ON p.upload = u.row"
            " WHERE u.id = ? AND p.number > ? ORDER BY p.number LIMIT ?",
            (upload_id, after, limit),
        )
        return [uploaded_part_of(row) for row in rows]

    async def page(
        self,
        bucket_id: int,
        *,
        prefix: bytes = b"",
        delimiter: bytes = b"",
        key_marker: bytes = b"",
        id_marker: str = "",
        limit: int = 1000,
    ) -> UploadsPage:
        """Up to ``limit`` open uploads and common prefixes after (``key_marker``, ``id_marker``).

        Without ``id_marker`` every upload of ``key_marker`` is skipped; without ``key_marker`` it has no meaning.
        """
        return page_of(self._database, bucket_id, prefix, delimiter, key_marker, id_marker, limit)

    # ------------------------------------------------------------ the end of an upload

    async def begin_completion(self, upload_id: str, chosen: str) -> Version | None:
        """Take the upload for completion with the part list whose digest is ``chosen``.

        None: it is ours now, go on. A version: it was completed with that list before. S3Error NoSuchUpload, or
        OperationAborted while a living process (this one too) completes it.
        """

        def change(connection: apsw.Connection) -> Version | None:
            row = first_row(
                connection, "SELECT state, holder, chosen, result, key FROM uploads WHERE id = ?", (upload_id,)
            )
            if row is None:
                raise S3Error("NoSuchUpload")
            state, holder, earlier, result, key = row
            if state == "completed" and earlier == chosen:
                return kept_version(result, key)
            if state == "completing" and self._owner.alive(holder):
                raise S3Error("OperationAborted")
            if state not in ("open", "completing"):
                raise S3Error("NoSuchUpload")
            connection.execute(
                "UPDATE uploads SET state = 'completing', holder = ?, chosen = ? WHERE id = ?",
                (self._owner.id, chosen, upload_id),
            )
            return None

        return await self._database.change(change)

    async def release_completion(self, upload_id: str) -> None:
        """The completion was refused: clients may go on sending parts (unless the bucket is gone)."""
        await self._database.run(
            f"UPDATE uploads SET state = {_OPEN_OR_ABORTING} WHERE id = ? AND state = 'completing' AND holder = ?",
            [(upload_id, self._owner.id)],
        )

    async def commit_completion(self, upload_id: str, new: NewVersion, check: Check | None = None) -> Version:
        """``Versions.commit`` of what the upload became, and the end of the upload, in one transaction.

        Blob names at or below the upload's own may be new. Raises what ``commit`` raises (the upload stays
        'completing': release it), NoSuchUpload where this process does not complete it.
        """
        now = self._database.now()

        def change(connection: apsw.Connection) -> Version:
            row = _require(connection, upload_id, "completing", holder=self._owner.id)
            version = self._commit_below(connection, row, new, check)
            connection.execute("DELETE FROM upload_parts WHERE upload = ?", (row,))
            connection.execute(
                "UPDATE uploads SET state = 'completed', finished = ?, result = ? WHERE row = ?",
                (now, saved_version(version), row),
            )
            return version

        version = await self._database.change(change)
        self._versions.settle(new)
        return version

    async def commit_unseen(self, upload_id: str, new: NewVersion, check: Check | None = None) -> Version:
        """The same for an upload that no client ever saw (it is still 'opening'); its row goes with the commit."""

        def change(connection: apsw.Connection) -> Version:
            row = _require(connection, upload_id, "opening", holder=self._owner.id)
            version = self._commit_below(connection, row, new, check)
            connection.execute("DELETE FROM uploads WHERE row = ?", (row,))
            return version

        version = await self._database.change(change)
        self._versions.settle(new)
        return version

    def _commit_below(self, connection: apsw.Connection, row: int, new: NewVersion, check: Check | None) -> Version:
        """Commit a version whose blobs may be new at or below the upload's own name."""
        ((blob,),) = connection.execute("SELECT blob FROM uploads WHERE row = ?", (row,)).fetchall()

        def is_new(name: str) -> bool:
            return name == blob or name.startswith(f"{blob}/") or name in self._pending

        return commit_version(connection, self._versions.change_of(new, check, is_new))

    async def begin_abort(self, upload_id: str) -> None:
        """No more parts; the backend may end it. S3Error NoSuchUpload unless open."""

        def change(connection: apsw.Connection) -> None:
            row = _require(connection, upload_id, "open")
            connection.execute("UPDATE uploads SET state = 'aborting' WHERE row = ?", (row,))

        await self._database.change(change)

    async def forget(self, upload_id: str) -> None:
        """The backend ended an aborted upload, or never opened it: drop its rows."""
        await self._database.run(
            "DELETE FROM uploads WHERE id = ? AND state IN ('opening', 'aborting')", [(upload_id,)]
        )

    async def stale(self) -> list[Upload]:
        """Up to 1000 uploads that the backend should end and the caller then ``forget``; all are 'aborting' now.

        On the way: openings of dead processes become aborting, their completions open again, results older than
        seven days are dropped.
        """
        long_ago = self._database.now() - RESULT_KEPT_MS

        def change(connection: apsw.Connection) -> list[Upload]:
            held = "state IN ('opening', 'completing')"
            for (holder,) in connection.execute(f"SELECT DISTINCT holder FROM uploads WHERE {held}").fetchall():
                if not self._owner.alive(str(holder)):
                    connection.execute(
                        f"UPDATE uploads SET state = CASE state WHEN 'opening' THEN 'aborting' ELSE {_OPEN_OR_ABORTING}"
                        f" END WHERE holder = ? AND {held}",
                        (holder,),
                    )
            connection.execute("DELETE FROM uploads WHERE state = 'completed' AND finished < ?", (long_ago,))
            rows = connection.execute(f"SELECT {UPLOAD} FROM uploads u WHERE u.state = 'aborting' LIMIT 1000")
            return [upload_of(row) for row in rows.fetchall()]

        return await self._database.change(change)


def _require(connection: apsw.Connection, upload_id: str, state: str, holder: str | None = None) -> int:
    """The row number of an upload in that state (and held by ``holder``), else S3Error NoSuchUpload."""
    row = first_row(connection, "SELECT row, state, holder FROM uploads WHERE id = ?", (upload_id,))
    if row is None or row[1] != state or (holder is not None and row[2] != holder):
        raise S3Error("NoSuchUpload")
    return int(row[0])
