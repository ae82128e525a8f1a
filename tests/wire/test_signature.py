"""Who signed it: AWS's published examples, every shape as botocore signs it, and rows T34 to T66."""

from __future__ import annotations

import ast
import base64
import hashlib
import hmac
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway import wire
from gateway.errors import S3Error
from gateway.model import Call
from gateway.wire import canonical, signature, signature_v4
from gateway.wire.claim import Payload
from gateway.wire.signature import anonymous_payload, read_claim, verify

Oracle = Any  # tests/wire/conftest.py
Change = Callable[..., Call]

EMPTY = hashlib.sha256(b"").hexdigest()
SCOPE = "AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request"
SIGNED_TRAILER = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
UNSIGNED_TRAILER = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
SIGNED_CHUNKS = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"


def authorization(names: str, signature: str, scope: str = SCOPE) -> str:
    return f"AWS4-HMAC-SHA256 Credential={scope},SignedHeaders={names},Signature={signature}"


def published(method: str, path: str, query: str, headers: dict[str, str], names: str, signature: str) -> Any:
    sent = {
        "host": "examplebucket.s3.amazonaws.com",
        "x-amz-date": "20130524T000000Z",
        "x-amz-content-sha256": EMPTY,
        **headers,
        "authorization": authorization(names, signature),
    }
    return method, path, query, sent


PUBLISHED = {
    "get a range": published(
        "GET",
        "/test.txt",
        "",
        {"range": "bytes=0-9"},
        "host;range;x-amz-content-sha256;x-amz-date",
        "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
    ),
    "put": published(
        "PUT",
        "/test$file.text",
        "",
        {
            "date": "Fri, 24 May 2013 00:00:00 GMT",
            "x-amz-storage-class": "REDUCED_REDUNDANCY",
            "x-amz-content-sha256": hashlib.sha256(b"Welcome to Amazon S3.").hexdigest(),
        },
        "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
        "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
    ),
    "lifecycle": published(
        "GET",
        "/",
        "lifecycle",
        {},
        "host;x-amz-content-sha256;x-amz-date",
        "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
    ),
    "list": published(
        "GET",
        "/",
        "max-keys=2&prefix=J",
        {},
        "host;x-amz-content-sha256;x-amz-date",
        "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
    ),
}
PRESIGNED = (
    "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request"
    "&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host"
    "&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
)


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_published_examples_are_accepted(oracle: Oracle, name: str) -> None:
    method, path, query, headers = PUBLISHED[name]
    payload = oracle.prove(oracle.call(method, path, query, headers))
    assert payload == Payload(sha256=headers["x-amz-content-sha256"])


def test_the_published_presigned_url_is_accepted(oracle: Oracle) -> None:
    call = oracle.call("GET", "/test.txt", PRESIGNED, {"host": "examplebucket.s3.amazonaws.com"})
    assert oracle.prove(call, now=oracle.now + 86400) == Payload()
    assert oracle.refusal(call, now=oracle.now + 86401).message == "Request has expired"


def test_no_attempt_is_no_claim(oracle: Oracle) -> None:
    assert read_claim(oracle.call("GET", "/b/k", "list-type=2&Expires=1", {"host": "x"})) is None


# ---------------------------------------------------------------- botocore's shapes

URLS = [
    "http://127.0.0.1:8000/",
    "http://127.0.0.1:8000/bucket?list-type=2&prefix=a%2Fb%20c&encoding-type=url",
    "http://127.0.0.1:8000/bucket/a%20b%2Bc/%C3%BC/%E4%B8%AD~-._",
    "http://bucket.s3.example.com/a//b/../c/",
    "http://bucket.s3.example.com/k?acl",
    "http://bucket.s3.example.com/k?partNumber=1&uploadId=a%2Bb%3D",
    "http://bucket.s3.example.com/%21%2A%27%28%29%3D%26%3A%40%24%2C%3B%25",
    "https://s3.example.com:8443/b/k?versionId=null&response-content-disposition=attachment%3B%20filename%3D%22x%22",
]


@pytest.mark.parametrize("url", URLS)
@pytest.mark.parametrize("method", ["GET", "PUT", "HEAD", "DELETE", "POST"])
def test_what_botocore_signs_is_accepted(oracle: Oracle, method: str, url: str) -> None:
    headers = {"x-amz-meta-a": "  b   c  ", "Content-MD5": "1B2M2Y8AsgTpgAmY7PhCfg==", "range": "bytes=0-1"}
    assert oracle.prove(oracle.header(method, url, headers)).sha256 == EMPTY
    assert oracle.prove(oracle.presigned(method, url, {"x-amz-meta-a": "b c"})).sha256 is None


@pytest.mark.parametrize("word", ["UNSIGNED-PAYLOAD", SIGNED_CHUNKS, SIGNED_TRAILER, UNSIGNED_TRAILER])
def test_every_payload_word_says_how_to_read_the_body(oracle: Oracle, word: str) -> None:
    headers = {"x-amz-decoded-content-length": "66560"}
    if word.endswith("TRAILER"):
        headers["x-amz-trailer"] = "x-amz-checksum-crc32c"
    payload = oracle.prove(oracle.header("PUT", headers=headers, payload=word))
    framed = word.startswith("STREAMING")
    assert payload.sha256 is None
    assert payload.framed is framed
    assert payload.decoded_length == (66560 if framed else None)
    assert (payload.chain is not None) is (word in (SIGNED_CHUNKS, SIGNED_TRAILER))
    assert payload.trailers == (("x-amz-checksum-crc32c",) if word.endswith("TRAILER") else ())
    assert payload.trailer_signed is (word == SIGNED_TRAILER)
    if payload.chain:
        assert payload.chain.key == oracle.key("20130524/us-east-1/s3/aws4_request")


