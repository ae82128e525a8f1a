"""Uploads in signed chunks, with and without a signed trailer.

Source: https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming.html and sigv4-streaming-trailers.html. The
signatures are worked out here step by step, apart from the gateway's own code.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import zlib
from collections.abc import Callable
from typing import Any

import pytest

SIGNED = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
TRAILED = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
EMPTY = hashlib.sha256(b"").hexdigest()
BODY = bytes(range(256)) * 1000
Change = Callable[[list[bytes]], list[bytes]]


def same(chunks: list[bytes]) -> list[bytes]:
    return chunks


class Chunks:
    """Signs each chunk with the signature of the one before it."""

    def __init__(self, site: Any, date: str, seed: str) -> None:
        self.date, self.last = date, seed
        self.scope = f"{date[:8]}/{site.region}/s3/aws4_request"
        key = ("AWS4" + site.secret_key).encode()
        for word in (date[:8], site.region, "s3", "aws4_request"):
            key = hmac.new(key, word.encode(), hashlib.sha256).digest()
        self.key = key

    def sign(self, kind: str, *lines: str) -> str:
        text = "\n".join([f"AWS4-HMAC-SHA256-{kind}", self.date, self.scope, self.last, *lines])
        self.last = hmac.new(self.key, text.encode(), hashlib.sha256).hexdigest()
        return self.last

    def chunk(self, data: bytes) -> bytes:
        signature = self.sign("PAYLOAD", EMPTY, hashlib.sha256(data).hexdigest())
        return b"%x;chunk-signature=%b\r\n%b\r\n" % (len(data), signature.encode(), data)


def send(raw: Any, site: Any, target: str, change: Change = same, *, trailer: str = "", cut: int = 65536) -> Any:
    """PUT the body in signed chunks; ``change`` tampers with the finished chunks (the last is the empty one)."""
    headers = {
        "Host": site.authority,
        "Content-Encoding": "aws-chunked",
        "x-amz-decoded-content-length": str(len(BODY)),
    }
    if trailer:
        headers["x-amz-trailer"] = trailer.partition(":")[0]
    signed = raw.sign("PUT", target, headers, b"", TRAILED if trailer else SIGNED)
    chunks = Chunks(site, signed["X-Amz-Date"], signed["Authorization"].rpartition("Signature=")[2])
    sent = [chunks.chunk(BODY[start : start + cut]) for start in range(0, len(BODY), cut)]
    last = chunks.chunk(b"")
    if trailer:
        proof = chunks.sign("TRAILER", hashlib.sha256(trailer.encode() + b"\n").hexdigest())
        last = last[:-2] + f"{trailer}\r\nx-amz-trailer-signature:{proof}\r\n\r\n".encode()
    return raw("PUT", target, signed=False, headers=signed, body=b"".join(change([*sent, last])))


CRC = "x-amz-checksum-crc32:" + base64.b64encode(zlib.crc32(BODY).to_bytes(4, "big")).decode()


@pytest.mark.parametrize("trailer", ["", CRC], ids=["plain", "trailer"])
@pytest.mark.parametrize("cut", [8192, 65536, 100_003, len(BODY)])
def test_signed_chunks_are_taken(raw: Any, site: Any, bucket: str, trailer: str, cut: int) -> None:
    assert send(raw, site, f"/{bucket}/k", trailer=trailer, cut=cut).status == 200
    assert raw("GET", f"/{bucket}/k").body == BODY


def flip(at: int) -> Change:
    """One bit of the data of a chunk."""
    return lambda chunks: [
        chunk[:-3] + bytes([chunk[-3] ^ 1]) + chunk[-2:] if number == at else chunk
        for number, chunk in enumerate(chunks)
    ]


TAMPERED: dict[str, Change] = {
    "first chunk": flip(0),
    "last chunk": flip(3),
    "swapped": lambda chunks: [chunks[1], chunks[0], *chunks[2:]],
    "dropped": lambda chunks: [chunks[0], *chunks[2:]],
    "doubled": lambda chunks: [chunks[0], chunks[0], *chunks[2:]],
    "no end": lambda chunks: chunks[:-1],
    "signature": lambda chunks: [chunks[0].replace(b"chunk-signature=", b"chunk-signature=0", 1), *chunks[1:]],
    "no signature": lambda chunks: [b"10000\r\n" + chunks[0].partition(b"\r\n")[2], *chunks[1:]],
}


@pytest.mark.parametrize("trailer", ["", CRC], ids=["plain", "trailer"])
@pytest.mark.parametrize("name", TAMPERED)
def test_tampered_chunks_leave_nothing(raw: Any, site: Any, bucket: str, name: str, trailer: str) -> None:
    reply = send(raw, site, f"/{bucket}/k", TAMPERED[name], trailer=trailer)
    assert reply.status in (400, 403)
    assert reply.code in ("SignatureDoesNotMatch", "IncompleteBody", "InvalidRequest", "InvalidChunkSizeError")
    assert raw("HEAD", f"/{bucket}/k").status == 404


def test_a_trailer_with_another_checksum_leaves_nothing(raw: Any, site: Any, bucket: str) -> None:
    other = "x-amz-checksum-crc32:" + base64.b64encode(b"nope").decode()
    reply = send(raw, site, f"/{bucket}/k", trailer=other)
    assert (reply.status, reply.code) == (400, "BadDigest")
    assert raw("HEAD", f"/{bucket}/k").status == 404


def test_a_changed_trailer_leaves_nothing(raw: Any, site: Any, bucket: str) -> None:
    def swap(chunks: list[bytes]) -> list[bytes]:
        return [*chunks[:-1], chunks[-1].replace(CRC.encode(), b"x-amz-checksum-crc32:bm9wZQ==")]

    reply = send(raw, site, f"/{bucket}/k", swap, trailer=CRC)
    assert (reply.status, reply.code) == (403, "SignatureDoesNotMatch")
    assert raw("HEAD", f"/{bucket}/k").status == 404
