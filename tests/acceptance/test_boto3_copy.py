"""CopyObject and UploadPartCopy.

Source: https://docs.aws.amazon.com/AmazonS3/latest/API/API_CopyObject.html and API_UploadPartCopy.html
"""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

MIB = 1024 * 1024
CONTENT = {"ContentType": "text/plain", "CacheControl": "no-cache", "Metadata": {"colour": "blue"}}


@pytest.fixture
def source(s3: Any, bucket: str) -> dict[str, str]:
    s3.put_object(Bucket=bucket, Key="a/source +é", Body=b"the body", **CONTENT)
    return {"Bucket": bucket, "Key": "a/source +é"}


def test_within_a_bucket(s3: Any, bucket: str, source: dict[str, str]) -> None:
    done = s3.copy_object(Bucket=bucket, Key="copy", CopySource=source)["CopyObjectResult"]
    got = s3.get_object(Bucket=bucket, Key="copy")
    assert got["Body"].read() == b"the body"
    assert {name: got[name] for name in CONTENT} == CONTENT
    assert (done["ETag"], done["LastModified"].replace(microsecond=0)) == (got["ETag"], got["LastModified"])
    s3.delete_object(**source)
    assert s3.get_object(Bucket=bucket, Key="copy")["Body"].read() == b"the body"


def test_into_another_bucket(s3: Any, new_bucket: Callable[[], str], source: dict[str, str]) -> None:
    there = new_bucket()
    s3.copy_object(Bucket=there, Key="copy", CopySource=source)
    assert s3.get_object(Bucket=there, Key="copy")["Body"].read() == b"the body"


@pytest.mark.parametrize("size", [0, 1, 9 * MIB])
def test_of_any_size(s3: Any, bucket: str, size: int) -> None:
    body = random.Random(size).randbytes(size)
    s3.put_object(Bucket=bucket, Key="k", Body=body)
    s3.copy_object(Bucket=bucket, Key="copy", CopySource={"Bucket": bucket, "Key": "k"})
    s3.delete_object(Bucket=bucket, Key="k")
    assert s3.get_object(Bucket=bucket, Key="copy")["Body"].read() == body


def test_with_new_metadata(s3: Any, bucket: str, source: dict[str, str]) -> None:
    new = {"ContentType": "text/css", "Metadata": {"shape": "round"}}
    s3.copy_object(Bucket=bucket, Key="copy", CopySource=source, MetadataDirective="REPLACE", **new)
    head = s3.head_object(Bucket=bucket, Key="copy")
    assert {name: head[name] for name in new} == new
    assert "CacheControl" not in head
    s3.copy_object(Bucket=bucket, Key="same", CopySource=source, **new)  # the default directive is COPY
    assert s3.head_object(Bucket=bucket, Key="same")["ContentType"] == "text/plain"


def test_onto_itself(s3: Any, bucket: str, source: dict[str, str], refuses: Callable[..., Any]) -> None:
    with refuses("InvalidRequest", 400):
        s3.copy_object(**source, CopySource=source)
    s3.copy_object(**source, CopySource=source, MetadataDirective="REPLACE", Metadata={"new": "1"})
    got = s3.get_object(**source)
    assert (got["Body"].read(), got["Metadata"]) == (b"the body", {"new": "1"})


def test_a_bad_directive(s3: Any, bucket: str, source: dict[str, str], refuses: Callable[..., Any]) -> None:
    with refuses("InvalidArgument", 400):
        s3.copy_object(Bucket=bucket, Key="copy", CopySource=source, MetadataDirective="KEEP")
    with refuses("InvalidArgument", 400):
        s3.copy_object(Bucket=bucket, Key="copy", CopySource=source, TaggingDirective="KEEP")


def test_from_nowhere(s3: Any, bucket: str, refuses: Callable[..., Any]) -> None:
    with refuses("NoSuchKey", 404):
        s3.copy_object(Bucket=bucket, Key="copy", CopySource={"Bucket": bucket, "Key": "none"})
    with refuses("NoSuchBucket", 404):
        s3.copy_object(Bucket=bucket, Key="copy", CopySource={"Bucket": "acceptance-never-made", "Key": "k"})
    with refuses("NoSuchBucket", 404):
        s3.copy_object(Bucket="acceptance-never-made", Key="copy", CopySource={"Bucket": bucket, "Key": "k"})


@pytest.mark.parametrize("text", ["", "/", "bucket-only", "/bucket-only/", "%", "abc/%zz", "abc/%00", "abc/%ff"])
def test_a_source_that_names_nothing(bucket: str, raw: Any, text: str) -> None:
    reply = raw("PUT", f"/{bucket}/copy", headers={"x-amz-copy-source": text})
    assert (reply.status, reply.code) == (400, "InvalidArgument")
    assert raw("HEAD", f"/{bucket}/copy").status == 404


@pytest.mark.parametrize("slash", ["", "/"])
def test_a_source_as_text(s3: Any, bucket: str, raw: Any, slash: str) -> None:
    s3.put_object(Bucket=bucket, Key="a b+c", Body=b"x")
    reply = raw("PUT", f"/{bucket}/copy", headers={"x-amz-copy-source": f"{slash}{bucket}/a%20b%2Bc"})
    assert reply.status == 200
    assert b"<CopyObjectResult" in reply.body


