"""Rows T34 to T52 and T60 to T67: who signed, and is it true? Each refused request leaves nothing behind."""

from __future__ import annotations

import ast
import base64
import datetime
import hashlib
import inspect
import re
from typing import Any

import botocore.auth
import pytest
from pytest_twisted import ensureDeferred

import gateway.wire.chunked
import gateway.wire.signature
import gateway.wire.signature_v2
import gateway.wire.signature_v4
from gateway.verifier import Rules

UPLOAD = "?uploadId=x&partNumber=1"


def forged(request: Any) -> Any:
    """One digit of the signature is another one."""
    text = request.headers["authorization"]
    request.headers["authorization"] = text[:-1] + ("0" if text[-1] != "0" else "1")
    return request


@pytest.mark.parametrize(
    "target", ["/bucket/new", "/bucket/old", f"/bucket/old{UPLOAD}", "/bucket?delete", "/newbucket"]
)
@ensureDeferred
async def test_t34_unsigned_trailers_do_not_excuse_a_forged_signature(house: Any, tools: Any, target: str) -> None:
    request, _ = tools.chunked("STREAMING-UNSIGNED-PAYLOAD-TRAILER", target, [b"abc"])
    if target.endswith("delete"):
        request.method = "POST"
    await house.refuses(forged(request), 403, "SignatureDoesNotMatch")
    # and it is refused before the body: none of it was sent here, and the client waits for 100 Continue
    request.headers["expect"] = "100-continue"
    client = await house.connect()
    client.transport.write(request.head())
    data = await client.until(lambda: b"\r\n\r\n" in client.data)
    assert data.startswith(b"HTTP/1.1 403")
    client.transport.abortConnection()
    await client.until(lambda: client.ended)


@ensureDeferred
async def test_t35_credentials_in_the_query_are_no_identity(house: Any, tools: Any) -> None:
    day = tools.stamp()[:8]
    for query in (
        f"X-Amz-Credential=AKIDTHREATS%2F{day}%2Fus-east-1%2Fs3%2Faws4_request",
        f"X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIDTHREATS%2F{day}%2Fus-east-1%2Fs3%2Faws4_request",
        "AWSAccessKeyId=AKIDTHREATS",
    ):
        for word in ("STREAMING-UNSIGNED-PAYLOAD-TRAILER", "UNSIGNED-PAYLOAD"):
            headers = {"host": "localhost:8000", "x-amz-content-sha256": word, "content-length": "0"}
            headers["x-amz-decoded-content-length"] = "0"
            request = tools.request("PUT", f"/bucket/new?{query}", headers)
            await house.refuses(request, (400, 403), "AuthorizationQueryParametersError", "AccessDenied")


@ensureDeferred
async def test_t36_only_one_way_to_sign_at_a_time(open_house: Any, tools: Any) -> None:
    house = await open_house(rules=Rules(signature_v2=True))
    in_header = tools.sign("GET", "/bucket/old").headers
    in_query = tools.sign("GET", "/bucket/old", how="v4-query").target
    in_v2_query = tools.sign("GET", "/bucket/old", how="v2-query").target
    both = in_query + "&" + in_v2_query.partition("?")[2]
    for target, headers in (
        (in_query, in_header),
        (in_v2_query, in_header),
        (both, {"host": "localhost:8000"}),
        (in_query, tools.sign("GET", "/bucket/old", how="v2").headers),
    ):
        await house.refuses(tools.request("GET", target, headers), 400, "InvalidArgument")


@ensureDeferred
async def test_t37_a_form_is_authenticated_like_anything_else(house: Any, tools: Any) -> None:
    fields = (b"key", b"new"), (b"file", b"bytes")
    parts = [b'--x\r\nContent-Disposition: form-data; name="%b"\r\n\r\n%b\r\n' % field for field in fields]
    body = b"".join(parts) + b"--x--\r\n"
    headers = {"host": "localhost:8000", "content-type": "multipart/form-data; boundary=x"}
    headers["content-length"] = str(len(body))
    for target in ("/bucket/old?uploads", "/bucket?delete", "/bucket/old?uploadId=x"):
        await house.refuses(tools.request("POST", target, headers, body), 403, "AccessDenied")
    # the form's own route: nothing but its policy authorises it
    await house.refuses(tools.request("POST", "/bucket", headers, body), 403, "AccessDenied")
    for how in ("v4", "v4-query", "v2", "v2-query"):
        signed = tools.sign("POST", "/bucket", body, {"content-type": headers["content-type"]}, how=how)
        await house.refuses(signed, 403, "AccessDenied")


