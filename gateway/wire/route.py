"""From a call to the S3 operation that it asks for. Nothing that is not understood falls through to another operation.

Addressing: https://docs.aws.amazon.com/AmazonS3/latest/userguide/VirtualHosting.html
The path is decoded exactly once, here; authorisation and storage both use what comes out (T66).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache

from gateway.errors import S3Error
from gateway.model import NOTHING, Call
from gateway.model.record import record
from gateway.wire.checksums import ALGORITHMS
from gateway.wire.form_reader import is_form
from gateway.wire.names import check_bucket_name, check_key
from gateway.wire.request import bad_argument, check_header_value, percent_decode, query
from gateway.wire.table import (
    BUCKET,
    BY_SELECTION,
    COPIES,
    LEVEL_WORDS,
    OBJECT,
    SERVICE,
    VALUES,
    WORDS,
    Row,
    methods_for,
)

PREFLIGHT = "PreflightRequest"  # OPTIONS; S3's API has no name for it


@record(frozen=True, slots=True)
class Route:
    """``params``: the query parameters that belong to the operation, decoded; nothing about signatures among them.

    ``headers``: the call's, and those that a presigned URL (V4) carries as x-amz-* parameters of its query.
    Operations read these, not the call's own. ``in_host``: the bucket came from the Host, not from the path.
    """

    operation: str
    bucket: str | None
    key: bytes | None
    params: Mapping[str, str]
    headers: Mapping[str, str]
    in_host: bool = False


def route(call: Call, domains: Sequence[str] = ()) -> Route:
    """Raises S3Error: InvalidURI, InvalidBucketName, KeyTooLongError, InvalidArgument (400), MethodNotAllowed (405,
    with Allow), NotImplemented (501) for words that S3 or we do not know. ``domains``: suffixes for virtual hosts."""
    bucket, raw_key, in_host = _address(call, domains)
    if bucket == "WriteGetObjectResponse" and call.method == "POST":  # Object Lambda's own path, not a bucket
        return Route(bucket, None, None, NOTHING, call.headers)
    if bucket is not None:
        check_bucket_name(bucket)
    key = None
    if raw_key:
        key = percent_decode(raw_key)
        check_key(key)
    level = SERVICE if bucket is None else OBJECT if raw_key else BUCKET
    if call.method == "OPTIONS":  # a browser asks with the whole URL of what comes next, so any query may stand here
        return Route(PREFLIGHT, bucket, key, NOTHING, call.headers, in_host)
    if not call.query and (row := BY_SELECTION.get((call.method, level, ()))):
        return Route(_operation(row, call.headers), bucket, key, NOTHING, call.headers, in_host)
    pairs, headers = _without_signature(query(call.query), call.headers)
    row = _select(call.method, level, pairs)
    return Route(_operation(row, headers), bucket, key, pairs, headers, in_host)


def _operation(row: Row, headers: Mapping[str, str]) -> str:
    if row.operation in COPIES and "x-amz-copy-source" in headers:
        return COPIES[row.operation]
    if row.operation == "PostObject" and not is_form(headers.get("content-type", "")):
        condition = "Bucket POST must be of the enclosure-type multipart/form-data"
        raise S3Error("PreconditionFailed", fields={"Condition": condition})
    return row.operation


# ---------------------------------------------------------------- where: bucket and key

_IP = re.compile(r"[0-9.]+|\[.*")


def _address(call: Call, domains: Sequence[str]) -> tuple[str | None, str, bool]:
    """The bucket (None: the service itself), the key, still percent-encoded ("" where there is none), and whether the
    bucket came from the Host."""
    if not call.path.startswith("/") or not call.path.isascii():
        raise S3Error("InvalidURI")
    bucket = _bucket_of_host(call.headers.get("host", ""), tuple(domains))
    if bucket is not None:
        return bucket, call.path[1:], True
    if call.path == "/":
        return None, "", False
    # Split before decoding: "/b%2Fk" is a bucket of a bad name, never key "k" in bucket "b".
    raw_bucket, _, raw_key = call.path[1:].partition("/")
    try:
        return percent_decode(raw_bucket).decode("utf-8"), raw_key, False
    except UnicodeDecodeError:
        raise S3Error("InvalidURI") from None


@lru_cache(maxsize=1024)
def _bucket_of_host(host: str, domains: tuple[str, ...]) -> str | None:
    """The bucket that a Host names, None for path style. The longest suffix counts; a suffix itself is path style."""
    name, colon, port = host.lower().rpartition(":")
    if not colon or not (port.isascii() and port.isdigit()):
        name = host.lower()
    name = name.removesuffix(".")
    if not name or _IP.fullmatch(name):
        return None
    for domain in sorted((*(d.lower().strip(".") for d in domains), "localhost"), key=len, reverse=True):
        if name == domain:
            return None
        if name.endswith("." + domain):
            return name[: -len(domain) - 1]
    return None


# ---------------------------------------------------------------- what: the query

_V4 = frozenset(
    "x-amz-" + word
    for word in (
        "algorithm",
        "credential",
        "date",
        "expires",
        "signedheaders",
        "signature",
        "security-token",
        "content-sha256",
    )
)
# V2 in the query; botocore adds the last two there, to be repeated as headers.
_V2 = frozenset(("AWSAccessKeyId", "Signature", "Expires", "content-md5", "content-type"))
_VERSION = ("Version", "2006-03-01")  # of the API, S3's only one: Apache Libcloud writes it into each GET
# Signed with the rest of the query, yet heeded in headers only ("presigned URLs don't support" them,
# userguide/using-presigned-url.html): who makes a URL does not know the body; the JavaScript SDK tells the CRC of none.
_HEADERS_ONLY = frozenset(("x-amz-sdk-checksum-algorithm", *("x-amz-checksum-" + name.lower() for name in ALGORITHMS)))


def _without_signature(
    pairs: Sequence[tuple[str, str]], headers: Mapping[str, str]
) -> tuple[dict[str, str], Mapping[str, str]]:
    """The parameters that mean an operation, and the headers with those that a presigned V4 query carries.

    Only V4 signs its whole query: elsewhere an x-amz-* parameter could be added by anybody, so it is refused there.
    Other "x-..." names are the client's own notes (x-id, access log), which S3 ignores as well.
    """
    names = {name.lower() if name[:2] in ("x-", "X-") else name for name, _ in pairs}
    if len(names) != len(pairs):
        raise S3Error("InvalidArgument", "A query parameter is given twice.")
    plain: dict[str, str] = {}
    hoisted: dict[str, str] = {}
    for name, value in pairs:
        if (name, value) == _VERSION:
            continue
        if name[:2] not in ("x-", "X-"):
            if name not in _V2 or not ("Signature" in names or "AWSAccessKeyId" in names):
                plain[name] = value
            continue
        lower = name.lower()
        if not lower.startswith("x-amz-") or lower in _V4:
            continue
        if "x-amz-signature" not in names:
            raise _unknown(name)
        if lower in _HEADERS_ONLY:
            continue
        if headers.get(lower, value) != value:
            raise bad_argument(lower, value[:64], f"{lower} differs between the header and the query.")
        hoisted[lower] = check_header_value(lower, value)
    return plain, {**headers, **hoisted} if hoisted else headers


def _select(method: str, level: str, params: Mapping[str, str]) -> Row:
    known = WORDS.get((method, level), frozenset())
    words = tuple(sorted(name for name in params if name in known))
    foreign = [name for name in params if name not in known]
    row = BY_SELECTION.get((method, level, words))
    if row and row.params.issuperset(foreign):
        for word in words:
            if params[word] != VALUES.get(word, params[word]):
                raise bad_argument(word, params[word][:64], f"{word} must be {VALUES[word]}.")
        if params.get("versionId") == "":
            raise bad_argument("versionId", "", "Version id cannot be the empty string.")
        return row
    raise _refusal(method, level, words, row, foreign)


def _refusal(method: str, level: str, words: tuple[str, ...], row: Row | None, foreign: list[str]) -> S3Error:
    """Why no row fits: a word nobody knows (501), words of other methods (405), or words that do not go together."""
    allowed_beside = row.params if row else frozenset().union(*(r.params for r in _rows_of(level)))
    for name in foreign:
        if name not in LEVEL_WORDS[level] and name not in allowed_beside:
            return _unknown(name)
    asked = tuple(sorted({*words, *(name for name in foreign if name in LEVEL_WORDS[level])}))
    methods = methods_for(level, asked)
    incomplete = asked and WORDS.get((method, level), frozenset()).issuperset(asked)  # such as PUT ?uploadId alone
    if len(methods) > 1 and method not in methods and not incomplete:
        return S3Error(
            "MethodNotAllowed",
            fields={"Method": method[:32], "ResourceType": (" ".join(asked) or level).upper()},
            headers=(("Allow", ", ".join(methods)),),
        )
    return bad_argument("ResourceType", asked[0] if asked else "", f"Conflicting query parameters: {', '.join(asked)}")


def _rows_of(level: str) -> tuple[Row, ...]:
    return tuple(row for row in BY_SELECTION.values() if row.level == level)


def _unknown(name: str) -> S3Error:
    message = "A query parameter you provided implies functionality that is not implemented."
    return S3Error("NotImplemented", message, fields={"Parameter": name[:64]})


# ---------------------------------------------------------------- headers that would change the meaning

# Name -> the values that change nothing and may pass.
_REFUSED_HEADERS: dict[str, tuple[str, ...]] = {
    "x-amz-acl": ("", "private", "bucket-owner-full-control"),  # its owner owns all, and nobody else may anything
    "x-amz-bucket-namespace": ("global",),
    "x-amz-bucket-object-lock-enabled": ("false",),
    "x-amz-bypass-governance-retention": ("false", "true"),  # no object is locked, so there is nothing to bypass
    "x-amz-mfa": (),
    "x-amz-object-ownership": ("BucketOwnerEnforced",),
    "x-amz-tagging": ("",),
    "x-amz-write-offset-bytes": (),
}
_REFUSED_STARTS = (
    "x-amz-server-side-encryption",
    "x-amz-copy-source-server-side-encryption",
    "x-amz-object-lock-",
    "x-amz-grant-",
)


def refuse_unsupported(operation: str, headers: Mapping[str, str]) -> None:
    """NotImplemented (501) for the first header that asks for what we do not have; called before the body is read.

    Headers that only check something (x-amz-expected-bucket-owner, x-amz-request-payer) pass.
    """
    for name, value in headers.items():
        if not name.startswith("x-amz-"):
            continue
        refused = name.startswith(_REFUSED_STARTS) or value not in _REFUSED_HEADERS.get(name, (value,))
        if refused:
            raise S3Error("NotImplemented", fields={"Header": name}, cause=f"{operation} with {name}")
