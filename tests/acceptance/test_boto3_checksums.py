"""Checksums on single puts: default integrity settings, every algorithm, header and trailer.

Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity.html
"""

from __future__ import annotations

import base64
import hashlib
import io
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from awscrt import checksums as crt


def text(digest: bytes) -> str:
    return base64.b64encode(digest).decode()


def of(algorithm: str, body: bytes) -> str:
    """base64 of the checksum, worked out apart from the gateway's own code."""
    match algorithm:
        case "CRC32":
            return text(zlib.crc32(body).to_bytes(4, "big"))
        case "CRC32C":
            return text(crt.crc32c(body).to_bytes(4, "big"))
        case "CRC64NVME":
            return text(crt.crc64nvme(body).to_bytes(8, "big"))
        case "XXHASH64":
            return text(bytes(crt.XXHash.compute_xxhash64(body)))
        case "XXHASH3":
            return text(bytes(crt.XXHash.compute_xxhash3_64(body)))
        case "XXHASH128":
            return text(bytes(crt.XXHash.compute_xxhash3_128(body)))
        case _:
            return text(hashlib.new(algorithm, body).digest())


COMPUTED = ("CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256", "SHA512", "XXHASH128", "XXHASH3", "XXHASH64")
ALGORITHMS = (*COMPUTED, "MD5")  # botocore computes no MD5
BODY = b"the quick brown fox" * 5000