def test_no_secret_shows_in_a_repr(oracle: Oracle) -> None:
    call = oracle.header("PUT", headers={"x-amz-decoded-content-length": "1"}, payload=SIGNED_CHUNKS)
    claim = read_claim(call)
    assert claim is not None and claim.signature not in repr(claim)
    payload = oracle.prove(call)
    assert payload.chain is not None and repr(payload.chain.key) not in repr(payload)
    assert payload.chain.seed not in repr(payload)


# ---------------------------------------------------------------- spelling (T66)

TARGETS = [
    ("/b?b=2&a=1", "/b", "a=1&b=2"),
    ("/b?a=2&a=1&a=&A=3", "/b", "A=3&a=&a=1&a=2"),
    ("/b?acl&b=", "/b", "acl=&b="),
    ("/b?a=b+c&d=e%2Bf&g=%20", "/b", "a=b%20c&d=e%2Bf&g=%20"),
    ("/b?k=1&k-x=2&k.y=3&k0=4", "/b", "k=1&k-x=2&k.y=3&k0=4"),
    ("/b?k=%c3%bc~!*'()&l=a=b&m=a:b/c", "/b", "k=%C3%BC~%21%2A%27%28%29&l=a%3Db&m=a%3Ab%2Fc"),
    ("/b/a%20b/a+b", "/b/a%20b/a%2Bb", ""),
    ("/b/%c3%bc/%E4%B8%AD", "/b/%C3%BC/%E4%B8%AD", ""),
    ("/b/!*'()~=&:@$,;", "/b/%21%2A%27%28%29~%3D%26%3A%40%24%2C%3B", ""),
    ("/b/%7E%21", "/b/~%21", ""),
    ("/b/100%25/100%", "/b/100%25/100%25", ""),
    ("/b//a//../b/", "/b//a//../b/", ""),
    ("/b?&&a=1&", "/b", "a=1"),
    ("/b?%zz=%", "/b", "%25zz=%25"),
]


@pytest.mark.parametrize(("target", "path", "query"), TARGETS)
def test_the_canonical_spelling(target: str, path: str, query: str) -> None:
    raw_path, _, raw_query = target.partition("?")
    assert canonical.path(raw_path) == path
    assert canonical.query(canonical.query_pairs(raw_query)) == query


@given(st.text(alphabet="aZ0-~&=+%26EFfé", max_size=24))
def test_a_query_that_needs_no_spelling_is_told_from_one_that_does(raw: str) -> None:
    pieces = [piece.partition("=") for piece in raw.split("&") if piece]
    assert canonical.query_pairs(raw) == [(canonical.word(name), canonical.word(value)) for name, _, value in pieces]


def test_a_client_may_sign_the_path_as_it_sends_it(oracle: Oracle, change: Change) -> None:
    # botocore signs the URL's path as it is; S3 would have made %7e a "~".
    call = oracle.header("GET", "http://127.0.0.1/bucket/a%7eb%c3%bc!")
    assert oracle.prove(call)
    # The spelling on the wire may be another one of the same key, never another key.
    plain = oracle.header("GET", "http://127.0.0.1/bucket/a~b%C3%BC%21")
    assert oracle.prove(change(plain, path="/bucket/a~b%c3%bc%21"))
    for path in ("/bucket/a%257eb", "/bucket/a~b%C3%BC%2521", "/bucket/a~b%C3%BC+", "/bucket//a~b%C3%BC%21"):
        assert oracle.refusal(change(plain, path=path)).code == "SignatureDoesNotMatch"


def test_header_values_are_trimmed_and_blanks_folded(oracle: Oracle, change: Change) -> None:
    call = oracle.header("PUT", headers={"x-amz-meta-s": "a b c"})
    assert oracle.prove(change(call, {"x-amz-meta-s": "  a   b \t c "}))
    assert oracle.refusal(change(call, {"x-amz-meta-s": "a b  cd"})).code == "SignatureDoesNotMatch"
    for other in ("a\u00a0b c", "a b c\u00a0", "\x0ba b c"):
        assert oracle.refusal(change(call, {"x-amz-meta-s": other})).code == "SignatureDoesNotMatch"


# ---------------------------------------------------------------- T34 to T66


def test_t34_a_forged_signature_with_unsigned_chunks_is_refused(oracle: Oracle, change: Change) -> None:
    headers = {"x-amz-decoded-content-length": "5", "x-amz-trailer": "x-amz-checksum-crc32"}
    call = oracle.header("PUT", headers=headers, payload=UNSIGNED_TRAILER)
    assert oracle.prove(call).framed
    value = call.headers["authorization"]
    for forged in ("0" * 64, "", "x", value[-64:].upper(), value[-64:-1], value[-64:] + "0"):
        error = oracle.refusal(change(call, {"authorization": value[:-64] + forged}))
        assert error.code in ("SignatureDoesNotMatch", "AuthorizationHeaderMalformed")


@pytest.mark.parametrize(
    "query",
    [
        "X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request",
        "X-Amz-Signature=00",
        "X-Amz-Algorithm=AWS4-HMAC-SHA256",
        "x-amz-credential=a",
        "X%2DAmz%2DCredential=a",
        "X-Amz-SignedHeaders=host",
    ],
)
def test_t35_credentials_only_in_the_query_never_pass_as_anonymous(oracle: Oracle, query: str) -> None:
    headers = {"host": "h", "x-amz-content-sha256": UNSIGNED_TRAILER, "x-amz-decoded-content-length": "5"}
    assert oracle.refusal(oracle.call("PUT", "/b/k", query, headers)).code == "AuthorizationQueryParametersError"


