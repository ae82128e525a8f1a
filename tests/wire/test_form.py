"""Forms as calls: AWS's published example, what is refused before the file, and where files begin and end."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from pytest_twisted import ensureDeferred

from gateway.errors import S3Error
from gateway.model import Call
from gateway.wire import form, signature
from gateway.wire.post_policy import Bounds
from tests.wire.conftest import Oracle

# "Example: Browser-Based Upload using HTTP POST (Using AWS Signature Version 4)", sigv4-post-example.html
AWS_POLICY = (
    '{ "expiration": "2015-12-30T12:00:00.000Z",\r\n'
    '  "conditions": [\r\n'
    '    {"bucket": "sigv4examplebucket"},\r\n'
    '    ["starts-with", "$key", "user/user1/"],\r\n'
    '    {"acl": "public-read"},\r\n'
    '    {"success_action_redirect": "http://sigv4examplebucket.s3.amazonaws.com/successful_upload.html"},\r\n'
    '    ["starts-with", "$Content-Type", "image/"],\r\n'
    '    {"x-amz-meta-uuid": "14365123651274"},\r\n'
    '    {"x-amz-server-side-encryption": "AES256"},\r\n'
    '    ["starts-with", "$x-amz-meta-tag", ""],\r\n'
    "\r\n"
    '    {"x-amz-credential": "AKIAIOSFODNN7EXAMPLE/20151229/us-east-1/s3/aws4_request"},\r\n'
    '    {"x-amz-algorithm": "AWS4-HMAC-SHA256"},\r\n'
    '    {"x-amz-date": "20151229T000000Z" }\r\n'
    "  ]\r\n"
    "}"
)
AWS_SIGNATURE = "8afdbf4008c03f22c2cd3cdb72e4afbb1f6a588f3255ac628749a66d7f09699e"
AWS_TIME = 1451347200.0  # 2015-12-29T00:00:00Z
CREDENTIAL = "AKIAIOSFODNN7EXAMPLE/20151229/us-east-1/s3/aws4_request"
V4 = {
    "policy": base64.b64encode(AWS_POLICY.encode()).decode(),
    "x-amz-algorithm": "AWS4-HMAC-SHA256",
    "x-amz-credential": CREDENTIAL,
    "x-amz-date": "20151229T000000Z",
    "x-amz-signature": AWS_SIGNATURE,
}


class Chunks:
    def __init__(self, *chunks: bytes, size: int | None = -1) -> None:
        self.chunks, self.taken, self.closed = chunks, 0, False
        self.size = sum(map(len, chunks)) if size == -1 else size

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self.chunks:
            self.taken += 1
            yield chunk

    def close(self) -> None:
        self.closed = True


def form_of(fields: dict[str, str], data: bytes, filename: str = "", end: bytes = b"--b--\r\n") -> bytes:
    parts = [f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{text}\r\n' for name, text in fields.items()]
    head = f'--b\r\nContent-Disposition: form-data; name="file"; filename="{filename}"\r\n\r\n'
    return "".join([*parts, head]).encode() + data + b"\r\n" + end


def call_of(oracle: Oracle, body: Chunks, **headers: str) -> Call:
    made = oracle.call("POST", "/bucket", "", {"content-type": "multipart/form-data; boundary=b", **headers})
    made.headers["content-length"] = str(body.size)  # type: ignore[index]
    object.__setattr__(made, "body", body)
    return made


def prove(oracle: Oracle, change: dict[str, str | None], secret: str | None, **more: Any) -> None:
    fields = {name: value for name, value in {**V4, **change}.items() if value is not None}
    claim = signature.read_form_claim(fields)
    assert claim is not None
    signature.verify(oracle.call("POST", "/b"), claim, secret, now=more.pop("now", AWS_TIME), **more)


def test_awss_own_example(oracle: Oracle) -> None:
    prove(oracle, {}, oracle.secret)
    prove(oracle, {}, oracle.secret, now=AWS_TIME + 7 * 86_400, region="us-east-1")


@pytest.mark.parametrize(
    ("change", "more", "code", "argument"),
    [
        ({"x-amz-signature": AWS_SIGNATURE[:-1] + "f"}, {}, "SignatureDoesNotMatch", ""),
        ({"x-amz-signature": ""}, {}, "SignatureDoesNotMatch", ""),
        ({"policy": V4["policy"] + " "}, {}, "SignatureDoesNotMatch", ""),
        ({"x-amz-credential": CREDENTIAL.replace("us-east-1", "eu-west-1")}, {}, "SignatureDoesNotMatch", ""),
        ({}, {"region": "eu-west-1"}, "InvalidArgument", "x-amz-credential"),
        ({}, {"secret": None}, "InvalidAccessKeyId", ""),
        ({}, {"secret": ""}, "SignatureDoesNotMatch", ""),
        ({"x-amz-date": "20151230T000000Z"}, {"now": AWS_TIME + 86_400}, "InvalidArgument", "x-amz-credential"),
        ({"x-amz-date": "20151230T000000Z"}, {"secret": None, "now": AWS_TIME + 86_400}, "InvalidAccessKeyId", ""),
        ({}, {"now": AWS_TIME + 7 * 86_400 + 1}, "AccessDenied", ""),
        ({}, {"now": AWS_TIME - 901}, "AccessDenied", ""),
        ({"x-amz-security-token": "t"}, {}, "InvalidToken", ""),
        ({}, {"unsigned_over_http": False}, "InvalidRequest", ""),
        ({"policy": None}, {}, "InvalidArgument", "policy"),
        ({"x-amz-algorithm": None}, {}, "InvalidArgument", "x-amz-algorithm"),
        ({"x-amz-credential": None}, {}, "InvalidArgument", "x-amz-credential"),
        ({"x-amz-date": None}, {}, "InvalidArgument", "x-amz-date"),
        ({"x-amz-signature": None}, {}, "InvalidArgument", "x-amz-signature"),
        ({"x-amz-algorithm": "AWS4-HMAC-SHA1"}, {}, "InvalidArgument", "X-Amz-Algorithm"),
        ({"x-amz-date": "yesterday"}, {}, "InvalidArgument", "X-Amz-Date"),
        ({"x-amz-credential": "a/b"}, {}, "InvalidArgument", "x-amz-credential"),
        ({"x-amz-credential": CREDENTIAL.replace("/s3/", "/ec2/")}, {}, "InvalidArgument", "x-amz-credential"),
        ({"awsaccesskeyid": "a"}, {}, "InvalidArgument", "Signature"),
    ],
)
def test_claims_that_do_not_hold(
    oracle: Oracle, change: dict[str, str | None], more: dict[str, Any], code: str, argument: str
) -> None:
    asked = {"secret": oracle.secret, **more}
    with pytest.raises(S3Error) as caught:
        prove(oracle, change, asked.pop("secret"), **asked)
    assert (caught.value.code, caught.value.fields.get("ArgumentName", "")) == (code, argument)


def test_a_wrong_signature_is_told_as_s3_does(oracle: Oracle) -> None:
    with pytest.raises(S3Error) as caught:
        prove(oracle, {}, "wrong-one")
    assert caught.value.fields["StringToSign"] == V4["policy"] and "CanonicalRequest" not in caught.value.fields
    assert "secret" in caught.value.cause and "wrong-one" not in caught.value.cause


def test_version_two(oracle: Oracle) -> None:
    """ "Examples of Signature Calculations" are of requests; this one is what Python's own hmac makes of a policy."""
    import hashlib
    import hmac

    right = base64.b64encode(hmac.new(oracle.secret.encode(), V4["policy"].encode(), hashlib.sha1).digest()).decode()
    fields: dict[str, str | None] = {name: None for name in V4 if name != "policy"}
    fields |= {"awsaccesskeyid": oracle.access_key, "signature": right}
    prove(oracle, fields, oracle.secret, v2=True)
    for change, code, more in (
        ({}, "InvalidRequest", {}),  # V2 is off unless somebody wants it
        ({"signature": right[:-3] + "AA="}, "SignatureDoesNotMatch", {"v2": True}),
        ({"signature": None}, "InvalidArgument", {"v2": True}),
        ({"awsaccesskeyid": None}, "InvalidArgument", {"v2": True}),
        ({"policy": None}, "InvalidArgument", {"v2": True}),
    ):
        with pytest.raises(S3Error) as caught:
            prove(oracle, {**fields, **change}, oracle.secret, **more)
        assert caught.value.code == code


