"""A body becomes blobs of a location. What is kept here is referred to by nobody until the catalogue commits it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from twisted.logger import Logger

from gateway.bodies import BytesBody
from gateway.errors import BackendError, S3Error
from gateway.model import (
    NOTHING,
    AbortMPURequest,
    BlobSize,
    Body,
    ChosenPart,
    CompleteMPURequest,
    Content,
    CreateMPURequest,
    DeleteRequest,
    ListRequest,
    NewVersion,
    Piece,
    PutRequest,
    Upload,
    UploadPartRequest,
)
from gateway.model.record import record
from gateway.operations.gateway import Gateway
from gateway.operations.manifest import MANIFEST, OWN_BLOB, Manifest, beside, blob_of
from gateway.plugins.location import Location
from gateway.streams import Cut, Intake, Measured
from gateway.verifier import VerifiedCall

log = Logger()

LARGEST_BODY = 5 * 1024**3  # S3: one PutObject or UploadPart carries at most 5 GiB
_UNSIZED_PART = 8 * 1024**2


@record(frozen=True, slots=True)
class Kept:
    """Bytes that are safe in a location. ``upload``: the row of the unseen upload that made them, or "".

    ``described``: what lies beside them tells everything; else their version needs a manifest of its own.
    """

    pieces: tuple[Piece, ...]
    size: int
    upload: str = ""
    described: bool = True

    def names(self) -> list[str]:
        return [piece.blob for piece in self.pieces]


def demand_length(call: VerifiedCall) -> None:
    """An object's body says how long it is, or comes in HTTP chunks; S3 takes silence for a mistake (411)."""
    headers = call.call.headers
    if "content-length" not in headers and "transfer-encoding" not in headers:
        raise S3Error("MissingContentLength")


async def keep(gateway: Gateway, location: Location, body: Body, manifest: Manifest | None) -> Kept:
    """Put a body of known size, cut where it is larger than the backend's largest blob.

    ``manifest`` lies beside a blob that is the whole body; None: its version gets a manifest of its own anyway.
    """
    size = body.size
    assert size is not None, "a body of unknown size goes through keep_unsized"
    largest = location.capabilities.largest_blob or size or 1
    if size <= largest:
        name = await gateway.catalogue.blobs.name(location.name)
        pair = beside(gateway.seal, manifest, name, location.capabilities) if manifest else NOTHING
        return Kept((await _put(gateway, location, name, body, size, pair),), size, described=bool(pair))
    cut, pieces = Cut(body), []
    try:
        for start in range(0, size, largest):
            length = min(largest, size - start)
            name = await gateway.catalogue.blobs.name(location.name)
            pieces.append(await _put(gateway, location, name, cut.slice(length), length, NOTHING))
    except BaseException:
        await discard(gateway, location.name, [piece.blob for piece in pieces])
        raise
    return Kept(tuple(pieces), size, described=False)


async def keep_manifest(gateway: Gateway, location: Location, manifest: Manifest, new: NewVersion) -> NewVersion:
    """Keep what is known of ``new`` as a blob; gives the version with that blob as its last piece, of no bytes."""
    name = await gateway.catalogue.blobs.name(location.name)
    data = blob_of(gateway.seal, replace(manifest, whole=new), name)
    await _put(gateway, location, name, BytesBody(data), len(data), {MANIFEST: OWN_BLOB})
    return replace(new, pieces=(*new.pieces, Piece(name, 0, 0, b"")))


async def _put(
    gateway: Gateway, location: Location, name: str, body: Body, size: int, metadata: Mapping[str, str]
) -> Piece:
    measured = body if isinstance(body, Intake) else Measured(body)
    try:
        await location.put(PutRequest(name=name, body=measured, size=size, metadata=metadata))
    except BaseException:
        # The backend may have kept it all the same (a lost answer); nobody will ever refer to it.
        await discard(gateway, location.name, [name])
        raise
    return Piece(name, 0, size, measured.crcs())


