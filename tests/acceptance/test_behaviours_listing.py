"""Behaviours that clients rely on, by their well-known names: list, list-buckets.

Each test is named after its behaviour; "2 variants" are the two versions of ListObjects.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

import pytest

Page = dict[str, Any]
Lister = Callable[..., Page]
FOUR = ("bar", "baz", "foo", "quxx")


@pytest.fixture(params=["list_objects", "list_objects_v2"])
def lister(request: pytest.FixtureRequest, s3: Any) -> Lister:
    method: Lister = getattr(s3, request.param)
    return method


@pytest.fixture
def fill(s3: Any, bucket: str) -> Callable[..., str]:
    def put(*keys: str) -> str:
        for key in keys:
            s3.put_object(Bucket=bucket, Key=key, Body=key.encode())
        return bucket

    return put


def keys(page: Page) -> list[str]:
    return [row["Key"] for row in page.get("Contents", ())]


def prefixes(page: Page) -> list[str]:
    return [row["Prefix"] for row in page.get("CommonPrefixes", ())]


def test_bucket_list_empty(lister: Lister, bucket: str) -> None:
    assert "Contents" not in lister(Bucket=bucket)


def test_bucket_list_many(lister: Lister, fill: Any) -> None:
    page = lister(Bucket=fill("foo", "bar", "baz"), MaxKeys=2)
    assert (keys(page), page["IsTruncated"]) == (["bar", "baz"], True)


def test_bucket_list_many_goes_on(s3: Any, fill: Any) -> None:
    name = fill("foo", "bar", "baz")
    for page in (
        s3.list_objects(Bucket=name, Marker="baz", MaxKeys=2),
        s3.list_objects_v2(Bucket=name, StartAfter="baz", MaxKeys=2),
    ):
        assert (keys(page), page["IsTruncated"]) == (["foo"], False)


def test_bucket_list_delimiter_basic(lister: Lister, fill: Any) -> None:
    page = lister(Bucket=fill("foo/bar", "foo/bar/xyzzy", "quux/thud", "asdf"), Delimiter="/")
    assert (page["Delimiter"], keys(page), prefixes(page)) == ("/", ["asdf"], ["foo/", "quux/"])


def test_bucket_list_delimiter_dot(lister: Lister, fill: Any) -> None:
    page = lister(Bucket=fill("b.ar", "b.az", "c.ab", "foo"), Delimiter=".")
    assert (page["Delimiter"], keys(page), prefixes(page)) == (".", ["foo"], ["b.", "c."])


def test_bucket_list_delimiter_percentage(lister: Lister, fill: Any) -> None:
    page = lister(Bucket=fill("b%ar", "b%az", "c%ab", "foo"), Delimiter="%")
    assert (page["Delimiter"], keys(page), prefixes(page)) == ("%", ["foo"], ["b%", "c%"])


def test_bucket_list_delimiter_not_skip_special(s3: Any, fill: Any) -> None:
    """Keys that sort just after "0/" (such as "0-", "0.") are not lost while its thousand keys are rolled up."""
    after = ["1999", "1999#", "1999+", "2000"]
    name = fill(*(f"0/{number}" for number in range(1000, 1020)), *after)
    page = s3.list_objects(Bucket=name, Delimiter="/")
    assert (keys(page), prefixes(page)) == (after, ["0/"])


def test_bucket_list_delimiter_prefix_ends_with_delimiter(lister: Lister, fill: Any) -> None:
    page = lister(Bucket=fill("asdf/"), Prefix="asdf/", Delimiter="/")
    assert (keys(page), prefixes(page), page["IsTruncated"]) == (["asdf/"], [], False)


def test_bucket_list_prefix_basic(lister: Lister, fill: Any) -> None:
    page = lister(Bucket=fill("foo/bar", "foo/baz", "quux"), Prefix="foo/")
    assert (page["Prefix"], keys(page), prefixes(page)) == ("foo/", ["foo/bar", "foo/baz"], [])


def test_bucket_list_prefix_alt(lister: Lister, fill: Any) -> None:
    page = lister(Bucket=fill("bar", "baz", "foo"), Prefix="ba")
    assert (page["Prefix"], keys(page)) == ("ba", ["bar", "baz"])


def test_bucket_list_prefix_empty(lister: Lister, fill: Any) -> None:
    page = lister(Bucket=fill("foo/bar", "foo/baz", "quux"), Prefix="")
    assert (page["Prefix"], keys(page)) == ("", ["foo/bar", "foo/baz", "quux"])


def test_bucket_list_prefix_unreadable(lister: Lister, fill: Any) -> None:
    """boto3 asks for URL encoding and decodes again, but forgets the Prefix of version 1."""
    page = lister(Bucket=fill("foo/bar", "foo/baz", "quux"), Prefix="\x0a")
    assert (unquote(page["Prefix"]), keys(page), prefixes(page)) == ("\x0a", [], [])


def test_bucket_list_prefix_delimiter_alt(lister: Lister, fill: Any) -> None:
    page = lister(Bucket=fill("bar", "bazar", "cab", "foo"), Prefix="ba", Delimiter="a")
    assert (page["Prefix"], page["Delimiter"], keys(page), prefixes(page)) == ("ba", "a", ["bar"], ["baza"])


def test_bucket_list_prefix_delimiter_prefix_delimiter_not_exist(lister: Lister, fill: Any) -> None:
    page = lister(Bucket=fill("b/a/r", "b/a/c", "b/a/g", "g"), Prefix="y", Delimiter="z")
    assert (keys(page), prefixes(page)) == ([], [])


def test_bucket_list_maxkeys_one(lister: Lister, fill: Any) -> None:
    page = lister(Bucket=fill(*FOUR), MaxKeys=1)
    assert (keys(page), page["IsTruncated"]) == (["bar"], True)


def test_bucket_list_maxkeys_none(lister: Lister, fill: Any) -> None:
    page = lister(Bucket=fill(*FOUR))
    assert (keys(page), page["IsTruncated"], page["MaxKeys"]) == (list(FOUR), False, 1000)


@pytest.mark.parametrize("version", ["", "list-type=2&"])
def test_bucket_list_maxkeys_invalid(fill: Any, raw: Any, version: str) -> None:
    reply = raw("GET", f"/{fill(*FOUR)}?{version}max-keys=blah")
    assert (reply.status, reply.code) == (400, "InvalidArgument")


def test_bucket_list_marker_empty(s3: Any, fill: Any) -> None:
    page = s3.list_objects(Bucket=fill(*FOUR), Marker="")
    assert (page["Marker"], page["IsTruncated"], keys(page)) == ("", False, list(FOUR))


def test_bucket_list_marker_unreadable(s3: Any, fill: Any) -> None:
    page = s3.list_objects(Bucket=fill(*FOUR), Marker="\x0a")
    assert (page["Marker"], page["IsTruncated"], keys(page)) == ("\x0a", False, list(FOUR))


def test_bucket_list_marker_after_list(s3: Any, fill: Any) -> None:
    page = s3.list_objects(Bucket=fill(*FOUR), Marker="zzz")
    assert (page["Marker"], page["IsTruncated"], keys(page)) == ("zzz", False, [])


def test_bucket_list_both_continuationtoken_startafter(s3: Any, fill: Any) -> None:
    name = fill(*FOUR)
    first = s3.list_objects_v2(Bucket=name, StartAfter="bar", MaxKeys=1)
    token = first["NextContinuationToken"]
    second = s3.list_objects_v2(Bucket=name, StartAfter="bar", ContinuationToken=token)
    assert (second["ContinuationToken"], second["StartAfter"]) == (token, "bar")
    assert (second["IsTruncated"], keys(second)) == (False, ["foo", "quxx"])


def test_bucket_list_encoding_basic(lister: Lister, fill: Any) -> None:
    name = fill("foo+1/bar", "foo/bar/xyzzy", "quux ab/thud", "asdf+b")
    page = lister(Bucket=name, Delimiter="/", EncodingType="url")
    assert (page["Delimiter"], keys(page), prefixes(page)) == ("/", ["asdf%2Bb"], ["foo%2B1/", "foo/", "quux%20ab/"])


def test_bucket_notexist(lister: Lister, refuses: Callable[..., Any]) -> None:
    with refuses("NoSuchBucket", 404):
        lister(Bucket=f"never-{uuid.uuid4().hex}")


def test_list_buckets_paginated(s3: Any) -> None:
    names = sorted(f"page-{uuid.uuid4().hex[:20]}" for _ in range(2))
    for name in names:
        s3.create_bucket(Bucket=name)
    seen: list[str] = []
    more: dict[str, str] = {}
    while True:
        page = s3.list_buckets(MaxBuckets=1, **more)
        assert len(page["Buckets"]) == 1
        seen.append(page["Buckets"][0]["Name"])
        if "ContinuationToken" not in page:
            break
        more = {"ContinuationToken": page["ContinuationToken"]}
    assert set(names) <= set(seen)
    assert seen == sorted(seen)
