"""Strict readers for the small texts of a request: query, numbers, dates, content headers, copy source.

Python's own parsers are generous (``int(" 1_0 ")``, Arabic digits, ``strip`` that eats U+0085); these are not.
Whatever is not understood is an S3Error, never a guess.
"""

from __future__ import annotations

import re
import time
from calendar import timegm
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from gateway.errors import S3Error
from gateway.model import Content
from gateway.wire import encoded_words
from gateway.wire.names import check_bucket_name, check_key

MOST_PARAMETERS = 100
MOST_METADATA = 2048  # bytes of user metadata, names and values together
PAGE = 1000
MOST_PARTS = 10_000  # of an upload

# ---------------------------------------------------------------- errors, percent-encoding, query

_OCTETS = {a + b: bytes((int(a + b, 16),)) for a in "0123456789abcdefABCDEF" for b in "0123456789abcdefABCDEF"}


def bad_argument(name: str, value: str, message: str) -> S3Error:
    """InvalidArgument (400) with the two elements that S3 adds to it."""
    return S3Error("InvalidArgument", message, fields={"ArgumentName": name, "ArgumentValue": value})


def percent_decode(text: str) -> bytes:
    """``%XX`` to bytes, exactly once; "+" stays. Raises InvalidURI for a "%" that is not followed by two hex digits."""
    try:
        if "%" not in text:
            return text.encode("utf-8")
        first, *rest = text.split("%")
        out = [first.encode("utf-8")]
        for piece in rest:
            out.append(_OCTETS[piece[:2]])
            out.append(piece[2:].encode("utf-8"))
        return b"".join(out)
    except (KeyError, UnicodeEncodeError):
        raise S3Error("InvalidURI") from None


def _query_text(text: str) -> str:
    """One name or value of a query: "+" is a space there, as in every HTML form."""
    if text.isascii() and "%" not in text and "+" not in text:
        return text
    try:
        decoded = percent_decode(text.replace("+", " ")).decode("utf-8")
    except UnicodeDecodeError:
        raise S3Error("InvalidURI", "The query is not valid UTF-8.") from None
    if "\0" in decoded:
        raise S3Error("InvalidArgument", "The query holds a NUL.")
    return decoded


def query(text: str) -> tuple[tuple[str, str], ...]:
    """The parameters of a raw query (without "?") in their order; a name without "=" has the value "".

    Only "&" separates. Raises InvalidURI (encoding), InvalidArgument (more than 100, an empty name, NUL).
    """
    if not text:
        return ()
    if text.count("&") >= MOST_PARAMETERS:  # counted before any work is done for them
        raise S3Error("InvalidArgument", f"More than {MOST_PARAMETERS} query parameters.")
    pairs = []
    for item in text.split("&"):
        if not item:
            continue
        name, _, value = item.partition("=")
        if not name:
            raise S3Error("InvalidArgument", "A query parameter has no name.")
        pairs.append((_query_text(name), _query_text(value)))
    return tuple(pairs)


# ---------------------------------------------------------------- numbers


def integer(text: str, low: int, high: int, name: str) -> int:
    """A whole number in ASCII digits, ``low`` to ``high`` inclusive; else InvalidArgument that names ``name``."""
    # The length is checked first: int() of a very long text is slow, and of more than 4,300 digits a ValueError.
    if 0 < len(text) <= 20 and text.isascii() and text.isdigit():
        value = int(text)
        if low <= value <= high:
            return value
    raise bad_argument(name, text[:64], f"{name} must be an integer between {low} and {high}.")


def part_number(text: str) -> int:
    """``partNumber``: 1 to 10,000; else InvalidArgument in S3's words."""
    try:
        return integer(text, 1, MOST_PARTS, "partNumber")
    except S3Error:
        message = f"Part number must be an integer between 1 and {MOST_PARTS}, inclusive"
        raise bad_argument("partNumber", text[:64], message) from None


def page_size(params: Mapping[str, str], name: str) -> int:
    """max-keys, max-parts or max-uploads: 1,000 where it is absent or empty, capped at 1,000 where it is larger."""
    text = params.get(name)
    return min(PAGE, integer(text, 0, 2**31 - 1, name)) if text else PAGE


