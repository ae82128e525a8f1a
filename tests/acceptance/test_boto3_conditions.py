"""Conditional requests.

Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-requests.html (reads, writes, deletes) and
RFC 9110 section 13
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

YESTERDAY = datetime.now(UTC) - timedelta(days=1)
TOMORROW = datetime.now(UTC) + timedelta(days=1)


def named(asked: Any) -> str:
    """A test's name must be the same in each process, so without a time."""
    return "+".join(asked) if isinstance(asked, dict) else str(asked)


OTHER = '"d41d8cd98f00b204e9800998ecf8427e"'


@pytest.fixture
def etag(s3: Any, bucket: str) -> str:
    return str(s3.put_object(Bucket=bucket, Key="k", Body=b"first")["ETag"])


PASSING_READS: tuple[dict[str, Any], ...] = (
    {"IfMatch": "ETAG"},
    {"IfMatch": "*"},
    {"IfNoneMatch": OTHER},
    {"IfModifiedSince": YESTERDAY},
    {"IfUnmodifiedSince": TOMORROW},
    {"IfMatch": "ETAG", "IfUnmodifiedSince": YESTERDAY},  # a true If-Match decides alone
    {"IfNoneMatch": OTHER, "IfModifiedSince": TOMORROW},  # so does a true If-None-Match
)
FAILING_READS: tuple[tuple[dict[str, Any], str, int], ...] = (
    ({"IfMatch": OTHER}, "PreconditionFailed", 412),
    ({"IfUnmodifiedSince": YESTERDAY}, "PreconditionFailed", 412),
    ({"IfNoneMatch": "ETAG"}, "304", 304),
    ({"IfNoneMatch": "*"}, "304", 304),
    ({"IfNoneMatch": "ETAG", "IfModifiedSince": YESTERDAY}, "304", 304),
    ({"IfMatch": OTHER, "IfNoneMatch": OTHER}, "PreconditionFailed", 412),
)


def filled(asked: dict[str, Any], etag: str) -> dict[str, Any]:
    return {name: etag if value == "ETAG" else value for name, value in asked.items()}


@pytest.mark.parametrize("asked", PASSING_READS, ids=named)
def test_a_read_whose_condition_holds(s3: Any, bucket: str, etag: str, asked: dict[str, Any]) -> None:
    assert s3.get_object(Bucket=bucket, Key="k", **filled(asked, etag))["Body"].read() == b"first"
    assert s3.head_object(Bucket=bucket, Key="k", **filled(asked, etag))["ETag"] == etag


@pytest.mark.parametrize(("asked", "code", "status"), FAILING_READS, ids=named)
def test_a_read_whose_condition_fails(
    s3: Any, bucket: str, etag: str, refuses: Callable[..., Any], asked: dict[str, Any], code: str, status: int
) -> None:
    with refuses(code, status):
        s3.get_object(Bucket=bucket, Key="k", **filled(asked, etag))
    with refuses(str(status), status):
        s3.head_object(Bucket=bucket, Key="k", **filled(asked, etag))


def test_not_modified_since_it_was_modified(s3: Any, bucket: str, etag: str, refuses: Callable[..., Any]) -> None:
    modified = s3.head_object(Bucket=bucket, Key="k")["LastModified"]
    with refuses("304", 304):
        s3.get_object(Bucket=bucket, Key="k", IfModifiedSince=modified)
    s3.get_object(Bucket=bucket, Key="k", IfUnmodifiedSince=modified)["Body"].close()


def test_not_modified_has_an_etag_and_no_body(bucket: str, etag: str, raw: Any) -> None:
    reply = raw("GET", f"/{bucket}/k", headers={"If-None-Match": etag})
    assert (reply.status, reply.headers["etag"], reply.body) == (304, etag, b"")


def test_an_etag_may_come_without_quotes_or_in_a_list(bucket: str, etag: str, raw: Any) -> None:
    for text in (etag.strip('"'), f"{OTHER}, {etag}"):
        assert raw("GET", f"/{bucket}/k", headers={"If-Match": text}).status == 200, text
        assert raw("GET", f"/{bucket}/k", headers={"If-None-Match": text}).status == 304, text


@pytest.mark.parametrize("text", ["never", "2031-01-01", "Thu, 99 Jan 2031 00:00:00 GMT"])
def test_a_date_that_cannot_be_read_is_no_condition(bucket: str, etag: str, raw: Any, text: str) -> None:
    for name in ("If-Modified-Since", "If-Unmodified-Since"):
        assert raw("GET", f"/{bucket}/k", headers={name: text}).status == 200


def test_a_condition_and_a_range(s3: Any, bucket: str, etag: str, raw: Any) -> None:
    got = s3.get_object(Bucket=bucket, Key="k", IfMatch=etag, Range="bytes=1-2")
    assert got["Body"].read() == b"ir"
    assert raw("GET", f"/{bucket}/k", headers={"If-Range": etag, "Range": "bytes=1-2"}).status in (200, 206)


