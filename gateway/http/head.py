"""The head of a request: fed to llhttp byte-exactly, then checked for everything that llhttp lets through."""

from __future__ import annotations

import re
from collections.abc import Mapping

import httptools

from gateway.errors import S3Error
from gateway.http.limits import Limits
from gateway.model.record import record

METHODS = {name.encode(): name for name in ("GET", "HEAD", "PUT", "POST", "DELETE", "OPTIONS", "PATCH")}
END = b"\r\n\r\n"
BARE_LF = re.compile(rb"(?<!\r)\n")
DIGITS = frozenset("0123456789")

# Decoding and lower-casing each name costs more than the rest of the head; clients send the same few.
_NAMES = (
    "Accept",
    "Accept-Encoding",
    "Authorization",
    "Cache-Control",
    "Connection",
    "Content-Encoding",
    "Content-Length",
    "Content-MD5",
    "Content-Type",
    "Date",
    "Expect",
    "Host",
    "If-Match",
    "If-Modified-Since",
    "If-None-Match",
    "If-Unmodified-Since",
    "Range",
    "Transfer-Encoding",
    "User-Agent",
    "X-Amz-Acl",
    "X-Amz-Content-SHA256",
    "X-Amz-Copy-Source",
    "X-Amz-Date",
    "X-Amz-Decoded-Content-Length",
    "X-Amz-Sdk-Checksum-Algorithm",
    "X-Amz-Trailer",
    "Amz-Sdk-Invocation-Id",
    "Amz-Sdk-Request",
    "X-Amz-Checksum-Mode",
)
KNOWN = {form.encode(): name.lower() for name in _NAMES for form in (name, name.lower(), name.title())}


@record(frozen=True, slots=True)
class Head:
    """A checked head. ``length``: Content-Length, 0 without a body, None for a chunked one. ``size``: bytes read.

    ``old``: HTTP/1.0. ``expects``: the client waits for ``100 Continue`` before it sends the body.
    """

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    length: int | None
    old: bool
    keep: bool
    expects: bool
    size: int


