"""Signature V2, header and query, on a gateway with ``signature_v2 = yes``; and its refusal by default.

Source: https://docs.aws.amazon.com/AmazonS3/latest/API/RESTAuthentication.html
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.acceptance.raw import form_of


@pytest.fixture(scope="module")
def old_site(site: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A gateway of its own that takes V2."""
    from gateway.testing.server import LiveGateway

    folder = tmp_path_factory.mktemp("v2")
    with LiveGateway(folder, backend="memory", gateway={"signature_v2": "yes"}) as live:
        keys = {"access_key": live.access_key, "secret_key": live.secret_key}
        yield dataclasses.replace(site, endpoint=live.endpoint, pid=live.pid, config=live.config_file, **keys)


@pytest.fixture(scope="module")
def old_s3(old_site: Any, make_client: Callable[..., Any]) -> Iterator[Any]:
    client = make_client(old_site, signature_version="s3")
    client.create_bucket(Bucket="old-bucket")
    yield client
    client.close()


@pytest.fixture
def old_raw(old_s3: Any, old_site: Any, raw_of: Any) -> Any:
    return raw_of(old_site)


pytestmark = pytest.mark.parametrize("site", ["memory"], indirect=True, scope="session")


def test_the_header(old_s3: Any) -> None:
    for key in ("plain", "a b+c/é", "?acl"):
        old_s3.put_object(Bucket="old-bucket", Key=key, Body=b"x", Metadata={"a": "b"})
        assert old_s3.get_object(Bucket="old-bucket", Key=key)["Metadata"] == {"a": "b"}
    assert old_s3.list_objects_v2(Bucket="old-bucket", Prefix="a b")["KeyCount"] == 1
    upload = old_s3.create_multipart_upload(Bucket="old-bucket", Key="m")["UploadId"]
    old_s3.upload_part(Bucket="old-bucket", Key="m", UploadId=upload, PartNumber=1, Body=b"part")
    old_s3.abort_multipart_upload(Bucket="old-bucket", Key="m", UploadId=upload)


def test_the_query(old_s3: Any, old_site: Any, old_raw: Any) -> None:
    old_s3.put_object(Bucket="old-bucket", Key="k", Body=b"hello")
    asked = {"Bucket": "old-bucket", "Key": "k", "ResponseContentType": "text/css"}
    url = old_s3.generate_presigned_url("get_object", Params=asked, ExpiresIn=60).removeprefix(old_site.endpoint)
    reply = old_raw("GET", url, signed=False)
    assert (reply.body, reply.headers["content-type"]) == (b"hello", "text/css")
    assert old_raw("GET", url.replace("/k?", "/m?"), signed=False).code == "SignatureDoesNotMatch"
    expires = url.partition("Expires=")[2].partition("&")[0]
    late = url.replace(f"Expires={expires}", f"Expires={int(time.time()) - 5}")
    assert (old_raw("GET", late, signed=False).status, old_raw("GET", late, signed=False).code) == (403, "AccessDenied")


def test_a_wrong_secret(old_s3: Any, old_site: Any, raw_of: Any) -> None:
    thief = raw_of(dataclasses.replace(old_site, secret_key="wrong"))
    reply = thief("GET", "/old-bucket/k", version="v2")
    assert (reply.status, reply.code) == (403, "SignatureDoesNotMatch")


@pytest.mark.parametrize(
    ("header", "status", "code"),
    [
        ({"Authorization": "AWS HAHAHA"}, 400, "InvalidArgument"),
        ({"Authorization": "AWS AKIAIGR7ZNNBHC5BKSUB:FWeDfwojDSdS2Ztmpfeubhd9isU="}, 403, "InvalidAccessKeyId"),
        ({"Authorization": ""}, 403, "AccessDenied"),
    ],
    ids=["invalid", "incorrect", "empty"],
)
def test_a_bad_authorization(old_raw: Any, header: dict[str, str], status: int, code: str) -> None:
    reply = old_raw("PUT", "/old-bucket/k", body=b"bar", version="v2", after=header)
    assert (reply.status, reply.code) == (status, code)


@pytest.mark.parametrize(
    ("date", "code"),
    [
        ("Bad Date", "AccessDenied"),
        ("", "AccessDenied"),
        ("Tue, 07 Jul 2010 21:53:04 GMT", "RequestTimeTooSkewed"),
        ("Thu, 07 Jul 2050 21:53:04 GMT", "RequestTimeTooSkewed"),
    ],
)
def test_a_bad_date(old_raw: Any, date: str, code: str) -> None:
    reply = old_raw("PUT", "/old-bucket/k", body=b"bar", version="v2", headers={"x-amz-date": date})
    assert (reply.status, reply.code) == (403, code)


@pytest.mark.parametrize("agent", [{"after": {"User-Agent": ""}}, {"drop": ("User-Agent",)}])
def test_any_user_agent(old_raw: Any, agent: dict[str, Any]) -> None:
    assert old_raw("PUT", "/old-bucket/k", body=b"bar", version="v2", **agent).status == 200


def test_v4_is_taken_beside_it(old_raw: Any) -> None:
    assert old_raw("PUT", "/old-bucket/k", body=b"bar").status == 200


def test_it_is_off_by_default(raw: Any) -> None:
    reply = raw("GET", "/", version="v2")
    assert (reply.status, reply.code) == (400, "InvalidRequest")
    assert b"AWS4-HMAC-SHA256" in reply.body


def test_a_form(old_s3: Any, old_raw: Any) -> None:
    """Names of fields and of conditions in any case, as ever; a wrong signature, and none at all."""
    fields = old_s3.generate_presigned_post("old-bucket", "form", Conditions=[["StArTs-WiTh", "$AcL", ""]])["fields"]
    assert set(fields) == {"key", "AWSAccessKeyId", "policy", "signature"}
    fields["aCl"] = "private"
    for change, status, code in (
        ({}, 204, ""),
        ({"signature": "AAAA"}, 403, "SignatureDoesNotMatch"),
        ({"AWSAccessKeyId": "nobody"}, 403, "InvalidAccessKeyId"),
        ({"signature": None}, 400, "InvalidArgument"),
        ({"key": "other"}, 403, "AccessDenied"),
    ):
        kind, body = form_of({k: v for k, v in {**fields, **change}.items() if v is not None}, b"old")
        reply = old_raw("POST", "/old-bucket", headers={"Content-Type": kind}, body=body, signed=False)
        assert (reply.status, reply.code) == (status, code)
    assert old_s3.get_object(Bucket="old-bucket", Key="form")["Body"].read() == b"old"


def test_a_form_where_it_is_off(site: Any, make_client: Callable[..., Any], raw: Any, bucket: str) -> None:
    client = make_client(site, signature_version="s3")
    kind, body = form_of(client.generate_presigned_post(bucket, "form")["fields"], b"old")
    client.close()
    reply = raw("POST", f"/{bucket}", headers={"Content-Type": kind}, body=body, signed=False)
    assert (reply.status, reply.code) == (400, "InvalidRequest")
