"""A small S3 client for people who have no other at hand: signs with SigV4, keeps one connection, streams bodies.

Source: "Authenticating Requests (AWS Signature Version 4)", S3 API Reference; retries as the AWS SDKs' "standard" mode.
"""

from __future__ import annotations

import hashlib
import http.client
import random
import ssl
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import quote, unquote_plus, urlsplit

from gateway.cli.exits import Refused, Unreachable
from gateway.cli.target import Target
from gateway.model import NOTHING
from gateway.wire import canonical
from gateway.wire.signature_v4 import ALGORITHM, Signed

TRIES = 4
_PATIENCE = 120.0  # seconds that a server may be silent
_PAUSE = 0.5  # seconds before the second try; twice as long before each further one
_TRANSIENT = (500, 502, 503, 504)
_NOTHING = hashlib.sha256(b"").hexdigest()
_UNSIGNED = "UNSIGNED-PAYLOAD"
# What mends a refusal that S3's own words leave dark.
_HINTS = {
    "SignatureDoesNotMatch": "`gateway trace --errors` where the gateway runs tells which part differs",
    "RequestTimeTooSkewed": "set this machine's clock: timedatectl set-ntp true",
    "InvalidAccessKeyId": "`gateway key list` where the gateway runs tells which keys there are",
}


class Content(Protocol):
    """A body that can be sent again: its size, its SHA-256 in hex, and its bytes from the start."""

    @property
    def size(self) -> int: ...

    @property
    def sha256(self) -> str: ...

    def chunks(self) -> Iterator[bytes]: ...


@dataclass(frozen=True, slots=True)
class Text:
    """A small body."""

    data: bytes = b""

    @property
    def size(self) -> int:
        return len(self.data)

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()

    def chunks(self) -> Iterator[bytes]:
        yield self.data


class S3Refused(Refused):
    """The service's own refusal; ``code`` is S3's, ``request`` the id under which the access log tells why."""

    def __init__(self, code: str, message: str, request: str = "") -> None:
        hint = f" ({_HINTS[code]})" if code in _HINTS else ""
        super().__init__(f"{code}: {' '.join(message.split())}{hint}")
        self.code = code
        self.request = request


