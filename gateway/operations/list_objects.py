"""Listings: ListObjectsV2, ListObjects and ListObjectVersions, keys and common prefixes in byte order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gateway.catalogue.listing import whole
from gateway.errors import S3Error
from gateway.model import Bucket, ListingPage, Reply
from gateway.operations.gateway import Gateway, Operation, the
from gateway.verifier import VerifiedCall
from gateway.wire import request, xml_listing

_XML = ("Content-Type", "application/xml")


@dataclass(frozen=True, slots=True)
class _Asked:
    prefix: str
    delimiter: str | None
    url: bool
    limit: int


def _asked(params: Mapping[str, str]) -> _Asked:
    limit = request.page_size(params, "max-keys")
    return _Asked(
        params.get("prefix", ""), params.get("delimiter") or None, encoding(params.get("encoding-type")), limit
    )


def encoding(asked: str | None) -> bool:
    """Whether ``encoding-type`` asks for percent-encoded names; InvalidArgument for any other encoding."""
    if asked not in (None, "", "url"):
        raise S3Error("InvalidArgument", "Invalid Encoding Method specified in Request")
    return asked == "url"


async def _page(gateway: Gateway, bucket: Bucket, asked: _Asked, after: bytes) -> ListingPage:
    if asked.limit == 0:
        return ListingPage((), (), None)
    return await gateway.catalogue.listing.page(
        bucket.id,
        prefix=asked.prefix.encode(),
        delimiter=(asked.delimiter or "").encode(),
        after=after,
        limit=asked.limit,
    )


def _after(marker: str, asked: _Asked) -> bytes:
    return whole(marker.encode(), asked.prefix.encode(), (asked.delimiter or "").encode())


async def list_objects_v2(gateway: Gateway, call: VerifiedCall, bucket: Bucket | None) -> Reply:
    """ListObjectsV2: continues with a sealed token, or after ``start-after``."""
    params, where = call.route.params, the(bucket)
    asked = _asked(params)
    token = params.get("continuation-token")
    if token == "":
        raise S3Error("InvalidArgument", "The continuation token provided is incorrect")
    purpose = b"list:%d" % where.id
    start_after = params.get("start-after")
    after = gateway.open_token(purpose, token) if token else (start_after or "").encode()
    page = await _page(gateway, where, asked, after)
    body = xml_listing.list_objects_v2(
        where.name,
        page,
        prefix=asked.prefix,
        delimiter=asked.delimiter,
        max_keys=asked.limit,
        url=asked.url,
        start_after=start_after,
        token=token,
        next_token=gateway.seal_token(purpose, page.after) if page.after is not None else None,
        owners=await _owners(gateway, page) if params.get("fetch-owner") == "true" else None,
    )
    return Reply(200, (_XML,), body)


async def list_objects(gateway: Gateway, call: VerifiedCall, bucket: Bucket | None) -> Reply:
    """ListObjects (version 1): continues after ``marker``; NextMarker is told only with a delimiter, as S3 does."""
    params, where = call.route.params, the(bucket)
    asked = _asked(params)
    marker = params.get("marker", "")
    page = await _page(gateway, where, asked, _after(marker, asked))
    body = xml_listing.list_objects(
        where.name,
        page,
        prefix=asked.prefix,
        marker=marker,
        delimiter=asked.delimiter,
        max_keys=asked.limit,
        url=asked.url,
        next_marker=page.after if asked.delimiter else None,
        owners=await _owners(gateway, page),
    )
    return Reply(200, (_XML,), body)


async def list_versions(gateway: Gateway, call: VerifiedCall, bucket: Bucket | None) -> Reply:
    """ListObjectVersions: as long as no bucket can have versioning, each key has one version, whose id is "null"."""
    params, where = call.route.params, the(bucket)
    asked = _asked(params)
    marker, version = params.get("key-marker", ""), params.get("version-id-marker", "")
    if version and not marker:
        message = "A version-id marker cannot be specified without a key marker."
        raise request.bad_argument("version-id-marker", version[:64], message)
    if version not in ("", "null"):
        raise request.bad_argument("version-id-marker", version[:64], "Invalid version id specified")
    page = await _page(gateway, where, asked, _after(marker, asked))
    body = xml_listing.list_versions(
        where.name,
        page,
        prefix=asked.prefix,
        marker=marker,
        version_marker=version,
        delimiter=asked.delimiter,
        max_keys=asked.limit,
        url=asked.url,
        owners=await _owners(gateway, page),
    )
    return Reply(200, (_XML,), body)


async def _owners(gateway: Gateway, page: ListingPage) -> dict[str, str]:
    """Display names of the accounts that own what the page shows."""
    found = {}
    for account_id in {row.owner for row in page.objects}:
        account = await gateway.catalogue.accounts.by_id(account_id)
        found[account_id] = account.display_name if account else ""
    return found


OPERATIONS: dict[str, Operation] = {
    "ListObjectsV2": list_objects_v2,
    "ListObjects": list_objects,
    "ListObjectVersions": list_versions,
}