def test_a_refused_caller_learns_nothing(bucket: str, etag: str, raw_of: Any, other_site: Any) -> None:
    """T64: no ETag, no 304, no 412 for somebody who may not read."""
    stranger = raw_of(other_site)
    for headers in ({"If-None-Match": etag}, {"If-Match": OTHER}, {"If-Modified-Since": format_datetime(TOMORROW)}):
        reply = stranger("GET", f"/{bucket}/k", headers=headers)
        assert (reply.status, reply.code) == (403, "AccessDenied")
        assert "etag" not in reply.headers
        assert "last-modified" not in reply.headers


def test_put_only_where_nothing_is(s3: Any, bucket: str, refuses: Callable[..., Any]) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"first", IfNoneMatch="*")
    with refuses("PreconditionFailed", 412):
        s3.put_object(Bucket=bucket, Key="k", Body=b"second", IfNoneMatch="*")
    s3.delete_object(Bucket=bucket, Key="k")
    s3.put_object(Bucket=bucket, Key="k", Body=b"third", IfNoneMatch="*")
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"third"


def test_put_only_over_what_i_know(s3: Any, bucket: str, etag: str, refuses: Callable[..., Any]) -> None:
    second = s3.put_object(Bucket=bucket, Key="k", Body=b"second", IfMatch=etag)["ETag"]
    with refuses("PreconditionFailed", 412):
        s3.put_object(Bucket=bucket, Key="k", Body=b"third", IfMatch=etag)
    with refuses("NoSuchKey", 404):
        s3.put_object(Bucket=bucket, Key="none", Body=b"x", IfMatch=second)
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"second"


@pytest.mark.parametrize("size", [0, 100_000])
def test_a_failed_condition_is_told_before_the_body(bucket: str, etag: str, raw: Any, size: int) -> None:
    headers = {"If-None-Match": "*", "Expect": "100-continue"}
    reply = raw("PUT", f"/{bucket}/k", announce=size, headers=headers, payload="UNSIGNED-PAYLOAD")
    assert (reply.status, reply.code) == (412, "PreconditionFailed")
    if size:
        assert reply.first_status == 412


def test_if_none_match_takes_only_a_star(s3: Any, bucket: str, etag: str, refuses: Callable[..., Any]) -> None:
    with refuses("NotImplemented", 501):
        s3.put_object(Bucket=bucket, Key="k", Body=b"x", IfNoneMatch=etag)


def joined(s3: Any, bucket: str, **condition: Any) -> Any:
    place = {"Bucket": bucket, "Key": "k"}
    upload = s3.create_multipart_upload(**place)["UploadId"]
    part = s3.upload_part(**place, UploadId=upload, PartNumber=1, Body=b"joined")["ETag"]
    rows = {"Parts": [{"PartNumber": 1, "ETag": part}]}
    return s3.complete_multipart_upload(**place, UploadId=upload, MultipartUpload=rows, **condition)


def test_complete_with_conditions(s3: Any, bucket: str, etag: str, refuses: Callable[..., Any]) -> None:
    with refuses("PreconditionFailed", 412):
        joined(s3, bucket, IfNoneMatch="*")
    with refuses("PreconditionFailed", 412):
        joined(s3, bucket, IfMatch=OTHER)
    joined(s3, bucket, IfMatch=etag)
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"joined"
    s3.delete_object(Bucket=bucket, Key="k")
    with refuses("NoSuchKey", 404):
        joined(s3, bucket, IfMatch=etag)
    joined(s3, bucket, IfNoneMatch="*")


def test_delete_only_what_i_know(s3: Any, bucket: str, etag: str, refuses: Callable[..., Any]) -> None:
    with refuses("PreconditionFailed", 412):
        s3.delete_object(Bucket=bucket, Key="k", IfMatch=OTHER)
    s3.head_object(Bucket=bucket, Key="k")
    s3.delete_object(Bucket=bucket, Key="k", IfMatch=etag)
    with refuses("404", 404):
        s3.head_object(Bucket=bucket, Key="k")


def test_many_clients_have_one_winner(site: Any, make_client: Any, bucket: str) -> None:
    """``If-None-Match: *`` raced: one 200, all others 412 (or 409, "try again", which S3 documents too)."""
    client = make_client(site, max_pool_connections=16)

    def attempt(number: int) -> int:
        try:
            client.put_object(Bucket=bucket, Key=f"race{number // 16}", Body=b"%d" % number, IfNoneMatch="*")
        except client.exceptions.ClientError as error:
            return int(error.response["ResponseMetadata"]["HTTPStatusCode"])
        return 200

    with ThreadPoolExecutor(16) as pool:
        for round_number in range(10):
            statuses = list(pool.map(attempt, range(16 * round_number, 16 * round_number + 16)))
            assert statuses.count(200) == 1
            assert set(statuses) <= {200, 409, 412}
    client.close()
