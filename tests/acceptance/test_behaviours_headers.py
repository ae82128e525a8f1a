"""Behaviours that clients rely on, by their well-known names: headers, anonymous-presigned, range, bucket-naming.

``x aws2`` behaviours of "headers" (dates and authorizations of signature V2) are judged where V2 is switched on.
"""

from __future__ import annotations

import base64
import hashlib
import uuid
from collections.abc import Callable
from email.utils import formatdate
from typing import Any

import pytest


def fresh() -> str:
    return f"headers-{uuid.uuid4().hex[:20]}"


def test_bucket_create_bad_authorization_invalid(raw: Any) -> None:
    reply = raw("PUT", f"/{fresh()}", after={"Authorization": "AWS HAHAHA"})
    assert (reply.status, reply.code) in ((400, "InvalidArgument"), (400, "InvalidRequest"))


def test_bucket_create_bad_contentlength_negative(raw: Any) -> None:
    assert raw("PUT", f"/{fresh()}", after={"Content-Length": "-1"}).status == 400


def test_bucket_create_contentlength_none(raw: Any) -> None:
    """A bucket is made without any body, and without a length."""
    name = fresh()
    assert raw("PUT", f"/{name}", drop=("Content-Length",)).status == 200
    assert raw("HEAD", f"/{name}").status == 200


@pytest.mark.parametrize("date", ["Bad Date", "Tue, 07 Jul 2030 21:53:04 GMT"])
def test_bucket_create_bad_date(raw: Any, date: str) -> None:
    """x-amz-date is what counts; a Date beside it may say anything."""
    assert raw("PUT", f"/{fresh()}", after={"Date": date}).status == 200


@pytest.mark.parametrize("agent", [{"after": {"User-Agent": ""}}, {"drop": ("User-Agent",)}])
def test_bucket_create_bad_ua(raw: Any, agent: dict[str, Any]) -> None:
    assert raw("PUT", f"/{fresh()}", **agent).status == 200


def test_object_create_date_and_no_amz_date(bucket: str, raw: Any) -> None:
    """Signature V4 may carry the standard Date header in place of x-amz-date."""
    assert raw("PUT", f"/{bucket}/k", headers={"Date": formatdate(usegmt=True)}, body=b"x").status == 200


def test_object_create_no_date_at_all(bucket: str, raw: Any) -> None:
    reply = raw("PUT", f"/{bucket}/k", body=b"x", drop=("X-Amz-Date", "Date"))
    assert (reply.status, reply.code) == (403, "AccessDenied")


@pytest.mark.parametrize(
    ("text", "status", "codes"),
    [
        ("", 403, {"AccessDenied"}),
        ("AWS HAHAHA", 400, {"InvalidArgument", "InvalidRequest"}),
        ("AWS AKIAIGR7ZNNBHC5BKSUB:FWeDfwojDSdS2Ztmpfeubhd9isU=", 400, {"InvalidRequest"}),
    ],
    ids=["empty", "invalid", "incorrect"],
)
def test_object_create_bad_authorization(bucket: str, raw: Any, text: str, status: int, codes: set[str]) -> None:
    """With signature V2 off, S3 asks for AWS4-HMAC-SHA256 with a 400 whoever signed."""
    reply = raw("PUT", f"/{bucket}/k", body=b"bar", after={"Authorization": text})
    assert reply.status == status
    assert reply.code in codes


def test_object_create_bad_contentlength_mismatch_below(bucket: str, raw: Any) -> None:
    """A length shorter than the body: what arrives is not what was signed."""
    reply = raw("PUT", f"/{bucket}/k", body=b"bar", announce=2)
    assert (reply.status, reply.code) == (400, "XAmzContentSHA256Mismatch")
    digest = base64.b64encode(hashlib.md5(b"bar").digest()).decode()
    reply = raw(
        "PUT", f"/{bucket}/k", body=b"bar", announce=2, payload="UNSIGNED-PAYLOAD", headers={"Content-MD5": digest}
    )
    assert (reply.status, reply.code) == (400, "BadDigest")
    assert raw("HEAD", f"/{bucket}/k").status == 404


