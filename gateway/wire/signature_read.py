"""Read a Signature Version 4 out of the Authorization header or the query; strict, and nothing is proved here.

Source: the error texts are S3's own, as the API Reference's examples and its SDKs' issue trackers show them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache

from gateway.errors import S3Error
from gateway.model import Call
from gateway.wire import canonical
from gateway.wire.claim import Claim
from gateway.wire.signature_payload import UNSIGNED, check_word
from gateway.wire.signature_v4 import ALGORITHM, SERVICE, TERMINAL

LONGEST_LIFE = 604_800  # seconds; S3's week

_NEEDED = (
    "X-Amz-Algorithm",
    "X-Amz-Credential",
    "X-Amz-Signature",
    "X-Amz-Date",
    "X-Amz-SignedHeaders",
    "X-Amz-Expires",
)
_QUERY_NAMES = {name.lower(): name for name in (*_NEEDED, "X-Amz-Security-Token", "X-Amz-Content-Sha256")}
_ATTEMPT = frozenset(map(str.lower, _NEEDED))
_DAY = re.compile(r"\d{8}", re.ASCII)
_NUMBER = re.compile(r"[+-]?\d{1,18}", re.ASCII)
_SIGNED_NAMES = re.compile(r"[!#$%&'*+\-.^_`|~0-9a-z]+(?:;[!#$%&'*+\-.^_`|~0-9a-z]+)*", re.ASCII)

_Refuse = Callable[[str], S3Error]


def attempts_query(pairs: list[tuple[str, str]]) -> bool:
    """Whether a query holds any sign of V4 authentication, however spelt or incomplete."""
    return any(name.lower() in _ATTEMPT for name, _ in pairs)


# ---------------------------------------------------------------- the Authorization header


def _malformed(why: str) -> S3Error:
    return S3Error("AuthorizationHeaderMalformed", f"The authorization header is malformed; {why}")


def from_header(call: Call, credentials: str, pairs: list[tuple[str, str]]) -> Claim:
    """Parse what follows ``AWS4-HMAC-SHA256`` in the Authorization header. ``pairs``: of the whole query."""
    headers = call.headers
    payload = headers.get("x-amz-content-sha256")
    if payload is None:
        raise S3Error("InvalidRequest", "Missing required header for this request: x-amz-content-sha256")
    check_word(payload)
    time, stamp = _header_time(headers)
    parts = _components(credentials)
    access_key, day, region = credential(parts["Credential"], _malformed)
    names = _signed_names(parts["SignedHeaders"], _malformed)
    return Claim(
        access_key=access_key,
        scheme="v4",
        place="header",
        signature=parts["Signature"],
        time=time,
        stamp=stamp,
        day=day,
        region=region,
        signed_headers=names,
        query=canonical.query(pairs),
        payload=payload,
        token=headers.get("x-amz-security-token", ""),
    )


def _header_time(headers: Mapping[str, str]) -> tuple[float, str]:
    """When the request was signed, and that as V4 signs it: x-amz-date where it was sent, readable or not, or Date."""
    text = headers.get("x-amz-date")
    if text is None:
        text = headers.get("date", "")
        time = canonical.http_time(text)
        if time is not None:
            return time, canonical.iso_basic(time)
    time = canonical.iso_time(text)
    if time is None:
        raise S3Error("AccessDenied", "AWS authentication requires a valid Date or x-amz-date header")
    return time, text


def _components(credentials: str) -> dict[str, str]:
    """Credential, SignedHeaders and Signature, each once and none empty."""
    parts: dict[str, str] = {}
    sound = True
    for piece in credentials.split(","):
        name, _, value = piece.strip(" \t").partition("=")
        sound = sound and bool(value) and name not in parts and name in ("Credential", "SignedHeaders", "Signature")
        parts[name] = value
    if not sound or len(parts) != 3:
        raise _malformed(
            "the authorization header requires three components: Credential, SignedHeaders, and Signature."
        )
    return parts


@lru_cache(maxsize=256)  # a client's requests of one day share it
def credential(text: str, refuse: _Refuse) -> tuple[str, str, str]:
    """(access key, day, region) of a credential whose scope is sound."""
    parts = text.split("/")
    if len(parts) != 5 or not parts[0]:
        raise refuse('the Credential is mal-formed; expecting "<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request".')
    access_key, day, region, service, terminal = parts
    if not _DAY.fullmatch(day):
        raise refuse(f'incorrect date format "{day}". This date in the credential must be in the format "yyyyMMdd".')
    if not region:
        raise refuse("a non-empty region must be provided in the credential.")
    if service != SERVICE:
        raise refuse(f'incorrect service "{service}". This endpoint belongs to "{SERVICE}".')
    if terminal != TERMINAL:
        raise refuse(f'incorrect terminal "{terminal}". This endpoint uses "{TERMINAL}".')
    return access_key, day, region


@lru_cache(maxsize=256)
def _signed_names(text: str, refuse: _Refuse) -> tuple[str, ...]:
    """The names of SignedHeaders: lower-case, sorted, each once, so that one request has one spelling."""
    names = text.split(";")
    if not _SIGNED_NAMES.fullmatch(text) or sorted(set(names)) != names:
        raise refuse("SignedHeaders must hold lower-case header names, sorted, each once.")
    return tuple(names)


# ---------------------------------------------------------------- the query


def _refused(message: str) -> S3Error:
    return S3Error("AuthorizationQueryParametersError", message)


def _refused_credential(why: str) -> S3Error:
    return _refused(f"Error parsing the X-Amz-Credential parameter; {why}")


def _refused_headers(why: str) -> S3Error:
    return _refused(f"Error parsing the X-Amz-SignedHeaders parameter; {why}")


def from_query(call: Call, pairs: list[tuple[str, str]]) -> Claim:
    """Parse a presigned URL. ``pairs``: of the whole query, in S3's spelling."""
    words = _query_words(pairs)
    if words["X-Amz-Algorithm"] != ALGORITHM:
        raise _refused(f'X-Amz-Algorithm only supports "{ALGORITHM}"')
    stamp = words["X-Amz-Date"]
    time = canonical.iso_time(stamp)
    if time is None:
        raise _refused("X-Amz-Date must be in the ISO8601 Long Format \"yyyyMMdd'T'HHmmss'Z'\"")
    expires = _life(words["X-Amz-Expires"])
    access_key, day, region = credential(words["X-Amz-Credential"], _refused_credential)
    names = _signed_names(words["X-Amz-SignedHeaders"], _refused_headers)
    return Claim(
        access_key=access_key,
        scheme="v4",
        place="query",
        signature=words["X-Amz-Signature"],
        time=time,
        stamp=stamp,
        expires=expires,
        day=day,
        region=region,
        signed_headers=names,
        query=canonical.query([pair for pair in pairs if pair[0] != "X-Amz-Signature"]),
        payload=_presigned_payload(call, words.get("X-Amz-Content-Sha256")),
        token=words.get("X-Amz-Security-Token", "") or call.headers.get("x-amz-security-token", ""),
    )


