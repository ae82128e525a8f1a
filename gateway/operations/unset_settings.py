"""Settings that nobody can set yet: reading one gives S3's own answer for "never set"."""

from __future__ import annotations

from gateway.errors import S3Error
from gateway.model import Bucket, Reply
from gateway.operations.gateway import Gateway, Operation, key_of, the
from gateway.verifier import VerifiedCall
from gateway.wire import unset


async def get_unset(gateway: Gateway, call: VerifiedCall, bucket: Bucket | None) -> Reply:
    """What S3 answers for a bucket's or an object's setting that was never set."""
    if call.route.key is not None and await gateway.catalogue.versions.find(the(bucket).id, key_of(call)) is None:
        raise S3Error("NoSuchKey", fields={"Key": key_of(call).decode()})
    return Reply(200, (("Content-Type", "application/xml"),), unset.unset(call.route.operation, the(bucket).name))


OPERATIONS: dict[str, Operation] = dict.fromkeys(unset.OPERATIONS, get_unset)