@pytest.mark.parametrize(
    "text",
    [
        "AWSXAKIDTHREATS:c2lnbmF0dXJl",
        "AWS4-HMAC-SHA256Credential=AKIDTHREATS/20260101/us-east-1/s3/aws4_request",
        "Bearer abc",
        "Basic QUtJRDpzZWNyZXQ=",
        "AWS4-HMAC-SHA256",
        "AWS4-HMAC-SHA256 Credential=AKIDTHREATS",
        "AWS4-ECDSA-P256-SHA256 Credential=a/20260101/s3/aws4_request, SignedHeaders=host, Signature=00",
        "AWS AKIDTHREATS",
        "",
    ],
)
@ensureDeferred
async def test_t38_an_authorization_that_nobody_can_read(house: Any, tools: Any, text: str) -> None:
    request = tools.sign("PUT", "/bucket/new", b"x")
    request.headers["authorization"] = text
    expected = ("InvalidArgument", "AuthorizationHeaderMalformed", "InvalidRequest", "AccessDenied")
    await house.refuses(request, (400, 403), *expected)


@ensureDeferred
async def test_t39_the_date_is_always_checked(house: Any, tools: Any) -> None:
    request = tools.sign("PUT", "/bucket/new", b"x")
    del request.headers["x-amz-date"]
    await house.refuses(request, 403, "AccessDenied", "SignatureDoesNotMatch")
    # x-amz-date counts, an unsigned Date beside it does not: neither to save a late request nor to hurt a good one
    good = tools.sign("PUT", "/bucket/fresh", b"x")
    good.headers["date"] = "Thu, 01 Jan 1970 00:00:00 GMT"
    assert (await house.send(good)).status == 200
    late = _signed_at(tools, -3600)
    late.headers["date"] = datetime.datetime.now(datetime.UTC).strftime("%a, %d %b %Y %H:%M:%S GMT")
    await house.refuses(late, 403, "RequestTimeTooSkewed")


def _signed_at(tools: Any, seconds: float, method: str = "PUT", target: str = "/bucket/new", how: str = "v4") -> Any:
    """A request that botocore signed when its clock was off by so much."""
    now = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=seconds)
    original = botocore.auth.get_current_datetime
    botocore.auth.get_current_datetime = lambda *a, **k: now.replace(tzinfo=None)
    try:
        return tools.sign(method, target, b"x" if method == "PUT" else b"", how=how)
    finally:
        botocore.auth.get_current_datetime = original


@ensureDeferred
async def test_t40_a_clock_that_is_off_by_more_than_a_quarter(house: Any, tools: Any) -> None:
    for seconds in (-1000, 1000, -86400 * 365, 86400 * 365):
        await house.refuses(_signed_at(tools, seconds), 403, "RequestTimeTooSkewed")
    assert (await house.send(_signed_at(tools, -600))).status == 200


@ensureDeferred
async def test_t41_a_scope_that_is_not_ours(open_house: Any, tools: Any) -> None:
    house = await open_house(rules=Rules(region="us-east-1"))
    for old, new in (
        ("/us-east-1/", "/eu-west-1/"),
        ("/s3/", "/ec2/"),
        ("aws4_request", "aws5_request"),
        (f"/{tools.stamp()[:8]}/", "/20200101/"),
        (f"/{tools.stamp()[:8]}/", "//"),
    ):
        request = tools.sign("PUT", "/bucket/new", b"x")
        request.headers["authorization"] = request.headers["authorization"].replace(old, new)
        await house.refuses(request, 400, "AuthorizationHeaderMalformed")
        request = tools.sign("GET", "/bucket/old", how="v4-query")
        request.target = request.target.replace(old.replace("/", "%2F"), new.replace("/", "%2F"))
        await house.refuses(request, 400, "AuthorizationQueryParametersError")


@ensureDeferred
async def test_t42_unknown_key_and_wrong_secret(house: Any, tools: Any) -> None:
    for how in ("v4", "v4-query"):
        await house.refuses(tools.sign("GET", "/bucket/old", how=how, key="AKIDNOBODY"), 403, "InvalidAccessKeyId")
        await house.refuses(tools.sign("GET", "/bucket/old", how=how, secret="wrong"), 403, "SignatureDoesNotMatch")