def _query_words(pairs: list[tuple[str, str]]) -> dict[str, str]:
    """The authentication parameters, decoded. Each once and spelt as documented, so that nobody reads another one."""
    words: dict[str, str] = {}
    for name, value in pairs:
        known = _QUERY_NAMES.get(name.lower())
        if known is None:
            continue
        if name != known or name in words:
            raise _refused(f"The query parameter {known} must be given once, and spelt so.")
        words[name] = canonical.plain(value)
    if not all(words.get(name) for name in _NEEDED):
        raise _refused(
            "Query-string authentication version 4 requires the X-Amz-Algorithm, X-Amz-Credential, X-Amz-Signature, "
            "X-Amz-Date, X-Amz-SignedHeaders, and X-Amz-Expires parameters."
        )
    return words


def _life(text: str) -> int:
    """X-Amz-Expires in seconds: 1 to a week."""
    if not _NUMBER.fullmatch(text):
        raise _refused("X-Amz-Expires should be a number")
    expires = int(text)
    if expires < 0:
        raise _refused("X-Amz-Expires must be non-negative")
    if expires == 0:
        raise _refused("X-Amz-Expires must be greater than zero")
    if expires > LONGEST_LIFE:
        raise _refused(
            "X-Amz-Expires must be less than a week (in seconds); that is, the given X-Amz-Expires must be less than "
            "604800 seconds"
        )
    return expires


def _presigned_payload(call: Call, in_query: str | None) -> str:
    """The payload line of a URL: the header's word, else the query's, else none is promised. Both must agree."""
    in_header = call.headers.get("x-amz-content-sha256")
    if in_header is None:
        word = UNSIGNED if in_query is None else in_query
    elif in_query is not None and in_query != in_header:
        raise _refused("X-Amz-Content-Sha256 and the x-amz-content-sha256 header differ.")
    else:
        word = in_header
    check_word(word)
    return word