def test_t36_two_mechanisms_at_once_are_refused(oracle: Oracle, change: Change) -> None:
    header, url = oracle.header(), oracle.presigned()
    v2 = "AWSAccessKeyId=a&Expires=1&Signature=b"
    for call in (
        change(header, query=url.query),
        change(header, query=v2),
        change(url, query=f"{url.query}&{v2}"),
        change(url, {"authorization": "AWS a:b"}),
    ):
        error = oracle.refusal(call, v2=True)
        assert error.code == "InvalidArgument" and "Only one auth mechanism" in str(error.message)


def test_t37_a_form_body_changes_nothing(oracle: Oracle, change: Change) -> None:
    call = oracle.header("POST", headers={"content-type": "multipart/form-data; boundary=x"})
    assert oracle.prove(call)
    assert oracle.refusal(change(call, path="/bucket/other")).code == "SignatureDoesNotMatch"


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ("AWSXAKIA:sig", "InvalidArgument"),
        ("AWS4-HMAC-SHA256Credential=a, SignedHeaders=host, Signature=b", "InvalidArgument"),
        ("Bearer token", "InvalidArgument"),
        ("aws4-hmac-sha256 Credential=a", "InvalidArgument"),
        ("AWS4-HMAC-SHA256", "InvalidArgument"),
        ("AWS4-HMAC-SHA256 ", "InvalidArgument"),
        ("AWS4-HMAC-SHA256 HAHAHA", "AuthorizationHeaderMalformed"),
        ("AWS4-ECDSA-P256-SHA256 Credential=a, SignedHeaders=host, Signature=b", "InvalidArgument"),
        ("AWS HAHAHA", "InvalidArgument"),
        ("AWS a:b:c", "InvalidArgument"),
        ("AWS :b", "InvalidArgument"),
        ("AWS", "InvalidArgument"),
        ("\x07", "InvalidArgument"),
        ("", "AccessDenied"),
    ],
)
def test_t38_other_authorization_headers_are_refused(oracle: Oracle, change: Change, value: str, code: str) -> None:
    assert oracle.refusal(change(oracle.header(), {"authorization": value})).code == code


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Credential=", "Credentials="),
        ("SignedHeaders=", "Signed="),
        (", Signature=", ", Signature=a, Signature="),
        (", Signature=", ", Extra=a, Signature="),
        (", Signature=", ", , Signature="),
        ("/20130524/", "/"),
        ("/20130524/", "/2013052/"),
        ("/20130524/", "/\uff12\uff10\uff11\uff13\uff10\uff15\uff12\uff14/"),
        ("/us-east-1/", "//"),
        ("/s3/", "/ec2/"),
        ("aws4_request", "aws4_reques"),
        ("AKIAIOSFODNN7EXAMPLE/", "/"),
        ("/20130524/", "/20130523/"),
        ("host;", "host;host;"),
        ("host;", "Host;"),
        ("host;", ";host;"),
        ("host;x-amz-content-sha256;x-amz-date", "x-amz-date;host;x-amz-content-sha256"),
        ("host;x-amz-content-sha256;x-amz-date", ";"),
        ("host;x-amz-content-sha256;x-amz-date", ""),
    ],
)
def test_t41_t45_a_malformed_header_is_refused(oracle: Oracle, change: Change, old: str, new: str) -> None:
    call = oracle.header()
    value = call.headers["authorization"]
    assert old in value
    error = oracle.refusal(change(call, {"authorization": value.replace(old, new, 1)}))
    assert error.code == "AuthorizationHeaderMalformed"
    assert str(error.message).startswith("The authorization header is malformed; ")


def test_t39_the_date_must_be_there_and_x_amz_date_wins(oracle: Oracle, change: Change) -> None:
    call = oracle.header(headers={"date": "Fri, 24 May 2013 00:00:00 GMT"})
    for headers in (
        {"x-amz-date": None, "date": None},
        {"x-amz-date": "2013-05-24T00:00:00Z"},
        {"x-amz-date": "20130524T000000"},
        {"x-amz-date": "20130532T000000Z"},
        {"x-amz-date": "00000524T000000Z"},
        {"x-amz-date": "19500707T215304Z"},
        {"x-amz-date": ""},
    ):
        error = oracle.refusal(change(call, headers))
        assert (error.code, error.message) == (
            "AccessDenied",
            "AWS authentication requires a valid Date or x-amz-date header",
        )
    both = oracle.header()
    assert oracle.prove(change(both, {"date": "Fri, 24 May 2002 00:00:00 GMT"}))
    for moved in ("20100707T215304Z", "20130523T000000Z", "99990707T215304Z"):  # the scope's day stays
        stale = change(both, {"x-amz-date": moved, "date": "Fri, 24 May 2013 00:00:00 GMT"})
        assert oracle.refusal(stale).code == "RequestTimeTooSkewed"


def test_t42_the_day_of_a_scope_is_looked_at_after_the_key(oracle: Oracle, change: Change) -> None:
    call = oracle.header()
    other = change(call, {"authorization": call.headers["authorization"].replace("/20130524/", "/20150930/")})
    assert oracle.refusal(other).code == "AuthorizationHeaderMalformed"
    assert oracle.refusal(other, secret=None).code == "InvalidAccessKeyId"
    url = oracle.presigned()
    other = change(url, query=url.query.replace("%2F20130524%2F", "%2F20150930%2F"))
    assert oracle.refusal(other).code == "AuthorizationQueryParametersError"
    assert oracle.refusal(other, secret=None).code == "InvalidAccessKeyId"