def test_object_create_bad_contenttype_invalid(s3: Any, bucket: str) -> None:
    """S3 does not judge a content type."""
    s3.put_object(Bucket=bucket, Key="k", Body=b"bar", ContentType="text plain, or so")
    assert s3.head_object(Bucket=bucket, Key="k")["ContentType"] == "text plain, or so"


def test_object_create_bad_expect_none(bucket: str, raw: Any) -> None:
    assert raw("PUT", f"/{bucket}/k", body=b"bar", drop=("Expect",)).status == 200


@pytest.mark.parametrize(
    ("md5", "code"),
    [
        ("rL0Y20xC+Fzt72VPzMSk2A==", "BadDigest"),
        ("AWS HAHAHA", "InvalidDigest"),
        ("YWJyYWNhZGFicmE=", "InvalidDigest"),
        ("", "InvalidDigest"),
    ],
    ids=["bad", "garbage", "short", "empty"],
)
def test_object_create_bad_md5(bucket: str, raw: Any, md5: str, code: str) -> None:
    reply = raw("PUT", f"/{bucket}/k", body=b"bar", headers={"Content-MD5": md5})
    assert (reply.status, reply.code) == (400, code)


def test_object_create_bad_md5_none(bucket: str, raw: Any) -> None:
    assert raw("PUT", f"/{bucket}/k", body=b"bar").status == 200


def test_object_raw_get(s3: Any, bucket: str, raw: Any) -> None:
    """Until ACLs exist nothing is public: a caller without a signature is refused."""
    s3.put_object(Bucket=bucket, Key="foo", Body=b"bar")
    assert raw("GET", f"/{bucket}/foo", signed=False).code == "AccessDenied"


def test_object_raw_get_object_gone(s3: Any, bucket: str, raw: Any) -> None:
    """Who may not list does not learn what is missing."""
    assert raw("GET", f"/{bucket}/foo", signed=False).code == "AccessDenied"


def test_object_raw_authenticated_object_gone(bucket: str, raw: Any) -> None:
    reply = raw("GET", f"/{bucket}/foo")
    assert (reply.status, reply.code) == (404, "NoSuchKey")


def test_object_raw_authenticated_bucket_gone(s3: Any, bucket: str, raw: Any) -> None:
    s3.delete_bucket(Bucket=bucket)
    reply = raw("GET", f"/{bucket}/foo")
    assert (reply.status, reply.code) == (404, "NoSuchBucket")


@pytest.mark.parametrize(("seconds", "status"), [(100000, 200), (609901, 400)], ids=["not expired", "out of range"])
def test_object_raw_get_x_amz_expires(
    site: Any, make_client: Callable[..., Any], bucket: str, raw: Any, seconds: int, status: int
) -> None:
    client = make_client(site, signature_version="s3v4")
    client.put_object(Bucket=bucket, Key="foo", Body=b"bar")
    url = client.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "foo"}, ExpiresIn=seconds)
    assert raw("GET", url.removeprefix(site.endpoint), signed=False).status == status
    client.close()


def test_ranged_request_response_code(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"testcontent")
    got = s3.get_object(Bucket=bucket, Key="k", Range="bytes=4-7")
    assert (got["Body"].read(), got["ContentRange"]) == (b"cont", "bytes 4-7/11")
    assert got["ResponseMetadata"]["HTTPStatusCode"] == 206


def test_ranged_request_return_trailing_bytes_response_code(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"testcontent")
    got = s3.get_object(Bucket=bucket, Key="k", Range="bytes=-7")
    assert (got["Body"].read(), got["ContentRange"]) == (b"content", "bytes 4-10/11")


def test_bucket_create_naming(s3: Any, raw: Any) -> None:
    reply = raw("PUT", "/aa")
    assert (reply.status, reply.code) == (400, "InvalidBucketName")
    for good in (f"a{uuid.uuid4().hex}", f"aaa-{uuid.uuid4().hex}"):
        s3.create_bucket(Bucket=good)
