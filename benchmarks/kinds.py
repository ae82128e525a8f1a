"""The four kinds of request whose cost is looked at closely, as bytes on a connection: PUT, GET, HEAD and a page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from benchmarks.presign import BUCKET, Signer
from benchmarks.rows import PAGED, SMALL, put_all
from benchmarks.servers import Server

KEYS = 20
LISTED = 1000


@dataclass(frozen=True, slots=True)
class Kind:
    """``requests``: whole requests, of one key each."""

    name: str
    method: str
    requests: Sequence[bytes]


def fill(signer: Signer) -> None:
    """The bucket, what GET and HEAD ask for, and the keys of the page."""
    signer.client.create_bucket(Bucket=BUCKET)
    put_all(signer, _keys(), SMALL)
    put_all(signer, [f"{PAGED}{number:05d}" for number in range(LISTED)], 0)


def kinds(server: Server) -> list[Kind]:
    """Pre-signed, for a bucket that ``fill`` has filled."""
    signer = Signer(server)

    def whole(method: str, operation: str, body: bytes = b"", **params: object) -> bytes:
        return request(server, method, signer.target(operation, **params), body)

    return [
        Kind("PUT", "PUT", [whole("PUT", "put_object", b"x" * SMALL, Key=key) for key in _keys()]),
        Kind("GET", "GET", [whole("GET", "get_object", Key=key) for key in _keys()]),
        Kind("HEAD", "HEAD", [whole("HEAD", "head_object", Key=key) for key in _keys()]),
        Kind("page", "GET", [whole("GET", "list_objects_v2", Prefix=PAGED, MaxKeys=LISTED)]),
    ]


def request(server: Server, method: str, target: str, body: bytes = b"") -> bytes:
    lines = [f"{method} {target} HTTP/1.1", f"Host: {urlsplit(server.endpoint).netloc}"]
    if method == "PUT":
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


def _keys() -> list[str]:
    return [f"small/{number:04d}" for number in range(KEYS)]