# ---------------------------------------------------------------- dates

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_DAY, _MONTH, _TIME = "(?:" + "|".join(_DAYS) + ")", "(" + "|".join(_MONTHS) + ")", "([0-9]{2}):([0-9]{2}):([0-9]{2})"
_LONG_DAY = "(?:Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday)"
# RFC 9110 section 5.6.7; "+0000" for "GMT" is RFC 822's way and in AWS's own examples.
_RFC1123 = re.compile(rf"{_DAY}, ([0-9]{{1,2}}) {_MONTH} ([0-9]{{4}}) {_TIME} (?:GMT|\+0000)")
_RFC850 = re.compile(rf"{_LONG_DAY}, ([0-9]{{2}})-{_MONTH}-([0-9]{{2}}) {_TIME} GMT")
_ASCTIME = re.compile(rf"{_DAY} {_MONTH} ([ 0-9][0-9]) {_TIME} ([0-9]{{4}})")


def http_date(text: str) -> float | None:
    """Epoch seconds of an HTTP date in any of RFC 9110's three forms; None for everything else.

    A two-digit year is read as POSIX does (69 to 99 are 19xx): no clock is at hand here.
    """
    if found := _RFC1123.fullmatch(text):
        day, month, year, *clock = found.groups()
    elif found := _RFC850.fullmatch(text):
        day, month, year, *clock = found.groups()
        year = ("19" if year >= "69" else "20") + year
    elif found := _ASCTIME.fullmatch(text):
        month, day, *clock, year = found.groups()
    else:
        return None
    hour, minute, second = (int(part) for part in clock)
    try:
        moment = datetime(int(year), _MONTHS.index(month) + 1, int(day), hour, minute, min(second, 59))
    except ValueError:
        return None
    return float(timegm(moment.timetuple()) + second - moment.second) if second <= 60 else None


@lru_cache(maxsize=4096)
def _http_date_of(second: int) -> str:
    t = time.gmtime(second)
    return (
        f"{_DAYS[t.tm_wday]}, {t.tm_mday:02} {_MONTHS[t.tm_mon - 1]} {t.tm_year:04} "
        f"{t.tm_hour:02}:{t.tm_min:02}:{t.tm_sec:02} GMT"
    )