def test_t39_a_date_header_alone_will_do(oracle: Oracle) -> None:
    names = "date;host;x-amz-content-sha256"
    request = f"GET\n/\n\ndate:Fri, 24 May 2013 00:00:00 GMT\nhost:h\nx-amz-content-sha256:{EMPTY}\n\n{names}\n{EMPTY}"
    text = (
        "AWS4-HMAC-SHA256\n20130524T000000Z\n20130524/us-east-1/s3/aws4_request\n"
        + hashlib.sha256(request.encode()).hexdigest()
    )
    signature = hmac.new(oracle.key("20130524/us-east-1/s3/aws4_request"), text.encode(), "sha256").hexdigest()
    headers = {
        "host": "h",
        "date": "Fri, 24 May 2013 00:00:00 GMT",
        "x-amz-content-sha256": EMPTY,
        "authorization": authorization(names, signature),
    }
    assert oracle.prove(oracle.call("GET", "/", "", headers))


@pytest.mark.parametrize("seconds", [-901, 901, -86400 * 400, 10**9])
def test_t40_a_clock_that_is_off_is_refused(oracle: Oracle, seconds: int) -> None:
    call = oracle.header()
    assert oracle.prove(call, now=oracle.now + max(-900, min(900, seconds)))
    error = oracle.refusal(call, now=oracle.now + seconds)
    assert error.code == "RequestTimeTooSkewed"
    assert error.fields["RequestTime"] == "20130524T000000Z"
    assert error.fields["MaxAllowedSkewMilliseconds"] == "900000"
    assert "clock" in error.cause


def test_t41_any_region_unless_it_is_strict(oracle: Oracle) -> None:
    assert oracle.prove(oracle.header(), region="us-east-1")
    error = oracle.refusal(oracle.header(), region="eu-west-1")
    assert error.code == "AuthorizationHeaderMalformed"
    assert error.message == (
        "The authorization header is malformed; the region 'us-east-1' is wrong; expecting 'eu-west-1'"
    )
    assert error.fields == {"Region": "eu-west-1"}
    assert oracle.refusal(oracle.presigned(), region="eu-west-1").code == "AuthorizationQueryParametersError"


def test_t42_an_unknown_key_and_a_wrong_secret(oracle: Oracle) -> None:
    for call in (oracle.header(), oracle.presigned()):
        error = oracle.refusal(call, secret=None)
        assert (error.code, error.fields) == ("InvalidAccessKeyId", {"AWSAccessKeyId": oracle.access_key})
        assert oracle.refusal(call, secret="wrong").code == "SignatureDoesNotMatch"
        assert oracle.refusal(call, secret="").code == "SignatureDoesNotMatch"


def test_t42_an_unknown_key_is_refused_even_with_our_stand_in_secret(oracle: Oracle) -> None:
    call = replace(oracle, secret=signature._NOBODY).header()
    assert oracle.refusal(call, secret=None).code == "InvalidAccessKeyId"
    assert oracle.refusal(call, secret="").code == "SignatureDoesNotMatch"


def test_t43_no_signature_is_compared_with_double_equals() -> None:
    for path in Path(str(wire.__path__[0])).glob("signature*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Compare) and any(isinstance(op, ast.Eq | ast.NotEq) for op in node.ops):
                names = {leaf.attr for leaf in ast.walk(node) if isinstance(leaf, ast.Attribute)}
                assert not names & {"signature", "seed"}, f"{path}:{node.lineno}"


@pytest.mark.parametrize("name", ["x-amz-acl", "x-amz-meta-a", "x-amz-copy-source", "x-amz-trailer", "content-md5"])
def test_t44_a_header_with_a_meaning_must_be_signed(oracle: Oracle, change: Change, name: str) -> None:
    for call in (oracle.header("PUT"), oracle.presigned("PUT")):
        error = oracle.refusal(change(call, {name: "x"}))
        assert (error.code, error.fields) == ("AccessDenied", {"HeadersNotSigned": name})
        assert oracle.prove(change(call, {"range": "bytes=0-1", "x-amzn-trace-id": "x", "content-type": "x"}))


def test_t44_a_signed_header_must_arrive_even_if_it_was_empty(oracle: Oracle, change: Change) -> None:
    call = oracle.header("PUT", headers={"x-amz-meta-a": ""})
    assert oracle.prove(call)
    assert oracle.refusal(change(call, {"x-amz-meta-a": None})).code == "SignatureDoesNotMatch"


def test_t45_host_must_be_signed(oracle: Oracle, change: Change) -> None:
    call = oracle.header()
    value = call.headers["authorization"].replace("host;", "")
    assert oracle.refusal(change(call, {"authorization": value})).fields == {"HeadersNotSigned": "host"}
    assert oracle.refusal(change(call, {"authorization": value, "host": None})).code == "AccessDenied"


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (None, "InvalidRequest"),
        ("", "InvalidArgument"),
        (EMPTY[1:], "InvalidArgument"),
        (EMPTY + "0", "InvalidArgument"),
        ("g" * 64, "InvalidArgument"),
        ("unsigned-payload", "InvalidArgument"),
        ("STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD", "InvalidArgument"),
        ("STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD-TRAILER", "InvalidArgument"),
        ("STREAMING-ANYTHING", "InvalidArgument"),
    ],
)
def test_t46_the_payload_word_must_be_one_that_we_can_prove(
    oracle: Oracle, change: Change, value: str | None, code: str
) -> None:
    assert oracle.refusal(change(oracle.header(), {"x-amz-content-sha256": value})).code == code


