"""What the catalogue keeps: accounts, buckets, versions, uploads and the pages of a listing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import NamedTuple

from gateway.model.bodies import no_pairs
from gateway.model.record import record


@record(frozen=True, slots=True)
class Account:
    """Who may sign requests. ``id`` is S3's canonical user id: 64 lower-case hex digits."""

    id: str
    name: str
    display_name: str
    email: str | None = None


@record(frozen=True, slots=True)
class AccessKey:
    """A key pair without its secret."""

    access_key: str
    account: str
    created: float


@record(frozen=True, slots=True)
class Bucket:
    """A bucket. ``id`` is never used again, so that a bucket of the same name made later is another one.

    ``constraint`` is the LocationConstraint that the client sent, "" where it sent none.
    """

    id: int
    name: str
    owner: str
    location: str
    constraint: str
    created: float


@record(frozen=True, slots=True)
class Piece:
    """A stretch of one blob: ``size`` stored bytes at ``start``; ``crcs`` holds one big-endian CRC32C (4 bytes) per
    started MiB of the stretch, counted from ``start``."""

    blob: str
    start: int
    size: int
    crcs: bytes


@record(frozen=True, slots=True)
class PartFacts:
    """What a completed version remembers of one of its parts (``checksums``: algorithm -> base64)."""

    number: int
    size: int
    checksums: Mapping[str, str] = field(default_factory=no_pairs)


@record(frozen=True, slots=True, kw_only=True)
class Content:
    """What a client says about an object when it writes it; the same for put, copy and multipart.

    ``headers``: lower-case names of the content headers that S3 keeps (content-type, cache-control,
    content-disposition, content-encoding, content-language, expires, x-amz-website-redirect-location).
    ``metadata``: user metadata without the ``x-amz-meta-`` prefix, lower-case names.
    """

    headers: Mapping[str, str] = field(default_factory=no_pairs)
    metadata: Mapping[str, str] = field(default_factory=no_pairs)
    storage_class: str = "STANDARD"


@record(frozen=True, slots=True, kw_only=True)
class NewVersion:
    """A version that is about to be committed.

    ``etag`` has no quotes. ``checksums``: algorithm (as S3 names it: CRC64NVME) -> base64.
    ``checksum_type``: "FULL_OBJECT", "COMPOSITE" or "". ``stored``: bytes in the location.
    """

    bucket: int
    key: bytes
    owner: str
    location: str
    size: int
    stored: int
    etag: str
    pieces: tuple[Piece, ...]
    content: Content = Content()
    checksums: Mapping[str, str] = field(default_factory=no_pairs)
    checksum_type: str = ""
    parts: tuple[PartFacts, ...] = ()


@record(frozen=True, slots=True, kw_only=True)
class Version:
    """A committed version, without its pieces (ask the catalogue for those of a range).

    ``id`` is the sequence number drawn inside the committing transaction; ``version_id`` is S3's name for it.
    ``modified`` never goes back for one key. ``part_count`` is 0 unless it came from a multipart upload.
    """

    id: int
    bucket: int
    key: bytes
    version_id: str
    owner: str
    location: str
    size: int
    stored: int
    etag: str
    modified: float
    content: Content
    checksums: Mapping[str, str] = field(default_factory=no_pairs)
    checksum_type: str = ""
    part_count: int = 0


@record(frozen=True, slots=True, kw_only=True)
class Upload:
    """A multipart upload. ``state``: opening, open, completing, completed, aborting.

    ``blob`` is the blob name given to createMPU, ``token`` what createMPU answered ("" while opening).
    """

    id: str
    bucket: int
    key: bytes
    owner: str
    location: str
    blob: str
    token: str
    state: str
    started: float
    content: Content
    checksum_algorithm: str = ""
    checksum_type: str = ""


@record(frozen=True, slots=True, kw_only=True)
class UploadedPart:
    """A part that was uploaded and acknowledged; ``receipt`` is what uploadPart answered."""

    number: int
    size: int
    stored: int
    etag: str
    receipt: str
    crcs: bytes
    modified: float
    checksums: Mapping[str, str] = field(default_factory=no_pairs)


class ListedObject(NamedTuple):
    """One key of a listing page. (A tuple, for a page makes a thousand.)"""

    key: bytes
    size: int
    etag: str
    modified: float
    storage_class: str
    owner: str
    checksum_algorithm: str = ""
    checksum_type: str = ""


@record(frozen=True, slots=True)
class ListingPage:
    """A page of a listing, keys and common prefixes together in byte order of their names.

    ``after`` is what the next page starts after (pass it back as ``after``), None at the end.
    """

    objects: tuple[ListedObject, ...]
    prefixes: tuple[bytes, ...]
    after: bytes | None