def test_no_sign_of_a_signature_is_nobody() -> None:
    assert signature.read_form_claim({"key": "k", "acl": "private", "x-amz-meta-a": "b"}) is None


@ensureDeferred
async def test_names_of_files_are_filled_in(oracle: Oracle) -> None:
    for filename, own in (("a.txt", "a.txt"), ("C:\\x\\a.txt", "a.txt"), ("/etc/passwd", "passwd"), ("../..", "..")):
        fields = {"key": "u/${filename}", "x-amz-meta-a": "${filename}${filename}", "policy": "${filename}"}
        read = await form.read(call_of(oracle, Chunks(form_of(fields, b"x", filename))))
        assert read.key == f"u/{own}".encode()
        assert (read.fields["x-amz-meta-a"], read.fields["policy"]) == (own * 2, "${filename}")


@pytest.mark.parametrize("fields", [{}, {"key": ""}, {"key": "${filename}"}])
@ensureDeferred
async def test_no_key_no_object(oracle: Oracle, fields: dict[str, str]) -> None:
    with pytest.raises(S3Error) as caught:
        await form.read(call_of(oracle, Chunks(form_of(fields, b"x"))))
    assert (caught.value.code, caught.value.fields["ArgumentName"]) == ("InvalidArgument", "key")


@ensureDeferred
async def test_what_a_put_would_say(oracle: Oracle) -> None:
    tags = "<Tagging><TagSet><Tag><Key>a b</Key><Value>&amp;</Value></Tag></TagSet></Tagging>"
    fields = {
        **V4,
        "key": "k",
        "acl": "private",
        "tagging": tags,
        "Content-Type": " text/css ",
        "Content-MD5": "x",
        "X-Amz-Meta-A": "b",
        "x-amz-trailer": "x-amz-checksum-crc32",
        "x-amz-content-sha256": "STREAMING",
        "x-amz-decoded-content-length": "5",
        "if-match": "y",
        "host": "h",
        "x-ignore-a": "b",
        "success_action_status": "201",
    }
    call = call_of(oracle, Chunks(form_of(fields, b"x")), **{"if-none-match": "*", "x-amz-meta-c": "unsigned"})
    assert form.headers_of(await form.read(call), call) == {
        "if-none-match": "*",
        "x-amz-acl": "private",
        "x-amz-tagging": "a+b=%26",
        "content-type": "text/css",
        "content-md5": "x",
        "x-amz-meta-a": "b",
    }


