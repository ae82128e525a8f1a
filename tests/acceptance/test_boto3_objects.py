"""Put, get, head and delete of objects with boto3 as it comes.

Source: https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html and API_GetObject, API_HeadObject,
API_DeleteObject beside it.
"""

from __future__ import annotations

import hashlib
import io
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.header import decode_header, make_header
from typing import Any

import pytest

KIB, MIB = 1024, 1024 * 1024
SIZES = (0, 1, 4 * KIB, 64 * KIB - 1, 64 * KIB, 64 * KIB + 1, MIB, MIB + 3, 9 * MIB)


def noise(size: int) -> bytes:
    return random.Random(size).randbytes(size)


@pytest.mark.parametrize("size", SIZES)
def test_an_object_comes_back_as_it_went(s3: Any, bucket: str, size: int) -> None:
    body = noise(size)
    etag = f'"{hashlib.md5(body).hexdigest()}"'
    assert s3.put_object(Bucket=bucket, Key="thing", Body=body)["ETag"] == etag
    got = s3.get_object(Bucket=bucket, Key="thing")
    assert got["Body"].read() == body
    assert (got["ContentLength"], got["ETag"], got["AcceptRanges"]) == (size, etag, "bytes")
    head = s3.head_object(Bucket=bucket, Key="thing")
    assert (head["ContentLength"], head["ETag"], head["LastModified"]) == (size, etag, got["LastModified"])


def test_a_file_object_is_streamed(s3: Any, bucket: str) -> None:
    body = noise(3 * MIB + 17)
    s3.put_object(Bucket=bucket, Key="file", Body=io.BytesIO(body))
    assert s3.get_object(Bucket=bucket, Key="file")["Body"].read() == body


def test_the_last_put_wins(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"first, and longer", ContentType="text/plain", Metadata={"a": "1"})
    s3.put_object(Bucket=bucket, Key="k", Body=b"second")
    got = s3.get_object(Bucket=bucket, Key="k")
    assert got["Body"].read() == b"second"
    assert got["Metadata"] == {}
    assert got["ContentType"] == "binary/octet-stream"
    assert len(s3.list_objects_v2(Bucket=bucket)["Contents"]) == 1


def test_deleting_is_final_and_can_be_repeated(s3: Any, bucket: str, refuses: Callable[..., Any]) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    for _ in range(2):
        assert s3.delete_object(Bucket=bucket, Key="k")["ResponseMetadata"]["HTTPStatusCode"] == 204
    with refuses("NoSuchKey", 404):
        s3.get_object(Bucket=bucket, Key="k")
    with refuses("404", 404):
        s3.head_object(Bucket=bucket, Key="k")


def test_last_modified_is_the_time_of_the_put(s3: Any, bucket: str) -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    modified = s3.head_object(Bucket=bucket, Key="k")["LastModified"]
    listed = s3.list_objects_v2(Bucket=bucket)["Contents"][0]["LastModified"]
    assert before - timedelta(seconds=1) <= modified <= datetime.now(UTC) + timedelta(seconds=1)
    assert listed.replace(microsecond=0) == modified


CONTENT_HEADERS = {
    "CacheControl": "public, max-age=14400",
    "ContentDisposition": 'attachment; filename="a b.txt"',
    "ContentEncoding": "gzip",
    "ContentLanguage": "de, en",
    "ContentType": "text/plain; charset=utf-8",
}


def test_content_headers_come_back(s3: Any, bucket: str) -> None:
    expires = datetime(2031, 5, 6, 7, 8, 9, tzinfo=UTC)
    s3.put_object(Bucket=bucket, Key="k", Body=b"x", Expires=expires, **CONTENT_HEADERS)
    for read in (s3.get_object, s3.head_object):
        got = read(Bucket=bucket, Key="k")
        assert {name: got[name] for name in CONTENT_HEADERS} == CONTENT_HEADERS
        assert got["ExpiresString"] == "Tue, 06 May 2031 07:08:09 GMT"


def test_aws_chunked_is_no_content_encoding(s3: Any, bucket: str, raw: Any) -> None:
    """The default integrity settings upload with ``Content-Encoding: aws-chunked``, which S3 does not keep."""
    s3.put_object(Bucket=bucket, Key="plain", Body=io.BytesIO(b"x" * 100), ChecksumAlgorithm="CRC32")
    s3.put_object(Bucket=bucket, Key="packed", Body=io.BytesIO(b"x" * 100), ContentEncoding="gzip")
    assert "content-encoding" not in raw("HEAD", f"/{bucket}/plain").headers
    assert raw("HEAD", f"/{bucket}/packed").headers["content-encoding"] == "gzip"