def test_t48_a_presigned_put_keeps_its_digest(oracle: Oracle, change: Change) -> None:
    digest = hashlib.sha256(b"hello").hexdigest()
    call = oracle.presigned("PUT", headers={"x-amz-content-sha256": digest})
    assert oracle.prove(call) == Payload(sha256=digest)
    assert oracle.refusal(change(call, {"x-amz-content-sha256": "UNSIGNED-PAYLOAD"})).code == "SignatureDoesNotMatch"
    # Other signers leave the header unsigned, or put it into the query.
    for where in ("header", "query"):
        query = "&".join(p for p in oracle.presigned("PUT").query.split("&") if "Signature" not in p)
        query += f"&X-Amz-Content-Sha256={digest}" if where == "query" else ""
        headers = {"host": "h"} | ({"x-amz-content-sha256": digest} if where == "header" else {})
        bare = oracle.call("PUT", "/bucket/key", query + "&X-Amz-Signature=0", headers)
        claim = read_claim(bare)
        assert claim is not None
        right = signature_v4.signed_of(bare, claim).signature(oracle.secret)
        call = change(bare, query=f"{query}&X-Amz-Signature={right}")
        assert oracle.prove(call) == Payload(sha256=digest)
        weaker = oracle.refusal(change(call, {"x-amz-content-sha256": "UNSIGNED-PAYLOAD"}))
        assert weaker.code in ("SignatureDoesNotMatch", "AuthorizationQueryParametersError")


def test_t48_a_digest_in_the_query_is_not_overruled_by_the_header(oracle: Oracle) -> None:
    digest = hashlib.sha256(b"hello").hexdigest()
    call = oracle.presigned("PUT", f"http://h/b/k?X-Amz-Content-Sha256={digest}")
    # botocore signs UNSIGNED-PAYLOAD whatever the query says, so the header's word alone would be right.
    unsigned = oracle.refusal(replace(call, headers={**call.headers, "x-amz-content-sha256": "UNSIGNED-PAYLOAD"}))
    assert unsigned.code == "AuthorizationQueryParametersError"


@pytest.mark.parametrize("life", ["", "0", "-1", "1e3", "604801", "9" * 40, "+", " 5", "\uff13\uff10\uff10"])
def test_t49_the_life_of_a_url_is_a_number_of_seconds(oracle: Oracle, change: Change, life: str) -> None:
    call = oracle.presigned(expires=604800)
    assert oracle.prove(call)
    query = call.query.replace("X-Amz-Expires=604800", f"X-Amz-Expires={life}")
    assert oracle.refusal(change(call, query=query)).code == "AuthorizationQueryParametersError"


def test_t49_every_parameter_is_needed(oracle: Oracle, change: Change) -> None:
    call = oracle.presigned()
    for piece in call.query.split("&"):
        rest = "&".join(other for other in call.query.split("&") if other != piece)
        error = oracle.refusal(change(call, query=rest))
        assert error.code == "AuthorizationQueryParametersError"
        assert str(error.message).startswith("Query-string authentication version 4 requires")


def test_t50_a_url_has_a_beginning_and_an_end(oracle: Oracle) -> None:
    call = oracle.presigned(expires=60)
    assert oracle.prove(call, now=oracle.now + 60)
    error = oracle.refusal(call, now=oracle.now + 61)
    assert (error.code, error.message) == ("AccessDenied", "Request has expired")
    assert error.fields["X-Amz-Expires"] == "60"
    assert error.fields["Expires"] == "2013-05-24T00:01:00Z"
    assert oracle.prove(call, now=oracle.now - 900)
    error = oracle.refusal(call, now=oracle.now - 901)
    assert (error.code, error.message) == ("AccessDenied", "Request is not yet valid")


def test_t51_a_url_is_good_for_one_request(oracle: Oracle, change: Change) -> None:
    call = oracle.presigned("GET", "http://h/bucket/key?versionId=1")
    assert oracle.prove(call)
    for other in (
        change(call, method="PUT"),
        change(call, method="HEAD"),
        change(call, path="/bucket/other"),
        change(call, path="/bucket/key/"),
        change(call, query=call.query.replace("versionId=1", "versionId=2")),
        change(call, query=call.query.replace("versionId=1&", "")),
        change(call, query=call.query + "&response-content-type=text/html"),
        change(call, query=call.query + "&acl"),
        change(call, {"host": "other"}),
    ):
        assert oracle.refusal(other).code == "SignatureDoesNotMatch"


def test_t52_each_parameter_once_and_spelt_as_documented(oracle: Oracle, change: Change) -> None:
    call = oracle.presigned()
    for piece in call.query.split("&"):
        name = piece.partition("=")[0]
        for query in (
            f"{call.query}&{piece}",
            f"{piece}&{call.query}",
            f"{call.query}&{name.lower()}=x",
            call.query.replace(name, name.lower()),
            call.query.replace(name, name.upper()),
        ):
            error = oracle.refusal(change(call, query=query))
            assert error.code == "AuthorizationQueryParametersError"


@pytest.mark.parametrize("value", [None, "", "-1", "1e3", "abc", "9" * 30, "\uff11"])
def test_t57_the_decoded_length_is_needed(oracle: Oracle, value: str | None) -> None:
    headers = {} if value is None else {"x-amz-decoded-content-length": value}
    call = oracle.call("PUT", "/b/k", "", {**headers, "x-amz-content-sha256": UNSIGNED_TRAILER})
    with pytest.raises(S3Error) as caught:
        anonymous_payload(call)
    assert caught.value.code == ("InvalidArgument" if value else "MissingContentLength")


def test_t58_a_trailer_is_announced_where_it_can_come(oracle: Oracle) -> None:
    length = {"x-amz-decoded-content-length": "1"}
    for word, trailer, code in (
        (SIGNED_CHUNKS, {"x-amz-trailer": "x-amz-checksum-crc32"}, "MalformedTrailerError"),
        (SIGNED_TRAILER, {}, "MalformedTrailerError"),
        ("UNSIGNED-PAYLOAD", {"x-amz-trailer": "x-amz-checksum-crc32"}, "MalformedTrailerError"),
    ):
        call = oracle.header("PUT", headers={**length, **trailer}, payload=word)
        assert oracle.refusal(call).code == code
    assert oracle.prove(oracle.header("PUT", headers=length, payload=UNSIGNED_TRAILER)).trailers == ()