@pytest.mark.parametrize("algorithm", COMPUTED)
def test_the_client_computes_and_the_server_keeps(s3: Any, bucket: str, algorithm: str) -> None:
    """A bytes body: the checksum travels in a trailer (boto3 streams it through aws-chunked)."""
    field, value = f"Checksum{algorithm}", of(algorithm, BODY)
    for body in (BODY, io.BytesIO(BODY)):
        sent = s3.put_object(Bucket=bucket, Key="k", Body=body, ChecksumAlgorithm=algorithm)
        assert (sent[field], sent["ChecksumType"]) == (value, "FULL_OBJECT")
    for read in (s3.get_object, s3.head_object):
        got = read(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
        assert (got[field], got["ChecksumType"]) == (value, "FULL_OBJECT")


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_checksum_in_the_header(s3: Any, bucket: str, algorithm: str, refuses: Callable[..., Any]) -> None:
    field = f"Checksum{algorithm}"
    sent = s3.put_object(Bucket=bucket, Key="k", Body=BODY, **{field: of(algorithm, BODY)})
    assert sent[field] == of(algorithm, BODY)
    with refuses("BadDigest", 400):
        s3.put_object(Bucket=bucket, Key="wrong", Body=BODY, **{field: of(algorithm, b"other")})
    for garbage in ("garbage", "AAAA", of(algorithm, BODY)[:-1]):
        with refuses("InvalidRequest", 400):
            s3.put_object(Bucket=bucket, Key="wrong", Body=BODY, **{field: garbage})
    assert [row["Key"] for row in s3.list_objects_v2(Bucket=bucket)["Contents"]] == ["k"]


def test_boto3_sends_crc32_by_default(s3: Any, bucket: str) -> None:
    assert s3.put_object(Bucket=bucket, Key="k", Body=BODY)["ChecksumCRC32"] == of("CRC32", BODY)


def test_an_upload_without_any_gets_crc64nvme(lax_s3: Any, bucket: str) -> None:
    """Since 2024 S3 computes CRC64NVME where the client named no checksum."""
    lax_s3.put_object(Bucket=bucket, Key="k", Body=BODY)
    head = lax_s3.head_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    assert head["ChecksumCRC64NVME"] == of("CRC64NVME", BODY)


def test_checksums_are_told_only_when_asked(bucket: str, raw: Any) -> None:
    raw("PUT", f"/{bucket}/k", body=BODY, headers={"x-amz-checksum-crc32": of("CRC32", BODY)})
    assert not [name for name in raw("HEAD", f"/{bucket}/k").headers if name.startswith("x-amz-checksum")]
    told = raw("HEAD", f"/{bucket}/k", headers={"x-amz-checksum-mode": "ENABLED"}).headers
    assert told["x-amz-checksum-crc32"] == of("CRC32", BODY)


def test_two_checksums_at_once_are_refused(bucket: str, raw: Any) -> None:
    headers = {"x-amz-checksum-crc32": of("CRC32", BODY), "x-amz-checksum-sha1": of("SHA1", BODY)}
    reply = raw("PUT", f"/{bucket}/k", body=BODY, headers=headers)
    assert (reply.status, reply.code) == (400, "InvalidRequest")


def test_an_unknown_algorithm_is_refused(bucket: str, raw: Any) -> None:
    headers = {"x-amz-sdk-checksum-algorithm": "ADLER", "x-amz-checksum-adler": "AAAAAA=="}
    reply = raw("PUT", f"/{bucket}/k", body=BODY, headers=headers)
    assert (reply.status, reply.code) == (400, "InvalidRequest")


def framed(chunks: list[bytes], trailer: str) -> bytes:
    """aws-chunked with an unsigned trailer, as
    https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming-trailers.html shows it."""
    rows = [b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in (*chunks,)]
    return b"".join(rows) + b"0\r\n" + trailer.encode() + b"\r\n\r\n"


def put_framed(raw: Any, target: str, body: bytes, length: int, trailer: str = "x-amz-checksum-crc32") -> Any:
    headers = {
        "Content-Encoding": "aws-chunked",
        "x-amz-decoded-content-length": str(length),
        "x-amz-trailer": trailer,
    }
    return raw("PUT", target, body=body, headers=headers, payload="STREAMING-UNSIGNED-PAYLOAD-TRAILER")


@pytest.mark.parametrize("cut", [8192, 65536, 94_999, len(BODY)])
def test_a_trailer_proves_chunks_of_any_size(bucket: str, raw: Any, cut: int) -> None:
    chunks = [BODY[start : start + cut] for start in range(0, len(BODY), cut)]
    sent = framed(chunks, f"x-amz-checksum-crc32:{of('CRC32', BODY)}")
    assert put_framed(raw, f"/{bucket}/k", sent, len(BODY)).status == 200
    assert raw("GET", f"/{bucket}/k").body == BODY


@pytest.mark.parametrize("cut", [1, 10, 8191])
def test_only_the_last_chunk_may_be_small(bucket: str, raw: Any, cut: int) -> None:
    """Chunks below 8 KiB are refused, the last one apart; S3 says so of unsigned trailers too (the SDK's advice:
    https://github.com/aws/aws-sdk-js-v3/pull/7598)."""
    body = BODY[: 3 * cut]
    chunks = [body[start : start + cut] for start in range(0, len(body), cut)]
    sent = framed(chunks, f"x-amz-checksum-crc32:{of('CRC32', body)}")
    reply = put_framed(raw, f"/{bucket}/k", sent, len(body))
    assert (reply.status, reply.code) == (403, "InvalidChunkSizeError")
    assert raw("HEAD", f"/{bucket}/k").status == 404


@pytest.mark.parametrize(
    ("sent", "length", "status", "codes"),
    [
        (framed([b"abc"], "x-amz-checksum-crc32:" + of("CRC32", b"abd")), 3, 400, {"BadDigest"}),
        (framed([b"abc"], "x-amz-checksum-crc32:rubbish"), 3, 400, {"InvalidRequest", "MalformedTrailerError"}),
        (framed([b"abc"], "x-amz-checksum-sha1:" + of("SHA1", b"abc")), 3, 400, {"MalformedTrailerError"}),
        (b"3\r\nabc\r\n0\r\n\r\n", 3, 400, {"MalformedTrailerError", "InvalidRequest"}),
        (framed([b"abc"], "x-amz-checksum-crc32:" + of("CRC32", b"abc")), 4, 400, {"IncompleteBody"}),
        (framed([b"abc"], "x-amz-checksum-crc32:" + of("CRC32", b"abc")), 2, 400, {"IncompleteBody"}),
        (b"3\r\nabcX\r\n0\r\n\r\n", 3, 400, {"IncompleteBody", "InvalidRequest", "MalformedTrailerError"}),
        (b"zz\r\nabc\r\n0\r\n\r\n", 3, 400, {"IncompleteBody", "InvalidRequest", "InvalidChunkSizeError"}),
        (b"3\r\nab", 3, 400, {"IncompleteBody"}),
    ],
    ids=["wrong", "rubbish", "another", "missing", "too few", "too many", "no crlf", "no size", "cut off"],
)
def test_a_bad_trailer_leaves_nothing(
    bucket: str, raw: Any, sent: bytes, length: int, status: int, codes: set[str]
) -> None:
    reply = put_framed(raw, f"/{bucket}/k", sent, length)
    assert reply.status == status
    assert reply.code in codes
    assert raw("HEAD", f"/{bucket}/k").status == 404
