"""Checksums of multipart uploads, and GetObjectAttributes.

Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity-upload.html (composite and
full-object checksums) and https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObjectAttributes.html
"""

from __future__ import annotations

import base64
import hashlib
import random
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from awscrt import checksums as crt

MIB = 1024 * 1024
PARTS = [random.Random(number).randbytes(size) for number, size in enumerate((5 * MIB, 5 * MIB, 1234))]
WHOLE = b"".join(PARTS)


def digest(algorithm: str, body: bytes) -> bytes:
    match algorithm:
        case "CRC32":
            return zlib.crc32(body).to_bytes(4, "big")
        case "CRC32C":
            return int(crt.crc32c(body)).to_bytes(4, "big")
        case "CRC64NVME":
            return int(crt.crc64nvme(body)).to_bytes(8, "big")
        case "XXHASH64":
            return bytes(crt.XXHash.compute_xxhash64(body))
        case "XXHASH3":
            return bytes(crt.XXHash.compute_xxhash3_64(body))
        case "XXHASH128":
            return bytes(crt.XXHash.compute_xxhash3_128(body))
        case _:
            return hashlib.new(algorithm, body).digest()


def text(algorithm: str, body: bytes) -> str:
    return base64.b64encode(digest(algorithm, body)).decode()


def expected(algorithm: str, kind: str) -> str:
    if kind == "FULL_OBJECT":
        return text(algorithm, WHOLE)
    return f"{text(algorithm, b''.join(digest(algorithm, part) for part in PARTS))}-{len(PARTS)}"


def upload(s3: Any, bucket: str, algorithm: str, kind: str, **finish: Any) -> Any:
    place = {"Bucket": bucket, "Key": "k"}
    begun = s3.create_multipart_upload(**place, ChecksumAlgorithm=algorithm, ChecksumType=kind)
    assert (begun["ChecksumAlgorithm"], begun["ChecksumType"]) == (algorithm, kind)
    rows = []
    for number, body in enumerate(PARTS, 1):
        more = {"UploadId": begun["UploadId"], "PartNumber": number, f"Checksum{algorithm}": text(algorithm, body)}
        sent = s3.upload_part(**place, **more, Body=body)
        assert sent[f"Checksum{algorithm}"] == text(algorithm, body)
        rows.append({"PartNumber": number, "ETag": sent["ETag"], f"Checksum{algorithm}": text(algorithm, body)})
    return s3.complete_multipart_upload(**place, UploadId=begun["UploadId"], MultipartUpload={"Parts": rows}, **finish)


KINDS = [
    ("CRC32", "COMPOSITE"),
    ("CRC32", "FULL_OBJECT"),
    ("CRC32C", "COMPOSITE"),
    ("CRC32C", "FULL_OBJECT"),
    ("CRC64NVME", "FULL_OBJECT"),
    ("SHA1", "COMPOSITE"),
    ("SHA256", "COMPOSITE"),
    ("SHA512", "COMPOSITE"),
    ("MD5", "COMPOSITE"),
    ("XXHASH128", "COMPOSITE"),
    ("XXHASH3", "COMPOSITE"),
    ("XXHASH64", "COMPOSITE"),
]


@pytest.mark.parametrize(("algorithm", "kind"), KINDS)
def test_every_algorithm_and_type(s3: Any, bucket: str, algorithm: str, kind: str) -> None:
    field = f"Checksum{algorithm}"
    done = upload(s3, bucket, algorithm, kind)
    assert (done[field], done["ChecksumType"]) == (expected(algorithm, kind), kind)
    head = s3.head_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    assert (head[field], head["ChecksumType"]) == (expected(algorithm, kind), kind)
    told = s3.get_object_attributes(
        Bucket=bucket, Key="k", ObjectAttributes=["ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize"]
    )
    assert (told["Checksum"][field], told["Checksum"]["ChecksumType"]) == (
        expected(algorithm, kind).split("-")[0],
        kind,
    )
    assert (told["ETag"], told["ObjectSize"], told["StorageClass"]) == (done["ETag"].strip('"'), len(WHOLE), "STANDARD")
    assert told["ObjectParts"]["TotalPartsCount"] == 3
    row = s3.list_objects_v2(Bucket=bucket)["Contents"][0]
    assert (row["ChecksumAlgorithm"], row["ChecksumType"]) == ([algorithm], kind)


