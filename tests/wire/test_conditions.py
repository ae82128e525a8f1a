"""Conditional requests: RFC 9110's order on reads, S3's rules on writes, copies and deletes."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import S3Error
from gateway.model import Content, Version
from gateway.wire.conditions import check_copy_source, check_delete, check_delete_values, check_read, check_write
from gateway.wire.request import format_http_date

ETAG = "9b2cf535f27731c974343645a3985328"
MODIFIED = 1795168800.75  # the part of a second never counts
NOW = MODIFIED + 60
BEFORE, SAME, AFTER, FUTURE = (format_http_date(MODIFIED + shift) for shift in (-1, 0, 1, 61))
CURRENT = Version(
    id=1,
    bucket=1,
    key=b"k",
    version_id="null",
    owner="a" * 64,
    location="storage",
    size=5,
    stored=5,
    etag=ETAG,
    modified=MODIFIED,
    content=Content(),
)


def outcome(check: Callable[[], None]) -> str:
    try:
        check()
    except S3Error as error:
        return error.code
    return "ok"


def named(text: str) -> dict[str, str]:
    """Headers from "if-match: x | if-none-match: y"."""
    return {} if not text else dict(pair.split(": ", 1) for pair in text.split(" | "))


READS = [
    ("", "ok"),
    (f'if-match: "{ETAG}"', "ok"),
    (f"if-match: {ETAG}", "ok"),
    ("if-match: *", "ok"),
    (f'if-match: "x", "{ETAG}"', "ok"),
    (f'if-match: "x" ,{ETAG}', "ok"),
    ('if-match: "x"', "PreconditionFailed"),
    ("if-match: ", "PreconditionFailed"),
    (f'if-match: W/"{ETAG}"', "PreconditionFailed"),  # strong comparison
    (f'if-match: "{ETAG.upper()}"', "PreconditionFailed"),
    (f'if-none-match: "{ETAG}"', "NotModified"),
    (f"if-none-match: {ETAG}", "NotModified"),
    (f'if-none-match: W/"{ETAG}"', "NotModified"),  # weak comparison
    ("if-none-match: *", "NotModified"),
    ('if-none-match: "x"', "ok"),
    (f"if-modified-since: {BEFORE}", "ok"),
    (f"if-modified-since: {SAME}", "NotModified"),
    (f"if-modified-since: {AFTER}", "NotModified"),
    (f"if-modified-since: {format_http_date(NOW)}", "NotModified"),
    (f"if-modified-since: {FUTURE}", "ok"),  # nobody has seen what is to come
    ("if-modified-since: yesterday", "ok"),
    (f"if-unmodified-since: {BEFORE}", "PreconditionFailed"),
    (f"if-unmodified-since: {SAME}", "ok"),
    (f"if-unmodified-since: {AFTER}", "ok"),
    (f"if-unmodified-since: {FUTURE}", "ok"),
    ("if-unmodified-since: yesterday", "ok"),
    # an ETag condition silences the date of its kind
    (f'if-match: "{ETAG}" | if-unmodified-since: {BEFORE}', "ok"),
    (f'if-match: "x" | if-unmodified-since: {AFTER}', "PreconditionFailed"),
    (f'if-none-match: "{ETAG}" | if-modified-since: {BEFORE}', "NotModified"),
    (f'if-none-match: "x" | if-modified-since: {AFTER}', "ok"),
    # 412 is looked for before 304
    (f'if-match: "x" | if-none-match: "{ETAG}"', "PreconditionFailed"),
    (f'if-match: "{ETAG}" | if-none-match: "{ETAG}"', "NotModified"),
    (f"if-unmodified-since: {BEFORE} | if-modified-since: {AFTER}", "PreconditionFailed"),
]


@pytest.mark.parametrize(("text", "expected"), READS)
def test_reads(text: str, expected: str) -> None:
    assert outcome(lambda: check_read(named(text), ETAG, MODIFIED, NOW)) == expected


@pytest.mark.parametrize(("text", "expected"), READS)
def test_copy_sources_know_the_same_conditions_but_only_412(text: str, expected: str) -> None:
    headers = {f"x-amz-copy-source-{name}": value for name, value in named(text).items()}
    want = "PreconditionFailed" if expected == "NotModified" else expected
    assert outcome(lambda: check_copy_source(headers, ETAG, MODIFIED, NOW)) == want
    assert outcome(lambda: check_copy_source(named(text), ETAG, MODIFIED, NOW)) == "ok"  # the target's are others


def test_304_carries_the_validators() -> None:
    with pytest.raises(S3Error) as caught:
        check_read({"if-none-match": "*"}, ETAG, MODIFIED, NOW)
    assert caught.value.headers == (("ETag", f'"{ETAG}"'), ("Last-Modified", SAME))


def test_412_names_the_condition() -> None:
    with pytest.raises(S3Error) as caught:
        check_read({"if-match": "x"}, ETAG, MODIFIED, NOW)
    assert caught.value.fields == {"Condition": "If-Match"}
    with pytest.raises(S3Error) as caught:
        check_copy_source({"x-amz-copy-source-if-match": "x"}, ETAG, MODIFIED, NOW)
    assert caught.value.fields == {"Condition": "x-amz-copy-source-If-Match"}


@pytest.mark.parametrize(
    ("text", "there", "absent"),
    [
        ("", "ok", "ok"),
        ("if-none-match: *", "PreconditionFailed", "ok"),
        (f'if-none-match: "{ETAG}"', "NotImplemented", "NotImplemented"),
        ('if-none-match: *, "x"', "NotImplemented", "NotImplemented"),
        (f'if-match: "{ETAG}"', "ok", "NoSuchKey"),
        (f"if-match: {ETAG}", "ok", "NoSuchKey"),
        ("if-match: *", "ok", "NoSuchKey"),
        ('if-match: "x"', "PreconditionFailed", "NoSuchKey"),
        ('if-match: "x" | if-none-match: *', "NotImplemented", "NotImplemented"),
        (f"if-unmodified-since: {BEFORE} | if-modified-since: {AFTER}", "ok", "ok"),  # S3 has none on writes
    ],
)
def test_writes(text: str, there: str, absent: str) -> None:
    assert outcome(lambda: check_write(named(text), CURRENT)) == there
    assert outcome(lambda: check_write(named(text), None)) == absent


@pytest.mark.parametrize(
    ("text", "there", "absent"),
    [
        ("", "ok", "ok"),
        (f'if-match: "{ETAG}"', "ok", "NoSuchKey"),
        ("if-match: *", "ok", "NoSuchKey"),
        ('if-match: "x"', "PreconditionFailed", "NoSuchKey"),
        ("x-amz-if-match-size: 5", "ok", "NoSuchKey"),
        ("x-amz-if-match-size: 6", "PreconditionFailed", "NoSuchKey"),
        ("x-amz-if-match-size: -1", "InvalidArgument", "InvalidArgument"),
        ("x-amz-if-match-size: five", "InvalidArgument", "InvalidArgument"),
        (f"x-amz-if-match-last-modified-time: {SAME}", "ok", "NoSuchKey"),
        (f"x-amz-if-match-last-modified-time: {BEFORE}", "PreconditionFailed", "NoSuchKey"),
        (f"x-amz-if-match-last-modified-time: {AFTER}", "PreconditionFailed", "NoSuchKey"),
        ("x-amz-if-match-last-modified-time: now", "InvalidArgument", "InvalidArgument"),
        (f'if-match: "{ETAG}" | x-amz-if-match-size: 6', "PreconditionFailed", "NoSuchKey"),
    ],
)
def test_deletes(text: str, there: str, absent: str) -> None:
    assert outcome(lambda: check_delete(named(text), CURRENT)) == there
    assert outcome(lambda: check_delete(named(text), None)) == absent


def test_deletes_of_a_list() -> None:
    assert outcome(lambda: check_delete_values(f'"{ETAG}"', MODIFIED // 1, 5, CURRENT)) == "ok"
    assert outcome(lambda: check_delete_values(None, None, 0, CURRENT)) == "PreconditionFailed"
    assert outcome(lambda: check_delete_values(None, 0.0, None, CURRENT)) == "PreconditionFailed"
    assert outcome(lambda: check_delete_values(None, None, None, None)) == "ok"


NAMES = ["if-match", "if-none-match", "if-modified-since", "if-unmodified-since", "x-amz-if-match-size"]


@given(st.dictionaries(st.sampled_from(NAMES), st.one_of(st.text(), st.sampled_from(['"', "*", f'"{ETAG}"', SAME]))))
def test_conditions_raise_nothing_but_s3_errors(headers: Mapping[str, str]) -> None:
    assert outcome(lambda: check_read(headers, ETAG, MODIFIED, NOW)) in ("ok", "PreconditionFailed", "NotModified")
    assert outcome(lambda: check_write(headers, CURRENT)) in ("ok", "PreconditionFailed", "NotImplemented")
    assert outcome(lambda: check_delete(headers, CURRENT)) in ("ok", "PreconditionFailed", "InvalidArgument")
