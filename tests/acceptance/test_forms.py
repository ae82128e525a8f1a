"""Form uploads (POST Object): a browser sends a file with a policy that somebody else signed.

Sources: https://docs.aws.amazon.com/AmazonS3/latest/API/RESTObjectPOST.html and sigv4-HTTPPOSTConstructPolicy.html
"""

from __future__ import annotations

import base64
import hashlib
import http.client
import random
import socket
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit
from xml.etree import ElementTree

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


def test_everything_that_a_form_may_say(s3: Any, bucket: str, presign: Any, send: Any) -> None:
    said = {
        "Content-Type": "text/css",
        "Cache-Control": "max-age=5",
        "Content-Disposition": "inline",
        "Content-Encoding": "gzip",
        "Content-Language": "mi",
        "Expires": "Tue, 06 May 2031 07:08:09 GMT",
        "x-amz-meta-a": "gr\u00fcn",
        "x-amz-storage-class": "STANDARD_IA",
        "x-amz-website-redirect-location": "/elsewhere",
        "x-amz-checksum-sha256": base64.b64encode(hashlib.sha256(b"hello").digest()).decode(),
        "Content-MD5": base64.b64encode(hashlib.md5(b"hello").digest()).decode(),
        "acl": "private",
        "tagging": "<Tagging><TagSet></TagSet></Tagging>",
        "x-ignore-me": "as it likes",
    }
    reply = send(presign("a/${filename}", said), b"hello", filename="C:\\dir\\\u65e5\u672c.css")
    assert reply.status == 204 and reply.headers["x-amz-checksum-sha256"] == said["x-amz-checksum-sha256"]
    found = s3.head_object(Bucket=bucket, Key="a/\u65e5\u672c.css", ChecksumMode="ENABLED")
    assert found["Metadata"] == {"a": "=?UTF-8?B?Z3LDvG4=?="}  # boto3 does not undo RFC 2047
    names = ("ContentType", "CacheControl", "ContentDisposition", "ContentEncoding", "ContentLanguage", "StorageClass")
    assert [found[name] for name in names] == ["text/css", "max-age=5", "inline", "gzip", "mi", "STANDARD_IA"]
    assert (found["WebsiteRedirectLocation"], found["ExpiresString"]) == ("/elsewhere", said["Expires"])
    assert found["ChecksumSHA256"] == said["x-amz-checksum-sha256"]


@pytest.mark.parametrize(("asked", "status"), [("200", 200), ("201", 201), ("204", 204), ("404", 204), ("", 204)])
def test_the_status_that_the_form_asks_for(
    site: Any, bucket: str, presign: Any, send: Any, asked: str, status: int
) -> None:
    reply = send(presign("a b/c", {"success_action_status": asked}), b"x")
    where = f"{site.endpoint}/{bucket}/a%20b%2Fc"
    assert (reply.status, reply.headers["location"]) == (status, where)
    etag = '"9dd4e461268c8034f5c8564e155c67a6"'
    assert reply.headers["etag"] == etag
    if status == 201:
        told = ElementTree.fromstring(reply.body)
        assert [told.findtext(name) for name in ("Location", "Bucket", "Key", "ETag")] == [where, bucket, "a b/c", etag]
    else:
        assert reply.body == b""


@pytest.mark.parametrize("name", ["success_action_redirect", "redirect"])
def test_a_redirect(bucket: str, presign: Any, send: Any, name: str) -> None:
    there = "https://example.com/done?a=b#end"
    reply = send(presign("k&=\u00fc", {name: there, "success_action_status": "201"}), b"x")
    place = urlsplit(reply.headers["location"])
    assert (reply.status, place.netloc, place.path, place.fragment) == (303, "example.com", "/done", "end")
    etag = '"9dd4e461268c8034f5c8564e155c67a6"'
    assert parse_qs(place.query) == {"a": ["b"], "bucket": [bucket], "key": ["k&=\u00fc"], "etag": [etag]}


@pytest.mark.parametrize("there", ["", "no url", "/relative", "http://[::1", "//host/path"])
def test_a_redirect_to_nowhere_is_none(presign: Any, send: Any, there: str) -> None:
    assert send(presign("k", {"success_action_redirect": there}), b"x").status == 204


@pytest.mark.parametrize("there", ["javascript:alert(1)", "http://a/\r\nSet-Cookie: b", "data:text/html,x"])
def test_nobody_is_sent_to_such_a_place(s3: Any, bucket: str, presign: Any, send: Any, there: str) -> None:
    reply = send(presign("k", {"success_action_redirect": there}), b"x")
    assert (reply.status, reply.code) == (400, "InvalidArgument")
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)


