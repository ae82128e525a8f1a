"""ListObjects (version 1) and paged ListBuckets.

Source: https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjects.html and API_ListBuckets.html
"""

from __future__ import annotations

import uuid
from typing import Any

import pytest

TREE = ("asdf", "boo/bar", "boo/baz/xyzzy", "cquux/bla", "cquux/thud", "d%e", "é/1")
ORDER = sorted(TREE, key=str.encode)


@pytest.fixture(scope="module")
def tree(s3: Any) -> str:
    name = f"acceptance-v1-{uuid.uuid4().hex[:16]}"
    s3.create_bucket(Bucket=name)
    for key in TREE:
        s3.put_object(Bucket=name, Key=key, Body=key.encode())
    return name


def keys_of(page: Any) -> list[str]:
    return [row["Key"] for row in page.get("Contents", ())]


def prefixes_of(page: Any) -> list[str]:
    return [row["Prefix"] for row in page.get("CommonPrefixes", ())]


def test_everything(s3: Any, tree: str) -> None:
    page = s3.list_objects(Bucket=tree)
    assert (keys_of(page), page["IsTruncated"], page["MaxKeys"], page["Marker"]) == (ORDER, False, 1000, "")
    assert "NextMarker" not in page
    assert {row["Owner"]["ID"] for row in page["Contents"]} == {s3.list_buckets()["Owner"]["ID"]}


def test_pages_without_a_delimiter_go_on_after_the_last_key(s3: Any, tree: str) -> None:
    """S3 names a NextMarker only where a delimiter was given."""
    seen: list[str] = []
    marker = ""
    while True:
        page = s3.list_objects(Bucket=tree, MaxKeys=2, Marker=marker)
        assert page["Marker"] == marker
        assert "NextMarker" not in page
        seen += keys_of(page)
        if not page["IsTruncated"]:
            break
        marker = seen[-1]
    assert seen == ORDER


@pytest.mark.parametrize("size", [1, 2, 3])
def test_pages_with_a_delimiter(s3: Any, tree: str, size: int) -> None:
    keys: list[str] = []
    rolled: list[str] = []
    marker = ""
    while True:
        page = s3.list_objects(Bucket=tree, Delimiter="/", MaxKeys=size, Marker=marker)
        keys += keys_of(page)
        rolled += prefixes_of(page)
        if not page["IsTruncated"]:
            assert "NextMarker" not in page
            break
        assert len(keys_of(page)) + len(prefixes_of(page)) == size
        marker = page["NextMarker"]
        assert marker == max(keys_of(page) + prefixes_of(page), key=str.encode)
    assert (keys, rolled) == (["asdf", "d%e"], ["boo/", "cquux/", "é/"])


def test_a_prefix_and_a_delimiter(s3: Any, tree: str) -> None:
    page = s3.list_objects(Bucket=tree, Prefix="boo/", Delimiter="/", MaxKeys=1)
    assert (keys_of(page), prefixes_of(page), page["NextMarker"]) == (["boo/bar"], [], "boo/bar")
    page = s3.list_objects(Bucket=tree, Prefix="boo/", Delimiter="/", MaxKeys=1, Marker="boo/bar")
    assert (keys_of(page), prefixes_of(page), page["IsTruncated"]) == ([], ["boo/baz/"], False)


@pytest.mark.parametrize(
    ("marker", "first"), [("", 0), ("\n", 0), ("asdf", 1), ("blah", 1), ("boo/bar", 2), ("zzz", 6), ("é/1", 7)]
)
def test_a_marker(s3: Any, tree: str, marker: str, first: int) -> None:
    page = s3.list_objects(Bucket=tree, Marker=marker)
    assert (keys_of(page), page["Marker"]) == (ORDER[first:], marker)


def test_a_marker_skips_the_common_prefix_that_it_lies_below(s3: Any, tree: str) -> None:
    for marker, prefix, below in (
        ("boo/bar", "", ["cquux/", "é/"]),
        ("boo/baz/a", "boo/", []),
        ("boo", "", ["boo/", "cquux/", "é/"]),
    ):
        page = s3.list_objects(Bucket=tree, Marker=marker, Prefix=prefix, Delimiter="/")
        assert (prefixes_of(page), page["Marker"]) == (below, marker)


def test_max_keys(s3: Any, tree: str, raw: Any) -> None:
    page = s3.list_objects(Bucket=tree, MaxKeys=0)
    assert (keys_of(page), page["IsTruncated"]) == ([], False)
    reply = raw("GET", f"/{tree}?max-keys=blah")
    assert (reply.status, reply.code) == (400, "InvalidArgument")


def test_names_are_url_encoded_when_asked(tree: str, raw: Any) -> None:
    body = raw("GET", f"/{tree}?encoding-type=url&delimiter=%2F&prefix=&marker=").body
    for text in (b"<Key>d%25e</Key>", b"<Prefix>%C3%A9/</Prefix>", b"<EncodingType>url</EncodingType>"):
        assert text in body
    assert b"<EncodingType>" not in raw("GET", f"/{tree}").body


def test_list_buckets_in_pages(s3: Any) -> None:
    stem = f"paged-{uuid.uuid4().hex[:12]}"
    names = [f"{stem}-{number}" for number in range(5)]
    for name in names:
        s3.create_bucket(Bucket=name)
    seen: list[str] = []
    more: dict[str, str] = {}
    for size in (2, 2, 1):
        page = s3.list_buckets(MaxBuckets=2, Prefix=stem, **more)
        assert (len(page["Buckets"]), page["Prefix"]) == (size, stem)
        seen += [row["Name"] for row in page["Buckets"]]
        if "ContinuationToken" not in page:
            break
        more = {"ContinuationToken": page["ContinuationToken"]}
    assert seen == names
    everything = [row["Name"] for page in s3.get_paginator("list_buckets").paginate() for row in page["Buckets"]]
    assert set(names) <= set(everything)


@pytest.mark.parametrize("asked", ["max-buckets=0", "max-buckets=10001", "max-buckets=x", "continuation-token=made-up"])
def test_list_buckets_refuses_bad_pages(raw: Any, asked: str) -> None:
    reply = raw("GET", f"/?{asked}")
    assert (reply.status, reply.code) == (400, "InvalidArgument")
