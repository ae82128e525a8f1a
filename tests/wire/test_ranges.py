"""Ranges of objects (T112) and of copy sources."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import S3Error
from gateway.wire.ranges import parse, parse_copy


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, None),
        ("", None),
        ("bytes=0-", (0, 10)),
        ("bytes=0-0", (0, 1)),
        ("bytes=3-5", (3, 6)),
        ("bytes=9-9", (9, 10)),
        ("bytes=9-" + "9" * 30, (9, 10)),
        ("bytes=0-1000", (0, 10)),
        ("bytes=-3", (7, 10)),
        ("bytes=-10", (0, 10)),
        ("bytes=-" + "9" * 5000, (0, 10)),
        ("bytes=000000000000000000000000000005-6", (5, 7)),
        ("Bytes=1-2", (1, 3)),
        # malformed, several, or another unit: the whole object
        ("bytes=5-2", None),
        ("bytes=0-0,5-9", None),
        ("bytes=" + ",".join(["0-0"] * 1000), None),
        ("bytes=0-0,", None),
        ("bytes=-", None),
        ("bytes=", None),
        ("bytes", None),
        ("bytes=a-b", None),
        ("bytes= 0-1", None),
        ("bytes=0 - 1", None),
        ("bytes=0-1 ", None),
        ("bytes=0-1\n", None),
        ("bytes=\u0660-\u0661", None),
        ("bytes=1_0-", None),
        ("bytes=+1-2", None),
        ("bytes=--1", None),
        ("lines=0-1", None),
        ("0-1", None),
    ],
)
def test_t112_ranges_of_ten_bytes(header: str | None, expected: tuple[int, int] | None) -> None:
    assert parse(header, 10) == expected


@pytest.mark.parametrize(
    ("header", "size"),
    [
        ("bytes=10-", 10),
        ("bytes=10-20", 10),
        ("bytes=-0", 10),
        ("bytes=-1", 0),
        ("bytes=" + "9" * 30 + "-", 10),
        ("bytes=" + "9" * 5000 + "-", 10),
        ("bytes=0-", 0),
        ("bytes=0-0", 0),
        ("bytes=-0", 0),
    ],
)
def test_t112_ranges_without_a_byte(header: str, size: int) -> None:
    with pytest.raises(S3Error) as caught:
        parse(header, size)
    error = caught.value
    assert error.code == "InvalidRange"
    assert error.fields == {"RangeRequested": header[:128], "ActualObjectSize": str(size)}
    assert error.headers == (("Content-Range", f"bytes */{size}"),)


@given(st.one_of(st.text(), st.from_regex(r"bytes=[0-9]{0,25}-[0-9]{0,25}", fullmatch=True)), st.integers(0, 2**50))
def test_a_range_always_lies_inside(header: str, size: int) -> None:
    try:
        found = parse(header, size)
    except S3Error as error:
        assert error.code == "InvalidRange"
        return
    assert found is None or 0 <= found[0] < found[1] <= size


@pytest.mark.parametrize(
    ("header", "expected"), [(None, (0, 10)), ("bytes=0-9", (0, 10)), ("bytes=4-4", (4, 5)), ("bytes=09-09", (9, 10))]
)
def test_copy_ranges(header: str | None, expected: tuple[int, int]) -> None:
    assert parse_copy(header, 10) == expected


@pytest.mark.parametrize(
    "header", ["", "bytes=0", "bytes=0-", "bytes=-5", "bytes=5-2", "0-1", "bytes=0-0,2-3", "bytes=0-1\n", "Bytes=0-1"]
)
def test_improper_copy_ranges(header: str) -> None:
    with pytest.raises(S3Error) as caught:
        parse_copy(header, 10)
    assert caught.value.code == "InvalidArgument"


@pytest.mark.parametrize(
    ("header", "size", "code"),
    [
        ("bytes=0-10", 10, "InvalidArgument"),
        ("bytes=1-" + "9" * 30, 10, "InvalidArgument"),
        ("bytes=10-10", 10, "InvalidRequest"),
        ("bytes=0-0", 0, "InvalidRequest"),
    ],
)
def test_copy_ranges_beyond_the_source(header: str, size: int, code: str) -> None:
    with pytest.raises(S3Error) as caught:
        parse_copy(header, size)
    assert caught.value.code == code


@given(st.text(), st.integers(0, 100))
def test_a_copy_range_always_lies_inside(header: str, size: int) -> None:
    try:
        start, stop = parse_copy(header, size)
    except S3Error as error:
        assert error.code in ("InvalidRequest", "InvalidArgument")
        return
    assert 0 <= start <= stop <= size