REFUSED = {
    "nobody": (lambda fields: {"key": "k"}, 403, "AccessDenied"),
    "no key": (lambda fields: fields.pop("key"), 400, "InvalidArgument"),
    "no signature": (lambda fields: fields.pop("x-amz-signature"), 400, "InvalidArgument"),
    "a wrong signature": (lambda fields: fields.update({"x-amz-signature": "0" * 64}), 403, "SignatureDoesNotMatch"),
    "another key": (lambda fields: fields.update(key="other"), 403, "AccessDenied"),
    "one field more": (lambda fields: fields.update({"x-amz-meta-a": "b"}), 403, "AccessDenied"),
    "another policy": (lambda fields: fields.update(policy=fields["policy"][:-4]), 403, "SignatureDoesNotMatch"),
    "much before the file": (lambda fields: fields.update({"x-ignore": "x" * 20_480}), 400, "MaxPostPreData"),
    "an unknown key": (lambda fields: _of_nobody(fields), 403, "InvalidAccessKeyId"),
}


def _of_nobody(fields: Fields) -> None:
    _, _, scope = fields["x-amz-credential"].partition("/")
    fields["x-amz-credential"] = f"NOBODYSKEY/{scope}"


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_refused_leaves_nothing(s3: Any, bucket: str, presign: Any, send: Any, what: str) -> None:
    change, status, code = REFUSED[what]
    fields = presign()
    changed = change(fields)
    fields = changed if isinstance(changed, dict) else fields
    reply = send(fields, b"x")
    assert (reply.status, reply.code[: len(code)]) == (status, code)
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)


@pytest.mark.parametrize(
    ("said", "code", "status"),
    [
        ({"x-amz-server-side-encryption": "AES256"}, "NotImplemented", 501),
        ({"acl": "public-read"}, "NotImplemented", 501),
        ({"x-amz-storage-class": "COLD"}, "InvalidStorageClass", 400),
        ({"x-amz-website-redirect-location": "ftp://a"}, "InvalidRedirectLocation", 400),
        ({"x-amz-meta-a": "b" * 2049}, "MetadataTooLarge", 400),
        ({"x-amz-checksum-crc32": "AAAAAA=="}, "BadDigest", 400),
        ({"x-amz-checksum-crc32": "no"}, "InvalidRequest", 400),
        ({"Content-MD5": "1B2M2Y8AsgTpgAmY7PhCfg=="}, "BadDigest", 400),
        ({"tagging": "no xml"}, "MalformedXML", 400),
    ],
)
def test_a_form_is_refused_as_a_put_is(
    s3: Any, bucket: str, presign: Any, send: Any, said: Fields, code: str, status: int
) -> None:
    reply = send(presign("k", said), b"x")
    assert (reply.status, reply.code) == (status, code)
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)


def test_the_file_must_be_as_large_as_the_policy_says(s3: Any, bucket: str, presign: Any, send: Any) -> None:
    fields = presign("k", {}, ["content-length-range", 3, 5])
    assert [send(fields, b"x" * size).code for size in (2, 3, 5, 6, 1_000_000)] == [
        "EntityTooSmall",
        "",
        "",
        "EntityTooLarge",
        "EntityTooLarge",
    ]
    assert s3.head_object(Bucket=bucket, Key="k")["ContentLength"] == 5


def test_it_ends_with_its_policy(presign: Any, send: Any) -> None:
    reply = send(presign(seconds=-1), b"x")
    assert (reply.status, reply.code) == (403, "AccessDenied") and b"Policy expired." in reply.body


def test_a_policy_is_good_for_its_bucket(presign: Any, send: Any, new_bucket: Any) -> None:
    other = new_bucket()
    reply = send(presign(), b"x", target=f"/{other}")
    assert (reply.status, reply.code) == (403, "AccessDenied")


def test_another_accounts_bucket(
    other_site: Any, bucket: str, s3: Any, send: Any, make_client: Callable[..., Any]
) -> None:
    client = make_client(other_site, signature_version="s3v4")
    fields = client.generate_presigned_post(bucket, "k")["fields"]
    client.close()
    assert send(fields, b"x").code == "AccessDenied"
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)