class Client:
    """One request at a time. Raises S3Refused (S3's code and message) and Unreachable."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self._url = urlsplit(target.url)
        self._connection: http.client.HTTPConnection | None = None

    def ask(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] = NOTHING,
        *,
        headers: Mapping[str, str] = NOTHING,
        body: Content | None = None,
    ) -> http.client.HTTPResponse:
        """The reply to a signed request, its body unread. What may pass by itself is tried again."""
        text = spelt(query)
        for attempt in range(1, TRIES + 1):
            try:
                reply = self._once(method, path, text, headers, body or Text())
            except _Broken as fault:
                self.close()
                if attempt == TRIES:
                    raise Unreachable(f"no sensible answer from {self.target.url} ({fault})") from fault
            else:
                if reply.status < 300:
                    return reply
                refusal = _refusal(reply, method)
                if reply.status not in _TRANSIENT or attempt == TRIES:
                    raise refusal
            time.sleep(_PAUSE * 2 ** (attempt - 1) * random.uniform(0.5, 1.0))
        raise AssertionError("unreachable")

    def document(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] = NOTHING,
        *,
        headers: Mapping[str, str] = NOTHING,
        body: Content | None = None,
    ) -> ElementTree.Element:
        """The reply's XML without its namespace. An error inside a 200 is a refusal as well."""
        reply = self.ask(method, path, query, headers=headers, body=body)
        try:
            root = _xml(reply.read())
        except (OSError, http.client.HTTPException) as fault:
            self.close()
            raise Unreachable(f"{self.target.url} stopped in the middle: {fault}") from fault
        if root.tag == "Error":
            raise S3Refused(root.findtext("Code", "?"), root.findtext("Message", ""))
        return root

    def presign(self, method: str, path: str, seconds: int, now: float) -> str:
        """A URL that does this without keys, for ``seconds`` from ``now``."""
        target, moment = self.target, canonical.iso_basic(now)
        query = {
            "X-Amz-Algorithm": ALGORITHM,
            "X-Amz-Credential": f"{target.access_key}/{moment[:8]}/{target.region}/s3/aws4_request",
            "X-Amz-Date": moment,
            "X-Amz-Expires": str(seconds),
            "X-Amz-SignedHeaders": "host",
        }
        if target.token:
            query["X-Amz-Security-Token"] = target.token
        text, path = spelt(query), self._url.path + path
        host = (("host", self._url.netloc),)
        signed = Signed(method, path, text, host, _UNSIGNED, moment, moment[:8], target.region)
        return f"{self._url.scheme}://{self._url.netloc}{path}?{text}&X-Amz-Signature={signed.signature(target.secret)}"

    def close(self) -> None:
        """Let go of the connection; the next request makes a new one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _once(
        self, method: str, path: str, query: str, more: Mapping[str, str], body: Content
    ) -> http.client.HTTPResponse:
        """One try; raises _Broken where a further one may do better, Unreachable where it will not."""
        fresh = self._connection is None or self._connection.sock is None
        connection = self._connected()
        path = self._url.path + path
        headers = self._signed(method, path, query, more, body.sha256)
        headers["Content-Length"] = str(body.size)
        try:
            connection.request(method, f"{path}?{query}" if query else path, body=body.chunks(), headers=headers)
        except (BrokenPipeError, ConnectionResetError):
            pass  # a server may refuse before the body is through; its reply says why
        except OSError as fault:
            raise _Broken(fault) from fault
        except BaseException:
            self.close()  # half a request is on its way
            raise
        try:
            return connection.getresponse()
        except (OSError, http.client.HTTPException) as fault:
            if not fresh:  # it closed an idle connection just as we wrote to it
                self.close()
                return self._once(method, path.removeprefix(self._url.path), query, more, body)
            raise _Broken(fault) from fault

    def _connected(self) -> http.client.HTTPConnection:
        if self._connection is not None and self._connection.sock is not None:
            return self._connection
        if self._url.scheme == "https":
            made: http.client.HTTPConnection = http.client.HTTPSConnection(
                self._url.netloc, timeout=_PATIENCE, context=_trust(self.target.bundle)
            )
        else:
            made = http.client.HTTPConnection(self._url.netloc, timeout=_PATIENCE)
        try:
            made.connect()
        except (OSError, UnicodeError) as fault:
            told = getattr(fault, "verify_message", None) or getattr(fault, "strerror", None) or fault
            raise Unreachable(f"nobody answers at {self.target.url} ({told})") from fault
        self._connection = made
        return made

    def _signed(self, method: str, path: str, query: str, more: Mapping[str, str], digest: str) -> dict[str, str]:
        target, moment = self.target, canonical.iso_basic(time.time())
        headers = {**more, "host": self._url.netloc, "x-amz-content-sha256": digest, "x-amz-date": moment}
        if target.token:
            headers["x-amz-security-token"] = target.token
        lines = tuple(sorted(headers.items()))
        signed = Signed(method, path, query, lines, digest, moment, moment[:8], target.region)
        names = ";".join(name for name, _ in lines)
        headers["Authorization"] = (
            f"{ALGORITHM} Credential={target.access_key}/{signed.scope}, SignedHeaders={names}, "
            f"Signature={signed.signature(target.secret)}"
        )
        return headers


class _Broken(Exception):
    """The connection ended without a reply."""


def _trust(bundle: str) -> ssl.SSLContext:
    """What the system trusts, and the certificates of ``bundle``: authorities, or the server's own."""
    context = ssl.create_default_context()
    if bundle:
        try:
            context.load_verify_locations(bundle)
        except OSError as fault:
            raise Unreachable(f"{bundle}: no certificates to trust ({fault.strerror or fault})") from fault
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


def path_of(bucket: str = "", key: str = "") -> str:
    """The path of a bucket or an object, spelt as S3 signs it."""
    below = "/" + quote(key.encode(errors="surrogateescape"), safe="/-_.~") if key else ""
    return "/" + quote(bucket.encode(errors="surrogateescape"), safe="") + below


def spelt(query: Mapping[str, str]) -> str:
    return canonical.query([(quote(name, safe=""), quote(value, safe="")) for name, value in query.items()])


def decoded(text: str) -> str:
    """A name of a listing with ``encoding-type=url``."""
    return unquote_plus(text)


def _xml(text: bytes) -> ElementTree.Element:
    """A reply's document without its namespace."""
    try:
        root = ElementTree.fromstring(text.lstrip())
    except ElementTree.ParseError as fault:
        raise Unreachable(f"the answer is no S3 reply ({fault})") from fault
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
    return root


def _refusal(reply: http.client.HTTPResponse, method: str) -> Refused:
    try:
        text = reply.read(1 << 20)
    except (OSError, http.client.HTTPException):
        text = b""
    if text.lstrip().startswith(b"<?xml") or text.lstrip().startswith(b"<Error"):
        error = _xml(text)
        request = reply.headers.get("x-amz-request-id", "")
        return S3Refused(error.findtext("Code", str(reply.status)), error.findtext("Message", reply.reason), request)
    if method == "HEAD" and reply.status == 404:
        return S3Refused("NoSuchKey", "there is no such object")
    return S3Refused(str(reply.status), f"{reply.reason}, and no S3 reply: is this an S3 endpoint?")
