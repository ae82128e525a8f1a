"""Buckets: list, create, head, delete, and where one lives."""

from __future__ import annotations

from gateway.errors import S3Error
from gateway.model import Bucket, Reply
from gateway.operations.gateway import Gateway, Operation, owner_of, the
from gateway.operations.xml_body import read_xml
from gateway.verifier import VerifiedCall
from gateway.wire import names, request, xml_read, xml_write

_XML = ("Content-Type", "application/xml")
_MOST_BUCKETS = 10_000


async def list_buckets(gateway: Gateway, call: VerifiedCall, bucket: Bucket | None) -> Reply:
    """ListBuckets: the caller's own, paged where ``max-buckets`` asks for it."""
    params = call.route.params
    limit = request.integer(params.get("max-buckets", str(_MOST_BUCKETS)), 1, _MOST_BUCKETS, "max-buckets")
    prefix, token = params.get("prefix", ""), params.get("continuation-token", "")
    assert call.account is not None
    after = gateway.open_token(b"buckets:" + call.account.id.encode(), token).decode() if token else ""
    found = await gateway.catalogue.buckets.owned_by(call.account.id, prefix=prefix, after=after, limit=limit + 1)
    following = ""
    if len(found) > limit:
        found = found[:limit]
        following = gateway.seal_token(b"buckets:" + call.account.id.encode(), found[-1].name.encode())
    paged = "max-buckets" in params or "continuation-token" in params or "prefix" in params
    body = xml_write.list_buckets(
        call.account,
        found,
        region=gateway.region if paged else None,
        prefix=prefix or None,
        next_token=following or None,
    )
    return Reply(200, (_XML,), body)


async def create_bucket(gateway: Gateway, call: VerifiedCall, bucket: Bucket | None) -> Reply:
    """CreateBucket. In us-east-1 making one's own bucket again is fine, elsewhere it is 409, as S3 documents."""
    name = call.route.bucket or ""
    names.check_bucket_name(name)
    constraint = await read_xml(call, xml_read.create_bucket)
    host = call.call.headers.get("host", "")
    location = gateway.location_for(constraint, host.partition(".")[2] if call.route.in_host else host)
    made, new = await gateway.catalogue.buckets.create(name, owner_of(call), location, constraint)
    if not new:
        if made.owner != owner_of(call):
            raise S3Error("BucketAlreadyExists", fields={"BucketName": name})
        if gateway.region != "us-east-1":
            raise S3Error("BucketAlreadyOwnedByYou", fields={"BucketName": name})
    return Reply(200, (("Location", f"/{name}"),))


async def head_bucket(gateway: Gateway, call: VerifiedCall, bucket: Bucket | None) -> Reply:
    """HeadBucket: it exists and the caller may read it."""
    return Reply(200, (("x-amz-bucket-region", the(bucket).constraint or gateway.region),))


async def delete_bucket(gateway: Gateway, call: VerifiedCall, bucket: Bucket | None) -> Reply:
    """DeleteBucket: only an empty one."""
    await gateway.catalogue.buckets.delete(the(bucket).id)
    return Reply(204)


async def get_bucket_location(gateway: Gateway, call: VerifiedCall, bucket: Bucket | None) -> Reply:
    """GetBucketLocation: the constraint the bucket was made with; us-east-1 is the empty one."""
    constraint = the(bucket).constraint
    if not constraint and gateway.region != "us-east-1":
        constraint = gateway.region
    return Reply(200, (_XML,), xml_write.location(constraint))


async def get_bucket_acl(gateway: Gateway, call: VerifiedCall, bucket: Bucket | None) -> Reply:
    """GetBucketAcl: until ACLs can be set, the owner has FULL_CONTROL and nobody else anything."""
    owner = await gateway.catalogue.accounts.by_id(the(bucket).owner)
    if owner is None:
        raise S3Error("InternalError", cause="the bucket's owner is not in the catalogue")
    return Reply(200, (_XML,), xml_write.acl(owner))


OPERATIONS: dict[str, Operation] = {
    "ListBuckets": list_buckets,
    "CreateBucket": create_bucket,
    "HeadBucket": head_bucket,
    "DeleteBucket": delete_bucket,
    "GetBucketLocation": get_bucket_location,
    "GetBucketAcl": get_bucket_acl,
}