def test_from_someone_elses_bucket(
    other_s3: Any, bucket: str, source: dict[str, str], refuses: Callable[..., Any]
) -> None:
    mine = f"{bucket}-other"
    other_s3.create_bucket(Bucket=mine)
    with refuses("AccessDenied", 403):
        other_s3.copy_object(Bucket=mine, Key="stolen", CopySource=source)
    with refuses("AccessDenied", 403):
        other_s3.copy_object(Bucket=mine, Key="stolen", CopySource={**source, "Key": "none"})


def test_metadata_that_does_not_count_may_be_anything(s3: Any, bucket: str, source: dict[str, str]) -> None:
    """With the COPY directive nobody reads the request's metadata, not even its size."""
    s3.copy_object(Bucket=bucket, Key="copy", CopySource=source, Metadata={"long": "x" * 3000})
    assert s3.head_object(Bucket=bucket, Key="copy")["Metadata"] == s3.head_object(**source)["Metadata"]


def test_conditions_on_the_source(s3: Any, bucket: str, source: dict[str, str], refuses: Callable[..., Any]) -> None:
    """Where both of a pair are given, the etag decides (the API page's table)."""
    etag = s3.head_object(**source)["ETag"]
    past = datetime.now(UTC) - timedelta(days=1)
    for good in (
        {"CopySourceIfMatch": etag},
        {"CopySourceIfNoneMatch": '"other"'},
        {"CopySourceIfModifiedSince": past},
        {"CopySourceIfMatch": etag, "CopySourceIfUnmodifiedSince": past},
    ):
        s3.copy_object(Bucket=bucket, Key="copy", CopySource=source, **good)
    for bad in (
        {"CopySourceIfMatch": '"other"'},
        {"CopySourceIfNoneMatch": etag},
        {"CopySourceIfUnmodifiedSince": past},
        {"CopySourceIfNoneMatch": etag, "CopySourceIfModifiedSince": past},
    ):
        with refuses("PreconditionFailed", 412):
            s3.copy_object(Bucket=bucket, Key="copy", CopySource=source, **bad)


def part_copy(s3: Any, bucket: str, source: dict[str, str], number: int, upload: str, **more: Any) -> str:
    place = {"Bucket": bucket, "Key": "big", "UploadId": upload, "PartNumber": number}
    return str(s3.upload_part_copy(**place, CopySource=source, **more)["CopyPartResult"]["ETag"])


def test_parts_copied_by_range(s3: Any, bucket: str) -> None:
    body = random.Random(1).randbytes(11 * MIB)
    s3.put_object(Bucket=bucket, Key="k", Body=body)
    source = {"Bucket": bucket, "Key": "k"}
    upload = s3.create_multipart_upload(Bucket=bucket, Key="big")["UploadId"]
    tags = [
        part_copy(s3, bucket, source, 1, upload, CopySourceRange=f"bytes=7-{7 + 5 * MIB}"),
        part_copy(s3, bucket, source, 2, upload),
        part_copy(s3, bucket, source, 3, upload, CopySourceRange="bytes=0-0"),
    ]
    rows = [{"PartNumber": number, "ETag": tag} for number, tag in enumerate(tags, 1)]
    s3.complete_multipart_upload(Bucket=bucket, Key="big", UploadId=upload, MultipartUpload={"Parts": rows})
    s3.delete_object(**source)
    whole = body[7 : 8 + 5 * MIB] + body + body[:1]
    assert s3.get_object(Bucket=bucket, Key="big")["Body"].read() == whole


@pytest.mark.parametrize(
    "asked", ["0-2", "bytes=0", "bytes=hello-world", "bytes=0-bar", "bytes=hello-", "bytes=0-2,3-5"]
)
def test_a_part_range_that_cannot_be_read(
    s3: Any, bucket: str, source: dict[str, str], refuses: Callable[..., Any], asked: str
) -> None:
    upload = s3.create_multipart_upload(Bucket=bucket, Key="big")["UploadId"]
    with refuses("InvalidArgument", 400):
        part_copy(s3, bucket, source, 1, upload, CopySourceRange=asked)


def test_a_part_source_is_read_before_the_upload_is_looked_up(bucket: str, raw: Any) -> None:
    reply = raw("PUT", f"/{bucket}/big?partNumber=1&uploadId=none", headers={"x-amz-copy-source": "%zz"})
    assert (reply.status, reply.code) == (400, "InvalidArgument")


def test_a_part_range_beyond_the_source(s3: Any, bucket: str, source: dict[str, str], raw: Any) -> None:
    """What S3 was recorded to answer (s3-tests asks for InvalidRange); it never copies less than was asked."""
    upload = s3.create_multipart_upload(Bucket=bucket, Key="big")["UploadId"]
    headers = {"x-amz-copy-source": f"{bucket}/a/source%20%2B%C3%A9", "x-amz-copy-source-range": "bytes=0-21"}
    reply = raw("PUT", f"/{bucket}/big?partNumber=1&uploadId={upload}", headers=headers)
    assert (reply.status, reply.code) == (400, "InvalidArgument")
    assert b"<ArgumentValue>bytes=0-21</ArgumentValue>" in reply.body
