"""Listings: ListObjectsV2 and ListObjects, keys and common prefixes in byte order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gateway.errors import S3Error
from gateway.model import Account, Bucket, ListingPage, Reply
from gateway.operations.gateway import Gateway, Operation, the
from gateway.verifier import VerifiedCall
from gateway.wire import request, xml_write

_XML = ("Content-Type", "application/xml")


@dataclass(frozen=True, slots=True)
class _Asked:
    prefix: bytes
    delimiter: bytes
    encoding: str
    limit: int


def _asked(params: Mapping[str, str]) -> _Asked:
    encoding = params.get("encoding-type", "")
    if encoding not in ("", "url"):
        raise S3Error("InvalidArgument", "Invalid Encoding Method specified in Request")
    limit = request.page_size(params, "max-keys")
    return _Asked(params.get("prefix", "").encode(), params.get("delimiter", "").encode(), encoding, limit)


async def _page(gateway: Gateway, bucket: Bucket, asked: _Asked, after: bytes) -> ListingPage:
    if asked.limit == 0:
        return ListingPage((), (), None)
    return await gateway.catalogue.listing.page(
        bucket.id, prefix=asked.prefix, delimiter=asked.delimiter, after=after, limit=asked.limit
    )


async def list_objects_v2(gateway: Gateway, call: VerifiedCall, bucket: Bucket | None) -> Reply:
    """ListObjectsV2: continues with a sealed token, or after ``start-after``."""
    params, where = call.route.params, the(bucket)
    asked = _asked(params)
    token = params.get("continuation-token")
    if token == "":
        raise S3Error("InvalidArgument", "The continuation token provided is incorrect")
    purpose = b"list:%d" % where.id
    start_after = params.get("start-after", "")
    after = gateway.open_token(purpose, token) if token else start_after.encode()
    page = await _page(gateway, where, asked, after)
    owner = await _owner(gateway, where) if params.get("fetch-owner") == "true" else None
    body = xml_write.list_objects_v2(
        where.name,
        page,
        prefix=asked.prefix,
        delimiter=asked.delimiter,
        encoding=asked.encoding,
        max_keys=asked.limit,
        start_after=start_after.encode(),
        token=token or "",
        next_token=gateway.seal_token(purpose, page.after) if page.after is not None else "",
        owner=owner,
    )
    return Reply(200, (_XML,), body)


async def list_objects(gateway: Gateway, call: VerifiedCall, bucket: Bucket | None) -> Reply:
    """ListObjects (version 1): continues after ``marker``; NextMarker is told only with a delimiter, as S3 does."""
    params, where = call.route.params, the(bucket)
    asked = _asked(params)
    marker = params.get("marker", "").encode()
    page = await _page(gateway, where, asked, marker)
    body = xml_write.list_objects(
        where.name,
        page,
        prefix=asked.prefix,
        delimiter=asked.delimiter,
        encoding=asked.encoding,
        max_keys=asked.limit,
        marker=marker,
        owner=await _owner(gateway, where),
    )
    return Reply(200, (_XML,), body)


async def _owner(gateway: Gateway, bucket: Bucket) -> Account:
    owner = await gateway.catalogue.accounts.by_id(bucket.owner)
    return owner or Account(bucket.owner, "", "")


OPERATIONS: dict[str, Operation] = {"ListObjectsV2": list_objects_v2, "ListObjects": list_objects}
