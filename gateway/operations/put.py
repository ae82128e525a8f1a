"""Objects are written: PutObject."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from gateway.model import Bucket, NewVersion, Reply, Version
from gateway.operations import store
from gateway.operations.gateway import Gateway, Operation, key_of, owner_of, the
from gateway.operations.get import checksum_headers
from gateway.operations.manifest import Manifest, describe
from gateway.streams import Intake
from gateway.verifier import VerifiedCall
from gateway.wire import conditions, request


def _has_conditions(headers: Mapping[str, str]) -> bool:
    return "if-match" in headers or "if-none-match" in headers


async def put_object(gateway: Gateway, call: VerifiedCall, bucket: Bucket | None) -> Reply:
    """PutObject: everything that can be refused is refused before the body is read; 200 means it is durable."""
    where, key, headers = the(bucket), key_of(call), call.route.headers
    store.demand_length(call)
    content = request.content(headers)
    if _has_conditions(headers):
        conditions.check_write(headers, await gateway.catalogue.versions.find(where.id, key))
    intake = Intake(call.call.body, call.route.headers, call.payload, limit=store.LARGEST_BODY)
    with gateway.catalogue.starts.begin(where.id, key) as start:
        manifest = describe(
            gateway, where, owner_of(call), content, start, kept=tuple(sorted(intake.kept)), proof=intake.proof
        )
        await _write(gateway, call, where, intake, manifest)
    return Reply(200, (("ETag", f'"{intake.etag}"'), *checksum_headers(intake.checksums, "FULL_OBJECT")))


async def _write(gateway: Gateway, call: VerifiedCall, bucket: Bucket, intake: Intake, manifest: Manifest) -> None:
    location = gateway.location(bucket.location)
    if intake.size is None:
        kept = await store.keep_unsized(gateway, location, intake, bucket.id, manifest)
    else:
        await intake.prove_empty()
        kept = await store.keep(gateway, location, intake, manifest)
    new = NewVersion(
        bucket=bucket.id,
        key=manifest.key,
        owner=manifest.owner,
        location=location.name,
        size=kept.size,
        stored=kept.size,
        etag=intake.etag,
        pieces=kept.pieces,
        content=manifest.content,
        checksums=intake.checksums,
        checksum_type="FULL_OBJECT",
    )
    await commit(gateway, kept, new, call, manifest)


async def commit(
    gateway: Gateway, kept: store.Kept, new: NewVersion, call: VerifiedCall, manifest: Manifest | None = None
) -> Version:
    """Make the version visible, with the conditions checked again inside the transaction.

    ``manifest`` is kept as a blob of its own where what lies beside the bytes does not tell everything. Where the
    commit is refused, what was kept for it is nobody's and goes (blobs that others refer to stay).
    """
    headers, catalogue = call.route.headers, gateway.catalogue
    check = partial(conditions.check_write, headers) if _has_conditions(headers) else None
    try:
        if manifest is not None and not kept.described:
            new = await store.keep_manifest(gateway, gateway.location(new.location), manifest, new)
        if kept.upload:
            return await catalogue.uploads.commit_unseen(kept.upload, new, check)
        return await catalogue.versions.commit(new, check)
    except BaseException:
        await store.discard(gateway, new.location, [piece.blob for piece in new.pieces])
        if kept.upload:
            await catalogue.uploads.forget(kept.upload)
        raise


OPERATIONS: dict[str, Operation] = {"PutObject": put_object}
