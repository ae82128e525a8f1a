"""A small S3 client for people who have no other at hand: signs with SigV4 and streams from and to files.

Source: "Authenticating Requests: Using the Authorization Header (AWS Signature Version 4)", S3 API Reference.
"""

from __future__ import annotations

import hashlib
import http.client
import ssl
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from io import BufferedReader
from typing import IO, BinaryIO
from urllib.parse import quote, urlsplit

from gateway.cli.exits import Refused, Unreachable
from gateway.model import NOTHING
from gateway.wire import canonical
from gateway.wire.signature_v4 import sign, signing_key

_CHUNK = 1 << 18
_NOTHING = hashlib.sha256(b"").hexdigest()
LARGEST_PUT = 5 * 1024**3  # S3's limit of one PutObject


@dataclass(frozen=True, slots=True)
class Target:
    """Whom to ask, and as whom."""

    url: str
    region: str
    access_key: str
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Found:
    """One line of a listing: an object (``size`` is set), a common prefix or a bucket."""

    name: str
    size: int | None = None
    modified: str = ""


class Client:
    """One request at a time. Raises Refused (S3's code and message) and Unreachable."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._url = urlsplit(target.url)

    def put(self, bucket: str, key: str, file: BufferedReader) -> int:
        """Store a file; its size."""
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        size = file.tell()
        if size > LARGEST_PUT:
            raise Refused("more than 5 GiB: use a client with multipart uploads, such as `aws s3 cp`")
        file.seek(0)
        self._ask("PUT", _path(bucket, key), body=file, size=size, digest=digest).read()
        return size

    def get(self, bucket: str, key: str, file: IO[bytes]) -> int:
        """Fetch an object into a file; its size."""
        reply = self._ask("GET", _path(bucket, key))
        expected, size = reply.length, 0
        try:
            while chunk := reply.read(_CHUNK):
                size += file.write(chunk)
        except (OSError, http.client.HTTPException) as fault:
            raise Unreachable(f"{self._target.url} stopped in the middle: {fault}") from fault
        if expected is not None and size != expected:
            raise Unreachable(f"{self._target.url} stopped after {size} of {expected} bytes")
        return size

    def delete(self, bucket: str, key: str) -> None:
        self._ask("DELETE", _path(bucket, key)).read()

    def create_bucket(self, bucket: str) -> None:
        self._ask("PUT", _path(bucket)).read()

    def buckets(self) -> Iterator[Found]:
        for one in _xml(self._ask("GET", "/").read()).iter("Bucket"):
            yield Found(one.findtext("Name", ""), modified=one.findtext("CreationDate", ""))

    def list(self, bucket: str, prefix: str) -> Iterator[Found]:
        """Objects and common prefixes at one level below ``prefix``."""
        token = ""
        while True:
            query = {"list-type": "2", "prefix": prefix, "delimiter": "/", "encoding-type": "url"}
            if token:
                query["continuation-token"] = token
            page = _xml(self._ask("GET", _path(bucket), query).read())
            for one in page.iter("CommonPrefixes"):
                yield Found(_decoded(one.findtext("Prefix", "")))
            for one in page.iter("Contents"):
                size, modified = int(one.findtext("Size", "0")), one.findtext("LastModified", "")
                yield Found(_decoded(one.findtext("Key", "")), size, modified)
            token = page.findtext("NextContinuationToken", "")
            if not token:
                return

    def _ask(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] = NOTHING,
        *,
        body: BinaryIO | None = None,
        size: int = 0,
        digest: str = _NOTHING,
    ) -> http.client.HTTPResponse:
        text = canonical.query([(quote(name, safe=""), quote(value, safe="")) for name, value in query.items()])
        headers = self._signed(method, path, text, digest)
        headers["Content-Length"] = str(size)
        kind = http.client.HTTPSConnection if self._url.scheme == "https" else http.client.HTTPConnection
        connection = kind(self._url.netloc, timeout=120)
        try:
            connection.request(method, path + ("?" + text if text else ""), body=body, headers=headers)
        except (ConnectionResetError, BrokenPipeError):
            pass  # a server may refuse before the body is through; its reply says why
        except (OSError, ssl.SSLError) as fault:
            raise Unreachable(f"nobody answers at {self._target.url} ({fault})") from fault
        try:
            reply = connection.getresponse()
        except (OSError, http.client.HTTPException) as fault:
            raise Unreachable(f"no sensible answer from {self._target.url} ({fault})") from fault
        if reply.status >= 300:
            raise Refused(_refusal(reply))
        return reply

    def _signed(self, method: str, path: str, query: str, digest: str) -> dict[str, str]:
        moment = canonical.iso_basic(time.time())
        headers = {"host": self._url.netloc, "x-amz-content-sha256": digest, "x-amz-date": moment}
        names = ";".join(sorted(headers))
        lines = "".join(f"{name}:{value}\n" for name, value in sorted(headers.items()))
        request = "\n".join((method, path, query, lines, names, digest))
        scope = f"{moment[:8]}/{self._target.region}/s3/aws4_request"
        to_sign = f"AWS4-HMAC-SHA256\n{moment}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
        signature = sign(signing_key(self._target.secret, moment[:8], self._target.region), to_sign)
        credential = f"{self._target.access_key}/{scope}"
        headers["Authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={names}, Signature={signature}"
        )
        return headers


def _path(bucket: str, key: str = "") -> str:
    return "/" + quote(bucket, safe="") + ("/" + quote(key, safe="/-_.~") if key else "")


def _decoded(text: str) -> str:
    from urllib.parse import unquote_plus

    return unquote_plus(text)


def _xml(text: bytes) -> ElementTree.Element:
    """A reply's document without its namespace."""
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as fault:
        raise Unreachable(f"the answer is no S3 reply ({fault})") from fault
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
    return root


def _refusal(reply: http.client.HTTPResponse) -> str:
    text = reply.read(1 << 20)
    if not text.lstrip().startswith(b"<"):
        return f"{reply.status} {reply.reason}"
    error = _xml(text)
    return f"{error.findtext('Code', str(reply.status))}: {error.findtext('Message', reply.reason)}"
