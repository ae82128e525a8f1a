"""Object keys of every legal kind survive byte for byte.

A key is 1 to 1,024 bytes of UTF-8. Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

KEYS = (
    "plain",
    "with space",
    " leading and trailing ",
    "plus+plus",
    "percent%41%",
    "%2F",
    "tab\tnewline\nreturn\r",
    "\x01\x1f\x7f",
    "slash/",
    "/leading",
    "//double//slash//",
    "dot/./dot",
    "dots/../dots",
    "../../up",
    ".",
    "..",
    "...",
    "~",
    "a?b#c",
    "a&b=c;d",
    "!'()*",
    "$,:@",
    "\"quoted\" 'single' `back`",
    "<tag>&amp;</tag>",
    "back\\slash",
    "[x]{y}|^",
    "grün-ß-€",
    "e\u0301 is not \u00e9",
    "\u00e9 is not e\u0301",
    "日本語/キー",
    "😀 astral",
    "\u202eright to left",
    "\ufeffbom",
    "\ufffe\uffff",
    "?acl",
    "?uploads",
    "a" * 1024,
    "/".join("abcdefgh" for _ in range(113)),
    "€" * 341,
    "con",
    "nul.txt",
    "bucket/.minio.sys",
    "robots.txt",
    "_/live",
)


@pytest.mark.parametrize("key", KEYS, ids=range(len(KEYS)))
def test_a_key_survives(s3: Any, bucket: str, key: str) -> None:
    body = key.encode()
    s3.put_object(Bucket=bucket, Key=key, Body=body)
    assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == body
    assert [row["Key"] for row in s3.list_objects_v2(Bucket=bucket)["Contents"]] == [key]
    s3.delete_object(Bucket=bucket, Key=key)
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


def test_all_odd_keys_live_together_in_byte_order(s3: Any, bucket: str) -> None:
    for key in KEYS:
        s3.put_object(Bucket=bucket, Key=key, Body=key.encode())
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, PaginationConfig={"PageSize": 5})
    listed = [row["Key"] for page in pages for row in page.get("Contents", ())]
    assert listed == sorted(KEYS, key=lambda key: key.encode())
    for key in KEYS:
        assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == key.encode()
    gone = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": key} for key in KEYS if key.isprintable()]})
    assert "Errors" not in gone


def test_every_byte_escaped_names_the_same_key(s3: Any, bucket: str, raw: Any) -> None:
    """The path is percent-decoded once: ``%61`` is ``a``, ``%2541`` is ``%41``, ``+`` is a plus."""
    s3.put_object(Bucket=bucket, Key="a+b/c%41", Body=b"here")
    for target in ("a+b/c%2541", "%61%2Bb/c%2541", "%61%2bb%2fc%2541"):
        assert raw("GET", f"/{bucket}/{target}").body == b"here", target
    assert raw("GET", f"/{bucket}/a%20b/c%2541").code == "NoSuchKey"
    assert raw("GET", f"/{bucket}/a+b/c%41").code == "NoSuchKey"


def test_a_key_longer_than_1024_bytes_is_refused(s3: Any, bucket: str, refuses: Callable[..., Any]) -> None:
    for key in ("a" * 1025, "€" * 342):
        with refuses("KeyTooLongError", 400):
            s3.put_object(Bucket=bucket, Key=key, Body=b"x")


@pytest.mark.parametrize("target", ["%ff", "%c0%af", "a%ed%a0%80b", "%zz", "%a", "%"])
def test_a_key_that_is_no_utf8_is_refused(bucket: str, raw: Any, target: str) -> None:
    """https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html#ErrorCodeList (InvalidURI)"""
    reply = raw("PUT", f"/{bucket}/{target}", body=b"x")
    assert (reply.status, reply.code) == (400, "InvalidURI")


def test_keys_that_differ_only_in_case_are_two(s3: Any, bucket: str) -> None:
    for key in ("Name", "name", "NAME"):
        s3.put_object(Bucket=bucket, Key=key, Body=key.encode())
    for key in ("Name", "name", "NAME"):
        assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == key.encode()


def test_a_key_may_also_be_the_folder_of_others(s3: Any, bucket: str) -> None:
    keys = ["a", "a/", "a/b", "a/b/", "a/b/c"]
    for key in keys:
        s3.put_object(Bucket=bucket, Key=key, Body=key.encode())
    for key in keys:
        assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == key.encode()
    s3.delete_object(Bucket=bucket, Key="a")
    assert [row["Key"] for row in s3.list_objects_v2(Bucket=bucket)["Contents"]] == keys[1:]