class HeadReader:
    """Reads one head after the other from one connection; ``feed`` never gives the parser a byte of a body."""

    __slots__ = ("_count", "_headers", "_limits", "_parser", "_seen", "_tail", "_target", "_whole")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._forget()

    def _forget(self) -> None:
        # A new parser for each head (0.4 us): the old one waits for a body that it is never shown.
        self._parser = httptools.HttpRequestParser(self)
        self._target = b""
        self._headers: dict[str, str] = {}
        self._count = 0
        self._seen = 0
        self._tail = b""
        self._whole = False

    @property
    def begun(self) -> bool:
        """Part of a head has arrived."""
        return self._seen > 0

    # -- what the parser calls

    def on_url(self, url: bytes) -> None:
        self._target += url

    def on_header(self, raw_name: bytes, raw_value: bytes) -> None:
        """Names in lower case; values are UTF-8, trimmed; repeated fields joined with "," in order, as SigV4 has it."""
        name = KNOWN.get(raw_name) or raw_name.decode("ascii").lower()
        try:
            value = raw_value.decode().strip(" \t")
        except UnicodeDecodeError:
            raise S3Error("InvalidArgument", f"The value of the header {name} is not UTF-8.") from None
        self._count += 1
        headers = self._headers
        if name in headers:
            if name == "host":
                raise S3Error("InvalidRequest", "A request has one Host header.")
            value = f"{headers[name]},{value}"
        headers[name] = value

    def on_headers_complete(self) -> None:
        self._whole = True

    # -- what the connection calls

    def feed(self, data: bytes) -> tuple[Head | None, bytes]:
        """(the head, the bytes after it), or (None, b"") while more must come. Raises S3Error for a bad head."""
        if not self._seen:
            data = data.lstrip(b"\r\n")  # empty lines before a request are ignored (RFC 9112 section 2.2)
            if not data:
                return None, b""
        tail = self._tail
        found = (tail + data).find(END) if tail else data.find(END)
        end = len(data) if found < 0 else found + len(END) - len(tail)
        self._seen += end
        if self._seen > self._limits.head_bytes:
            raise S3Error("RequestHeaderSectionTooLarge")
        self._parse(data if end == len(data) else data[:end])
        if found < 0:
            if BARE_LF.search(tail + data, len(tail)):
                raise S3Error("BadRequest", cause="a line ends with LF alone")  # llhttp would wait for HTTP/0.9
            self._tail = (tail + data)[-3:]
            return None, b""
        if not self._whole:
            raise S3Error("BadRequest", cause="the head ends before its end")
        head = self._checked()
        self._forget()
        return head, data[end:]

    def _parse(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            pass  # CONNECT is refused with the methods; an offer to upgrade may be ignored (RFC 9110 section 7.8)
        except httptools.HttpParserInvalidURLError:
            raise S3Error("InvalidURI", cause="the request target holds a byte that must be percent-encoded") from None
        except httptools.HttpParserCallbackError as error:
            if isinstance(error.__context__, S3Error):
                raise error.__context__ from None  # ours, from on_header
            raise
        except httptools.HttpParserError as error:
            raise S3Error("BadRequest", cause=str(error)) from None

    def _checked(self) -> Head:
        version = self._parser.get_http_version()
        if version != "1.1" and version != "1.0":
            raise S3Error("BadRequest", "This server speaks HTTP/1.1.")
        method = METHODS.get(self._parser.get_method())
        if method is None:
            raise S3Error("MethodNotAllowed", headers=(("Allow", "GET, HEAD, PUT, POST, DELETE, OPTIONS"),))
        if self._count > self._limits.headers:
            raise S3Error("RequestHeaderSectionTooLarge")
        headers = self._headers
        old = version == "1.0"
        host = headers.get("host", "")
        if not host and not old:
            raise S3Error("InvalidRequest", "An HTTP/1.1 request needs a Host header.")
        path, _, query = _origin_form(self._target, host).partition("?")
        connection = headers.get("connection")
        return Head(
            method,
            path,
            query,
            headers,
            _length(headers, old, self._limits.body_bytes),
            old,
            not old and (connection is None or "close" not in _words(connection)),
            not old and "expect" in headers and "100-continue" in _words(headers["expect"]),
            self._seen,
        )


def _words(value: str) -> list[str]:
    return [word.strip() for word in value.lower().split(",")]


def _origin_form(raw: bytes, host: str) -> str:
    """The target as path and query. An absolute target is taken only where it names the same host (T20)."""
    if b"#" in raw or not raw.isascii():
        raise S3Error("InvalidURI", cause="fragment or raw bytes in the request target")
    target = raw.decode("ascii")
    if target.startswith("/"):
        return target
    scheme, mark, rest = target.partition("://")
    if not mark or scheme.lower() not in ("http", "https"):
        raise S3Error("InvalidURI", cause="the request target is neither a path nor an absolute URL")
    ends = [at for at in (rest.find("/"), rest.find("?")) if at >= 0]
    authority = rest[: min(ends)] if ends else rest
    if authority.lower() != host.lower():
        raise S3Error("InvalidRequest", "The request target names another host than the Host header.")
    after = rest[len(authority) :]
    return after if after.startswith("/") else "/" + after


def _length(headers: Mapping[str, str], old: bool, most: int) -> int | None:
    coding = headers.get("transfer-encoding")
    length = headers.get("content-length")
    if coding is not None:
        if length is not None or old:
            raise S3Error("BadRequest", cause="the length of the body is not clear")
        if coding.lower() == "chunked":
            return None
        known = all(word in ("chunked", "gzip", "x-gzip", "deflate", "compress") for word in _words(coding))
        code = "NotImplemented" if known and _words(coding)[-1] == "chunked" else "BadRequest"
        raise S3Error(code, "The only Transfer-Encoding here is chunked.")
    if length is None:
        return 0
    if not length or not DIGITS.issuperset(length):
        raise S3Error("BadRequest", cause="the Content-Length is not a number")
    if len(length) > 19 or int(length) > most:
        raise S3Error("EntityTooLarge")
    return int(length)