async def discard(gateway: Gateway, location: str, names: Sequence[str]) -> None:
    """Names that nobody will refer to: the reaper deletes what lies under them.

    Where even that cannot be noted (a full disk), the first error counts: the names stay pending under this process's
    lease, and are swept when it is gone.
    """
    try:
        await gateway.catalogue.blobs.dispose(location, names)
    except S3Error as fault:
        log.warn("{count} blob names stay until the next start: {fault}", count=len(names), fault=fault)


async def keep_unsized(gateway: Gateway, location: Location, body: Body, bucket: int, manifest: Manifest) -> Kept:
    """Keep a body whose length only its end tells, in parts of 8 MiB through the multipart hooks; a small one whole.

    The row in the catalogue stays "opening": no client sees it, and the reaper ends what a crash leaves behind.
    """
    cut = Cut(body)
    data = await cut.upto(_UNSIZED_PART)
    if len(data) < _UNSIZED_PART:  # that is all of it, and proved
        return await keep(gateway, location, BytesBody(data), manifest)
    name = await gateway.catalogue.blobs.name(location.name)
    upload = await gateway.catalogue.uploads.create(
        bucket=bucket, key=manifest.key, owner=manifest.owner, location=location.name, blob=name, content=Content()
    )
    try:
        pair = beside(gateway.seal, replace(manifest, upload=name), name, location.capabilities)
        token = (await location.createMPU(CreateMPURequest(name=name, metadata=pair))).token
        chosen: list[ChosenPart] = []
        crcs: list[bytes] = []
        total = 0
        while data:
            total += len(data)
            if total > LARGEST_BODY:
                raise S3Error("EntityTooLarge")
            measured = Measured(BytesBody(data))
            number = len(chosen) + 1
            part = UploadPartRequest(name=name, token=token, number=number, body=measured, size=len(data))
            receipt = (await location.uploadPart(part)).receipt
            chosen.append(ChosenPart(number=number, size=len(data), receipt=receipt))
            crcs.append(measured.crcs())
            data = await cut.upto(_UNSIZED_PART)
        done = await location.completeMPU(CompleteMPURequest(name=name, token=token, parts=tuple(chosen)))
    except BaseException:
        await give_up(gateway, location, upload)
        raise
    return Kept(pieces_of(done.blobs, [part.size for part in chosen], crcs), total, upload.id, described=False)


def pieces_of(blobs: Sequence[BlobSize], sizes: Sequence[int], crcs: Sequence[bytes]) -> tuple[Piece, ...]:
    """One piece per part: either each part is a blob of its own, or all lie in one blob, one after another."""
    if len(blobs) == len(sizes):
        return tuple(Piece(blob.name, 0, size, crc) for blob, size, crc in zip(blobs, sizes, crcs, strict=True))
    if len(blobs) != 1:
        raise BackendError(f"completeMPU joined {len(sizes)} parts into {len(blobs)} blobs")
    pieces, start = [], 0
    for size, crc in zip(sizes, crcs, strict=True):
        pieces.append(Piece(blobs[0].name, start, size, crc))
        start += size
    return tuple(pieces)


async def give_up(gateway: Gateway, location: Location, upload: Upload) -> None:
    """End an upload that no client ever saw, as far as that goes now; what stays is ended after this process's end."""
    try:
        await end_upload(location, upload.blob)
        await gateway.catalogue.uploads.forget(upload.id)
    except (BackendError, S3Error) as fault:
        log.warn("upload {id} stays until the next start: {fault}", id=upload.id, fault=fault)


async def end_upload(location: Location, name: str) -> None:
    """Free everything of an upload that was never committed, also where the backend had completed it already."""
    await location.abortMPU(AbortMPURequest(name=name))
    await location.delete(DeleteRequest(name=name))
    after = ""
    while True:
        page = await location.list(ListRequest(prefix=f"{name}/", after=after))
        for blob in page.blobs:
            await location.delete(DeleteRequest(name=blob.name))
        if page.after is None:
            return
        after = page.after
