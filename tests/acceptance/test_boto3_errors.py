"""Errors as S3 documents them: code, status, and the XML around them.

Source: https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
"""

from __future__ import annotations

import base64
import dataclasses
import datetime
import hashlib
import re
from collections.abc import Callable
from typing import Any
from xml.etree import ElementTree

import botocore.auth
import pytest

MISSING_BUCKET = "acceptance-never-made"

ON_NO_BUCKET: dict[str, dict[str, Any]] = {
    "get_object": {"Key": "k"},
    "put_object": {"Key": "k", "Body": b"x"},
    "delete_object": {"Key": "k"},
    "list_objects_v2": {},
    "delete_bucket": {},
    "get_bucket_location": {},
    "delete_objects": {"Delete": {"Objects": [{"Key": "k"}]}},
    "create_multipart_upload": {"Key": "k"},
    "get_bucket_policy": {},
    "get_object_acl": {"Key": "k"},
}


@pytest.mark.parametrize("name", ON_NO_BUCKET)
def test_no_such_bucket(s3: Any, refuses: Callable[..., Any], name: str) -> None:
    with refuses("NoSuchBucket", 404) as caught:
        getattr(s3, name)(Bucket=MISSING_BUCKET, **ON_NO_BUCKET[name])
    assert caught.value.response["Error"]["BucketName"] == MISSING_BUCKET


def test_no_such_key_names_the_key(s3: Any, bucket: str, refuses: Callable[..., Any]) -> None:
    with refuses("NoSuchKey", 404) as caught:
        s3.get_object(Bucket=bucket, Key="a/<b>&c")
    assert caught.value.response["Error"]["Key"] == "a/<b>&c"


@pytest.mark.parametrize("key", ["none", "none%20at%20all", "none%3Cb%3E"])
def test_an_error_is_a_document_with_the_request_id(bucket: str, raw: Any, key: str) -> None:
    reply = raw("GET", f"/{bucket}/{key}")
    assert reply.headers["content-type"].startswith("application/xml")
    root = ElementTree.fromstring(reply.body)
    assert root.tag == "Error"
    assert root.findtext("Code") == "NoSuchKey"
    assert root.findtext("Message")
    assert root.findtext("RequestId") == reply.headers["x-amz-request-id"]
    assert root.findtext("HostId") == reply.headers["x-amz-id-2"]


def test_request_ids_differ(bucket: str, raw: Any) -> None:
    ids = {raw("GET", f"/{bucket}/none").headers["x-amz-request-id"] for _ in range(5)}
    assert len(ids) == 5


def test_the_head_of_nothing_has_no_body(bucket: str, raw: Any) -> None:
    for target in (f"/{bucket}/none", f"/{MISSING_BUCKET}/none", f"/{MISSING_BUCKET}"):
        reply = raw("HEAD", target)
        assert (reply.status, reply.body) == (404, b"")


def test_an_unknown_access_key(site: Any, make_client: Any, bucket: str, refuses: Callable[..., Any]) -> None:
    stranger = make_client(dataclasses.replace(site, access_key="AKIANOBODYKNOWSTHIS0"))
    with refuses("InvalidAccessKeyId", 403) as caught:
        stranger.get_object(Bucket=bucket, Key="k")
    assert caught.value.response["Error"]["AWSAccessKeyId"] == "AKIANOBODYKNOWSTHIS0"
    stranger.close()


def test_a_wrong_secret(s3: Any, site: Any, make_client: Any, bucket: str, refuses: Callable[..., Any]) -> None:
    thief = make_client(dataclasses.replace(site, secret_key=site.secret_key + "x"))
    with refuses("SignatureDoesNotMatch", 403) as caught:
        thief.put_object(Bucket=bucket, Key="k", Body=b"x")
    answer = caught.value.response["Error"]
    assert answer["AWSAccessKeyId"] == site.access_key
    assert answer["StringToSign"].startswith("AWS4-HMAC-SHA256\n")
    assert answer["CanonicalRequest"].startswith("PUT\n")
    assert site.secret_key not in str(caught.value.response)
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0
    thief.close()


@pytest.mark.parametrize(
    ("method", "target"),
    [("GET", ""), ("GET", "/k"), ("PUT", "/k"), ("DELETE", "/k"), ("DELETE", ""), ("POST", "/k?uploads")],
)
def test_nobody_in_particular_is_refused(bucket: str, raw: Any, method: str, target: str) -> None:
    reply = raw(method, f"/{bucket}{target}", signed=False)
    assert (reply.status, reply.code) == (403, "AccessDenied")


@pytest.mark.parametrize(
    ("skew", "code", "status"),
    [(-16 * 60, "RequestTimeTooSkewed", 403), (16 * 60, "RequestTimeTooSkewed", 403), (-10 * 60, "NoSuchKey", 404)],
)
def test_clocks_may_differ_by_a_quarter_of_an_hour(
    bucket: str, raw: Any, monkeypatch: pytest.MonkeyPatch, skew: int, code: str, status: int
) -> None:
    moment = datetime.datetime.now(datetime.UTC).replace(tzinfo=None) + datetime.timedelta(seconds=skew)
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda: moment)
    reply = raw("GET", f"/{bucket}/none")
    assert (reply.status, reply.code) == (status, code)


