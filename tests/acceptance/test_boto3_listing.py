"""ListObjectsV2 with boto3.

Source: https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from xml.etree import ElementTree

import pytest

TREE = ("a", "a/", "a/1", "a/2", "a/b/3", "b/1", "c", "c+d", "c d", "d//e", "é", "日本/1", "z")


def fill(s3: Any, bucket: str, keys: tuple[str, ...] = TREE) -> None:
    for key in keys:
        s3.put_object(Bucket=bucket, Key=key, Body=key.encode())


def names(page: Any) -> tuple[list[str], list[str]]:
    keys = [row["Key"] for row in page.get("Contents", ())]
    return keys, [row["Prefix"] for row in page.get("CommonPrefixes", ())]


def walk(s3: Any, bucket: str, **asked: Any) -> Iterator[Any]:
    token: dict[str, str] = {}
    while True:
        page = s3.list_objects_v2(Bucket=bucket, **asked, **token)
        yield page
        if not page["IsTruncated"]:
            assert "NextContinuationToken" not in page
            return
        token = {"ContinuationToken": page["NextContinuationToken"]}


def by_hand(keys: tuple[str, ...], prefix: str, delimiter: str) -> tuple[list[str], list[str]]:
    """What the page must hold, worked out the slow way: keys and common prefixes, each in byte order."""
    plain, rolled = set(), set()
    for key in keys:
        if not key.startswith(prefix):
            continue
        rest = key[len(prefix) :]
        if delimiter and delimiter in rest:
            rolled.add(prefix + rest.partition(delimiter)[0] + delimiter)
        else:
            plain.add(key)
    return sorted(plain, key=str.encode), sorted(rolled, key=str.encode)


@pytest.mark.parametrize("prefix", ["", "a", "a/", "a/b", "c", "c+", "é", "日", "none", "z"])
@pytest.mark.parametrize("delimiter", ["", "/", "//", "b/", "1", "é"])
def test_prefix_and_delimiter(s3: Any, tree: str, prefix: str, delimiter: str) -> None:
    expected = by_hand(TREE, prefix, delimiter)
    page = s3.list_objects_v2(Bucket=tree, Prefix=prefix, Delimiter=delimiter)
    assert names(page) == expected
    assert page["KeyCount"] == len(expected[0]) + len(expected[1])
    assert page["IsTruncated"] is False
    assert page["Prefix"] == prefix
    assert page.get("Delimiter", "") == delimiter


@pytest.mark.parametrize("size", [1, 2, 5])
@pytest.mark.parametrize(("prefix", "delimiter"), [("", ""), ("", "/"), ("a/", "/"), ("a", ""), ("", "1")])
def test_pages_together_make_the_whole(s3: Any, tree: str, size: int, prefix: str, delimiter: str) -> None:
    pages = list(walk(s3, tree, MaxKeys=size, Prefix=prefix, Delimiter=delimiter))
    keys = [key for page in pages for key in names(page)[0]]
    rolled = [key for page in pages for key in names(page)[1]]
    assert (keys, rolled) == by_hand(TREE, prefix, delimiter)
    assert all(page["KeyCount"] == size for page in pages[:-1])
    assert all(page["MaxKeys"] == size for page in pages)


@pytest.fixture(scope="module")
def tree(s3: Any) -> str:
    name = "acceptance-tree-of-listing"
    s3.create_bucket(Bucket=name)
    fill(s3, name)
    return name


def test_an_empty_bucket(s3: Any, bucket: str) -> None:
    page = s3.list_objects_v2(Bucket=bucket)
    assert names(page) == ([], [])
    assert (page["KeyCount"], page["IsTruncated"], page["MaxKeys"], page["Name"]) == (0, False, 1000, bucket)


def test_a_page_has_at_most_a_thousand_rows(s3: Any, tree: str) -> None:
    assert s3.list_objects_v2(Bucket=tree, MaxKeys=5000)["MaxKeys"] == 1000


def test_a_page_of_no_rows(s3: Any, tree: str) -> None:
    page = s3.list_objects_v2(Bucket=tree, MaxKeys=0)
    assert (names(page), page["KeyCount"], page["IsTruncated"]) == (([], []), 0, False)


@pytest.mark.parametrize("asked", ["-1", "ten", "1.5", "0x10", "99999999999999999999"])
def test_a_bad_max_keys_is_refused(tree: str, raw: Any, asked: str) -> None:
    reply = raw("GET", f"/{tree}?list-type=2&max-keys={asked}")
    assert (reply.status, reply.code) == (400, "InvalidArgument")


@pytest.mark.parametrize("after", ["", "a/1", "a/zzz", "c", "ca", "zzz", "é", "\n"])
def test_start_after(s3: Any, tree: str, after: str) -> None:
    page = s3.list_objects_v2(Bucket=tree, StartAfter=after)
    assert names(page)[0] == [key for key in sorted(TREE, key=str.encode) if key.encode() > after.encode()]
    assert page.get("StartAfter", "") == after


def test_the_owner_is_told_only_when_asked(s3: Any, tree: str) -> None:
    assert "Owner" not in s3.list_objects_v2(Bucket=tree)["Contents"][0]
    owner = s3.list_buckets()["Owner"]["ID"]
    rows = s3.list_objects_v2(Bucket=tree, FetchOwner=True)["Contents"]
    assert {row["Owner"]["ID"] for row in rows} == {owner}


def test_a_row_tells_what_head_tells(s3: Any, tree: str) -> None:
    for row in s3.list_objects_v2(Bucket=tree)["Contents"]:
        head = s3.head_object(Bucket=tree, Key=row["Key"])
        assert (row["Size"], row["ETag"], row["StorageClass"]) == (head["ContentLength"], head["ETag"], "STANDARD")
        assert row["LastModified"].replace(microsecond=0) == head["LastModified"]


def test_url_encoding_of_names(tree: str, raw: Any) -> None:
    """Keys, prefixes, the delimiter and start-after are encoded; a slash stays a slash."""
    reply = raw("GET", f"/{tree}?list-type=2&encoding-type=url&delimiter=%2F&prefix=c&start-after=%C3%80")
    page = {child.tag.rpartition("}")[2]: child.text for child in ElementTree.fromstring(reply.body)}
    assert (page["EncodingType"], page["StartAfter"], page["Delimiter"]) == ("url", "%C3%80", "/")
    reply = raw("GET", f"/{tree}?list-type=2&encoding-type=url&prefix=c")
    keys = [node.text for node in ElementTree.fromstring(reply.body).iter() if node.tag.endswith("}Key")]
    assert keys == ["c", "c%20d", "c%2Bd"]
    reply = raw("GET", f"/{tree}?list-type=2&encoding-type=url&delimiter=%2F&prefix=%E6%97%A5")
    prefixes = [node.text for node in ElementTree.fromstring(reply.body).iter() if node.tag.endswith("}Prefix")]
    assert prefixes == ["%E6%97%A5", "%E6%97%A5%E6%9C%AC/"]


def test_a_listing_without_encoding_is_plain_xml(tree: str, raw: Any) -> None:
    root = ElementTree.fromstring(raw("GET", f"/{tree}?list-type=2").body)
    assert root.tag == "{http://s3.amazonaws.com/doc/2006-03-01/}ListBucketResult"
    keys = [node.text for node in root.iter("{http://s3.amazonaws.com/doc/2006-03-01/}Key")]
    assert keys == sorted(TREE, key=str.encode)


def test_a_bad_encoding_is_refused(tree: str, raw: Any) -> None:
    reply = raw("GET", f"/{tree}?list-type=2&encoding-type=base64")
    assert (reply.status, reply.code) == (400, "InvalidArgument")


@pytest.mark.parametrize("token", ["made-up", "AAAA", "%00"])
def test_a_token_that_we_never_gave_is_refused(tree: str, raw: Any, token: str) -> None:
    reply = raw("GET", f"/{tree}?list-type=2&continuation-token={token}")
    assert (reply.status, reply.code) == (400, "InvalidArgument")


def test_a_token_comes_back_in_the_page(s3: Any, tree: str) -> None:
    token = s3.list_objects_v2(Bucket=tree, MaxKeys=3)["NextContinuationToken"]
    page = s3.list_objects_v2(Bucket=tree, MaxKeys=3, ContinuationToken=token, StartAfter="zzzz")
    assert page["ContinuationToken"] == token
    assert names(page)[0] == sorted(TREE, key=str.encode)[3:6]  # the token wins over start-after


def test_a_walk_goes_on_where_keys_vanish_and_come(s3: Any, bucket: str) -> None:
    fill(s3, bucket, ("a", "b", "c", "d"))
    first = s3.list_objects_v2(Bucket=bucket, MaxKeys=2)
    s3.delete_object(Bucket=bucket, Key="b")
    s3.delete_object(Bucket=bucket, Key="c")
    s3.put_object(Bucket=bucket, Key="aa", Body=b"too late")
    rest = s3.list_objects_v2(Bucket=bucket, ContinuationToken=first["NextContinuationToken"])
    assert names(rest)[0] == ["d"]


def test_a_bucket_that_is_not_there(s3: Any, refuses: Callable[..., Any]) -> None:
    with refuses("NoSuchBucket", 404):
        s3.list_objects_v2(Bucket="acceptance-never-made")


def test_more_than_a_thousand_keys(s3: Any, bucket: str, raw: Any) -> None:
    keys = [f"{number:05d}" for number in range(1005)]
    s3.put_object(Bucket=bucket, Key=keys[0], Body=b"x")
    for key in keys[1:]:  # copies of one object: what is asked for is the list, and no storage need be busy for it
        assert raw("PUT", f"/{bucket}/{key}", headers={"x-amz-copy-source": f"/{bucket}/{keys[0]}"}).status == 200
    pages = list(walk(s3, bucket))
    assert [page["KeyCount"] for page in pages] == [1000, 5]
    assert [key for page in pages for key in names(page)[0]] == keys
    gone = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": key} for key in keys[:1000]]})
    assert len(gone["Deleted"]) == 1000
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 5
