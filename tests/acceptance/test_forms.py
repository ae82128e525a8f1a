"""Form uploads (POST Object): a browser sends a file with a policy that somebody else signed.

Sources: https://docs.aws.amazon.com/AmazonS3/latest/API/RESTObjectPOST.html and sigv4-HTTPPOSTConstructPolicy.html
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from tests.acceptance.raw import form_of

Fields = dict[str, str]


@pytest.fixture
def presign(site: Any, make_client: Callable[..., Any], bucket: str) -> Iterator[Callable[..., Fields]]:
    """``presign(key, {"acl": "private"}, ["starts-with", ...], ...)``: the fields of a form that boto3 signed."""
    client = make_client(site, signature_version="s3v4")

    def make(key: str = "k", fields: Mapping[str, str] | None = None, *conditions: Any, seconds: int = 300) -> Fields:
        given = dict(fields or {})
        rules = [{name: value} for name, value in given.items()] + list(conditions)
        made = client.generate_presigned_post(bucket, key, given, rules, ExpiresIn=seconds)
        return {name: str(value) for name, value in made["fields"].items()}

    yield make
    client.close()


@pytest.fixture
def send(raw: Any, bucket: str) -> Callable[..., Any]:
    """``send(fields, b"file", ...)`` -> the reply, as a browser gets it."""

    def post(
        fields: Mapping[str, str], data: bytes, *, target: str = "", announce: int | None = None, **more: Any
    ) -> Any:
        kind, body = form_of(fields, data, **more)
        headers = {"Content-Type": kind}
        return raw("POST", target or f"/{bucket}", headers=headers, body=body, signed=False, announce=announce)

    return post


def test_a_signed_form_is_an_object(s3: Any, bucket: str, presign: Any, send: Any) -> None:
    reply = send(presign(), b"hello")
    assert (reply.status, reply.body) == (204, b"")
    found = s3.get_object(Bucket=bucket, Key="k")
    assert found["Body"].read() == b"hello"
    assert (reply.headers["etag"], found["ContentType"]) == (found["ETag"], "binary/octet-stream")