def test_an_object_without_a_type_is_binary(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    assert s3.head_object(Bucket=bucket, Key="k")["ContentType"] == "binary/octet-stream"


def test_user_metadata_comes_back_with_lower_case_names(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"x", Metadata={"Colour": "Blue", "empty": "", "two-words": "a  b"})
    for read in (s3.get_object, s3.head_object):
        assert read(Bucket=bucket, Key="k")["Metadata"] == {"colour": "Blue", "empty": "", "two-words": "a  b"}


def test_user_metadata_outside_ascii_comes_back(bucket: str, raw: Any) -> None:
    """Over REST user metadata may be UTF-8; S3 answers such values as an RFC 2047 encoded word.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingMetadata.html
    """
    headers = {"x-amz-meta-name": "grün €"}
    assert raw("PUT", f"/{bucket}/k", headers=headers, body=b"x").status == 200
    value = raw("HEAD", f"/{bucket}/k").headers["x-amz-meta-name"]
    assert value.isascii()
    assert str(make_header(decode_header(value))) == "grün €"


@pytest.mark.parametrize(
    ("asked", "span"),
    [
        ("bytes=0-0", (0, 1)),
        ("bytes=4-7", (4, 8)),
        ("bytes=990-", (990, 1000)),
        ("bytes=-7", (993, 1000)),
        ("bytes=-5000", (0, 1000)),
        ("bytes=900-5000", (900, 1000)),
        ("bytes=0-999", (0, 1000)),
    ],
)
def test_a_range_gives_just_these_bytes(s3: Any, bucket: str, asked: str, span: tuple[int, int]) -> None:
    body = noise(1000)
    s3.put_object(Bucket=bucket, Key="k", Body=body)
    got = s3.get_object(Bucket=bucket, Key="k", Range=asked)
    assert got["ResponseMetadata"]["HTTPStatusCode"] == 206
    assert got["ContentRange"] == f"bytes {span[0]}-{span[1] - 1}/1000"
    assert got["ContentLength"] == span[1] - span[0]
    assert got["Body"].read() == body[span[0] : span[1]]
    head = s3.head_object(Bucket=bucket, Key="k", Range=asked)
    assert head["ContentLength"] == span[1] - span[0]


@pytest.mark.parametrize("asked", ["bytes=1000-", "bytes=1000-1001", "bytes=-0"])
def test_a_range_beyond_the_end_is_refused(
    s3: Any, bucket: str, asked: str, refuses: Callable[..., Any], raw: Any
) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=noise(1000))
    with refuses("InvalidRange", 416) as caught:
        s3.get_object(Bucket=bucket, Key="k", Range=asked)
    assert caught.value.response["Error"]["ActualObjectSize"] == "1000"
    assert raw("GET", f"/{bucket}/k", headers={"Range": asked}).headers["content-range"] == "bytes */1000"


@pytest.mark.parametrize("asked", ["bytes=5-2", "bytes=a-b", "bytes=0-1,4-5", "lines=0-1", "0-1"])
def test_a_range_that_s3_does_not_know_gives_the_whole(s3: Any, bucket: str, asked: str) -> None:
    """S3 serves one range per GET and ignores a Range header that it cannot read (RFC 9110 section 14.2)."""
    s3.put_object(Bucket=bucket, Key="k", Body=noise(1000))
    got = s3.get_object(Bucket=bucket, Key="k", Range=asked)
    assert (got["ResponseMetadata"]["HTTPStatusCode"], got["ContentLength"]) == (200, 1000)
    got["Body"].close()


def test_ranges_of_an_object_without_bytes(s3: Any, bucket: str, refuses: Callable[..., Any]) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"")
    for asked in ("bytes=0-", "bytes=0-0", "bytes=-0", "bytes=-1"):
        with refuses("InvalidRange", 416):
            s3.get_object(Bucket=bucket, Key="k", Range=asked)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_bad_part_number_is_told_before_the_key_is_looked_up(bucket: str, raw: Any, method: str) -> None:
    for number in ("0", "10001", "-1", "one"):
        assert raw(method, f"/{bucket}/none?partNumber={number}").status == 400
    assert raw(method, f"/{bucket}/none?partNumber=1").status == 404


def test_a_range_across_block_borders(s3: Any, bucket: str) -> None:
    body = noise(5 * MIB + 11)
    s3.put_object(Bucket=bucket, Key="k", Body=body)
    for start, stop in ((MIB - 1, MIB + 1), (MIB, 2 * MIB), (1, 5 * MIB), (5 * MIB, 5 * MIB + 11)):
        got = s3.get_object(Bucket=bucket, Key="k", Range=f"bytes={start}-{stop - 1}")
        assert got["Body"].read() == body[start:stop]


def test_many_objects_are_deleted_at_once(s3: Any, bucket: str) -> None:
    for key in ("a", "b", "c/d", "<&>", "stays"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"x")
    asked = [{"Key": key} for key in ("a", "c/d", "<&>", "never was")]
    gone = s3.delete_objects(Bucket=bucket, Delete={"Objects": asked})
    assert sorted(row["Key"] for row in gone["Deleted"]) == ["<&>", "a", "c/d", "never was"]
    assert "Errors" not in gone
    quiet = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "b"}], "Quiet": True})
    assert "Deleted" not in quiet
    assert "Errors" not in quiet
    assert [row["Key"] for row in s3.list_objects_v2(Bucket=bucket)["Contents"]] == ["stays"]


def test_upload_and_download_file_of_boto3(s3: Any, bucket: str) -> None:
    """s3transfer: a multipart upload, then ranged GETs of one object, in threads."""
    body = noise(20 * MIB + 5)
    s3.upload_fileobj(io.BytesIO(body), bucket, "big", ExtraArgs={"Metadata": {"kind": "big"}})
    there = io.BytesIO()
    s3.download_fileobj(bucket, "big", there)
    assert there.getvalue() == body
    assert s3.head_object(Bucket=bucket, Key="big")["Metadata"] == {"kind": "big"}
