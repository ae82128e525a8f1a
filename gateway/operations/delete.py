"""Objects go: one, or up to a thousand in one call."""

from __future__ import annotations

from functools import partial

from gateway.errors import S3Error
from gateway.model import Bucket, Reply, Version
from gateway.operations.gateway import Gateway, Operation, key_of, the
from gateway.operations.xml_body import Digest, read_xml
from gateway.verifier import VerifiedCall
from gateway.wire import codes, conditions, names, xml_read, xml_write
from gateway.wire.request import is_current

_NOTHING = "NoSuchVersion"  # keeps a row's key as it is; the client reads that the version is deleted


async def delete_object(gateway: Gateway, call: VerifiedCall, bucket: Bucket | None) -> Reply:
    """DeleteObject: 204 whether or not the key or the version was there, unless a condition says otherwise."""
    headers = call.route.headers
    wanted = call.route.params.get("versionId")
    if is_current(wanted):
        await gateway.catalogue.versions.remove(
            the(bucket).id, key_of(call), check=lambda current: conditions.check_delete(headers, current)
        )
    else:  # another id must never cost the version that is there
        conditions.check_delete(headers, None)
    return Reply(204, () if wanted is None else (("x-amz-version-id", wanted),))


async def delete_objects(gateway: Gateway, call: VerifiedCall, bucket: Bucket | None) -> Reply:
    """DeleteObjects: every key has its own outcome; ``Quiet`` leaves the successful ones out."""
    wanted = await read_xml(call, xml_read.delete_objects, digest=Digest.REQUIRED)
    outcomes = await gateway.catalogue.versions.remove_many(
        the(bucket).id,
        [row.key for row in wanted.objects],
        [partial(_check_row, row) for row in wanted.objects],
    )
    deletions = [_deletion(row, outcome) for row, outcome in zip(wanted.objects, outcomes, strict=True)]
    return Reply(200, (("Content-Type", "application/xml"),), xml_write.delete_result(deletions, wanted.quiet))


def _check_row(row: xml_read.DeleteTarget, current: Version | None) -> None:
    names.check_key(row.key)
    there = is_current(row.version_id)
    conditions.check_delete_values(row.etag, row.mtime, row.size, current if there else None)
    if not there:
        raise S3Error(_NOTHING)


def _deletion(row: xml_read.DeleteTarget, outcome: Version | S3Error | None) -> xml_write.Deletion:
    if not isinstance(outcome, S3Error) or outcome.code == _NOTHING:
        return xml_write.Deletion(row.key, row.version_id)
    message = outcome.message or codes.CODES[outcome.code].message
    return xml_write.Deletion(row.key, row.version_id, outcome.code, message)


OPERATIONS: dict[str, Operation] = {"DeleteObject": delete_object, "DeleteObjects": delete_objects}
