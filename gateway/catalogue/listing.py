"""Pages of a listing. A page costs what is on it: a common prefix is one seek, however many keys lie below it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

from gateway.catalogue.database import Database
from gateway.catalogue.rows import ALGORITHMS
from gateway.model import ListedObject, ListingPage

# Keys are UTF-8, in which the byte 0xff never occurs: every key sorts before it.
BEYOND = b"\xff"

# The place in ALGORITHMS of the checksum that a version has: most have the one that S3 takes by itself.
_CHECKSUM = " ".join(
    f"WHEN v.{name.lower()} NOT NULL THEN {ALGORITHMS.index(name)}"
    for name in sorted(ALGORITHMS, key=lambda name: name != "CRC64NVME")
)
_PAGE = (
    "SELECT c.key, v.size, v.etag, v.modified / 1000.0, v.storage_class, v.owner,"
    f" CASE {_CHECKSUM} ELSE {len(ALGORITHMS)} END, v.checksum_type"
    " FROM current_versions c CROSS JOIN versions v ON v.id = c.version"
    " WHERE c.bucket = ? AND c.key >= ? AND c.key < ? ORDER BY c.key"
)
_NAMES = (*ALGORITHMS, "")


class Listing:
    """Pages of the current versions of a bucket."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(
        self, bucket_id: int, *, prefix: bytes = b"", delimiter: bytes = b"", after: bytes = b"", limit: int = 1000
    ) -> ListingPage:
        """Up to ``limit`` keys and common prefixes together, strictly after the name ``after``.

        ``after`` may be a common prefix: then everything below it is skipped. See ``whole`` for clients' markers.
        """
        if is_common_prefix(after, prefix, delimiter):
            first = beyond(after)
        else:
            first = max(prefix, after + b"\0" if after else b"")
        last = beyond(prefix)

        def seek(key: bytes) -> Iterator[Any]:
            return iter(self._database.reader.execute(_PAGE, (bucket_id, key, last)))

        with self._database.snapshot():
            rows, prefixes, more = skim(seek, first, prefix, delimiter, limit)
        objects = tuple(
            [
                ListedObject(key, size, etag, modified, storage_class, owner, _NAMES[checksum], kind)
                for key, size, etag, modified, storage_class, owner, checksum, kind in rows
            ]
        )
        names = [*(entry.key for entry in objects[-1:]), *prefixes[-1:]]
        return ListingPage(objects, tuple(prefixes), max(names) if more else None)


def skim(
    seek: Callable[[bytes], Iterator[Any]], first: bytes, prefix: bytes, delimiter: bytes, limit: int
) -> tuple[list[Any], list[bytes], bool]:
    """Rows (their first column is the key) and common prefixes, and whether there are more than ``limit`` of both.

    ``seek(key)`` gives the rows from ``key`` on; they are fetched one by one, so those not looked at cost nothing.
    """
    found: list[Any] = []
    prefixes: list[bytes] = []
    if limit <= 0:
        return found, prefixes, False
    rows = seek(first)
    if not delimiter:
        found = list(islice(rows, limit + 1))
        return found[:limit], prefixes, len(found) > limit
    while (row := next(rows, None)) is not None:
        if len(found) + len(prefixes) == limit:
            return found, prefixes, True
        common = common_prefix(row[0], prefix, delimiter)
        if common is None:
            found.append(row)
        else:
            prefixes.append(common)
            rows = seek(beyond(common))
    return found, prefixes, False


def common_prefix(key: bytes, prefix: bytes, delimiter: bytes) -> bytes | None:
    """``key`` up to and with the first delimiter behind ``prefix``; None where there is none."""
    at = key.find(delimiter, len(prefix)) if delimiter else -1
    return None if at < 0 else key[: at + len(delimiter)]


def is_common_prefix(name: bytes, prefix: bytes, delimiter: bytes) -> bool:
    """Could ``name`` be a common prefix of this listing?"""
    return name.startswith(prefix) and common_prefix(name, prefix, delimiter) == name


def whole(marker: bytes, prefix: bytes, delimiter: bytes) -> bytes:
    """The common prefix of this listing that a client's marker lies below, for S3 skips all of it; else the marker.

    So it reads ``marker`` and ``key-marker``, yet not ``start-after``.
    """
    return (common_prefix(marker, prefix, delimiter) or marker) if marker.startswith(prefix) else marker


def beyond(prefix: bytes) -> bytes:
    """The first name that sorts after everything that starts with ``prefix``."""
    stem = prefix.rstrip(BEYOND)
    return stem[:-1] + bytes([stem[-1] + 1]) if stem else BEYOND
