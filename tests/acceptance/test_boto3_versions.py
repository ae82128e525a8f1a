"""ListObjectVersions of a bucket that never had versioning: what clients ask to empty it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

KEYS = ["a b", "dir/1", "dir/2", "last", "é+"]


@pytest.fixture
def filled(s3: Any, bucket: str) -> str:
    for key in KEYS:
        s3.put_object(Bucket=bucket, Key=key, Body=key.encode())
    return bucket


def test_each_key_has_one_version(s3: Any, filled: str) -> None:
    page = s3.list_object_versions(Bucket=filled)
    assert [(row["Key"], row["VersionId"], row["IsLatest"]) for row in page["Versions"]] == [
        (key, "null", True) for key in KEYS
    ]
    assert (page["IsTruncated"], page["Name"], "DeleteMarkers" in page) == (False, filled, False)
    known = s3.list_objects_v2(Bucket=filled, FetchOwner=True)["Contents"]
    for row, same in zip(page["Versions"], known, strict=True):
        assert {name: row[name] for name in same} == same


@pytest.mark.parametrize("size", [1, 2, 1000])
def test_page_by_page(s3: Any, filled: str, size: int) -> None:
    pages = s3.get_paginator("list_object_versions").paginate(Bucket=filled, PaginationConfig={"PageSize": size})
    assert [row["Key"] for page in pages for row in page["Versions"]] == KEYS


def test_common_prefixes(s3: Any, filled: str) -> None:
    page = s3.list_object_versions(Bucket=filled, Delimiter="/", MaxKeys=2)
    assert [row["Key"] for row in page["Versions"]] == ["a b"]
    assert [row["Prefix"] for row in page["CommonPrefixes"]] == ["dir/"]
    assert (page["IsTruncated"], page["NextKeyMarker"], page.get("NextVersionIdMarker")) == (True, "dir/", None)
    rest = s3.list_object_versions(Bucket=filled, Delimiter="/", KeyMarker=page["NextKeyMarker"])
    assert [row["Key"] for row in rest["Versions"]] == ["last", "é+"]
    assert "CommonPrefixes" not in rest
    inside = s3.list_object_versions(Bucket=filled, Delimiter="/", KeyMarker="dir/1")
    assert inside["Versions"] == rest["Versions"]
    assert "CommonPrefixes" not in inside


def test_markers_that_are_none(s3: Any, filled: str, refuses: Callable[..., Any]) -> None:
    with refuses("InvalidArgument", 400):
        s3.list_object_versions(Bucket=filled, VersionIdMarker="null")
    with refuses("InvalidArgument", 400):
        s3.list_object_versions(Bucket=filled, KeyMarker="dir/1", VersionIdMarker="other")
    after = s3.list_object_versions(Bucket=filled, KeyMarker="dir/2", VersionIdMarker="null")
    assert [row["Key"] for row in after["Versions"]] == ["last", "é+"]


def test_a_bucket_is_emptied_by_versions(s3: Any, filled: str) -> None:
    """As test suites and `aws s3 rb` scripts do it, governance or not."""
    rows = s3.list_object_versions(Bucket=filled)["Versions"]
    doomed = [{"Key": row["Key"], "VersionId": row["VersionId"]} for row in rows]
    gone = s3.delete_objects(Bucket=filled, Delete={"Objects": doomed}, BypassGovernanceRetention=True)
    assert [(row["Key"], row["VersionId"]) for row in gone["Deleted"]] == [(key, "null") for key in KEYS]
    assert "Contents" not in s3.list_objects_v2(Bucket=filled)
    s3.delete_bucket(Bucket=filled)


GONE = "3sL4kqtJlcpXroDTDmJ.rmSpXd3dIbrH"  # as S3 spells ids


def test_a_version_that_is_not_there_is_deleted_already(s3: Any, filled: str, refuses: Callable[..., Any]) -> None:
    """A request may be repeated; the version that is there stays. What cannot be an id is refused."""
    for key, version in (("last", GONE), ("none", GONE), ("none", "null")):
        answer = s3.delete_object(Bucket=filled, Key=key, VersionId=version)
        assert (answer["ResponseMetadata"]["HTTPStatusCode"], answer["VersionId"]) == (204, version)
    asked = [{"Key": "last", "VersionId": GONE}, {"Key": "none", "VersionId": "null"}]
    answer = s3.delete_objects(Bucket=filled, Delete={"Objects": [*asked, {"Key": "last", "VersionId": "bogus"}]})
    assert answer["Deleted"] == asked
    assert [(row["Key"], row["Code"]) for row in answer["Errors"]] == [("last", "InvalidArgument")]
    with refuses("NoSuchKey", 404):
        s3.delete_object(Bucket=filled, Key="last", VersionId=GONE, IfMatch="*")
    s3.head_object(Bucket=filled, Key="last", VersionId="null")


def test_ids_of_no_version(s3: Any, filled: str, refuses: Callable[..., Any]) -> None:
    named = {"Bucket": filled, "Key": "last"}
    for version, code, status in ((GONE, "NoSuchVersion", 404), ("bogus", "InvalidArgument", 400)):
        for ask in (s3.get_object, s3.get_object_acl, s3.get_object_tagging):
            with refuses(code, status):
                ask(**named, VersionId=version)
        with refuses(str(status), status):
            s3.head_object(**named, VersionId=version)
        with refuses(code, status):
            s3.copy_object(Bucket=filled, Key="copy", CopySource={**named, "VersionId": version})
    with refuses("InvalidArgument", 400):
        s3.delete_object(**named, VersionId="bogus")