def test_t59_framing_counts_without_a_signature_too(oracle: Oracle) -> None:
    headers = {"x-amz-content-sha256": UNSIGNED_TRAILER, "x-amz-decoded-content-length": "3"}
    assert anonymous_payload(oracle.call("PUT", "/b/k", "", headers)) == Payload(framed=True, decoded_length=3)
    assert anonymous_payload(oracle.call("PUT", "/b/k")) == Payload()
    assert anonymous_payload(oracle.call("PUT", "/b/k", "", {"x-amz-content-sha256": EMPTY})).sha256 == EMPTY
    for word in (SIGNED_CHUNKS, SIGNED_TRAILER, "STREAMING-X"):
        with pytest.raises(S3Error) as caught:
            anonymous_payload(oracle.call("PUT", "/b/k", "", {**headers, "x-amz-content-sha256": word}))
        assert caught.value.code == "InvalidArgument"


def test_t60_unsigned_bytes_over_plain_http_can_be_refused(oracle: Oracle, change: Change) -> None:
    length = {"x-amz-decoded-content-length": "1"}
    for call in (
        oracle.header("PUT", payload="UNSIGNED-PAYLOAD"),
        oracle.header("PUT", headers=length, payload=UNSIGNED_TRAILER),
        oracle.presigned("PUT"),
    ):
        assert oracle.prove(call)
        assert oracle.refusal(call, unsigned_over_http=False).code == "InvalidRequest"
        assert oracle.prove(change(call, secure=True), unsigned_over_http=False)
    for call in (
        oracle.header("PUT", data=b"x"),
        oracle.header("PUT", headers=length, payload=SIGNED_CHUNKS),
        oracle.header("GET", payload="UNSIGNED-PAYLOAD"),
    ):
        assert oracle.prove(call, unsigned_over_http=False)


def test_t61_a_session_token_has_no_meaning_here(oracle: Oracle) -> None:
    call = oracle.header(headers={"x-amz-security-token": "the/token=="})
    assert oracle.refusal(call).code == "InvalidToken"
    call = oracle.presigned(url="http://h/b/k?X-Amz-Security-Token=x")
    assert oracle.refusal(call).code == "InvalidToken"
    assert oracle.refusal(call, secret="wrong").code == "SignatureDoesNotMatch"


def test_t65_what_could_be_replayed_is_not_logged(oracle: Oracle) -> None:
    call = oracle.presigned(url="http://h/b/k?versionId=1&X-Amz-Security-Token=secret")
    claim = read_claim(call)
    assert claim is not None
    shown = canonical.redacted(call.query)
    assert "versionId=1" in shown and "X-Amz-Expires=300" in shown
    for hidden in (claim.signature, oracle.access_key, "secret"):
        assert hidden not in shown
    assert canonical.redacted("AWSAccessKeyId=AK&Signature=abc&x%2Damz%2Dsignature=abc&acl") == (
        "AWSAccessKeyId=-&Signature=-&x%2Damz%2Dsignature=-&acl"
    )


def test_a_mismatch_tells_what_we_signed(oracle: Oracle) -> None:
    call = oracle.header("GET", "http://h/bucket?prefix=a%20b")
    fields = oracle.refusal(call, secret="other").fields
    request = (
        f"GET\n/bucket\nprefix=a%20b\nhost:h\nx-amz-content-sha256:{EMPTY}\nx-amz-date:20130524T000000Z\n\n"
        f"host;x-amz-content-sha256;x-amz-date\n{EMPTY}"
    )
    assert fields["CanonicalRequest"] == request
    assert fields["StringToSign"] == (
        "AWS4-HMAC-SHA256\n20130524T000000Z\n20130524/us-east-1/s3/aws4_request\n"
        + hashlib.sha256(request.encode()).hexdigest()
    )
    assert bytes.fromhex(fields["StringToSignBytes"]).decode() == fields["StringToSign"]
    assert bytes.fromhex(fields["CanonicalRequestBytes"]).decode() == request
    assert fields["AWSAccessKeyId"] == oracle.access_key
    assert len(fields["SignatureProvided"]) == 64


# ---------------------------------------------------------------- mutations: nothing changed is accepted


def mutants(text: str) -> list[str]:
    """The text with each byte changed, removed and doubled."""
    found = []
    for at, letter in enumerate(text):
        other = "a" if letter != "a" else "b"
        found += [text[:at] + other + text[at + 1 :], text[:at] + text[at + 1 :], text[:at] + letter + text[at:]]
    return [each for each in found if each != text]


def refused(oracle: Oracle, call: Call) -> bool:
    """Whether the call fails as S3Error, or is anonymous."""
    try:
        claim = read_claim(call)
        if claim is not None:
            verify(call, claim, oracle.secret if claim.access_key == oracle.access_key else None, now=oracle.now)
            return False
    except S3Error:
        pass
    return True


def test_each_byte_of_a_signed_header_request_counts(oracle: Oracle, change: Change) -> None:
    call = oracle.header("PUT", "http://h/b/k%20x?partNumber=1&uploadId=u", {"x-amz-meta-a": "v", "content-md5": "m"})
    assert oracle.prove(call)
    assert all(refused(oracle, change(call, path=path)) for path in mutants(call.path))
    # An empty piece of a query ("a&&b") is no parameter and changes no meaning.
    for query in mutants(call.query):
        assert refused(oracle, change(call, query=query)) or sorted(filter(None, query.split("&"))) == sorted(
            call.query.split("&")
        )
    for name, value in call.headers.items():
        if name == "content-length":
            continue  # the HTTP room checks it; nobody signs it
        assert refused(oracle, change(call, {name: None}))
        for other in mutants(value):
            if canonical.header_value(other) != canonical.header_value(value) and name != "authorization":
                assert refused(oracle, change(call, {name: other})), (name, other)
    for method in ("GET", "POST", "DELETE", "HEAD"):
        assert refused(oracle, change(call, method=method))
    for other in mutants(call.headers["authorization"]):
        # Blanks between the components do not count.
        if other.replace(" ", "") != call.headers["authorization"].replace(" ", ""):
            assert refused(oracle, change(call, {"authorization": other})), other


