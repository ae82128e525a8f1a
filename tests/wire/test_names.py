"""Bucket names (T85) and keys (T84, T88, T89)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import S3Error
from gateway.wire.names import check_bucket_name, check_key, is_bucket_name


@pytest.mark.parametrize(
    "name",
    ["abc", "a" * 63, "my-bucket", "my.bucket.1", "0start", "1.2.3.4.5", "a--b", "192.168.5.a", "admin", "metrics"],
)
def test_good_bucket_names(name: str) -> None:
    check_bucket_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "ab",
        "a" * 64,
        "..",
        "../x",
        "/abs",
        "a/b",
        "Upper",
        "under_score",
        "-abc",
        "abc-",
        ".abc",
        "abc.",
        "a..b",
        "192.168.5.4",
        "999.999.999.999",
        "xn--abc",
        "sthree-abc",
        "sthree-configurator",
        "amzn-s3-demo-abc",
        "abc-s3alias",
        "abc--ol-s3",
        "abc.mrap",
        "abc--x-s3",
        "abc--table-s3",
        "abc\n",
        "\nabc",
        "ab c",
        "äbc",
        ".sys",
        "abc\x00",
        "a٣c",
        "\uff41\uff42\uff43",
        "_",
    ],
)
def test_t85_bad_bucket_names(name: str) -> None:
    with pytest.raises(S3Error) as caught:
        check_bucket_name(name)
    assert caught.value.code == "InvalidBucketName"
    assert caught.value.fields == {"BucketName": name}


@given(st.text(max_size=70))
def test_a_bucket_name_is_always_safe_in_a_path_a_host_and_xml(name: str) -> None:
    if is_bucket_name(name):
        assert 3 <= len(name) <= 63
        assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789.-")
        assert ".." not in name


@pytest.mark.parametrize(
    "key",
    [
        b"a",
        b"..",
        b".",
        b"//",
        b"/lead",
        b"trail/",
        b"a\\b",
        b"C:",
        b"%2e%2e",
        "\uff0e\uff0e".encode(),
        b"a" * 1024,
        b"x" * 255 + b"/y",
        b"\n",
        b"\r",
        b"\x01",
        b"<&]]>",
        "e\u0301".encode(),
        "\u00e9".encode(),
        b" ",
        b"+",
    ],
)
def test_t84_t88_legal_keys(key: bytes) -> None:
    check_key(key)


@pytest.mark.parametrize(
    ("key", "code"),
    [
        (b"a" * 1025, "KeyTooLongError"),
        ("é".encode() * 513, "KeyTooLongError"),
        (b"", "InvalidURI"),
        (b"a\0b", "InvalidArgument"),
        (b"\xff", "InvalidURI"),
        (b"\xc0\xae", "InvalidURI"),  # an overlong "."
        (b"\xed\xa0\x80", "InvalidURI"),  # half a surrogate pair
        (b"\xf4\x90\x80\x80", "InvalidURI"),  # beyond U+10FFFF
    ],
)
def test_t84_t88_t89_illegal_keys(key: bytes, code: str) -> None:
    with pytest.raises(S3Error) as caught:
        check_key(key)
    assert caught.value.code == code


@given(st.binary(max_size=1100))
def test_a_key_is_refused_or_has_exactly_one_spelling(key: bytes) -> None:
    try:
        check_key(key)
    except S3Error:
        return
    assert key.decode("utf-8").encode("utf-8") == key
