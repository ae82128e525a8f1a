"""Forms of somebody who wants more than the policy's author gave (T71 to T75): refused, and nothing is another one."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import pytest
from botocore.auth import S3SigV4PostAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from pytest_twisted import ensureDeferred

BUCKET = {"bucket": "bucket"}
NEW = ["starts-with", "$key", "new"]


@pytest.fixture
def form(tools: Any) -> Any:
    """``form({"key": ...}, rules, data=..., **more)`` -> the request of a form whose policy has these rules."""

    def make(
        fields: Mapping[str, str],
        rules: list[Any] | None = None,
        *,
        data: bytes = b"bytes",
        until: str = "2100-01-01T00:00:00Z",
        filename: str = "f",
        boundary: str = "b",
        parts: bytes = b"",
        end: bytes | None = None,
        target: str = "/bucket",
    ) -> Any:
        policy = {"expiration": until, "conditions": [BUCKET, NEW] if rules is None else list(rules)}
        asked = AWSRequest("POST", "http://localhost:8000/bucket")
        asked.context["s3-presign-post-fields"] = signed = dict(fields)
        asked.context["s3-presign-post-policy"] = policy
        S3SigV4PostAuth(Credentials(tools.key, tools.secret), "s3", "us-east-1").add_auth(asked)
        b = boundary.encode()
        rows = [
            b'--%b\r\nContent-Disposition: form-data; name="%b"\r\n\r\n%b\r\n' % (b, name.encode(), text.encode())
            for name, text in signed.items()
        ]
        head = f'Content-Disposition: form-data; name="file"; filename="{filename}"\r\n\r\n'.encode()
        closing = b"--" + b + b"--\r\n" if end is None else end
        body = b"".join([*rows, parts, b"--" + b + b"\r\n" + head + data + b"\r\n", closing])
        headers = {"host": "localhost:8000", "content-type": f"multipart/form-data; boundary={boundary}"}
        return tools.request("POST", target, {**headers, "content-length": str(len(body))}, body)

    return make


@ensureDeferred
async def test_t71_a_policy_gives_what_it_says_and_no_more(house: Any, form: Any, tools: Any) -> None:
    good = {"key": "new"}
    swapped = form(good)
    mine = base64.b64encode(json.dumps({"expiration": "2100-01-01T00:00:00Z", "conditions": []}).encode())
    start = swapped.body.index(b'name="policy"') + len(b'name="policy"\r\n\r\n')
    body = swapped.body[:start] + mine + swapped.body[swapped.body.index(b"\r\n", start) :]
    swapped = tools.request("POST", "/bucket", {**swapped.headers, "content-length": str(len(body))}, body)
    await house.refuses(swapped, 403, "SignatureDoesNotMatch")
    for request in (
        form({"key": "old"}),
        form({"key": "old"}, [BUCKET, {"key": "new"}]),
        form(good, [NEW]),
        form(good, [BUCKET]),
        form(good, [{"bucket": "other"}, NEW]),
        form({**good, "x-amz-meta-a": "b"}),
        form({**good, "acl": "public-read"}),
        form({**good, "acl": "public-read"}, [BUCKET, NEW, {"acl": "public-read"}]),
        form(good, [BUCKET, NEW, ["starts-with", "$x-amz-meta-a", ""]]),
        form(good, until="2020-01-01T00:00:00Z"),
    ):
        await house.refuses(request, (403, 501), "AccessDenied", "NotImplemented")
    await house.refuses(form(good, until="soon"), 400, "InvalidPolicyDocument")
    await house.refuses(form(good, [BUCKET, NEW, {}]), 400, "InvalidPolicyDocument")
    assert (await house.send(form(good))).status == 204


@ensureDeferred
async def test_t72_the_file_is_as_large_as_the_policy_says(house: Any, form: Any) -> None:
    for size, code in ((2, "EntityTooSmall"), (6, "EntityTooLarge"), (1_000_000, "EntityTooLarge")):
        request = form({"key": "new"}, [BUCKET, NEW, ["content-length-range", 3, 5]], data=b"x" * size)
        await house.refuses(request, 400, code)


@ensureDeferred
async def test_t73_forms_that_are_none(house: Any, form: Any) -> None:
    part = b'--b\r\nContent-Disposition: form-data; name="x-ignore-%d"\r\n\r\nv\r\n'
    nested = (
        b'--b\r\nContent-Disposition: form-data; name="a"\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\nv\r\n'
    )
    for code, more in (
        ("MalformedPOSTRequest", {"parts": b"".join(part % n for n in range(150))}),
        (
            "MaxPostPreDataLengthExceededError",
            {"parts": b"".join((part % n).replace(b"v", b"v" * 300) for n in range(90))},
        ),
        ("MaxPostPreDataLengthExceededError", {"parts": (part % 1).replace(b"v\r\n", b"v" * 2**20 + b"\r\n")}),
        ("MalformedPOSTRequest", {"boundary": "b" * 71}),
        ("MalformedPOSTRequest", {"parts": nested}),
        ("MalformedPOSTRequest", {"end": b""}),
        ("MalformedPOSTRequest", {"end": b"--b"}),
    ):
        await house.refuses(form({"key": "new"}, **more), 400, code)


@ensureDeferred
async def test_t74_a_name_is_never_a_path(house: Any, form: Any) -> None:
    rules = [BUCKET, ["starts-with", "$key", ""]]
    for key, filename, kept in (
        ("../../x", "f", "../../x"),
        ("new/${filename}", "../../../etc/passwd", "new/passwd"),
        ("new/${filename}", "C:\\windows\\a", "new/a"),
    ):
        assert (await house.send(form({"key": key}, rules, filename=filename))).status == 204
        assert (await house.call("GET", "/bucket?list-type=2&prefix=" + quote(kept, safe=""))).body.count(b"<Key>") == 1
    await house.refuses(form({"key": "${filename}"}, rules, filename="folder/"), 400, "InvalidArgument")
    await house.refuses(form({"key": "n" * 1025}, rules), 400, "KeyTooLongError")


@ensureDeferred
async def test_t75_nobody_is_sent_to_a_script(house: Any, form: Any) -> None:
    rules = [BUCKET, NEW, ["starts-with", "$success_action_redirect", ""]]
    for there in (
        "javascript:alert(1)",
        "JavaScript:alert(1)",
        "http://h/\r\nSet-Cookie: a=b",
        "http://h/\x00",
        "data:,x",
    ):
        await house.refuses(form({"key": "new", "success_action_redirect": there}, rules), 400, "InvalidArgument")
    answer = await house.send(form({"key": "new", "success_action_redirect": "http://h/\u00fc <b>"}, rules))
    assert answer.status == 303
    place = answer.headers["location"]
    assert place.isascii() and not set(place) & set(' <>\r\n"')


@ensureDeferred
async def test_no_secret_of_a_form_is_told(house: Any, form: Any) -> None:
    """Neither the policy's signature nor the policy stands in a log: who reads it could send the form again."""
    request = form({"key": "new", "x-amz-meta-a": "b"})
    await house.refuses(request, 403, "AccessDenied")
    assert (await house.send(form({"key": "new"}))).status == 204
    signature = request.body.partition(b'name="x-amz-signature"\r\n\r\n')[2][:64].decode()
    assert len(signature) == 64 and not any(signature in line for line in house.log_lines)