def test_each_byte_of_a_presigned_url_counts(oracle: Oracle, change: Change) -> None:
    call = oracle.presigned("GET", "http://h/b/k?versionId=1")
    assert oracle.prove(call)
    for query in mutants(call.query):
        same = sorted(filter(None, query.split("&"))) == sorted(call.query.split("&"))
        assert refused(oracle, change(call, query=query)) or same, query


# ---------------------------------------------------------------- nothing but S3Error

TEXT = st.text(max_size=60)
QUERY = st.lists(
    st.tuples(
        st.sampled_from(
            "X-Amz-Algorithm X-Amz-Credential X-Amz-Date X-Amz-Expires X-Amz-SignedHeaders X-Amz-Signature "
            "X-Amz-Security-Token X-Amz-Content-Sha256 AWSAccessKeyId Expires Signature acl".split()
        ),
        st.sampled_from(
            ["AWS4-HMAC-SHA256", SCOPE, "20130524T000000Z", "300", "host", "0" * 64, "%ff", "%", "é", "1369353600"]
        )
        | TEXT,
    ),
    max_size=10,
).map(lambda pairs: "&".join(f"{name}={value}" for name, value in pairs))
HEADERS = st.dictionaries(
    st.sampled_from(
        "authorization host date x-amz-date x-amz-content-sha256 x-amz-security-token x-amz-trailer "
        "x-amz-decoded-content-length content-md5".split()
    )
    | TEXT,
    st.sampled_from(
        [authorization("host;x-amz-date", "0" * 64), "AWS a:b", "20130524T000000Z", UNSIGNED_TRAILER, SIGNED_CHUNKS]
    )
    | TEXT,
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(["GET", "PUT"]) | TEXT, TEXT, QUERY | TEXT, HEADERS, st.booleans())
def test_whatever_comes_only_s3_errors_leave(
    oracle: Oracle, method: str, path: str, query: str, headers: dict[str, str], known: bool
) -> None:
    call = oracle.call(method, path, query, headers)
    canonical.redacted(query)
    try:
        claim = read_claim(call)
        if claim is None:
            anonymous_payload(call)
        else:
            verify(call, claim, oracle.secret if known else None, now=oracle.now, v2=True)
            raise AssertionError("nobody signed this")
    except S3Error:
        pass


# ---------------------------------------------------------------- Signature Version 2

V2_NOW = 1175024202.0  # 2007-03-27T19:36:42Z
V2_PUBLISHED = [
    (
        "GET",
        "/photos/puppy.jpg",
        "",
        {"date": "Tue, 27 Mar 2007 19:36:42 +0000"},
        "bWq2s1WEIj+Ydj0vQ697zp+IXMU=",
    ),
    (
        "PUT",
        "/photos/puppy.jpg",
        "",
        {"date": "Tue, 27 Mar 2007 21:15:45 +0000", "content-type": "image/jpeg", "content-length": "94328"},
        "MyyxeRY7whkBe+bq8fHCL/2kKUg=",
    ),
    (
        "GET",
        "/",
        "prefix=photos&max-keys=50&marker=puppy",
        {"date": "Tue, 27 Mar 2007 19:42:41 +0000"},
        "htDYFYduRNen8P9ZfE/s9SuKy0U=",
    ),
    ("GET", "/", "acl", {"date": "Tue, 27 Mar 2007 19:44:46 +0000"}, "c2WLPFtWHVgbEmeEG93a4cG37dM="),
]


@pytest.mark.parametrize(("method", "path", "query", "headers", "signature"), V2_PUBLISHED)
def test_v2_the_published_examples_are_accepted(
    oracle: Oracle, method: str, path: str, query: str, headers: dict[str, str], signature: str
) -> None:
    sent = {
        "host": "johnsmith.s3.amazonaws.com",
        **headers,
        "authorization": f"AWS {oracle.access_key}:{signature}",
    }
    call = oracle.call(method, path, query, sent)
    now = canonical.http_time(headers["date"])
    assert oracle.prove(call, now=now, v2=True, bucket_in_host="johnsmith") == Payload()
    assert oracle.refusal(call, now=now, v2=True).code == "SignatureDoesNotMatch"


def test_v2_the_published_url_is_accepted(oracle: Oracle) -> None:
    query = "AWSAccessKeyId=AKIAIOSFODNN7EXAMPLE&Signature=NpgCjnDzrM%2BWFzoENXmpNDUsSn8%3D&Expires=1175139620"
    call = oracle.call("GET", "/photos/puppy.jpg", query, {"host": "johnsmith.s3.amazonaws.com"})
    assert oracle.prove(call, now=1175139620.0, v2=True, bucket_in_host="johnsmith") == Payload()
    error = oracle.refusal(call, now=1175139621.0, v2=True, bucket_in_host="johnsmith")
    assert (error.code, error.message) == ("AccessDenied", "Request has expired")


def test_t62_v2_is_off_unless_it_is_switched_on(oracle: Oracle) -> None:
    for call in (oracle.v2_header("GET", "http://h/bucket/key"), oracle.v2_query("GET", "http://h/bucket/key")):
        assert oracle.prove(call, v2=True)
        for secret in (oracle.secret, None):
            error = oracle.refusal(call, secret=secret)
            assert error.code == "InvalidRequest"
            assert "Please use AWS4-HMAC-SHA256" in str(error.message)


