"""What the ten hooks carry: each takes one frozen request and gives one frozen result.

A field that is added later has a default, and so breaks no plugin.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from gateway.model.bodies import Body, Region, no_pairs


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
    metadata: Mapping[str, str] = field(default_factory=no_pairs)


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
    metadata: Mapping[str, str] = field(default_factory=no_pairs)
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

    details: Mapping[str, str] = field(default_factory=no_pairs)


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateMPURequest:
    name: str
    metadata: Mapping[str, str] = field(default_factory=no_pairs)


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