def format_http_date(t: float) -> str:
    """``Fri, 20 Nov 2026 10:00:00 GMT``; part seconds are dropped, as for every date we show."""
    return _http_date_of(int(t // 1))


@lru_cache(maxsize=4096)
def _iso_of(second: int) -> str:
    t = time.gmtime(second)
    return f"{t.tm_year:04}-{t.tm_mon:02}-{t.tm_mday:02}T{t.tm_hour:02}:{t.tm_min:02}:{t.tm_sec:02}.000Z"


def format_iso(t: float) -> str:
    """``2026-11-20T10:00:00.000Z``, cut to the second so that listings and Last-Modified agree."""
    return _iso_of(int(t // 1))


# ---------------------------------------------------------------- what is kept with an object

# API_PutObject.html; OUTPOSTS, SNOW and EXPRESS_ONEZONE name places that an ordinary bucket cannot use.
STORAGE_CLASSES = frozenset(
    (
        "STANDARD",
        "REDUCED_REDUNDANCY",
        "STANDARD_IA",
        "ONEZONE_IA",
        "INTELLIGENT_TIERING",
        "GLACIER",
        "GLACIER_IR",
        "DEEP_ARCHIVE",
    )
)
KEPT_HEADERS = ("cache-control", "content-disposition", "content-language", "expires")
REDIRECT = "x-amz-website-redirect-location"
META = "x-amz-meta-"
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")  # all but TAB: these would break, or forge, a reply's header
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9a-z-]+")


def check_header_value(name: str, value: str) -> str:
    """The value itself; InvalidArgument where it holds CR, LF, NUL or another control character."""
    if _CONTROL.search(value):
        raise bad_argument(name, value[:64], f"{name} holds a control character.")
    return value


def content(headers: Mapping[str, str], *, metadata: bool = True) -> Content:
    """What a PUT, a CopyObject or a CreateMultipartUpload says about its object. ``metadata``: whether that counts.

    "aws-chunked" is transport and leaves content-encoding. Raises InvalidArgument, InvalidStorageClass,
    InvalidRedirectLocation, MetadataTooLarge (400). Source: API_PutObject.html, userguide/UsingMetadata.html
    """
    kept = {"content-type": check_header_value("content-type", headers.get("content-type") or "binary/octet-stream")}
    for name in KEPT_HEADERS:
        if value := headers.get(name):
            kept[name] = check_header_value(name, value)
    if encoding := _content_encoding(headers.get("content-encoding", "")):
        kept["content-encoding"] = check_header_value("content-encoding", encoding)
    if redirect := headers.get(REDIRECT):
        if not redirect.startswith(("/", "http://", "https://")) or len(redirect) > 2048:
            raise S3Error("InvalidRedirectLocation")
        kept[REDIRECT] = check_header_value(REDIRECT, redirect)
    storage_class = headers.get("x-amz-storage-class", "STANDARD")
    if storage_class not in STORAGE_CLASSES:
        raise S3Error("InvalidStorageClass", fields={"StorageClassRequested": storage_class[:64]})
    return Content(headers=kept, metadata=_metadata(headers) if metadata else {}, storage_class=storage_class)


def _content_encoding(value: str) -> str:
    if "aws-chunked" not in value.lower():
        return value
    return ",".join(item for item in (part.strip(" \t") for part in value.split(",")) if item.lower() != "aws-chunked")


def _metadata(headers: Mapping[str, str]) -> dict[str, str]:
    found = {}
    size = 0
    for name, value in headers.items():
        if name.startswith(META):
            short = name[len(META) :]
            if not _TOKEN.fullmatch(short):
                raise bad_argument("x-amz-meta", short[:64], "A metadata name is not an HTTP token.")
            text = found[short] = check_header_value(name, encoded_words.decode(value))
            size += len(short) + len(text.encode("utf-8", "surrogatepass"))
    if size > MOST_METADATA:
        raise S3Error("MetadataTooLarge", fields={"Size": str(size), "MaxSizeAllowed": str(MOST_METADATA)})
    return found


# ---------------------------------------------------------------- versions and copy source

# What S3's own ids look like, and longer ones: "no more than 1,024 bytes", userguide/versioning-workflows.html
_VERSION_ID = re.compile(r"[A-Za-z0-9._-]{32,1024}")


def is_current(version_id: str | None) -> bool:
    """Whether the current version is meant: by no id, or by "null", the only one there is until versions are built.

    Raises InvalidArgument for what cannot be an id; S3 tells these from ids that name nothing (NoSuchVersion).
    """
    if version_id in (None, "null"):
        return True
    if _VERSION_ID.fullmatch(version_id or "") is None:
        raise bad_argument("versionId", (version_id or "")[:256], "Invalid version id specified")
    return False


@dataclass(frozen=True, slots=True)
class CopySource:
    """What x-amz-copy-source names; ``version_id`` is None where the current version is meant."""

    bucket: str
    key: bytes
    version_id: str | None = None


def copy_source(text: str) -> CopySource:
    """``[/]bucket/key[?versionId=id]``, percent-encoded, decoded once; a plus is a space. Source: API_CopyObject.html

    S3 reads the plus as forms do (github.com/aws/aws-sdk-php/issues/236); what encodes sources as forms relies on it.

    Raises InvalidArgument where it cannot be read, NotImplemented for an access point's ARN, and what
    ``check_key`` raises. Authorisation and storage both use what this gives (T69).
    """
    path, mark, tail = text.partition("?")
    name, _, version = tail.partition("=")
    try:
        whole = percent_decode(path.replace("+", "%20")).removeprefix(b"/")
        version_id = percent_decode(version).decode() if mark else None
        if whole.startswith(b"arn:"):
            fields = {"Header": "x-amz-copy-source"}
            raise S3Error("NotImplemented", "Access points are not implemented.", fields=fields)
        # Decoded before it is split: encodeURIComponent("bucket/key"), which S3 takes too, leaves no slash to split at.
        bucket, _, key = whole.partition(b"/")
        if not bucket or not key or (mark and (name != "versionId" or not version)):
            raise bad_argument("x-amz-copy-source", text[:256], "Copy Source must mention the source bucket and key.")
        check_key(key)
        source = CopySource(bucket.decode(), key, version_id)
    except (UnicodeDecodeError, S3Error) as fault:
        if isinstance(fault, S3Error) and fault.code != "InvalidURI":
            raise
        raise bad_argument("x-amz-copy-source", text[:256], "Copy Source is not properly URL-encoded.") from None
    try:
        check_bucket_name(source.bucket)
    except S3Error:
        raise bad_argument("x-amz-copy-source", text[:256], "Invalid copy source bucket name") from None
    return source
