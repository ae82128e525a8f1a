"""Objects are read: GetObject and HeadObject, whole, in a range or one part."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from gateway.errors import S3Error
from gateway.model import Account, Bucket, Reply, Version
from gateway.model.record import record
from gateway.operations.gateway import Gateway, Operation, found_again, key_of, the
from gateway.streams import SMALL, Outflow, read_piece
from gateway.verifier import VerifiedCall
from gateway.wire import conditions, encoded_words, ranges, request, xml_write

_XML = ("Content-Type", "application/xml")
_OVERRIDES = {
    "response-content-type": "content-type",
    "response-content-language": "content-language",
    "response-expires": "expires",
    "response-cache-control": "cache-control",
    "response-content-disposition": "content-disposition",
    "response-content-encoding": "content-encoding",
}
_SPELLING = {
    "content-type": "Content-Type",
    "content-language": "Content-Language",
    "expires": "Expires",
    "cache-control": "Cache-Control",
    "content-disposition": "Content-Disposition",
    "content-encoding": "Content-Encoding",
}


@record(frozen=True, slots=True)
class _View:
    """The stretch of a version that a call asks for, and the headers that describe it."""

    status: int
    start: int
    stop: int
    headers: tuple[tuple[str, str], ...]


async def find(gateway: Gateway, call: VerifiedCall, bucket: Bucket) -> Version:
    """The current version of the call's key, or NoSuchKey / NoSuchVersion / InvalidArgument."""
    wanted = call.route.params.get("versionId")
    if not request.is_current(wanted):
        raise S3Error("NoSuchVersion", fields={"Key": key_of(call).decode(), "VersionId": wanted or ""})
    version = await gateway.catalogue.versions.find(bucket.id, key_of(call))
    if version is None:
        raise S3Error("NoSuchKey", fields={"Key": key_of(call).decode()})
    return version


async def get_object(gateway: Gateway, call: VerifiedCall, bucket: Bucket | None) -> Reply:
    """GetObject. The first chunk is read before the reply's headers go out, so that a lost blob is a clean 500."""
    reading = gateway.catalogue.blobs.reading()
    try:
        reply = await _read(gateway, call, the(bucket), reading.close)
    except BaseException:
        reading.close()
        raise
    if isinstance(reply.body, bytes):
        reading.close()
    return reply


async def _read(gateway: Gateway, call: VerifiedCall, bucket: Bucket, on_close: Callable[[], None]) -> Reply:
    part = _part_asked(call)
    version = await find(gateway, call, bucket)
    view = await _view(gateway, call, version, part)
    if view.start == view.stop:
        return Reply(view.status, view.headers, b"")
    pieces = await gateway.catalogue.versions.pieces(version.id, view.start, view.stop)
    location = gateway.location(version.location)
    offset, piece = pieces[0]
    if len(pieces) == 1 and piece.size <= SMALL:
        data = await read_piece(location, piece)
        return Reply(view.status, view.headers, data[view.start - offset : view.stop - offset])
    names = [piece.blob for _, piece in pieces]
    verify = gateway.verify_reads or await gateway.catalogue.damage.any(version.location, names)
    body = Outflow(location, pieces, view.start, view.stop, verify=verify, on_close=on_close)
    try:
        await body.prime()
    except BaseException:
        body.close()
        raise
    return Reply(view.status, view.headers, body)


async def head_object(gateway: Gateway, call: VerifiedCall, bucket: Bucket | None) -> Reply:
    """HeadObject: what GetObject would say, without the bytes."""
    part = _part_asked(call)
    version = await find(gateway, call, the(bucket))
    view = await _view(gateway, call, version, part)
    return Reply(view.status, view.headers, b"", length=view.stop - view.start)


