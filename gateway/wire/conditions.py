"""Conditional requests, in the order of RFC 9110 section 13.2.2, with S3's own rules for writes.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-requests.html
ETags are without quotes here; clients send them with and without. Dates compare at whole seconds.
"""

from __future__ import annotations

from collections.abc import Mapping

from gateway.errors import S3Error
from gateway.model import Version
from gateway.wire.request import bad_argument, format_http_date, http_date, integer

LARGEST = 2**63 - 1
_COPY = "x-amz-copy-source-"


def _names(header: str, etag: str, *, weak: bool) -> bool:
    """Whether an If-Match or If-None-Match list names this entity. Only the weak comparison looks behind ``W/``."""
    for item in header.split(","):
        tag = item.strip(" \t")
        if weak:
            tag = tag.removeprefix("W/")
        if tag == "*" or (tag[:1] == '"' == tag[-1:] and tag[1:-1] == etag) or tag == etag:
            return True
    return False


def _failed(condition: str) -> S3Error:
    return S3Error("PreconditionFailed", fields={"Condition": condition})


def _date(header: str | None) -> float | None:
    """Epoch seconds; None where there is no date that can be read."""
    return http_date(header) if header else None


def _outcome(headers: Mapping[str, str], prefix: str, etag: str, modified: float, now: float) -> str | None:
    """The name of the header that fails, or None. A present ETag header silences the date header of its kind.

    S3 heeds no If-Modified-Since that lies in the future.
    """
    match, none_match = headers.get(prefix + "if-match"), headers.get(prefix + "if-none-match")
    if match is not None:
        if not _names(match, etag, weak=False):
            return "If-Match"
    elif (date := _date(headers.get(prefix + "if-unmodified-since"))) is not None and modified // 1 > date:
        return "If-Unmodified-Since"
    if none_match is not None:
        if _names(none_match, etag, weak=True):
            return "If-None-Match"
    elif (date := _date(headers.get(prefix + "if-modified-since"))) is not None and modified // 1 <= date <= now:
        return "If-Modified-Since"
    return None


def check_read(headers: Mapping[str, str], etag: str, modified: float, now: float) -> None:
    """GET and HEAD at ``now``: raises PreconditionFailed (412), or NotModified (304) with ETag and Last-Modified."""
    failed = _outcome(headers, "", etag, modified, now)
    if failed in ("If-Match", "If-Unmodified-Since"):
        raise _failed(failed)
    if failed:
        validators = (("ETag", f'"{etag}"'), ("Last-Modified", format_http_date(modified)))
        raise S3Error("NotModified", headers=validators)


def check_copy_source(headers: Mapping[str, str], etag: str, modified: float, now: float) -> None:
    """CopyObject and UploadPartCopy: the same four conditions on the source; each that fails is PreconditionFailed."""
    if failed := _outcome(headers, _COPY, etag, modified, now):
        raise _failed(_COPY + failed)


def check_write(headers: Mapping[str, str], current: Version | None) -> None:
    """PUT, CopyObject and CompleteMultipartUpload against the key's current version, None where there is none.

    If-None-Match knows only "*", and not beside If-Match (else NotImplemented 501). Raises PreconditionFailed (412),
    NoSuchKey (404) for If-Match on nothing. To be asked again inside the committing transaction.
    """
    none_match, match = headers.get("if-none-match"), headers.get("if-match")
    if none_match is not None:
        if match is not None or none_match.strip(" \t") != "*":
            raise S3Error("NotImplemented", fields={"Header": "If-None-Match"})
        if current is not None:
            raise _failed("If-None-Match")
    if match is not None:
        _check_current(match, current)


def _check_current(match: str, current: Version | None) -> None:
    if current is None:
        raise S3Error("NoSuchKey")
    if not _names(match, current.etag, weak=False):
        raise _failed("If-Match")


def check_delete(headers: Mapping[str, str], current: Version | None) -> None:
    """DeleteObject: If-Match, x-amz-if-match-last-modified-time (an HTTP date) and x-amz-if-match-size.

    Raises PreconditionFailed, NoSuchKey, or InvalidArgument where a value cannot be read. API_DeleteObject.html
    """
    time_name, size_name = "x-amz-if-match-last-modified-time", "x-amz-if-match-size"
    modified = size = None
    if (text := headers.get(time_name)) is not None and (modified := http_date(text)) is None:
        raise bad_argument(time_name, text[:64], f"{time_name} is not an HTTP date.")
    if (text := headers.get(size_name)) is not None:
        size = integer(text, 0, LARGEST, size_name)
    check_delete_values(headers.get("if-match"), modified, size, current)


def check_delete_values(match: str | None, modified: float | None, size: int | None, current: Version | None) -> None:
    """The same for one object of a DeleteObjects document, whose values ``xml_read.delete_objects`` already parsed."""
    if match is None and modified is None and size is None:
        return
    _check_current("*" if match is None else match, current)
    if current is not None and modified is not None and current.modified // 1 != modified:
        raise _failed("If-Match-Last-Modified-Time")
    if current is not None and size is not None and current.size != size:
        raise _failed("If-Match-Size")