@pytest.mark.parametrize(
    ("algorithm", "kind"),
    [("SHA256", "FULL_OBJECT"), ("SHA1", "FULL_OBJECT"), ("XXHASH3", "FULL_OBJECT"), ("CRC64NVME", "COMPOSITE")],
)
def test_a_type_that_an_algorithm_has_not(
    s3: Any, bucket: str, refuses: Callable[..., Any], algorithm: str, kind: str
) -> None:
    with refuses("InvalidRequest", 400):
        s3.create_multipart_upload(Bucket=bucket, Key="k", ChecksumAlgorithm=algorithm, ChecksumType=kind)


def test_a_full_object_checksum_is_checked_at_complete(s3: Any, bucket: str, refuses: Callable[..., Any]) -> None:
    with refuses("BadDigest", 400):
        upload(s3, bucket, "CRC32", "FULL_OBJECT", ChecksumType="FULL_OBJECT", ChecksumCRC32=text("CRC32", b"other"))
    upload(s3, bucket, "CRC32", "FULL_OBJECT", ChecksumType="FULL_OBJECT", ChecksumCRC32=text("CRC32", WHOLE))
    assert s3.head_object(Bucket=bucket, Key="k")["ContentLength"] == len(WHOLE)


def test_a_wrong_object_size_is_refused_at_complete(s3: Any, bucket: str, refuses: Callable[..., Any]) -> None:
    with refuses("InvalidRequest", 400):
        upload(s3, bucket, "CRC32", "FULL_OBJECT", MpuObjectSize=len(WHOLE) - 1)
    upload(s3, bucket, "CRC32", "FULL_OBJECT", MpuObjectSize=len(WHOLE))


def test_a_part_with_a_wrong_checksum(s3: Any, bucket: str, refuses: Callable[..., Any]) -> None:
    place = {"Bucket": bucket, "Key": "k"}
    place["UploadId"] = s3.create_multipart_upload(**place, ChecksumAlgorithm="SHA256")["UploadId"]
    with refuses("BadDigest", 400):
        s3.upload_part(**place, PartNumber=1, Body=b"body", ChecksumSHA256=text("SHA256", b"other"))
    tag = s3.upload_part(**place, PartNumber=1, Body=b"body", ChecksumSHA256=text("SHA256", b"body"))["ETag"]
    row = {"PartNumber": 1, "ETag": tag, "ChecksumSHA256": text("SHA256", b"other")}
    with refuses("InvalidPart", 400):
        s3.complete_multipart_upload(**place, MultipartUpload={"Parts": [row]})


@pytest.mark.parametrize(("algorithm", "tail"), [("CRC32C", ""), ("CRC32C", "-3"), ("MD5", "")])
def test_a_composite_checksum_is_checked_at_complete(
    s3: Any, bucket: str, refuses: Callable[..., Any], algorithm: str, tail: str
) -> None:
    """AWS SDKs send it with the number of parts, minio-go without."""
    right = expected(algorithm, "COMPOSITE").removesuffix("-3") + tail
    upload(s3, bucket, algorithm, "COMPOSITE", **{f"Checksum{algorithm}": right})
    for wrong in (text(algorithm, b"other") + tail, expected(algorithm, "COMPOSITE").replace("-3", "-2")):
        with refuses("BadDigest", 400):
            upload(s3, bucket, algorithm, "COMPOSITE", **{f"Checksum{algorithm}": wrong})


