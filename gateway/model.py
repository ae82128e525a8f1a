"""Frozen values that travel between the rooms: what a client asked, what it gets, and what the hooks carry.

Sizes and offsets are bytes, times are seconds since the epoch (float) unless a name says otherwise.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Protocol, runtime_checkable

NOTHING: Mapping[str, str] = MappingProxyType({})


def _no_pairs() -> Mapping[str, str]:
    return NOTHING  # a default value must be hashable, and Python 3.11's mapping proxy is not


@runtime_checkable
class Body(Protocol):
    """Bytes on their way, read once: ``async for`` gives chunks of 1 byte to 1 MiB.

    ``size`` is the number of bytes to come, or None where only the end tells. ``close()`` gives back whatever
    the body holds (socket, file, slot); it is safe before the first read, after the end, after cancel, and twice.
    """

    size: int | None

    def __aiter__(self) -> AsyncIterator[bytes]: ...

    def close(self) -> None: ...


class Region(Protocol):
    """An open stretch of a file: ``length`` bytes at ``offset`` of descriptor ``fd``, until ``close()``."""

    fd: int
    offset: int
    length: int

    def close(self) -> None: ...


# ---------------------------------------------------------------- accounts and the catalogue's rows


@dataclass(frozen=True, slots=True)
class Account:
    """Who may sign requests. ``id`` is S3's canonical user id: 64 lower-case hex digits."""

    id: str
    name: str
    display_name: str
    email: str | None = None


@dataclass(frozen=True, slots=True)
class AccessKey:
    """A key pair without its secret."""

    access_key: str
    account: str
    created: float