@pytest.mark.parametrize("size", [0, 1, 70_000, 9 * 1024**2])
@pytest.mark.parametrize("tail", [b"", b"Upload"], ids=["last", "before a button"])
def test_files_of_all_sizes(s3: Any, bucket: str, presign: Any, send: Any, size: int, tail: bytes) -> None:
    """9 MiB: more than one part of a body whose size nobody knows beforehand."""
    data = random.Random(size).randbytes(size)
    assert send(presign(), data, tail=tail).status == 204
    found = s3.get_object(Bucket=bucket, Key="k")
    assert (found["Body"].read(), found["ETag"]) == (data, f'"{hashlib.md5(data).hexdigest()}"')


@pytest.mark.parametrize("size", [1000, 9 * 1024**2])
@pytest.mark.parametrize("how", ["ends", "leaves", "says less", "says no end"])
def test_what_was_cut_off_leaves_nothing(site: Any, s3: Any, bucket: str, presign: Any, size: int, how: str) -> None:
    kind, body = form_of(presign(), b"x" * size)
    sent = body[: -6 if how == "says no end" else -20]
    told = len(sent) if how.startswith("says") else len(body)
    lines = f"POST /{bucket} HTTP/1.1", f"Host: {site.authority}", f"Content-Type: {kind}", f"Content-Length: {told}"
    place = urlsplit(site.endpoint)
    with socket.create_connection((place.hostname, place.port), timeout=20) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode() + sent)
        if how != "leaves":
            if how == "ends":
                connection.shutdown(socket.SHUT_WR)
            code = b"IncompleteBody" if how == "ends" else b"MalformedPOSTRequest"
            reply = http.client.HTTPResponse(connection)
            reply.begin()
            assert (reply.status, code in reply.read()) == (400, True)
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=bucket)


def test_without_a_length(bucket: str, presign: Any, raw: Any) -> None:
    kind, body = form_of(presign(), b"x")
    chunks = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    headers = {"Content-Type": kind, "Transfer-Encoding": "chunked"}
    reply = raw("POST", f"/{bucket}", headers=headers, body=chunks, signed=False, drop=("Content-Length",))
    assert (reply.status, reply.code) == (411, "MissingContentLength")


def test_nothing_but_the_policy_authorises_a_form(s3: Any, bucket: str, presign: Any, raw: Any) -> None:
    """A signature in the head is refused even beside a good policy: one of them is not meant."""
    kind, body = form_of(presign(), b"x")
    for more in ({"signed": True}, {"signed": False, "after": {"Authorization": "Bearer of-something-else"}}):
        reply = raw("POST", f"/{bucket}", headers={"Content-Type": kind}, body=body, **more)
        assert (reply.status, reply.code) == (403, "AccessDenied")
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)


def test_conditions_of_the_request_hold(s3: Any, bucket: str, presign: Any, raw: Any) -> None:
    kind, body = form_of(presign(), b"x")
    headers = {"Content-Type": kind, "If-None-Match": "*"}
    send = [raw("POST", f"/{bucket}", headers=headers, body=body, signed=False).status for _ in range(2)]
    assert send == [204, 412]


def test_virtual_host(site: Any, s3: Any, bucket: str, presign: Any, raw: Any) -> None:
    kind, body = form_of(presign("a/b"), b"x")
    host = f"{bucket}.localhost:{urlsplit(site.endpoint).port}"
    reply = raw("POST", "/", headers={"Host": host, "Content-Type": kind}, body=body, signed=False)
    assert (reply.status, reply.headers["location"]) == (204, f"http://{host}/a%2Fb")
    assert s3.get_object(Bucket=bucket, Key="a/b")["Body"].read() == b"x"


def test_curl(site: Any, s3: Any, bucket: str, presign: Any, tmp_path: Path) -> None:
    file = tmp_path / 'gr\u00fcn "a".txt'
    file.write_bytes(b"from a file")
    words = [word for name, value in presign("u/${filename}").items() for word in ("-F", f"{name}={value}")]
    asked = ["curl", "-sS", "-o", "-", "-w", "%{http_code}", "--noproxy", "*", *words]
    done = subprocess.run(
        [*asked, "-F", f"file=@{_quoted(file)}", f"{site.endpoint}/{bucket}"],
        capture_output=True,
        timeout=60,
        check=True,
    )
    assert done.stdout == b"204", done
    [row] = s3.list_objects_v2(Bucket=bucket)["Contents"]
    assert row["Key"] in ('u/gr\u00fcn "a".txt', "u/gr\u00fcn %22a%22.txt")  # curl's way of quoting changed with 7.81
    assert s3.get_object(Bucket=bucket, Key=row["Key"])["Body"].read() == b"from a file"


def _quoted(path: Path) -> str:
    """A path for curl's -F, in its own kind of quotes."""
    return '"' + str(path).replace("\\", "\\\\").replace('"', '\\"') + '"'
