"""Settings that nobody can set yet: reading or deleting one gives S3's own answer for "never set"."""

from __future__ import annotations

from gateway.model import Bucket, Reply
from gateway.operations.gateway import Gateway, Operation, the
from gateway.operations.get import find
from gateway.verifier import VerifiedCall
from gateway.wire import unset


async def get_unset(gateway: Gateway, call: VerifiedCall, bucket: Bucket | None) -> Reply:
    """What S3 answers for a bucket's or an object's setting that was never set."""
    await _look(gateway, call, the(bucket))
    return Reply(200, (("Content-Type", "application/xml"),), unset.unset(call.route.operation, the(bucket).name))


async def delete_unset(gateway: Gateway, call: VerifiedCall, bucket: Bucket | None) -> Reply:
    """The setting is not there, which is all that was asked."""
    await _look(gateway, call, the(bucket))
    return Reply(204)


async def _look(gateway: Gateway, call: VerifiedCall, bucket: Bucket) -> None:
    """NoSuchKey or NoSuchVersion where an object's setting is meant and the object is not there."""
    if call.route.key is not None:
        await find(gateway, call, bucket)


OPERATIONS: dict[str, Operation] = {
    **dict.fromkeys(unset.OPERATIONS, get_unset),
    **dict.fromkeys(unset.NOTHING_TO_DELETE, delete_unset),
}
