"""Virtual-host and path style, boto3's resources, regions.

Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/VirtualHosting.html
"""

from __future__ import annotations

import dataclasses
from typing import Any

import boto3
import pytest


@pytest.fixture
def by_host(site: Any, raw_of: Any) -> Any:
    """``by_host(bucket)`` -> raw requests whose Host names the bucket (any ``*.localhost`` does)."""

    def make(bucket: str) -> Any:
        port = site.authority.rpartition(":")[2]

        def call(method: str, target: str, **more: Any) -> Any:
            headers = {"Host": f"{bucket}.localhost:{port}", **more.pop("headers", {})}
            return raw_of(site)(method, target, headers=headers, **more)

        return call

    return make


def test_the_host_names_the_bucket(s3: Any, bucket: str, by_host: Any) -> None:
    there = by_host(bucket)
    assert there("PUT", "/a/b%20c", body=b"hello").status == 200
    assert s3.get_object(Bucket=bucket, Key="a/b c")["Body"].read() == b"hello"
    assert there("GET", "/a/b%20c").body == b"hello"
    assert b"<Key>a/b c</Key>" in there("GET", "/?list-type=2").body
    assert there("HEAD", "/").status == 200
    assert there("DELETE", "/a/b%20c").status == 204
    assert there("DELETE", "/").status == 204
    assert there("HEAD", "/").status == 404


def test_a_bucket_with_dots(s3: Any, bucket: str, by_host: Any) -> None:
    dotted = f"a.b.{bucket}"
    assert by_host(dotted)("PUT", "/").status == 200
    assert by_host(dotted)("PUT", "/k", body=b"x").status == 200
    assert s3.get_object(Bucket=dotted, Key="k")["Body"].read() == b"x"


def test_boto3s_resources(site: Any, bucket: str) -> None:
    resource = boto3.resource(
        "s3",
        endpoint_url=site.endpoint,
        aws_access_key_id=site.access_key,
        aws_secret_access_key=site.secret_key,
        region_name=site.region,
    )
    place = resource.Bucket(bucket)
    assert bucket in [found.name for found in resource.buckets.all()]
    for key in ("a", "b/1", "b/2"):
        place.put_object(Key=key, Body=key.encode())
    assert [found.key for found in place.objects.filter(Prefix="b/")] == ["b/1", "b/2"]
    thing = resource.Object(bucket, "a")
    assert thing.get()["Body"].read() == b"a"
    thing.copy_from(CopySource=f"{bucket}/b/1")
    thing.wait_until_exists()
    assert thing.content_length == 3
    resource.Object(bucket, "copied").copy({"Bucket": bucket, "Key": "b/2"})
    assert resource.Object(bucket, "copied").get()["Body"].read() == b"b/2"
    place.objects.all().delete()
    place.delete()
    place.wait_until_not_exists()
    resource.meta.client.close()


@pytest.mark.parametrize("region", ["eu-west-1", "auto", "garage"])
def test_any_region_in_the_signature(site: Any, bucket: str, raw_of: Any, region: str) -> None:
    """Unless ``strict_region`` is set."""
    other = raw_of(dataclasses.replace(site, region=region))
    assert other("PUT", f"/{bucket}/k", body=b"x").status == 200