def test_t43_no_signature_is_compared_with_the_equals_sign() -> None:
    """The work is equal for an unknown key (tests/wire); here: nothing but hmac.compare_digest sees a signature."""
    for module in (
        gateway.wire.signature,
        gateway.wire.signature_v4,
        gateway.wire.signature_v2,
        gateway.wire.chunked,
    ):
        for node in ast.walk(ast.parse(inspect.getsource(module))):
            if isinstance(node, ast.Compare) and any(isinstance(op, ast.Eq | ast.NotEq) for op in node.ops):
                text = ast.unparse(node)
                assert not re.search(r"signature\b|\bgiven\b|\bexpected\b|digest", text), text
    assert "compare_digest" in inspect.getsource(gateway.wire.signature_v4.same)


@ensureDeferred
async def test_t44_headers_that_nobody_signed(house: Any, tools: Any) -> None:
    for extra in ("x-amz-meta-colour", "x-amz-copy-source", "x-amz-acl", "x-amz-storage-class", "content-md5"):
        for how in ("v4", "v4-query"):
            request = tools.sign("PUT", "/bucket/new", b"x", how=how)
            request.headers[extra] = "/bucket/old"
            await house.refuses(request, 403, "AccessDenied")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("SignedHeaders=host;", "SignedHeaders="),
        (r"SignedHeaders=[^,]*", "SignedHeaders="),
        ("SignedHeaders=host;", "SignedHeaders=host;host;"),
        ("SignedHeaders=host;", "SignedHeaders=Host;"),
        (r"SignedHeaders=host;([^,]*)", r"SignedHeaders=\1;host"),
    ],
)
@ensureDeferred
async def test_t45_a_list_of_signed_headers_that_is_none(house: Any, tools: Any, old: str, new: str) -> None:
    request = tools.sign("PUT", "/bucket/new", b"x")
    changed = re.sub(old, new, request.headers["authorization"])
    assert changed != request.headers["authorization"]
    request.headers["authorization"] = changed
    expected = ("AccessDenied", "AuthorizationHeaderMalformed", "SignatureDoesNotMatch")
    await house.refuses(request, (400, 403), *expected)


@ensureDeferred
async def test_t46_the_payload_word(house: Any, tools: Any) -> None:
    request = tools.sign("PUT", "/bucket/new", b"x")
    del request.headers["x-amz-content-sha256"]
    await house.refuses(request, 400, "InvalidRequest", "MissingSecurityHeader")
    for word in ("g" * 64, "a" * 63, "a" * 65, "", "UNSIGNED", "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD"):
        await house.refuses(tools.sign("PUT", "/bucket/new", b"x", payload=word), 400, "InvalidArgument")


@ensureDeferred
async def test_t47_a_body_of_another_digest(house: Any, tools: Any) -> None:
    for target in ("/bucket/old", "/bucket/new"):
        for body in (b"y", b"y" * 300_000):
            request = tools.sign("PUT", target, b"x" * len(body))
            request.body = body
            await house.refuses(request, 400, "XAmzContentSHA256Mismatch")


@ensureDeferred
async def test_t48_a_presigned_put_with_a_digest(house: Any, tools: Any) -> None:
    right = hashlib.sha256(b"right").hexdigest()
    headers = {"x-amz-content-sha256": right}
    request = tools.sign("PUT", "/bucket/new", b"wrong", headers, how="v4-query")
    await house.refuses(request, 400, "XAmzContentSHA256Mismatch")
    request = tools.sign("PUT", f"/bucket/new?X-Amz-Content-Sha256={right}", b"wrong", how="v4-query", payload=right)
    await house.refuses(request, 400, "XAmzContentSHA256Mismatch")
    assert (await house.call("PUT", "/bucket/new", b"right", headers, how="v4-query")).status == 200


@ensureDeferred
async def test_t49_the_life_of_a_url(house: Any, tools: Any) -> None:
    for life in ("", "0", "-1", "1e3", "604801", "+5 ", "1_0", "٣", "9" * 40):
        request = tools.sign("GET", "/bucket/old", how="v4-query")
        text = "".join(f"%{byte:02X}" for byte in life.encode()) if not life.isascii() else life.replace(" ", "%20")
        request.target = request.target.replace("X-Amz-Expires=300", f"X-Amz-Expires={text}")
        await house.refuses(request, 400, "AuthorizationQueryParametersError")
    request = tools.sign("GET", "/bucket/old", how="v4-query")
    request.target = request.target.replace("&X-Amz-Expires=300", "")
    await house.refuses(request, 400, "AuthorizationQueryParametersError")


