"""One spelling for everything that is signed: paths, queries, header values and dates.

Source: "Create a signed AWS API request" and "Authenticating Requests (AWS Signature Version 4)" in the S3 API
Reference. S3 signs the path once encoded and never normalises it ("//" and "/../" stay).
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import lru_cache
from urllib.parse import quote, unquote_to_bytes

_PLAIN_PATH = re.compile(r"[A-Za-z0-9\-._~/]*")
_PLAIN_WORD = re.compile(r"[A-Za-z0-9\-._~]*")
_PLAIN_OCTETS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~&="
_ESCAPED = frozenset(f"{octet:02X}" for octet in range(256) if octet not in _PLAIN_OCTETS.removesuffix(b"&="))
_BLANKS = re.compile(r"[ \t]+")
_ISO = re.compile(r"(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z", re.ASCII)
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_HTTP_DATE = re.compile(
    r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), (\d\d) (" + "|".join(_MONTHS) + r") (\d{4}) (\d\d):(\d\d):(\d\d) "
    r"(?:GMT|UTC|[+-]0000)",
    re.ASCII,
)
_SECRET_WORDS = frozenset(
    ("x-amz-signature", "x-amz-credential", "x-amz-security-token", "signature", "awsaccesskeyid")
)


def octets(text: str) -> bytes:
    """The bytes of a text as it is signed; a text that is not clean UTF-8 still has some, so nothing raises."""
    return text.encode("utf-8", "surrogatepass")


def path(raw: str) -> str:
    """S3's spelling of a raw path: decoded once, encoded once, "/" left alone."""
    if _PLAIN_PATH.fullmatch(raw):
        return raw
    return quote(unquote_to_bytes(octets(raw)), safe="/")


def word(raw: str) -> str:
    """S3's spelling of a raw query name or value ("+" is a space in a query)."""
    if _PLAIN_WORD.fullmatch(raw):
        return raw
    return quote(unquote_to_bytes(octets(raw.replace("+", " "))), safe="")


def plain(spelt: str) -> str:
    """The text behind S3's spelling; bytes that are no UTF-8 become U+FFFD, which no name or date of ours holds."""
    if "%" not in spelt:
        return spelt
    return unquote_to_bytes(spelt).decode("utf-8", "replace")


def query_pairs(raw: str) -> list[tuple[str, str]]:
    """The (name, value) pairs of a raw query in S3's spelling, in the order they came."""
    if not raw:
        return []
    pieces = [piece.partition("=") for piece in raw.split("&") if piece]
    if _is_spelt(raw) and not any("=" in value for _, _, value in pieces):
        return [(name, value) for name, _, value in pieces]
    return [(word(name), word(value)) for name, _, value in pieces]


def _is_spelt(raw: str) -> bool:
    """Whether a whole query is in S3's spelling already, as SDKs write it; to see that is cheaper than to spell it."""
    left = octets(raw).translate(None, _PLAIN_OCTETS)
    return left == b"%" * len(left) and all(piece[:2] in _ESCAPED for piece in raw.split("%")[1:])


def query(pairs: list[tuple[str, str]]) -> str:
    """The canonical query of pairs in S3's spelling: sorted by name, then value."""
    return "&".join([f"{name}={value}" for name, value in sorted(pairs)])


def header_value(value: str) -> str:
    """A header's value as it is signed: trimmed, each run of blanks one space."""
    if "  " in value or "\t" in value:
        value = _BLANKS.sub(" ", value)
    return value.strip(" ")


@lru_cache(maxsize=256)  # many requests come in the same second
def iso_time(text: str) -> float | None:
    """Epoch seconds of ``yyyyMMddTHHmmssZ``, None if it is not such a date."""
    found = _ISO.fullmatch(text)
    if found is None:
        return None
    year, month, day, hour, minute, second = map(int, found.groups())
    return _epoch(year, month, day, hour, minute, second)


def http_time(text: str) -> float | None:
    """Epoch seconds of an RFC 9110 date (s3cmd writes +0000 for GMT), None if it is not such a date."""
    found = _HTTP_DATE.fullmatch(text)
    if found is None:
        return None
    day, month, year, hour, minute, second = found.groups()
    return _epoch(int(year), _MONTHS.index(month) + 1, int(day), int(hour), int(minute), int(second))


def _epoch(year: int, month: int, day: int, hour: int, minute: int, second: int) -> float | None:
    try:
        time = datetime(year, month, day, hour, minute, second, tzinfo=UTC).timestamp()
    except ValueError:
        return None
    return time if time >= 0 else None  # S3 reads no date before the epoch


def iso_basic(time: float) -> str:
    """``yyyyMMddTHHmmssZ`` of epoch seconds, as V4 signs it."""
    return datetime.fromtimestamp(time, UTC).strftime("%Y%m%dT%H%M%SZ")


def iso_extended(time: float) -> str:
    """``yyyy-MM-ddTHH:mm:ssZ`` of epoch seconds, as S3 writes it into errors."""
    return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def redacted(raw: str) -> str:
    """A raw query that may be logged: the values that would let a reader replay the request are gone."""
    pieces = []
    for piece in raw.split("&"):
        name, equals, _ = piece.partition("=")
        pieces.append(f"{name}=-" if equals and word(name).lower() in _SECRET_WORDS else piece)
    return "&".join(pieces)
