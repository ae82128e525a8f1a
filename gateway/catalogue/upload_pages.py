"""Pages of the open uploads of a bucket, by key and then by age (S3's ListMultipartUploads)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from gateway.catalogue.database import Database
from gateway.catalogue.listing import beyond, is_common_prefix, skim, whole
from gateway.catalogue.rows import UPLOAD, upload_of
from gateway.model import Upload

_PAGE = (
    f"SELECT u.key, {UPLOAD} FROM uploads u"
    " WHERE u.bucket = ? AND u.state = 'open' AND (u.key, u.id) > (?, ?) AND u.key < ? ORDER BY u.key, u.id"
)


@dataclass(frozen=True, slots=True)
class UploadsPage:
    """Open uploads by key and age, and common prefixes. The next page starts after (``next_key``, ``next_id``);
    ``next_key`` is None at the end, ``next_id`` is "" after a common prefix."""

    uploads: tuple[Upload, ...]
    prefixes: tuple[bytes, ...]
    next_key: bytes | None
    next_id: str


def page_of(
    database: Database,
    bucket_id: int,
    prefix: bytes,
    delimiter: bytes,
    key_marker: bytes,
    id_marker: str,
    limit: int,
) -> UploadsPage:
    """What ``Uploads.page`` promises."""
    below = whole(key_marker, prefix, delimiter)
    if is_common_prefix(below, prefix, delimiter):
        first = (beyond(below), "")
    elif key_marker:
        first = max((prefix, ""), (key_marker, id_marker) if id_marker else (key_marker + b"\0", ""))
    else:
        first = (prefix, "")
    last = beyond(prefix)

    def seek(key: bytes) -> Iterator[Any]:
        start = first if key == first[0] else (key, "")
        return iter(database.reader.execute(_PAGE, (bucket_id, *start, last)))

    with database.snapshot():
        rows, prefixes, more = skim(seek, first[0], prefix, delimiter, limit)
    uploads = tuple(upload_of(row[1:]) for row in rows)
    next_key, next_id = None, ""
    if more:
        ends = [*((upload.key, upload.id) for upload in uploads[-1:]), *((name, "") for name in prefixes[-1:])]
        next_key, next_id = max(ends)
    return UploadsPage(uploads, tuple(prefixes), next_key, next_id)
