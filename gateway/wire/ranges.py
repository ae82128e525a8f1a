"""Which bytes of an object a request means. RFC 9110 section 14; API_GetObject.html, API_UploadPartCopy.html."""

from __future__ import annotations

import re

from gateway.errors import S3Error
from gateway.wire.request import bad_argument

_RANGE = re.compile(r"bytes=(?:([0-9]+)-([0-9]*)|-([0-9]+))", re.IGNORECASE)
_COPY_RANGE = re.compile(r"bytes=([0-9]+)-([0-9]+)")


def _number(digits: str) -> int:
    """A position; one of more than 20 digits is cut to 20, which is still beyond every object and cheap to read."""
    return int(digits.lstrip("0")[:20] or "0")


def parse(header: str | None, size: int) -> tuple[int, int] | None:
    """(start, stop) in bytes, stop exclusive; None means the whole object with 200.

    As S3 does, a header that is malformed, has another unit or several ranges is ignored. Raises InvalidRange (416)
    where no byte lies in the range; in an object of 0 bytes that is every range.
    """
    found = _RANGE.fullmatch(header) if header else None
    if not found:
        return None
    first, last, suffix = found.groups()
    if suffix is not None:
        start, stop = max(0, size - _number(suffix)), size
    else:
        start, stop = _number(first), min(size, _number(last) + 1) if last else size
        if last and _number(last) < start:
            return None  # "5-2" is no range at all, so it is ignored like any malformed one
    if start >= size:
        raise unsatisfiable(found.group(), size)
    return start, stop


def unsatisfiable(asked: str, size: int) -> S3Error:
    """InvalidRange (416) with the elements S3 adds, and Content-Range as RFC 9110 section 15.5.17 wants it."""
    return S3Error(
        "InvalidRange",
        fields={"RangeRequested": asked[:128], "ActualObjectSize": str(size)},
        headers=(("Content-Range", f"bytes */{size}"),),
    )


def parse_copy(header: str | None, size: int) -> tuple[int, int]:
    """(start, stop) of x-amz-copy-source-range, which must be ``bytes=first-last`` inside the source; None: all of it.

    As S3 does it raises InvalidArgument (400) for another form and where the range ends beyond the source,
    InvalidRequest (400) where it begins there.
    """
    if header is None:
        return 0, size
    found = _COPY_RANGE.fullmatch(header)
    first, last = (_number(found[1]), _number(found[2])) if found else (1, 0)
    if last < first:
        message = (
            "The x-amz-copy-source-range value must be of the form bytes=first-last "
            "where first and last are the zero-based offsets of the first and last bytes to copy"
        )
        raise bad_argument("x-amz-copy-source-range", header[:128], message)
    if first >= size:
        raise S3Error("InvalidRequest", "The specified copy range is invalid for the source object size")
    if last >= size:
        message = f"Range specified is not valid for source object of size: {size}"
        raise bad_argument("x-amz-copy-source-range", header[:128], message)
    return first, last + 1
