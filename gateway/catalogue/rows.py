"""How values of ``gateway.model`` lie in columns."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any

from gateway.model import NOTHING, Content, Upload, UploadedPart, Version

# In the order of their columns: five came later.
ALGORITHMS = ("CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256", "MD5", "SHA512", "XXHASH128", "XXHASH3", "XXHASH64")

VERSION = (
    "v.id, v.bucket, v.key, v.version_id, v.owner, v.location, v.size, v.stored, v.etag, v.modified,"
    " v.headers, v.metadata, v.storage_class, v.crc32, v.crc32c, v.crc64nvme, v.sha1, v.sha256,"
    " v.checksum_type, v.part_count, v.md5, v.sha512, v.xxhash128, v.xxhash3, v.xxhash64"
)
UPLOAD = (
    "u.id, u.bucket, u.key, u.owner, u.location, u.blob, u.token, u.state, u.started,"
    " u.headers, u.metadata, u.storage_class, u.checksum_algorithm, u.checksum_type"
)
UPLOADED_PART = "p.number, p.size, p.stored, p.etag, p.receipt, p.crcs, p.modified, p.checksums"


def text_of(pairs: Mapping[str, str]) -> str:
    """JSON, or "" for no pairs."""
    return json.dumps(dict(pairs), separators=(",", ":")) if pairs else ""


@lru_cache(maxsize=1024)
def _pairs(text: str) -> Mapping[str, str]:
    return MappingProxyType(json.loads(text))


def pairs_of(text: str) -> Mapping[str, str]:
    """The pairs of ``text_of``, read-only."""
    return _pairs(text) if text else NOTHING


def checksum_columns(checksums: Mapping[str, str]) -> tuple[list[str | None], list[str | None]]:
    """One value per checksum column: the first five, and the later ones. ValueError for an algorithm that has none."""
    if unknown := checksums.keys() - set(ALGORITHMS):
        raise ValueError(f"no column for checksums {sorted(unknown)}")
    values = [checksums.get(name) for name in ALGORITHMS]
    return values[:5], values[5:]


def _checksums(columns: tuple[Any, ...]) -> Mapping[str, str]:
    if not any(columns):
        return NOTHING
    # Not strict: what an older gateway kept of a completion (``saved_version``) has only the first columns.
    return MappingProxyType({name: value for name, value in zip(ALGORITHMS, columns, strict=False) if value})


def version_of(row: Any) -> Version:
    """A version from the columns of ``VERSION``."""
    return Version(
        id=row[0],
        bucket=row[1],
        key=row[2],
        version_id=row[3],
        owner=row[4],
        location=row[5],
        size=row[6],
        stored=row[7],
        etag=row[8],
        modified=row[9] / 1000,
        content=Content(headers=pairs_of(row[10]), metadata=pairs_of(row[11]), storage_class=row[12]),
        checksums=_checksums(row[13:18] + row[20:]),
        checksum_type=row[18],
        part_count=row[19],
    )


def version_columns(version: Version) -> tuple[Any, ...]:
    """The columns of ``VERSION``: the other way round."""
    first, later = checksum_columns(version.checksums)
    return (
        version.id,
        version.bucket,
        version.key,
        version.version_id,
        version.owner,
        version.location,
        version.size,
        version.stored,
        version.etag,
        round(version.modified * 1000),
        text_of(version.content.headers),
        text_of(version.content.metadata),
        version.content.storage_class,
        *first,
        version.checksum_type,
        version.part_count,
        *later,
    )


def upload_of(row: Any) -> Upload:
    """An upload from the columns of ``UPLOAD``."""
    return Upload(
        id=row[0],
        bucket=row[1],
        key=row[2],
        owner=row[3],
        location=row[4],
        blob=row[5],
        token=row[6],
        state=row[7],
        started=row[8] / 1000,
        content=Content(headers=pairs_of(row[9]), metadata=pairs_of(row[10]), storage_class=row[11]),
        checksum_algorithm=row[12],
        checksum_type=row[13],
    )


def upload_columns(upload: Upload) -> tuple[Any, ...]:
    """The columns of ``UPLOAD``: the other way round."""
    return (
        upload.id,
        upload.bucket,
        upload.key,
        upload.owner,
        upload.location,
        upload.blob,
        upload.token,
        upload.state,
        round(upload.started * 1000),
        text_of(upload.content.headers),
        text_of(upload.content.metadata),
        upload.content.storage_class,
        upload.checksum_algorithm,
        upload.checksum_type,
    )


def uploaded_part_of(row: Any) -> UploadedPart:
    """A part from the columns of ``UPLOADED_PART``."""
    number, size, stored, etag, receipt, crcs, modified, checksums = row
    return UploadedPart(
        number=number,
        size=size,
        stored=stored,
        etag=etag,
        receipt=receipt,
        crcs=crcs,
        modified=modified / 1000,
        checksums=pairs_of(checksums),
    )


def uploaded_part_columns(part: UploadedPart) -> tuple[Any, ...]:
    """The columns of ``UPLOADED_PART``: the other way round."""
    return (
        part.number,
        part.size,
        part.stored,
        part.etag,
        part.receipt,
        part.crcs,
        round(part.modified * 1000),
        text_of(part.checksums),
    )


def saved_version(version: Version) -> str:
    """JSON that ``kept_version`` reads; the key is left out (bytes), its upload knows it."""
    columns = list(version_columns(version))
    columns[2] = None
    return json.dumps(columns)


def kept_version(text: str, key: bytes) -> Version:
    """The version of ``saved_version``."""
    columns = json.loads(text)
    columns[2] = key
    return version_of(columns)


def marks(count: int) -> str:
    """``?, ?, ?``: a parameter per column."""
    return ", ".join("?" * count)


def names_above(name: str) -> Iterator[str]:
    """``a/b/c``, then ``a/b``, then ``a``."""
    while name:
        yield name
        name = name.rpartition("/")[0]