def test_a_part_without_its_checksum(bucket: str, s3: Any, raw: Any) -> None:
    """A composite checksum needs one of each part; one of the whole is made without them."""
    for kind, status in (("COMPOSITE", 400), ("FULL_OBJECT", 200)):
        begun = s3.create_multipart_upload(Bucket=bucket, Key="k", ChecksumAlgorithm="CRC32", ChecksumType=kind)
        reply = raw("PUT", f"/{bucket}/k?partNumber=1&uploadId={begun['UploadId']}", body=b"body")
        assert (reply.status, reply.code) == (status, "InvalidRequest" if status == 400 else "")


@pytest.mark.parametrize("size", [-1, 10**30])
def test_a_size_that_no_object_has(s3: Any, bucket: str, refuses: Callable[..., Any], size: int) -> None:
    with refuses("InvalidRequest", 400):
        upload(s3, bucket, "CRC32", "FULL_OBJECT", MpuObjectSize=size)


def test_list_parts_tells_the_checksums(s3: Any, bucket: str) -> None:
    place = {"Bucket": bucket, "Key": "k"}
    place["UploadId"] = s3.create_multipart_upload(**place, ChecksumAlgorithm="SHA1")["UploadId"]
    s3.upload_part(**place, PartNumber=1, Body=b"body", ChecksumAlgorithm="SHA1")
    page = s3.list_parts(**place)
    assert (page["ChecksumAlgorithm"], page["ChecksumType"]) == ("SHA1", "COMPOSITE")
    assert page["Parts"][0]["ChecksumSHA1"] == text("SHA1", b"body")


def test_attributes_of_a_plain_object(s3: Any, bucket: str, refuses: Callable[..., Any]) -> None:
    s3.put_object(Bucket=bucket, Key="plain", Body=b"body", ChecksumAlgorithm="SHA256")
    asked = ["ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize"]
    told = s3.get_object_attributes(Bucket=bucket, Key="plain", ObjectAttributes=asked)
    assert told["Checksum"] == {"ChecksumSHA256": text("SHA256", b"body"), "ChecksumType": "FULL_OBJECT"}
    assert (told["ObjectSize"], told["ETag"]) == (4, hashlib.md5(b"body").hexdigest())
    assert "ObjectParts" not in told
    only = s3.get_object_attributes(Bucket=bucket, Key="plain", ObjectAttributes=["ObjectSize"])
    assert set(only) == {"ObjectSize", "LastModified", "ResponseMetadata"}
    with refuses("NoSuchKey", 404):
        s3.get_object_attributes(Bucket=bucket, Key="none", ObjectAttributes=asked)


def test_attributes_in_pages_of_parts(s3: Any, bucket: str) -> None:
    upload(s3, bucket, "SHA256", "COMPOSITE")
    page = s3.get_object_attributes(Bucket=bucket, Key="k", ObjectAttributes=["ObjectParts"], MaxParts=1)["ObjectParts"]
    assert (page["IsTruncated"], page["MaxParts"], page["NextPartNumberMarker"]) == (True, 1, 1)
    (part,) = page["Parts"]
    assert part == {"PartNumber": 1, "Size": 5 * MIB, "ChecksumSHA256": text("SHA256", PARTS[0])}
    rest = s3.get_object_attributes(Bucket=bucket, Key="k", ObjectAttributes=["ObjectParts"], PartNumberMarker=1)[
        "ObjectParts"
    ]
    assert [part["PartNumber"] for part in rest["Parts"]] == [2, 3]
    assert (rest["IsTruncated"], rest["PartNumberMarker"]) == (False, 1)


@pytest.mark.parametrize(
    ("asked", "code"), [("", "InvalidRequest"), ("Nonsense", "InvalidArgument"), ("etag", "InvalidArgument")]
)
def test_attributes_that_are_none(s3: Any, bucket: str, raw: Any, asked: str, code: str) -> None:
    s3.put_object(Bucket=bucket, Key="plain", Body=b"body")
    reply = raw("GET", f"/{bucket}/plain?attributes", headers={"x-amz-object-attributes": asked})
    assert (reply.status, reply.code) == (400, code)
