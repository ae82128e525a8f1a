"""Where the gateway is, and requests to it whose every byte is ours."""

from __future__ import annotations

import http.client
import re
import socket
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from botocore.auth import HmacV1Auth, S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials


@dataclass(frozen=True, slots=True)
class Site:
    """One S3 endpoint and a key pair. ``pid`` is 0 where the server is not ours; ``config`` its tahoe.cfg."""

    endpoint: str
    access_key: str
    secret_key: str
    region: str
    backend: str
    pid: int = 0
    config: Path = Path()

    @property
    def authority(self) -> str:
        return urlsplit(self.endpoint).netloc


@dataclass(frozen=True, slots=True)
class RawReply:
    """``first_status`` differs from ``status`` where an interim reply (100) came first."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    first_status: int

    @property
    def code(self) -> str:
        """The S3 error code, "" where the body holds none."""
        found = re.search(rb"<Code>([^<]*)</Code>", self.body)
        return found[1].decode() if found else ""


def form_of(fields: Mapping[str, str], data: bytes, filename: str = "a.bin", tail: bytes = b"") -> tuple[str, bytes]:
    """(Content-Type, body) as a browser makes them; ``tail``: parts behind the file, before the closing delimiter."""
    boundary = f"----WebKitFormBoundary{uuid.uuid4().hex[:16]}".encode()
    parts = [
        b'--%b\r\nContent-Disposition: form-data; name="%b"\r\n\r\n%b\r\n' % (boundary, name.encode(), value.encode())
        for name, value in fields.items()
    ]
    head = f'Content-Disposition: form-data; name="file"; filename="{filename}"\r\nContent-Type: image/x-own\r\n\r\n'
    parts.append(b"--%b\r\n%b%b\r\n" % (boundary, head.encode(), data))
    if tail:
        parts.append(b'--%b\r\nContent-Disposition: form-data; name="submit"\r\n\r\n%b\r\n' % (boundary, tail))
    return f"multipart/form-data; boundary={boundary.decode()}", b"".join([*parts, b"--" + boundary + b"--\r\n"])


class SayingPayload(S3SigV4Auth):  # type: ignore[misc]
    """SigV4 that states a payload hash of our choice, where botocore would compute it."""

    def __init__(self, credentials: Credentials, region: str, says: str | None) -> None:
        super().__init__(credentials, "s3", region)
        self._says = says

    def payload(self, request: AWSRequest) -> str:
        return str(super().payload(request)) if self._says is None else self._says


class Raw:
    """Signed requests whose every byte is ours: botocore signs, a bare connection sends."""

    def __init__(self, site: Site) -> None:
        self.site = site

    def sign(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: bytes,
        payload: str | None = None,
        version: str = "v4",
    ) -> dict[str, str]:
        """The request's headers with Authorization. ``payload`` overrides x-amz-content-sha256."""
        site = self.site
        request = AWSRequest(method, site.endpoint + target, headers=dict(headers), data=body)
        credentials = Credentials(site.access_key, site.secret_key)
        if version == "v2":
            request.auth_path = target.partition("?")[0]  # path style: the path names the bucket
            HmacV1Auth(credentials).add_auth(request)
        else:
            SayingPayload(credentials, site.region, payload).add_auth(request)
        return dict(request.headers.items())

    def __call__(
        self,
        method: str,
        target: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        payload: str | None = None,
        version: str = "v4",
        signed: bool = True,
        after: Mapping[str, str] | None = None,
        drop: tuple[str, ...] = (),
        announce: int | None = None,
    ) -> RawReply:
        """Send one request. ``target`` is percent-encoded. ``after``: headers set after signing; ``drop``: left out
        after signing. ``announce``: the Content-Length told, while ``body`` is what is really sent."""
        sent = {"Host": self.site.authority, **(headers or {})}
        if signed:
            sent = self.sign(method, target, sent, body, payload, version)
        if body or announce is not None or method in ("PUT", "POST"):
            sent["Content-Length"] = str(len(body) if announce is None else announce)
        for name, value in (after or {}).items():
            sent = {known: text for known, text in sent.items() if known.lower() != name.lower()}
            sent[name] = value
        dropped = {name.lower() for name in drop}
        lines = [f"{name}: {value}" for name, value in sent.items() if name.lower() not in dropped]
        head = "\r\n".join([f"{method} {target} HTTP/1.1", *lines, "", ""])
        return self.bytes(head.encode("utf-8") + body, method)

    def bytes(self, data: bytes, method: str = "GET") -> RawReply:
        """Send these very bytes on a connection of their own and read one reply."""
        place = urlsplit(self.site.endpoint)
        with socket.create_connection((place.hostname, place.port), timeout=20) as connection:
            connection.sendall(data)
            first = connection.recv(12, socket.MSG_PEEK | socket.MSG_WAITALL)
            reply = http.client.HTTPResponse(connection, method=method)
            try:
                reply.begin()
                body = reply.read()
            finally:
                reply.close()
        headers = {name.lower(): value for name, value in reply.getheaders()}
        return RawReply(reply.status, headers, body, int(first[9:12]))
