"""Objects go: one, or up to a thousand in one call."""

from __future__ import annotations

import re
from functools import partial

from gateway.errors import S3Error
from gateway.model import Bucket, Reply, Version
from gateway.operations.gateway import Gateway, Operation, key_of, the
from gateway.operations.xml_body import Digest, read_xml
from gateway.verifier import VerifiedCall
from gateway.wire import codes, conditions, names, xml_read, xml_write
from gateway.wire.request import bad_argument

# "URL-ready, opaque strings that are no more than 1,024 bytes long": userguide/versioning-workflows.html
_VERSION_ID = re.compile(r"[!-~]{1,1024}")
_NOTHING = "NoSuchVersion"  # keeps a row's key as it is; the client reads that the version is deleted


async def delete_object(gateway: Gateway, call: VerifiedCall, bucket: Bucket | None) -> Reply:
    """DeleteObject: 204 whether or not the key or the version was there, unless a condition says otherwise."""
    headers = call.route.headers
    wanted = call.route.params.get("versionId")
    if _is_gone(wanted):
        conditions.check_delete(headers, None)
    else:
        await gateway.catalogue.versions.remove(
            the(bucket).id, key_of(call), check=lambda current: conditions.check_delete(headers, current)
        )
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


def _is_gone(version_id: str | None) -> bool:
    """Whether no version has this id: until there are versions, all but "null" name none. S3 then deletes nothing,
    least of all the current version, and answers as for one that was there.

    Raises InvalidArgument for what cannot be an id.
    """
    if version_id is not None and not _VERSION_ID.fullmatch(version_id):
        raise bad_argument("versionId", version_id[:256], "Invalid version id specified")
    return version_id not in (None, "null")


def _check_row(row: xml_read.DeleteTarget, current: Version | None) -> None:
    names.check_key(row.key)
    gone = _is_gone(row.version_id)
    conditions.check_delete_values(row.etag, row.mtime, row.size, None if gone else current)
    if gone:
        raise S3Error(_NOTHING)


def _deletion(row: xml_read.DeleteTarget, outcome: Version | S3Error | None) -> xml_write.Deletion:
    if not isinstance(outcome, S3Error) or outcome.code == _NOTHING:
        return xml_write.Deletion(row.key, row.version_id)
    message = outcome.message or codes.CODES[outcome.code].message
    return xml_write.Deletion(row.key, row.version_id, outcome.code, message)


OPERATIONS: dict[str, Operation] = {"DeleteObject": delete_object, "DeleteObjects": delete_objects}