@pytest.mark.parametrize(
    ("header", "code"),
    [
        ("AWS4-HMAC-SHA256Credential=a/b/c/d/e", "InvalidArgument"),
        ("Bearer abc", "InvalidArgument"),
        ("AWS4-HMAC-SHA256 nonsense", "AuthorizationHeaderMalformed"),
        ("AWS4-HMAC-SHA256 Credential=a/b, SignedHeaders=host, Signature=00", "AuthorizationHeaderMalformed"),
    ],
)
def test_an_authorization_that_cannot_be_read(bucket: str, raw: Any, header: str, code: str) -> None:
    reply = raw("GET", f"/{bucket}/k", after={"Authorization": header})
    assert (reply.status, reply.code) == (400, code)


def test_a_body_that_is_not_the_signed_one(bucket: str, raw: Any) -> None:
    said = hashlib.sha256(b"this was signed").hexdigest()
    reply = raw("PUT", f"/{bucket}/k", body=b"this was sent!!", payload=said)
    assert (reply.status, reply.code) == (400, "XAmzContentSHA256Mismatch")
    assert raw("HEAD", f"/{bucket}/k").status == 404


def test_a_wrong_content_md5(s3: Any, bucket: str, refuses: Callable[..., Any]) -> None:
    other = base64.b64encode(hashlib.md5(b"other").digest()).decode()
    with refuses("BadDigest", 400):
        s3.put_object(Bucket=bucket, Key="k", Body=b"x", ContentMD5=other)
    with refuses("InvalidDigest", 400):
        s3.put_object(Bucket=bucket, Key="k", Body=b"x", ContentMD5="not a digest")
    with refuses("NoSuchKey", 404):
        s3.get_object(Bucket=bucket, Key="k")
    right = base64.b64encode(hashlib.md5(b"x").digest()).decode()
    s3.put_object(Bucket=bucket, Key="k", Body=b"x", ContentMD5=right)


def test_no_length_at_all(bucket: str, raw: Any) -> None:
    reply = raw("PUT", f"/{bucket}/k", drop=("Content-Length",))
    assert (reply.status, reply.code) == (411, "MissingContentLength")


@pytest.mark.parametrize(
    ("method", "target", "status", "code"),
    [
        ("POST", "/k", 405, "MethodNotAllowed"),
        ("PATCH", "/k", 405, "MethodNotAllowed"),
        ("POST", "", 412, "PreconditionFailed"),  # "Bucket POST must be of the enclosure-type multipart/form-data"
    ],
)
def test_a_method_that_means_nothing(bucket: str, raw: Any, method: str, target: str, status: int, code: str) -> None:
    reply = raw(method, f"/{bucket}{target}")
    assert (reply.status, reply.code) == (status, code)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<Delete>",
        b"<Delete/>",
        b"<Delete><Object/></Delete>",
        b"<Other><Object><Key>k</Key></Object></Other>",
        b'<!DOCTYPE d [<!ENTITY k "k">]><Delete><Object><Key>&k;</Key></Object></Delete>',
        b"<Delete>" + b"<Object><Key>k</Key></Object>" * 1001 + b"</Delete>",
    ],
    ids=["nothing", "open", "no objects", "no key", "other root", "doctype", "1001 keys"],
)
def test_a_malformed_delete(bucket: str, raw: Any, body: bytes) -> None:
    raw("PUT", f"/{bucket}/k", body=b"x")
    md5 = base64.b64encode(hashlib.md5(body).digest()).decode()
    reply = raw("POST", f"/{bucket}?delete", body=body, headers={"Content-MD5": md5})
    assert (reply.status, reply.code) == (400, "MalformedXML")
    assert raw("HEAD", f"/{bucket}/k").status == 200


def test_a_delete_needs_a_digest_of_its_body(bucket: str, raw: Any) -> None:
    """DeleteObjects demands Content-MD5 or an x-amz-checksum header."""
    body = b"<Delete><Object><Key>k</Key></Object></Delete>"
    reply = raw("POST", f"/{bucket}?delete", body=body)
    assert (reply.status, reply.code) == (400, "InvalidRequest")
    reply = raw("POST", f"/{bucket}?delete", body=body, headers={"Content-MD5": "1B2M2Y8AsgTpgAmY7PhCfg=="})
    assert (reply.status, reply.code) == (400, "BadDigest")


def test_no_error_tells_what_the_server_is_made_of(bucket: str, raw: Any) -> None:
    for target in (f"/{bucket}/none", f"/{bucket}?nonsense", f"/{MISSING_BUCKET}", "/-/"):
        text = raw("GET", target).body.decode()
        assert not re.search(r"Traceback|\.py\b|sqlite|twisted\.|/tmp/", text, re.IGNORECASE)
