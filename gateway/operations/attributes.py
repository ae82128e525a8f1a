"""GetObjectAttributes: facts about an object without its bytes."""

from __future__ import annotations

from gateway.errors import S3Error
from gateway.model import Bucket, PartFacts, Reply, Version
from gateway.operations.gateway import Gateway, Operation, found_again, the
from gateway.operations.get import find
from gateway.verifier import VerifiedCall
from gateway.wire import conditions, request, xml_write

_KNOWN = ("ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize")


async def get_object_attributes(gateway: Gateway, call: VerifiedCall, bucket: Bucket | None) -> Reply:
    """GetObjectAttributes: those that ``x-amz-object-attributes`` names, no others."""
    headers = call.route.headers
    named = headers.get("x-amz-object-attributes", "")
    wanted = {word.strip(" \t") for word in named.split(",")}
    if not named:
        raise S3Error(
            "InvalidRequest",
            "The x-amz-object-attributes header specifying the attributes to be retrieved is either missing or empty",
        )
    if not wanted <= set(_KNOWN):
        raise request.bad_argument("x-amz-object-attributes", named[:64], "Invalid attribute name specified.")
    version = await find(gateway, call, the(bucket))
    conditions.check_read(headers, version.etag, version.modified, call.call.received)
    body = xml_write.object_attributes(
        etag=version.etag if "ETag" in wanted else None,
        checksums=_bare(version) if "Checksum" in wanted else {},
        checksum_type=version.checksum_type if "Checksum" in wanted else "",
        parts=await _parts(gateway, call, version) if "ObjectParts" in wanted and version.part_count else None,
        storage_class=version.content.storage_class if "StorageClass" in wanted else None,
        size=version.size if "ObjectSize" in wanted else None,
    )
    headers_out = (("Content-Type", "application/xml"), ("Last-Modified", request.format_http_date(version.modified)))
    return Reply(200, headers_out, body)


def _bare(version: Version) -> dict[str, str]:
    """This reply alone shows a composite checksum without the number of its parts."""
    return {name: value.partition("-")[0] for name, value in version.checksums.items()}


async def _parts(gateway: Gateway, call: VerifiedCall, version: Version) -> xml_write.PartsPage:
    headers = call.route.headers
    limit = request.page_size(headers, "x-amz-max-parts")
    marker = request.integer(headers.get("x-amz-part-number-marker", "0"), 0, 10_000, "x-amz-part-number-marker")
    found: list[PartFacts] = await gateway.catalogue.versions.parts(version.id, after=marker, limit=limit + 1)
    shown = [part for part in found[:limit] if part.checksums]
    return xml_write.PartsPage(version.part_count, marker, limit, len(found) > limit, shown)


OPERATIONS: dict[str, Operation] = {"GetObjectAttributes": found_again(get_object_attributes)}
