"""What is under way: ListParts and ListMultipartUploads."""

from __future__ import annotations

from gateway.model import Account, Bucket, Reply
from gateway.operations.gateway import Gateway, Operation, the
from gateway.operations.list_objects import encoding
from gateway.operations.multipart import MOST_PARTS, find_upload
from gateway.verifier import VerifiedCall
from gateway.wire import request, xml_write

_XML = ("Content-Type", "application/xml")


async def list_parts(gateway: Gateway, call: VerifiedCall, bucket: Bucket | None) -> Reply:
    """ListParts: what was uploaded and acknowledged so far, by number."""
    params = call.route.params
    upload = await find_upload(gateway, call, the(bucket), "open", "completing")
    limit = request.page_size(params, "max-parts")
    marker = request.integer(params.get("part-number-marker") or "0", 0, 2**31 - 1, "part-number-marker")
    found = await gateway.catalogue.uploads.parts(upload.id, after=min(marker, MOST_PARTS), limit=limit + 1)
    owner = await gateway.catalogue.accounts.by_id(upload.owner) or Account(upload.owner, "", "")
    body = xml_write.list_parts(
        the(bucket).name,
        upload,
        owner,
        found[:limit],
        marker=marker,
        max_parts=limit,
        truncated=len(found) > limit,
        url=encoding(params.get("encoding-type")),
    )
    return Reply(200, (_XML,), body)


async def list_uploads(gateway: Gateway, call: VerifiedCall, bucket: Bucket | None) -> Reply:
    """ListMultipartUploads: open ones, by key and then by upload id."""
    params, where = call.route.params, the(bucket)
    limit = request.page_size(params, "max-uploads")
    prefix, delimiter = params.get("prefix", ""), params.get("delimiter") or None
    key_marker, id_marker = params.get("key-marker", ""), params.get("upload-id-marker", "")
    page = await gateway.catalogue.uploads.page(
        where.id,
        prefix=prefix.encode(),
        delimiter=(delimiter or "").encode(),
        key_marker=key_marker.encode(),
        id_marker=id_marker,
        limit=limit,
    )
    owners = {}
    for account_id in {upload.owner for upload in page.uploads}:
        account = await gateway.catalogue.accounts.by_id(account_id)
        owners[account_id] = account.display_name if account else ""
    body = xml_write.list_uploads(
        where.name,
        page.uploads,
        page.prefixes,
        prefix=prefix,
        delimiter=delimiter,
        key_marker=key_marker,
        upload_id_marker=id_marker,
        max_uploads=limit,
        url=encoding(params.get("encoding-type")),
        after=None if page.next_key is None else (page.next_key, page.next_id),
        owners=owners,
    )
    return Reply(200, (_XML,), body)


OPERATIONS: dict[str, Operation] = {"ListParts": list_parts, "ListMultipartUploads": list_uploads}
