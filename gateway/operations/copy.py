"""CopyObject: inside a location a copy is one more row that refers to the same blobs; no byte moves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from gateway import access
from gateway.errors import S3Error
from gateway.model import Bucket, Content, NewVersion, Piece, Reply, Version
from gateway.operations import store
from gateway.operations.gateway import Gateway, Operation, found_again, key_of, owner_of, the
from gateway.operations.manifest import describe
from gateway.operations.put import commit
from gateway.streams import Outflow, Tally
from gateway.verifier import VerifiedCall
from gateway.wire import checksums, conditions, request, xml_write

_XML = ("Content-Type", "application/xml")
_NOT_COPIED = ("x-amz-website-redirect-location",)


@dataclass(frozen=True, slots=True)
class Source:
    """What x-amz-copy-source names, found and allowed."""

    bucket: Bucket
    version: Version


async def find_source(gateway: Gateway, call: VerifiedCall, asked: request.CopySource) -> Source:
    """The version that the call copies from. Raises as S3 does for a source that is missing or not the caller's."""
    bucket = await gateway.catalogue.buckets.find(asked.bucket)
    if bucket is None:
        raise S3Error("NoSuchBucket", fields={"BucketName": asked.bucket})
    if not access.allows(call.account, "GetObject", bucket):
        raise S3Error("AccessDenied")
    expected = call.route.headers.get("x-amz-source-expected-bucket-owner")
    if expected is not None and expected != bucket.owner:
        raise S3Error("AccessDenied", cause="x-amz-source-expected-bucket-owner names another account")
    if not request.is_current(asked.version_id):
        raise S3Error("NoSuchVersion", fields={"VersionId": asked.version_id or ""})
    version = await gateway.catalogue.versions.find(bucket.id, asked.key)
    if version is None:
        raise S3Error("NoSuchKey", fields={"Key": asked.key.decode()})
    conditions.check_copy_source(call.route.headers, version.etag, version.modified, call.call.received)
    return Source(bucket, version)


async def copy_object(gateway: Gateway, call: VerifiedCall, bucket: Bucket | None) -> Reply:
    """CopyObject, with S3's metadata directive; onto itself only where something changes."""
    where, headers = the(bucket), call.route.headers
    wanted, _ = checksums.multipart_kind(headers)
    asked = request.copy_source(headers.get("x-amz-copy-source", ""))
    reading = gateway.catalogue.blobs.reading()  # the source's blobs stay while they are being copied
    try:
        source = await find_source(gateway, call, asked)
        new = await _describe(gateway, call, source, where)
        if new.size > store.LARGEST_BODY:
            raise S3Error(
                "InvalidRequest",
                "The specified copy source is larger than the maximum allowable size for a copy source: 5368709120",
            )
        pieces = await gateway.catalogue.versions.pieces(source.version.id, 0, new.stored)
        if wanted in ("", *new.checksums) and new.location == where.location:
            kept = store.Kept(tuple(piece for _, piece in pieces), new.size)
            version = await commit(gateway, kept, replace(new, pieces=kept.pieces), call)
        else:
            version = await _read_through(gateway, call, where, new, pieces, wanted)
    finally:
        reading.close()
    return Reply(
        200, (_XML,), xml_write.copy_object(version.etag, version.modified, version.checksums, version.checksum_type)
    )


async def _describe(gateway: Gateway, call: VerifiedCall, source: Source, bucket: Bucket) -> NewVersion:
    """The copy as a version that refers to the source's own blobs."""
    version = source.version
    return NewVersion(
        bucket=bucket.id,
        key=key_of(call),
        owner=owner_of(call),
        location=version.location,
        size=version.size,
        stored=version.stored,
        etag=version.etag,
        pieces=(),
        content=_content(call.route.headers, source, bucket, key_of(call)),
        checksums=version.checksums,
        checksum_type=version.checksum_type,
        parts=tuple(await gateway.catalogue.versions.parts(version.id, limit=10_000)) if version.part_count else (),
    )


async def _read_through(
    gateway: Gateway,
    call: VerifiedCall,
    bucket: Bucket,
    new: NewVersion,
    pieces: Sequence[tuple[int, Piece]],
    wanted: str,
) -> Version:
    """Copy where the bytes must be read: into another location, or for a checksum that the source does not have."""
    target = gateway.location(bucket.location)
    flow = Outflow(gateway.location(new.location), pieces, 0, new.stored)
    tally = Tally(flow, [wanted] if wanted else [])
    with gateway.catalogue.starts.begin(bucket.id, new.key) as start:
        kept_sums = (wanted,) if wanted else tuple(new.checksums)
        manifest = describe(gateway, bucket, new.owner, new.content, start, kept=kept_sums)
        if new.location == target.name:
            try:
                async for _ in tally:
                    pass
            finally:
                tally.close()
            kept = store.Kept(tuple(piece for _, piece in pieces), new.size)
        else:
            # a multipart object's ETag and parts are not to be had from its bytes
            kept = await store.keep(gateway, target, tally, None if "-" in new.etag else manifest)
        if wanted:
            digests = {wanted: checksums.encode(tally.results[wanted])}
            new = replace(new, checksums=digests, checksum_type=checksums.FULL_OBJECT)
        return await commit(gateway, kept, replace(new, location=target.name, pieces=kept.pieces), call, manifest)


def _directive(headers: Mapping[str, str], what: str) -> str:
    name = f"x-amz-{what}-directive"
    given = headers.get(name, "COPY")
    if given not in ("COPY", "REPLACE"):
        raise request.bad_argument(name, given[:64], f"Unknown {what} directive.")
    return given


def _content(headers: Mapping[str, str], source: Source, bucket: Bucket, key: bytes) -> Content:
    directive = _directive(headers, "metadata")
    _directive(headers, "tagging")  # nothing has tags yet
    asked = request.content(headers, metadata=directive == "REPLACE")
    itself = source.bucket.id == bucket.id and source.version.key == key
    changes = "x-amz-storage-class" in headers or "x-amz-website-redirect-location" in headers
    if itself and directive == "COPY" and not changes:
        raise S3Error(
            "InvalidRequest",
            "This copy request is illegal because it is trying to copy an object to itself without changing the "
            "object's metadata, storage class, website redirect location or encryption attributes.",
        )
    if directive == "REPLACE":
        return asked
    kept = {name: value for name, value in source.version.content.headers.items() if name not in _NOT_COPIED}
    redirect = {name: value for name, value in asked.headers.items() if name in _NOT_COPIED}
    return Content(
        headers={**kept, **redirect}, metadata=source.version.content.metadata, storage_class=asked.storage_class
    )


OPERATIONS: dict[str, Operation] = {"CopyObject": found_again(copy_object)}