@ensureDeferred
async def test_t50_a_url_after_its_end(house: Any, tools: Any) -> None:
    answer = await house.refuses(_signed_at(tools, -400, "GET", "/bucket/old", "v4-query"), 403, "AccessDenied")
    assert b"Request has expired" in answer.body
    assert b"the old object" not in answer.raw


@ensureDeferred
async def test_t51_a_url_serves_what_it_was_made_for(house: Any, tools: Any) -> None:
    headers = {"host": "localhost:8000"}
    target = tools.sign("GET", "/bucket/old", how="v4-query").target
    path, _, query = target.partition("?")
    for method, changed in (
        ("PUT", target),
        ("DELETE", target),
        ("HEAD", target),
        ("GET", f"/bucket/other?{query}"),
        ("GET", f"/bucket?{query}"),
        ("GET", f"{path}?versionId=null&{query}"),
        ("GET", f"{target}&acl"),
        ("GET", f"{target}&partNumber=1"),
        ("GET", f"{target}&response-content-type=text%2Fhtml"),
        ("GET", f"{target}&x-id=GetObject"),
    ):
        await house.refuses(tools.request(method, changed, headers), 403, "SignatureDoesNotMatch")
    assert (await house.send(tools.request("GET", target, headers))).body == b"the old object"


@ensureDeferred
async def test_t52_a_parameter_given_twice(house: Any, tools: Any) -> None:
    target = tools.sign("GET", "/bucket/old", how="v4-query").target
    signature = target.partition("X-Amz-Signature=")[2]
    for more in (f"X-Amz-Signature={signature}", f"x-amz-signature={signature}", "X-AMZ-DATE=1", "X-Amz-Expires=1"):
        request = tools.request("GET", f"{target}&{more}", {"host": "localhost:8000"})
        await house.refuses(request, 400, "AuthorizationQueryParametersError", "InvalidArgument")


# ---------------------------------------------------------------- T60 to T67


@ensureDeferred
async def test_t60_unsigned_payloads_over_plain_http(open_house: Any, tools: Any) -> None:
    house = await open_house(rules=Rules(unsigned_over_http=False))
    await house.refuses(tools.sign("PUT", "/bucket/new", b"x", payload="UNSIGNED-PAYLOAD"), 400, "InvalidRequest")
    await house.refuses(tools.sign("PUT", "/bucket/new", b"x", how="v4-query"), 400, "InvalidRequest")
    request, _ = tools.chunked("STREAMING-UNSIGNED-PAYLOAD-TRAILER", "/bucket/new", [b"x"])
    await house.refuses(request, 400, "InvalidRequest")
    assert (await house.call("PUT", "/bucket/new", b"x")).status == 200
    assert (await house.call("GET", "/bucket/new", payload="UNSIGNED-PAYLOAD")).body == b"x"
    kind = await open_house()  # the default takes them, as S3 does
    assert (await kind.call("PUT", "/bucket/new", b"x", payload="UNSIGNED-PAYLOAD")).status == 200


@ensureDeferred
async def test_t61_a_session_token_beside_a_static_key(house: Any, tools: Any) -> None:
    token = {"x-amz-security-token": "abc"}
    await house.refuses(tools.sign("PUT", "/bucket/new", b"x", token), 400, "InvalidToken")
    presigned = tools.sign("GET", "/bucket/old?X-Amz-Security-Token=abc", how="v4-query")
    await house.refuses(presigned, 400, "InvalidToken")


@ensureDeferred
async def test_t62_version_2_is_off_until_somebody_wants_it(open_house: Any, tools: Any) -> None:
    closed, opened = await open_house(), await open_house(rules=Rules(signature_v2=True))
    for how in ("v2", "v2-query"):
        await closed.refuses(tools.sign("GET", "/bucket/old", how=how), 400, "InvalidRequest")
        assert (await opened.call("GET", "/bucket/old", how=how)).body == b"the old object"
        await opened.refuses(tools.sign("GET", "/bucket/old", how=how, secret="wrong"), 403, "SignatureDoesNotMatch")


