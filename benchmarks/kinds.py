"""The four kinds of request whose cost is looked at closely, as bytes on a connection: PUT, GET, HEAD and a page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.bench import PAGED, SMALL, put_all, request
from benchmarks.presign import BUCKET, Signer
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

    def whole(method: str, operation: str, key: str = "", body: bytes = b"", **query: str) -> bytes:
        return request(server.endpoint, method, signer.target(operation, key, **query), body)

    return [
        Kind("PUT", "PUT", [whole("PUT", "put_object", key, b"x" * SMALL) for key in _keys()]),
        Kind("GET", "GET", [whole("GET", "get_object", key) for key in _keys()]),
        Kind("HEAD", "HEAD", [whole("HEAD", "head_object", key) for key in _keys()]),
        Kind("page", "GET", [whole("GET", "list_objects_v2", prefix=PAGED, max_keys=str(LISTED))]),
    ]


def _keys() -> list[str]:
    return [f"small/{number:04d}" for number in range(KEYS)]
