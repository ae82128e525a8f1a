"""Presigned URLs: whoever has one may do just this one thing for a while.

Source: https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest


@pytest.fixture
def follow(raw: Any) -> Callable[..., Any]:
    """Use a URL as a browser would: no signature in any header."""

    def use(method: str, url: str, **more: Any) -> Any:
        place = urlsplit(url)
        return raw(method, f"{place.path}?{place.query}", signed=False, **more)

    return use


@pytest.fixture
def sign(site: Any, make_client: Callable[..., Any], bucket: str) -> Iterator[Callable[..., str]]:
    """``sign("get_object", Key="k")`` -> a URL. (Unless told, boto3 presigns with the old signature V2.)"""
    client = make_client(site, signature_version="s3v4")

    def make(operation: str, seconds: int = 300, **params: Any) -> str:
        asked = {"Bucket": bucket, "Key": "k", **params}
        return str(client.generate_presigned_url(operation, Params=asked, ExpiresIn=seconds))

    yield make
    client.close()


def test_put_head_get_and_delete(s3: Any, bucket: str, sign: Any, follow: Any) -> None:
    assert follow("PUT", sign("put_object"), body=b"hello").status == 200
    assert follow("HEAD", sign("head_object")).headers["content-length"] == "5"
    assert follow("GET", sign("get_object")).body == b"hello"
    assert follow("DELETE", sign("delete_object")).status == 204
    assert follow("GET", sign("get_object")).code == "NoSuchKey"


@pytest.mark.parametrize("key", ["a b/c+d&e=f?g", "grün/日本", "~!'()*", "%41"])
def test_odd_keys(s3: Any, bucket: str, sign: Any, follow: Any, key: str) -> None:
    assert follow("PUT", sign("put_object", Key=key), body=key.encode()).status == 200
    assert follow("GET", sign("get_object", Key=key)).body == key.encode()


def test_a_whole_multipart_upload(s3: Any, bucket: str, sign: Any, follow: Any) -> None:
    upload = s3.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"]
    part = follow("PUT", sign("upload_part", UploadId=upload, PartNumber=1), body=b"one part")
    rows = f"<Part><PartNumber>1</PartNumber><ETag>{part.headers['etag']}</ETag></Part>"
    body = f"<CompleteMultipartUpload>{rows}</CompleteMultipartUpload>".encode()
    assert follow("POST", sign("complete_multipart_upload", UploadId=upload), body=body).status == 200
    assert follow("GET", sign("get_object")).body == b"one part"


RESPONSE_HEADERS = {
    "ResponseContentType": ("content-type", "text/x-special; charset=utf-8"),
    "ResponseContentDisposition": ("content-disposition", 'attachment; filename="b c.txt"'),
    "ResponseContentLanguage": ("content-language", "mi, en"),
    "ResponseContentEncoding": ("content-encoding", "x-nothing"),
    "ResponseCacheControl": ("cache-control", "no-cache"),
    "ResponseExpires": ("expires", "Tue, 06 May 2031 07:08:09 GMT"),
}


def test_the_url_may_set_reply_headers(s3: Any, bucket: str, sign: Any, follow: Any) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"x", ContentType="text/plain")
    asked = {name: value for name, (_, value) in RESPONSE_HEADERS.items()}
    reply = follow("GET", sign("get_object", **asked))
    assert reply.status == 200
    for header, value in RESPONSE_HEADERS.values():
        assert reply.headers[header] == value


def test_a_url_expires(s3: Any, bucket: str, sign: Any, follow: Any) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    url = sign("get_object", seconds=1)
    time.sleep(2.5)
    reply = follow("GET", url)
    assert (reply.status, reply.code) == (403, "AccessDenied")
    assert b"Request has expired" in reply.body


def test_a_url_is_good_for_one_thing(s3: Any, bucket: str, sign: Any, follow: Any) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    s3.put_object(Bucket=bucket, Key="other", Body=b"secret")
    url = sign("get_object")
    for method, changed in (
        ("PUT", url),
        ("DELETE", url),
        ("GET", url.replace("/k?", "/other?")),
        ("GET", url + "&response-content-type=text/html"),
        ("GET", url + "&versionId=null"),
        ("GET", url[:-1] + ("0" if url[-1] != "0" else "1")),
        ("GET", url.replace("X-Amz-Expires=300", "X-Amz-Expires=301")),
    ):
        reply = follow(method, changed)
        assert (reply.status, reply.code) == (403, "SignatureDoesNotMatch"), (method, changed)
    assert follow("GET", url).body == b"x"


@pytest.mark.parametrize("seconds", ["604801", "0", "-1", "1e3", "", "ten"])
def test_a_bad_expiry_is_refused(s3: Any, bucket: str, sign: Any, follow: Any, seconds: str) -> None:
    """An X-Amz-Expires is 1 to 604,800 seconds."""
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    reply = follow("GET", sign("get_object").replace("X-Amz-Expires=300", f"X-Amz-Expires={seconds}"))
    if seconds == "0":  # S3 reads it as "expired at once"
        assert reply.status in (400, 403)
    else:
        assert (reply.status, reply.code) == (400, "AuthorizationQueryParametersError")


@pytest.mark.parametrize(
    "name", ["X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-Expires", "X-Amz-SignedHeaders"]
)
def test_a_missing_parameter_is_refused(s3: Any, bucket: str, sign: Any, follow: Any, name: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    path, _, query = sign("get_object").partition("?")
    left = "&".join(pair for pair in query.split("&") if not pair.startswith(name + "="))
    assert len(left) < len(query)
    reply = follow("GET", f"{path}?{left}")
    assert reply.status in (400, 403)
    assert reply.code in ("AuthorizationQueryParametersError", "AccessDenied", "InvalidRequest", "InvalidArgument")


def test_the_header_and_the_url_at_once_are_refused(s3: Any, bucket: str, sign: Any, raw: Any) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    place = urlsplit(sign("get_object"))
    reply = raw("GET", f"{place.path}?{place.query}")
    assert (reply.status, reply.code) == (400, "InvalidArgument")


def test_a_signed_header_must_be_sent(s3: Any, bucket: str, sign: Any, follow: Any) -> None:
    url = sign("put_object", ContentType="text/css", Metadata={"a": "b"})
    right = {"Content-Type": "text/css", "x-amz-meta-a": "b"}
    wrong = {"Content-Type": "text/html", "x-amz-meta-a": "b"}
    assert follow("PUT", url, body=b"x", headers=wrong).status == 403
    assert follow("PUT", url, body=b"x").status == 403
    assert follow("PUT", url, body=b"x", headers=right).status == 200
    head = s3.head_object(Bucket=bucket, Key="k")
    assert (head["ContentType"], head["Metadata"]) == ("text/css", {"a": "b"})


def test_an_unsigned_amz_header_is_refused(s3: Any, bucket: str, sign: Any, follow: Any) -> None:
    """Every x-amz- header must be among the signed ones."""
    reply = follow("PUT", sign("put_object"), body=b"x", headers={"x-amz-meta-slipped": "in"})
    assert (reply.status, reply.code) == (403, "AccessDenied")


@pytest.mark.parametrize(
    ("asks", "status", "code"),
    [
        ({}, 400, "BadRequest"),
        ({"Origin": "http://a.example"}, 400, "BadRequest"),
        ({"Origin": "http://a.example", "Access-Control-Request-Method": "PATCH"}, 400, "BadRequest"),
        ({"Origin": "http://a.example", "Access-Control-Request-Method": "PUT"}, 403, "AccessForbidden"),
    ],
    ids=["no origin", "no method", "no such method", "whole"],
)
def test_a_browser_that_asks_first(
    bucket: str, sign: Any, follow: Any, asks: dict[str, str], status: int, code: str
) -> None:
    """It asks with the presigned URL of what comes next and signs nothing; no CORS rule was ever set."""
    reply = follow("OPTIONS", sign("put_object"), headers=asks)
    assert (reply.status, reply.code) == (status, code)
