"""Buckets with boto3: create, head, list, locate, delete, and who owns them.

Source: https://docs.aws.amazon.com/AmazonS3/latest/API/API_CreateBucket.html and its neighbours; names:
https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
"""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest


def fresh(prefix: str = "b") -> str:
    return f"{prefix}-{uuid.uuid4().hex[:20]}"


def test_a_bucket_lives_from_create_to_delete(s3: Any, refuses: Callable[..., Any]) -> None:
    name = fresh()
    assert s3.create_bucket(Bucket=name)["Location"] == f"/{name}"
    assert s3.head_bucket(Bucket=name)["ResponseMetadata"]["HTTPStatusCode"] == 200
    assert s3.delete_bucket(Bucket=name)["ResponseMetadata"]["HTTPStatusCode"] == 204
    with refuses("404", 404):
        s3.head_bucket(Bucket=name)
    with refuses("NoSuchBucket", 404):
        s3.delete_bucket(Bucket=name)


def test_buckets_are_listed_in_order_with_their_owner(s3: Any) -> None:
    names = sorted(fresh(prefix) for prefix in ("zz", "aa", "mm"))
    before = datetime.now(UTC) - timedelta(seconds=2)
    for name in reversed(names):
        s3.create_bucket(Bucket=name)
    answer = s3.list_buckets()
    listed = [row["Name"] for row in answer["Buckets"]]
    assert listed == sorted(listed)
    assert set(names) <= set(listed)
    times = [row["CreationDate"] for row in answer["Buckets"] if row["Name"] in names]
    assert all(before <= when <= datetime.now(UTC) + timedelta(seconds=2) for when in times)
    assert len(answer["Owner"]["ID"]) == 64


def test_the_head_of_a_bucket_tells_its_region(s3: Any, bucket: str, site: Any) -> None:
    assert s3.head_bucket(Bucket=bucket)["BucketRegion"] == site.region


def test_a_refused_head_of_a_bucket_tells_its_region_too(site: Any, other_site: Any, bucket: str, raw_of: Any) -> None:
    """How SDKs look for a bucket's region: unsigned, or with whatever key they have."""
    unknown = raw_of(dataclasses.replace(site, access_key="AKIAIOSFODNN7EXAMPLE"))
    for refused in (
        raw_of(site)("HEAD", f"/{bucket}", signed=False),
        raw_of(other_site)("HEAD", f"/{bucket}"),
        unknown("HEAD", f"/{bucket}"),
    ):
        assert (refused.status, refused.headers.get("x-amz-bucket-region")) == (403, site.region)


def test_creating_my_own_bucket_again(s3: Any, bucket: str) -> None:
    """In us-east-1 S3 answers 200 for a bucket that the caller owns already, and leaves its objects alone."""
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    s3.create_bucket(Bucket=bucket)
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 1


def test_a_bucket_of_someone_else(s3: Any, other_s3: Any, bucket: str, refuses: Callable[..., Any]) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    with refuses("BucketAlreadyExists", 409):
        other_s3.create_bucket(Bucket=bucket)
    assert bucket not in [row["Name"] for row in other_s3.list_buckets()["Buckets"]]
    with refuses("403", 403):
        other_s3.head_bucket(Bucket=bucket)
    for refused in (
        lambda: other_s3.list_objects_v2(Bucket=bucket),
        lambda: other_s3.get_object(Bucket=bucket, Key="k"),
        lambda: other_s3.get_object(Bucket=bucket, Key="no such key"),
        lambda: other_s3.put_object(Bucket=bucket, Key="k", Body=b"y"),
        lambda: other_s3.delete_object(Bucket=bucket, Key="k"),
        lambda: other_s3.delete_bucket(Bucket=bucket),
        lambda: other_s3.get_bucket_location(Bucket=bucket),
        lambda: other_s3.create_multipart_upload(Bucket=bucket, Key="k"),
    ):
        with refuses("AccessDenied", 403):
            refused()
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"x"


def test_two_accounts_have_two_canonical_ids(s3: Any, other_s3: Any) -> None:
    assert s3.list_buckets()["Owner"]["ID"] != other_s3.list_buckets()["Owner"]["ID"]


def test_a_bucket_with_objects_is_not_deleted(s3: Any, bucket: str, refuses: Callable[..., Any]) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    with refuses("BucketNotEmpty", 409):
        s3.delete_bucket(Bucket=bucket)
    s3.delete_object(Bucket=bucket, Key="k")
    s3.delete_bucket(Bucket=bucket)


def test_a_new_bucket_of_an_old_name_is_empty(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    s3.delete_object(Bucket=bucket, Key="k")
    s3.delete_bucket(Bucket=bucket)
    s3.create_bucket(Bucket=bucket)
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


def test_the_location_of_a_bucket_without_a_constraint_is_null(s3: Any, bucket: str) -> None:
    """S3 answers an empty LocationConstraint for us-east-1."""
    assert s3.get_bucket_location(Bucket=bucket)["LocationConstraint"] is None


@pytest.mark.parametrize("constraint", ["eu-west-1", "EU"])
def test_a_location_constraint_comes_back(s3: Any, constraint: str) -> None:
    name = fresh()
    s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": constraint})
    assert s3.get_bucket_location(Bucket=name)["LocationConstraint"] == constraint


BAD_NAMES = (
    "ab",
    "a",
    "x" * 64,
    "Upper-case",
    "under_score",
    "-starts-with-hyphen",
    "ends-with-hyphen-",
    ".starts-with-dot",
    "ends-with-dot.",
    "two..dots",
    "192.168.5.4",
    "xn--something",
    "sthree-something",
    "amzn-s3-demo-something",
    "something-s3alias",
    "something--ol-s3",
    "something.mrap",
    "something--x-s3",
    "sp ace",
    "ümlaut",
    "a!b",
)


@pytest.mark.parametrize("shape", ["{}", "1{}", "a.{}", "a-b.{}9", "{}" + "x" * 43])
def test_a_legal_name_is_accepted(s3: Any, shape: str) -> None:
    name = shape.format(uuid.uuid4().hex[:20])
    s3.create_bucket(Bucket=name)
    s3.head_bucket(Bucket=name)


@pytest.mark.parametrize("name", BAD_NAMES)
def test_an_illegal_name_is_refused(raw: Any, name: str) -> None:
    reply = raw("PUT", f"/{quote(name)}")
    assert (reply.status, reply.code) == (400, "InvalidBucketName")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"<CreateBucketConfiguration", "MalformedXML"),
        (b"not xml at all", "MalformedXML"),
        (b"<Other/>", "MalformedXML"),
        (b'<!DOCTYPE a [<!ENTITY b "c">]><CreateBucketConfiguration/>', "MalformedXML"),
    ],
)
def test_a_bad_create_body_is_refused(raw: Any, body: bytes, code: str) -> None:
    name = fresh()
    reply = raw("PUT", f"/{name}", body=body)
    assert (reply.status, reply.code) == (400, code)
    assert raw("HEAD", f"/{name}").status == 404
