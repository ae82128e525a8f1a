"""An oracle for the wire room's tests: requests signed by botocore, and AWS's example credentials."""

from __future__ import annotations

import datetime
import hashlib
import hmac
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from email.utils import formatdate
from urllib.parse import urlsplit

import botocore.auth
import pytest
from botocore.auth import HmacV1Auth, HmacV1QueryAuth, S3SigV4Auth, S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from gateway.errors import S3Error
from gateway.model import Call
from gateway.wire.claim import Payload
from gateway.wire.signature import read_claim, verify

NOW = 1369353600.0  # 2013-05-24T00:00:00Z, the time of AWS's published examples


class NoBody:
    size: int | None = 0

    def __aiter__(self) -> AsyncIterator[bytes]:
        raise AssertionError("a signature is verified before the body is read")

    def close(self) -> None:
        pass


@dataclass(frozen=True)
class Oracle:
    """Signs with botocore at ``now``; ``accepts`` and ``refusal`` run ours on what came out."""

    access_key: str = "AKIAIOSFODNN7EXAMPLE"
    secret: str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
    now: float = NOW
    region: str = "us-east-1"

    @property
    def credentials(self) -> Credentials:
        return Credentials(self.access_key, self.secret)

    def call(self, method: str, path: str, query: str = "", headers: dict[str, str] | None = None) -> Call:
        return Call(
            id="1",
            method=method,
            path=path,
            query=query,
            headers=headers or {},
            body=NoBody(),
            peer="127.0.0.1",
            secure=False,
            received=self.now,
        )

    def _sent(self, request: AWSRequest) -> Call:
        prepared = request.prepare()
        url = urlsplit(prepared.url)
        headers: dict[str, str] = {}
        for name, value in prepared.headers.items():
            text = value.decode("utf-8") if isinstance(value, bytes) else value
            lower = name.lower()
            headers[lower] = f"{headers[lower]},{text}" if lower in headers else text
        headers.setdefault("host", url.netloc)
        return self.call(prepared.method, url.path or "/", url.query, headers)

    def header(
        self,
        method: str = "GET",
        url: str = "http://127.0.0.1:8000/bucket/key",
        headers: dict[str, str] | None = None,
        data: bytes = b"",
        payload: str = "signed",
    ) -> Call:
        """V4 in the Authorization header. ``payload``: "signed", or the word to send instead of a digest."""
        request = AWSRequest(method, url, headers=dict(headers or {}), data=data)
        signer = S3SigV4Auth(self.credentials, "s3", self.region)
        if payload != "signed":
            signer.payload = lambda request: payload  # type: ignore[method-assign]
        signer.add_auth(request)
        return self._sent(request)

    def presigned(
        self,
        method: str = "GET",
        url: str = "http://127.0.0.1:8000/bucket/key",
        headers: dict[str, str] | None = None,
        expires: int = 300,
    ) -> Call:
        request = AWSRequest(method, url, headers=dict(headers or {}))
        S3SigV4QueryAuth(self.credentials, "s3", self.region, expires=expires).add_auth(request)
        return self._sent(request)

    def v2_header(self, method: str, url: str, headers: dict[str, str] | None = None, resource: str = "") -> Call:
        request = AWSRequest(method, url, headers=dict(headers or {}), auth_path=resource or None)
        signer = HmacV1Auth(self.credentials)
        signer._get_date = lambda: formatdate(self.now, usegmt=True)  # type: ignore[method-assign]
        signer.add_auth(request)
        return self._sent(request)

    def v2_query(self, method: str, url: str, expires: int = 300) -> Call:
        request = AWSRequest(method, url)
        signer = HmacV1QueryAuth(self.credentials)
        signer._get_date = lambda: str(int(self.now + expires))  # type: ignore[method-assign]
        signer.add_auth(request)
        return self._sent(request)

    def prove(self, call: Call, **options: object) -> Payload:
        claim = read_claim(call)
        assert claim is not None
        settings = {"now": self.now, **options}
        secret = settings.pop("secret", self.secret)
        return verify(call, claim, secret, **settings)  # type: ignore[arg-type]

    def refusal(self, call: Call, **options: object) -> S3Error:
        """The S3Error that the call earns."""
        with pytest.raises(S3Error) as caught:
            self.prove(call, **options)
        return caught.value

    def chunked(self, payload: Payload, chunks: list[bytes], trailers: dict[str, str] | None = None) -> bytes:
        """An aws-chunked body as the S3 documentation describes it, written independently of the decoder."""
        body = b""
        chain = payload.chain
        previous = chain.seed if chain else ""
        empty = hashlib.sha256(b"").hexdigest()

        def link(algorithm: str, digests: str) -> str:
            assert chain is not None
            text = "\n".join((algorithm, chain.stamp, chain.scope, previous, digests))
            return hmac.new(self.key(chain.scope), text.encode(), hashlib.sha256).hexdigest()

        for chunk in [*chunks, b""]:
            extension = ""
            if chain:
                previous = link("AWS4-HMAC-SHA256-PAYLOAD", f"{empty}\n{hashlib.sha256(chunk).hexdigest()}")
                extension = f";chunk-signature={previous}"
            body += f"{len(chunk):x}{extension}\r\n".encode() + chunk + (b"\r\n" if chunk else b"")
        for name, value in (trailers or {}).items():
            body += f"{name}:{value}\r\n".encode()
        if payload.trailer_signed:
            lines = "".join(f"{name}:{value}\n" for name, value in sorted((trailers or {}).items()))
            signature = link("AWS4-HMAC-SHA256-TRAILER", hashlib.sha256(lines.encode()).hexdigest())
            body += f"x-amz-trailer-signature:{signature}\r\n".encode()
        return body + b"\r\n"

    def key(self, scope: str) -> bytes:
        key = ("AWS4" + self.secret).encode()
        for part in scope.split("/"):
            key = hmac.new(key, part.encode(), hashlib.sha256).digest()
        return key


Change = Callable[..., Call]


@pytest.fixture
def change() -> Change:
    """A copy of a call with other headers (None removes one) or other fields."""

    def changed(call: Call, headers: dict[str, str | None] | None = None, **fields: object) -> Call:
        merged = {**call.headers, **(headers or {})}
        kept = {name: value for name, value in merged.items() if value is not None}
        return replace(call, headers=kept, **fields)  # type: ignore[arg-type]

    return changed


@pytest.fixture
def oracle(monkeypatch: pytest.MonkeyPatch) -> Oracle:
    moment = datetime.datetime.fromtimestamp(NOW, datetime.UTC)
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda *args, **kwargs: moment.replace(tzinfo=None))
    return Oracle()