@ensureDeferred
async def test_t63_large_bodies_are_refused_by_what_they_announce(house: Any, tools: Any) -> None:
    """No byte of the body is sent: the answer can only come from the announced length."""
    request = tools.sign("PUT", "/bucket/new", b"")
    request.headers["content-length"] = str(5 * 1024**3 + 1)
    await house.refuses(request.head(), 400, "EntityTooLarge")
    uploads = await house.call("POST", "/bucket/big?uploads")
    upload = re.search(rb"<UploadId>(.*?)<", uploads.body)[1].decode()  # type: ignore[index]
    for method, target, most in (
        ("POST", "/bucket?delete", 10 * 1024**2),
        ("POST", f"/bucket/big?uploadId={upload}", 10 * 1024**2),
        ("PUT", "/another-bucket", 1024**2),
    ):
        body = base64.b64encode(hashlib.md5(b"x").digest()).decode()
        request = tools.sign(method, target, b"x", {"content-md5": body})
        request.headers["content-length"] = str(most + 1)
        await house.refuses(request.head(), 400, "MaxMessageLengthExceeded")
    stranger = tools.sign("PUT", "/bucket/new", b"", secret="wrong")
    stranger.headers["content-length"] = str(4 * 1024**3)
    await house.refuses(stranger.head(), 403, "SignatureDoesNotMatch")


@ensureDeferred
async def test_t64_conditions_tell_a_stranger_nothing(house: Any, tools: Any) -> None:
    etag = (await house.call("HEAD", "/bucket/old")).headers["etag"]
    seen = set()
    for condition in (
        {},
        {"if-none-match": etag},
        {"if-match": '"no"'},
        {"if-modified-since": "Fri, 01 Jan 2100 00:00:00 GMT"},
    ):
        for key, secret in (("AKIDSTRANGER", "another-secret-for-tests"), ("AKIDTHREATS", "wrong")):
            request = tools.sign("GET", "/bucket/old", b"", condition, key=key, secret=secret)
            answer = await house.refuses(request, 403, "AccessDenied", "SignatureDoesNotMatch")
            assert not {"etag", "last-modified"} & set(answer.headers)
        anonymous = tools.request("GET", "/bucket/old", {"host": "localhost:8000", **condition})
        seen.add((await house.refuses(anonymous, 403, "AccessDenied")).code)
    assert seen == {"AccessDenied"}


@ensureDeferred
async def test_t65_the_access_log_holds_nothing_that_signs(open_house: Any, tools: Any) -> None:
    house = await open_house(rules=Rules(signature_v2=True))
    for how in ("v4-query", "v2-query"):
        target = tools.sign("GET", "/bucket/old", how=how).target
        assert (await house.send(tools.request("GET", target, {"host": "localhost:8000"}))).status == 200
        line = house.log_lines[-1]
        assert "/bucket/old?" in line
        signature = re.search(r"Signature=([^&]+)", target)[1]  # type: ignore[index]
        assert signature not in line
        assert "%2Fus-east-1%2F" not in line


@ensureDeferred
async def test_t66_one_path_one_key(house: Any, tools: Any) -> None:
    """Whatever its spelling, a path is one key; a signature over another spelling is one over another path."""
    for spelt, key in (("a%2Fb", "a/b"), ("a%2fb", "a/b"), ("t%7Ex", "t~x"), ("p+q", "p+q"), ("d%252Fe", "d%2Fe")):
        assert (await house.call("PUT", f"/bucket/{spelt}", key.encode())).status == 200
        listed = await house.call("GET", "/bucket?list-type=2")
        assert f"<Key>{key}</Key>".encode() in listed.body
    for same in ("a/b", "a%2Fb", "a%2fb", "%61/b"):
        assert (await house.call("GET", f"/bucket/{same}")).body == b"a/b"
    request = tools.sign("GET", "/bucket/d%252Fe")
    request.target = "/bucket/d%2Fe"
    await house.refuses(request, 403, "SignatureDoesNotMatch")
    await house.refuses(tools.sign("GET", "/bucket%2Fold"), 400, "InvalidBucketName")


@ensureDeferred
async def test_t67_headers_of_our_own_mean_nothing(house: Any, tools: Any) -> None:
    """There is no header that makes somebody else of a client; what the client sends is at most its own metadata."""
    for name in ("x-gateway-account", "x-forwarded-user", "x-minio-source-replication-request", "x-forwarded-for"):
        request = tools.sign(
            "GET", "/bucket/old", b"", {name: "tests"}, key="AKIDSTRANGER", secret="another-secret-for-tests"
        )
        await house.refuses(request, 403, "AccessDenied")
        anonymous = tools.request("GET", "/bucket/old", {"host": "localhost:8000", name: "tests"})
        await house.refuses(anonymous, 403, "AccessDenied")
    meta = {"x-amz-meta-gateway-sealed": "x", "x-amz-meta-x-amz-key": "y"}
    assert (await house.call("PUT", "/bucket/new", b"mine", meta)).status == 200
    answer = await house.call("GET", "/bucket/new")
    assert (answer.body, answer.headers["x-amz-meta-gateway-sealed"]) == (b"mine", "x")