V2_URLS = [
    ("http://h/", ""),
    ("http://h/bucket/a%20b%2Bc?uploadId=a%2Bb&partNumber=2", ""),
    ("http://h/bucket/key?response-content-disposition=a%3B%20b&versionId=1&prefix=x", ""),
    ("http://h/bucket?acl", "/bucket/"),
    ("http://h/bucket?prefix=x", "/bucket"),
    ("http://h/bucket/key?delete&uploads", ""),
]


@pytest.mark.parametrize(("url", "resource"), V2_URLS)
def test_v2_what_botocore_signs_is_accepted(oracle: Oracle, change: Change, url: str, resource: str) -> None:
    headers = {"x-amz-meta-b": "2", "x-amz-meta-a": "1", "content-type": "text/plain", "content-md5": "m"}
    call = oracle.v2_header("PUT", url, headers, resource)
    assert oracle.prove(call, v2=True)
    for name in ("x-amz-meta-a", "content-type", "content-md5", "date"):
        assert oracle.refusal(change(call, {name: f"{call.headers[name]}x"}), v2=True).code in (
            "SignatureDoesNotMatch",
            "AccessDenied",
        )
    assert oracle.refusal(change(call, {"x-amz-acl": "public-read"}), v2=True).code == "SignatureDoesNotMatch"
    assert oracle.refusal(change(call, method="GET"), v2=True).code == "SignatureDoesNotMatch"
    assert oracle.refusal(change(call, path=call.path + "x"), v2=True).code == "SignatureDoesNotMatch"
    url_call = oracle.v2_query("GET", url)
    assert oracle.prove(url_call, v2=True)
    assert oracle.refusal(change(url_call, method="PUT"), v2=True).code == "SignatureDoesNotMatch"


def test_v2_nothing_that_it_does_not_cover_can_be_added(oracle: Oracle, change: Change) -> None:
    call = oracle.v2_query("PUT", "http://h/bucket/key")
    assert oracle.prove(change(call, query=call.query + "&x-id=PutObject"), v2=True)
    for name in ("acl", "tagging", "uploads", "partNumber=1"):
        assert oracle.refusal(change(call, query=f"{call.query}&{name}"), v2=True).code == "SignatureDoesNotMatch"
    for name in ("legal-hold", "retention", "encryption", "policyStatus", "x-amz-acl=public-read", "%61ttributes"):
        assert oracle.refusal(change(call, query=f"{call.query}&{name}"), v2=True).code == "InvalidRequest"


def test_v2_each_parameter_once(oracle: Oracle, change: Change) -> None:
    call = oracle.v2_query("GET", "http://h/bucket/key")
    for piece in call.query.split("&"):
        assert oracle.refusal(change(call, query=f"{call.query}&{piece}"), v2=True).code == "InvalidArgument"
        assert oracle.refusal(change(call, query=call.query.replace(piece, "")), v2=True).code in (
            "AccessDenied",
            "InvalidRequest",
        )


def test_v2_dates_keys_and_tokens(oracle: Oracle, change: Change) -> None:
    call = oracle.v2_header("GET", "http://h/bucket/key")
    assert oracle.refusal(call, v2=True, now=oracle.now + 901).code == "RequestTimeTooSkewed"
    assert oracle.refusal(call, v2=True, secret=None).code == "InvalidAccessKeyId"
    assert oracle.refusal(change(call, {"date": None}), v2=True).code == "AccessDenied"
    assert oracle.refusal(change(call, {"date": "yesterday"}), v2=True).code == "AccessDenied"
    assert oracle.refusal(call, v2=True, unsigned_over_http=False, secret="x").code == "SignatureDoesNotMatch"
    put = oracle.v2_header("PUT", "http://h/bucket/key")
    assert oracle.refusal(put, v2=True, unsigned_over_http=False).code == "InvalidRequest"
    assert oracle.refusal(oracle.v2_header("GET", "http://h/b", {"x-amz-security-token": "t"}), v2=True).code == (
        "InvalidToken"
    )
    # A date in x-amz-date is signed among the headers, and Date is then not.
    text = "GET\n\n\n\nx-amz-date:Fri, 24 May 2013 00:00:00 +0000\n/bucket/key"
    signature = base64.b64encode(hmac.new(oracle.secret.encode(), text.encode(), "sha1").digest()).decode()
    headers = {
        "host": "h",
        "x-amz-date": "Fri, 24 May 2013 00:00:00 +0000",
        "date": "Fri, 24 May 2002 00:00:00 GMT",
        "authorization": f"AWS {oracle.access_key}:{signature}",
    }
    assert oracle.prove(oracle.call("GET", "/bucket/key", "", headers), v2=True)


@pytest.mark.parametrize("expires", ["", "-1", "1e9", "2147483648", "1369353599", "0x5", "\uff11"])
def test_v2_a_url_ends_at_an_epoch_second(oracle: Oracle, change: Change, expires: str) -> None:
    call = oracle.v2_query("GET", "http://h/bucket/key")
    query = "&".join(piece for piece in call.query.split("&") if not piece.startswith("Expires"))
    assert oracle.refusal(change(call, query=f"{query}&Expires={expires}"), v2=True).code == "AccessDenied"


@pytest.mark.parametrize("word", [SIGNED_CHUNKS, SIGNED_TRAILER])
def test_only_a_v4_header_starts_a_chain(oracle: Oracle, word: str) -> None:
    headers = {"x-amz-content-sha256": word, "x-amz-decoded-content-length": "1"}
    if word == SIGNED_TRAILER:
        headers["x-amz-trailer"] = "x-amz-checksum-crc32"
    assert oracle.refusal(oracle.v2_header("PUT", "http://h/b/k", headers), v2=True).code == "InvalidArgument"
