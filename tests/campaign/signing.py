"""A small S3 client that says exactly what it was told, and nothing where nobody answered."""

from __future__ import annotations

import datetime
import hashlib
import hmac
import http.client
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from urllib.parse import quote, urlsplit

NOTHING: Mapping[str, str] = MappingProxyType({})
_SCOPE = "us-east-1/s3/aws4_request"


@dataclass(frozen=True, slots=True)
class Account:
    access_key: str
    secret: str = field(repr=False)

    def signed(
        self, method: str, host: str, path: str, query: str, body: bytes, more: Mapping[str, str]
    ) -> dict[str, str]:
        """Headers of a request with Signature Version 4, after the S3 API reference (sig-v4-header-based-auth)."""
        now = datetime.datetime.now(datetime.UTC).strftime("%Y%m%dT%H%M%SZ")
        digest = hashlib.sha256(body).hexdigest()
        headers = {"host": host, "x-amz-content-sha256": digest, "x-amz-date": now, **more}
        names = ";".join(sorted(headers))
        lines = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers))
        asked = "\n".join([method, path, query, lines, names, digest])
        scope = f"{now[:8]}/{_SCOPE}"
        text = "\n".join(["AWS4-HMAC-SHA256", now, scope, hashlib.sha256(asked.encode()).hexdigest()])
        key = f"AWS4{self.secret}".encode()
        for step in scope.split("/"):
            key = hmac.digest(key, step.encode(), "sha256")
        signature = hmac.new(key, text.encode(), "sha256").hexdigest()
        told = f"Credential={self.access_key}/{scope}, SignedHeaders={names}, Signature={signature}"
        return {**headers, "authorization": f"AWS4-HMAC-SHA256 {told}"}


class NoAnswer(Exception):
    """The connection ended before the whole reply came: nobody knows what was done."""


class Cut(NoAnswer):
    """The other end closed it: the process that served it is dead, unless it closed it by itself."""


class NobodyThere(NoAnswer):
    """Nobody was asked anything."""


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def etag(self) -> str:
        return self.headers.get("etag", "").strip('"')

    def texts(self, tag: str) -> list[str]:
        """The texts of an XML reply's elements of that name (of names and ids, which need no unescaping here)."""
        return re.findall(f"<{tag}>([^<]*)</{tag}>", self.body.decode())


class Client:
    """One connection, for one thread. ``refused``: nobody listens any more."""

    refused = False

    def __init__(self, endpoint: str, account: Account, patience: float = 30.0) -> None:
        self._host = urlsplit(endpoint).netloc
        self._account = account
        self._patience = patience
        self._wire: http.client.HTTPConnection | None = None

    def ask(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        query: Mapping[str, str] = NOTHING,
        sized: bool = True,
        **headers: str,
    ) -> Answer:
        """``headers``: with _ for -. ``sized`` False: only its end tells how long the body is. Raises NoAnswer."""
        words = "&".join(f"{quote(name, '')}={quote(query[name], '')}" for name in sorted(query))
        more = {name.replace("_", "-"): value for name, value in headers.items()}
        signed = self._account.signed(method, self._host, path, words, body, more)
        if not sized:
            signed["transfer-encoding"] = "chunked"
        if self._wire is None:
            self._wire = http.client.HTTPConnection(self._host, timeout=self._patience)
        try:
            self._wire.request(method, f"{path}?{words}" if words else path, body, signed, encode_chunked=not sized)
            reply = self._wire.getresponse()
            return Answer(reply.status, {k.lower(): v for k, v in reply.getheaders()}, reply.read())
        except (OSError, http.client.HTTPException) as fault:
            self.close()
            self.refused = isinstance(fault, ConnectionRefusedError)
            kind = NobodyThere if self.refused else NoAnswer if isinstance(fault, TimeoutError) else Cut
            raise kind(str(fault)) from fault

    def close(self) -> None:
        if self._wire is not None:
            self._wire.close()
            self._wire = None