@pytest.mark.parametrize(
    "tags", ["no xml", "<Tagging/>", "<Tagging><TagSet><Tag><Key>a</Key></Tag></TagSet></Tagging>"]
)
@ensureDeferred
async def test_broken_tags(oracle: Oracle, tags: str) -> None:
    call = call_of(oracle, Chunks(form_of({"key": "k", "tagging": tags}, b"x")))
    read = await form.read(call)
    with pytest.raises(S3Error) as caught:
        form.headers_of(read, call)
    assert caught.value.code == "MalformedXML"


@ensureDeferred
async def test_a_length_is_needed(oracle: Oracle) -> None:
    with pytest.raises(S3Error) as caught:
        await form.read(call_of(oracle, Chunks(form_of({"key": "k"}, b"x"), size=None)))
    assert caught.value.code == "MissingContentLength"


@pytest.mark.parametrize(
    ("data", "bounds", "code", "read"),
    [
        (b"x" * 10, Bounds(10, 10), "", 1),
        (b"x" * 11, Bounds(10, 10), "EntityTooLarge", 1),
        (b"x" * 9, Bounds(10, 10), "EntityTooSmall", 1),
        (b"", Bounds(0, 0), "", 1),
        (b"x" * 300_000, Bounds(0, 10), "EntityTooLarge", 0),  # the Content-Length tells
        (b"x" * 5, Bounds(100, 200), "EntityTooSmall", 0),
    ],
)
@ensureDeferred
async def test_sizes(oracle: Oracle, data: bytes, bounds: Bounds, code: str, read: int) -> None:
    whole = form_of({"key": "k"}, data)
    cut = whole.index(b"\r\n\r\nxx") + 4 if data else len(whole) - 5
    body = Chunks(whole[:cut], whole[cut:])
    asked = await form.read(call_of(oracle, body))
    before = body.taken
    got, found = "", b""
    try:
        async for chunk in asked.file(bounds):
            found += chunk
    except S3Error as refusal:
        got = refusal.code
        assert refusal.fields["ProposedSize"] == str(len(data))
    assert (got, body.taken - before) == (code, read)
    assert code or found == data


@ensureDeferred
async def test_what_follows_the_file_is_read_and_forgotten(oracle: Oracle) -> None:
    after = b'--b\r\nContent-Disposition: form-data; name="submit"\r\n\r\n' + b"y" * 60_000 + b"\r\n--b--\r\n"
    body = Chunks(form_of({"key": "k"}, b"data", end=after[:60]), after[60:], b"and more")
    read = await form.read(call_of(oracle, body))
    file = read.file(Bounds(4, 4))
    assert [chunk async for chunk in file] == [b"data"]
    assert body.taken == 3
    file.close()
    assert body.closed


@pytest.mark.parametrize(
    ("in_host", "place"), [(False, "http://h:1/bucket/a%2Fb%20%C3%BC"), (True, "http://h:1/a%2Fb%20%C3%BC")]
)
def test_where_it_is(oracle: Oracle, change: Callable[..., Call], in_host: bool, place: str) -> None:
    call = oracle.call("POST", "/bucket", "", {"host": "h:1"})
    assert form.address_of(call, "bucket", "a/b \u00fc".encode(), in_host=in_host) == place


def test_the_policy_of_the_example_reads() -> None:
    assert json.loads(AWS_POLICY)["conditions"][0] == {"bucket": "sigv4examplebucket"}