async def get_object_acl(gateway: Gateway, call: VerifiedCall, bucket: Bucket | None) -> Reply:
    """GetObjectAcl: until ACLs can be set, the owner has FULL_CONTROL and nobody else anything."""
    version = await find(gateway, call, the(bucket))
    owner = await gateway.catalogue.accounts.by_id(version.owner)
    return Reply(200, (_XML,), xml_write.acl(owner or Account(version.owner, "", "")))


def _part_asked(call: VerifiedCall) -> int | None:
    """The number in ``partNumber``; a bad one is refused before anything is looked up."""
    text = call.route.params.get("partNumber")
    if not text:
        return None
    if "range" in call.route.headers:
        raise S3Error("InvalidRequest", "Cannot specify both Range header and partNumber query parameter")
    return request.part_number(text)


async def _view(gateway: Gateway, call: VerifiedCall, version: Version, part: int | None) -> _View:
    headers, params = call.route.headers, call.route.params
    conditions.check_read(headers, version.etag, version.modified, call.call.received)
    out = describe(version, params)
    if part is not None:
        return await _part_view(gateway, part, headers, version, out)
    wanted = ranges.parse(headers.get("range"), version.size)
    if wanted is None:
        if headers.get("x-amz-checksum-mode", "").upper() == "ENABLED":
            out += checksum_headers(version.checksums, version.checksum_type)
        return _View(200, 0, version.size, out)
    start, stop = wanted
    return _View(206, start, stop, (*out, ("Content-Range", f"bytes {start}-{stop - 1}/{version.size}")))


async def _part_view(
    gateway: Gateway,
    number: int,
    headers: Mapping[str, str],
    version: Version,
    out: tuple[tuple[str, str], ...],
) -> _View:
    """One part of an object, as ``partNumber`` asks; an object that came in one PUT is its own part 1."""
    if not version.part_count:
        if number != 1:
            raise S3Error("InvalidPartNumber")
        start, stop, checksums = 0, version.size, version.checksums
    else:
        found = await gateway.catalogue.versions.part(version.id, number)
        if found is None:
            raise S3Error("InvalidPartNumber")
        start, stop, checksums = found[0], found[0] + found[1].size, found[1].checksums
        out = (*out, ("x-amz-mp-parts-count", str(version.part_count)))
    if headers.get("x-amz-checksum-mode", "").upper() == "ENABLED":
        out = (*out, *checksum_headers(checksums, version.checksum_type))
    if start == stop:
        return _View(200, start, stop, out)
    return _View(206, start, stop, (*out, ("Content-Range", f"bytes {start}-{stop - 1}/{version.size}")))


def describe(version: Version, params: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """The headers that tell about a version: validators, content headers (with ``response-*``), user metadata."""
    content = dict(version.content.headers)
    for param, header in _OVERRIDES.items():
        if param in params:
            content[header] = request.check_header_value(param, params[param])
    out = [
        ("Last-Modified", request.format_http_date(version.modified)),
        ("ETag", f'"{version.etag}"'),
        ("Accept-Ranges", "bytes"),
        ("X-Content-Type-Options", "nosniff"),  # what a browser shows is what the owner said it is (T110)
    ]
    out += [(_SPELLING.get(name, name), value) for name, value in content.items()]
    out += [(f"x-amz-meta-{name}", encoded_words.encode(value)) for name, value in version.content.metadata.items()]
    if version.content.storage_class != "STANDARD":
        out.append(("x-amz-storage-class", version.content.storage_class))
    return tuple(out)


def checksum_headers(checksums: Mapping[str, str], kind: str) -> tuple[tuple[str, str], ...]:
    """x-amz-checksum-* for each known checksum, and what kind they are."""
    found = tuple((f"x-amz-checksum-{name.lower()}", value) for name, value in checksums.items())
    return (*found, ("x-amz-checksum-type", kind)) if found and kind else found


OPERATIONS: dict[str, Operation] = {
    "GetObject": found_again(get_object),
    "HeadObject": found_again(head_object),
    "GetObjectAcl": get_object_acl,
}