@dataclass(frozen=True, slots=True)
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


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of one blob: ``size`` stored bytes at ``start``; ``crcs`` holds one big-endian CRC32C (4 bytes) per
    started MiB of the stretch, counted from ``start``."""

    blob: str
    start: int
    size: int
    crcs: bytes


@dataclass(frozen=True, slots=True)
class PartFacts:
    """What a completed version remembers of one of its parts (``checksums``: algorithm -> base64)."""

    number: int
    size: int
    checksums: Mapping[str, str] = field(default_factory=_no_pairs)


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """What a client says about an object when it writes it; the same for put, copy and multipart.

    ``headers``: lower-case names of the content headers that S3 keeps (content-type, cache-control,
    content-disposition, content-encoding, content-language, expires, x-amz-website-redirect-location).
    ``metadata``: user metadata without the ``x-amz-meta-`` prefix, lower-case names.
    """

    headers: Mapping[str, str] = field(default_factory=_no_pairs)
    metadata: Mapping[str, str] = field(default_factory=_no_pairs)
    storage_class: str = "STANDARD"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewVersion:
    """A version that is about to be committed.

    ``etag`` has no quotes. ``checksums``: algorithm (CRC32, CRC32C, CRC64NVME, SHA1, SHA256) -> base64.
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
    checksums: Mapping[str, str] = field(default_factory=_no_pairs)
    checksum_type: str = ""
    parts: tuple[PartFacts, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
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
    checksums: Mapping[str, str] = field(default_factory=_no_pairs)
    checksum_type: str = ""
    part_count: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
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


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadedPart:
    """A part that was uploaded and acknowledged; ``receipt`` is what uploadPart answered."""

    number: int
    size: int
    stored: int
    etag: str
    receipt: str
    crcs: bytes
    modified: float
    checksums: Mapping[str, str] = field(default_factory=_no_pairs)


@dataclass(frozen=True, slots=True)
class ListedObject:
    """One key of a listing page."""

    key: bytes
    size: int
    etag: str
    modified: float
    storage_class: str
    owner: str
    checksum_algorithms: tuple[str, ...] = ()
    checksum_type: str = ""


@dataclass(frozen=True, slots=True)
class ListingPage:
    """A page of a listing, keys and common prefixes together in byte order of their names.

    ``after`` is what the next page starts after (pass it back as ``after``), None at the end.
    """

    objects: tuple[ListedObject, ...]
    prefixes: tuple[bytes, ...]
    after: bytes | None


# ---------------------------------------------------------------- the line: call and reply


@dataclass(frozen=True, slots=True)
class Call:
    """What a client asked, once its headers are complete; the body is still unread.

    ``path`` and ``query`` are raw (percent-encoded ASCII, as they came; query without the "?"). ``headers`` has
    lower-case names; repeated fields are joined with "," in their order; values are UTF-8 text, trimmed.
    ``id`` is the x-amz-request-id of the reply. ``peer`` is the address that connected.
    """

    id: str
    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: Body
    peer: str
    secure: bool
    received: float


@dataclass(frozen=True, slots=True)
class Facts:
    """What the access log and the metrics want to know about a reply."""

    operation: str = "-"
    bucket: str = ""
    key: bytes = b""
    access_key: str = ""
    account: str = ""
    code: str = ""  # the S3 error code, "" for success
    cause: str = ""  # what the operator should know (never sent to the client)


@dataclass(frozen=True, slots=True)
class Reply:
    """What the client gets. ``length`` overrides the Content-Length where no body is sent (HEAD).

    ``close``: the connection ends after this reply. Header names are written as given.
    """

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes | Body = b""
    length: int | None = None
    close: bool = False
    facts: Facts = Facts()


# ---------------------------------------------------------------- what the ten hooks carry


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What a backend declares about itself; the conformance kit proves it. None means no limit.

    ``shared``: several processes that open the backend with the same settings see the same blobs.
    ``refuses(name)`` gives the reason why a blob name cannot be kept, or None.
    ``metadata_pairs``, ``metadata_size``: how many pairs and how many bytes (names and values together) are kept.
    """

    shared: bool
    largest_blob: int | None = None
    smallest_part: int = 1  # every part but the last
    largest_part: int | None = None
    most_parts: int | None = None
    metadata_pairs: int | None = None
    metadata_size: int | None = None
    refuses: Callable[[str], str | None] = field(default=lambda name: None)


@dataclass(frozen=True, slots=True, kw_only=True)
class PutRequest:
    """Keep ``body`` (exactly ``size`` bytes) under ``name``. ``if_absent``: BlobExists when the name is taken."""

    name: str
    body: Body
    size: int
    if_absent: bool = False
    metadata: Mapping[str, str] = field(default_factory=_no_pairs)


@dataclass(frozen=True, slots=True)
class PutResult:
    """``fingerprint``: opaque text that changes whenever the blob's bytes do."""

    fingerprint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GetRequest:
    """Give ``length`` bytes from ``start`` (None: to the end). ``expect``: BlobChanged unless the fingerprint is this.

    A start beyond the end gives no bytes; a length beyond the end gives what there is.
    """

    name: str
    start: int = 0
    length: int | None = None
    expect: str | None = None


@dataclass(frozen=True, slots=True)
class GetResult:
    """Exactly one of ``body`` and ``region`` is set. ``size`` is the whole blob's size, not the range's."""

    size: int
    fingerprint: str
    body: Body | None = None
    region: Region | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadRequest:
    name: str


@dataclass(frozen=True, slots=True)
class HeadResult:
    size: int
    fingerprint: str
    metadata: Mapping[str, str] = field(default_factory=_no_pairs)
    modified: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteRequest:
    """Forget a blob; a missing one is fine. ``expect``: BlobChanged unless the fingerprint is this."""

    name: str
    expect: str | None = None


@dataclass(frozen=True, slots=True)
class DeleteResult:
    """Nothing to tell: the blob is gone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListRequest:
    """Up to ``limit`` names that start with ``prefix`` and come after ``after``, in byte order."""

    prefix: str = ""
    after: str = ""
    limit: int = 1000


@dataclass(frozen=True, slots=True)
class ListedBlob:
    name: str
    size: int
    fingerprint: str
    modified: float | None = None


@dataclass(frozen=True, slots=True)
class ListResult:
    """``after``: pass it back for the next page; None at the end."""

    blobs: tuple[ListedBlob, ...]
    after: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthcheckRequest:
    """``probe``: a blob name that nobody else uses, free to be written and deleted by this check."""

    probe: str


@dataclass(frozen=True, slots=True)
class HealthcheckResult:
    """The backend works. (One that does not raises BackendDown, BackendDenied, BackendFull ... instead.)

    ``details``: figures for the operator, such as free_bytes.
    """

    details: Mapping[str, str] = field(default_factory=_no_pairs)


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateMPURequest:
    name: str
    metadata: Mapping[str, str] = field(default_factory=_no_pairs)


@dataclass(frozen=True, slots=True)
class CreateMPUResult:
    """``token``: the backend's own name for the upload."""

    token: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadPartRequest:
    """Part ``number`` (1 to 10,000) of an upload; a number sent again is another part until one is chosen."""

    name: str
    token: str
    number: int
    body: Body
    size: int


@dataclass(frozen=True, slots=True)
class UploadPartResult:
    """``receipt``: what completeMPU needs to choose this very part."""

    receipt: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ChosenPart:
    number: int
    size: int
    receipt: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CompleteMPURequest:
    """Join the chosen parts in this order. Asking again with the same parts gives the same answer."""

    name: str
    token: str
    parts: tuple[ChosenPart, ...]
    if_absent: bool = False


@dataclass(frozen=True, slots=True)
class BlobSize:
    name: str
    size: int


@dataclass(frozen=True, slots=True)
class CompleteMPUResult:
    """``blobs``: what now holds the bytes, in order: the one blob ``name``, or one blob per chosen part."""

    fingerprint: str
    blobs: tuple[BlobSize, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AbortMPURequest:
    """End the upload ``token`` under ``name``; without a token every open upload under that name.

    A completed upload is not open any more: what it joined stays.
    """

    name: str
    token: str | None = None


@dataclass(frozen=True, slots=True)
class AbortMPUResult:
    """Nothing to tell: the upload is gone."""
