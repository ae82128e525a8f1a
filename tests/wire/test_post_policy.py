"""Policies of form uploads, as sigv4-HTTPPOSTConstructPolicy.html tells them; the messages are S3's."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from gateway.errors import S3Error
from gateway.wire.post_policy import LARGEST, Bounds, read

NOW = 1196467200.0  # 2007-12-01T00:00:00Z
UNTIL = "2007-12-01T12:00:00.000Z"
FIELDS = {"key": "user/eric/a.jpg"}
RULES: tuple[Any, ...] = ({"bucket": "johnsmith"}, ["starts-with", "$key", "user/eric/"])


def encoded(text: str | bytes) -> str:
    return base64.b64encode(text.encode() if isinstance(text, str) else text).decode()


def policy(*rules: Any, until: Any = UNTIL) -> str:
    return encoded(json.dumps({"expiration": until, "conditions": [*RULES, *rules]}))


def refusal(document: str, fields: dict[str, str] | None = None, *, bucket: str = "johnsmith", now: float = NOW) -> str:
    """``Code: message`` of the refusal, "" where all is well."""
    try:
        read(document).check({**FIELDS, **(fields or {})}, bucket, now)
    except S3Error as error:
        return f"{error.code}: {error.message}"
    return ""


@pytest.mark.parametrize(
    ("rule", "fields"),
    [
        ({"acl": "private"}, {"acl": "private"}),
        (["eq", "$acl", "private"], {"acl": "private"}),
        (["EQ", "$ACL", "private"], {"acl": "private"}),
        (["StArTs-WiTh", "$cOnTeNt-TyPe", "text/"], {"content-type": "text/plain"}),
        (["starts-with", "$success_action_redirect", ""], {"success_action_redirect": "anything"}),
        (["starts-with", "$content-type", "image/"], {"content-type": "image/png, image/jpeg"}),
        (["starts-with", "$x-amz-meta-a", "1,"], {"x-amz-meta-a": "1,2"}),
        (["eq", "$x-amz-meta-n", 5], {"x-amz-meta-n": "5"}),
        (["content-length-range", 1, 10], {}),
        (["content-length-range", "1", "10"], {}),
        (["eq", "$bucket", "johnsmith"], {"x-ignore-me": "1", "policy": "p", "x-amz-signature": "s", "file": ""}),
        ({"x-amz-meta-a": "$foo \u00fc"}, {"x-amz-meta-a": "$foo \u00fc"}),
    ],
)
def test_what_holds(rule: Any, fields: dict[str, str]) -> None:
    assert refusal(policy(rule), fields) == ""


@pytest.mark.parametrize(
    ("rule", "fields", "why"),
    [
        ({"acl": "private"}, {"acl": "public-read"}, 'Policy Condition failed: ["eq", "$acl", "private"]'),
        ({"acl": "private"}, {}, 'Policy Condition failed: ["eq", "$acl", "private"]'),
        (["eq", "$acl", "a"], {"acl": "ab"}, 'Policy Condition failed: ["eq", "$acl", "a"]'),
        (["starts-with", "$acl", "b"], {"acl": "ab"}, 'Policy Condition failed: ["starts-with", "$acl", "b"]'),
        (["starts-with", "$acl", ""], {}, 'Policy Condition failed: ["starts-with", "$acl", ""]'),
        (
            ["starts-with", "$content-type", "text/"],
            {"content-type": "text/plain,image/png"},
            'Policy Condition failed: ["starts-with", "$content-type", "text/"]',
        ),
        (["eq", "$bucket", "other"], {}, 'Policy Condition failed: ["eq", "$bucket", "other"]'),
        (["eq", "acl", "private"], {"acl": "private"}, 'Policy Condition failed: ["eq", "acl", "private"]'),
        (["eq", "$", "private"], {}, 'Policy Condition failed: ["eq", "$", "private"]'),
        (["eq", "$key", "user/eric/b"], {}, 'Policy Condition failed: ["eq", "$key", "user/eric/b"]'),
        ({"key": "user/eric/a.jpg"}, {"acl": "a", "tagging": "t"}, "Extra input fields: acl, tagging"),
        ({"key": "user/eric/a.jpg"}, {"x-amz-security-token": "t"}, "Extra input fields: x-amz-security-token"),
    ],
)
def test_what_fails(rule: Any, fields: dict[str, str], why: str) -> None:
    assert refusal(policy(rule), fields) == f"AccessDenied: Invalid according to Policy: {why}"


def test_a_condition_is_shown_with_the_blanks_of_s3() -> None:
    """As "Policy Condition failed" of documents without any blank shows, in the issues of those who make them."""
    tight = encoded(f'{{"expiration":"{UNTIL}","conditions":[["eq","$Key","b"]]}}')
    assert refusal(tight).endswith('failed: ["eq", "$Key", "b"]')


def test_the_bucket_must_be_allowed() -> None:
    document = encoded(json.dumps({"expiration": UNTIL, "conditions": [["starts-with", "$key", ""]]}))
    assert refusal(document) == "AccessDenied: Invalid according to Policy: Extra input fields: bucket"
    assert "AccessDenied" in refusal(policy(), bucket="other")
    assert "AccessDenied" in refusal(policy(), {"bucket": "johnsmith"}, bucket="other")


@pytest.mark.parametrize(
    "until", [UNTIL, "2007-12-01T12:00:00Z", "2007-12-01T14:00:00+02:00", "2007-12-01T12:00:00.5Z"]
)
def test_it_expires(until: str) -> None:
    assert refusal(policy(until=until), now=NOW + 43_199) == ""
    expected = "AccessDenied: Invalid according to Policy: Policy expired."
    assert refusal(policy(until=until), now=NOW + 43_201) == expected


def test_ranges_meet() -> None:
    assert read(policy()).bounds == Bounds(0, LARGEST)
    rules = ["content-length-range", 5, 100], ["content-length-range", 0, 50], ["content-length-range", 2, 10**17]
    assert read(policy(*rules)).bounds == Bounds(5, 50)


@pytest.mark.parametrize(
    ("document", "why"),
    [
        ("", "Expecting '{' but found End-of-Input"),
        (" \r\n", "Expecting '{' but found End-of-Input"),
        ("not_base64", "invalid Base64 encoding."),
        ("a", "invalid Base64 encoding."),
        ("\u00fc", "invalid Base64 encoding."),
        (encoded("no json"), "Invalid JSON."),
        (encoded(b"\xff"), "Invalid JSON."),
        (encoded("[]"), "Invalid JSON."),
        (encoded("[" * 11_000), "Invalid JSON."),
        (encoded('{"expiration":' * 1000), "Invalid JSON."),
        (encoded('{"conditions": []}'), "Policy missing expiration."),
        (encoded('{"EXPIRATION": "2007-12-01T12:00:00Z", "conditions": []}'), 'Unexpected: "EXPIRATION"'),
        (encoded(f'{{"expiration": "{UNTIL}"}}'), "Policy missing conditions."),
        (encoded(f'{{"expiration": "{UNTIL}", "CONDITIONS": []}}'), 'Unexpected: "CONDITIONS"'),
        (encoded(f'{{"expiration": "{UNTIL}", "expiration": "{UNTIL}", "conditions": []}}'), "Invalid JSON."),
        (encoded(f'{{"expiration": "{UNTIL}", "conditions": true}}'), "Invalid 'conditions' value: must be a List."),
        (encoded(f'{{"expiration": "{UNTIL}", "conditions": [["content-length-range", 0, 1e3]]}}'), "Invalid JSON."),
        (encoded(f'{{"expiration": "{UNTIL}", "conditions": [["content-length-range", 0, NaN]]}}'), "Invalid JSON."),
        (
            encoded(f'{{"expiration": "{UNTIL}", "conditions": [["content-length-range", 0, {"9" * 5000}]]}}'),
            "Invalid JSON.",
        ),
        (policy(until=True), "Invalid JSON."),
        (policy(until="2007-12-01 12:00:00+00:00"), "Invalid 'expiration' value: '2007-12-01 12:00:00+00:00'"),
        (policy(until="2007-12-01T12:00:00"), "Invalid 'expiration' value: '2007-12-01T12:00:00'"),
        (policy(until="2007-13-01T12:00:00Z"), "Invalid 'expiration' value: '2007-13-01T12:00:00Z'"),
        (policy(until="\u0662007-12-01T12:00:00Z"), "Invalid 'expiration' value: '\u0662007-12-01T12:00:00Z'"),
        (policy(True), "Invalid condition test: must be a List or Object."),
        (policy([]), "Invalid Condition: missing operation identifier."),
        (policy([5, "$key", "a"]), "Invalid JSON."),
        (policy(["matches", "$key", "a"]), "Invalid Condition: unknown operation 'matches'."),
        (policy(["eq", "$key"]), "Invalid eq: wrong number of arguments."),
        (policy(["eq", "$key", "a", "b"]), "Invalid eq: wrong number of arguments."),
        (policy(["eq", False, "a"]), "Invalid JSON."),
        (policy(["eq", "$key", True]), "Invalid JSON."),
        (policy(["eq", "$key", None]), "Invalid JSON."),
        (policy(["content-length-range", 0]), "Invalid content-length-range: wrong number of arguments."),
        (policy(["content-length-range", -1, 0]), "Invalid JSON."),
        (policy(["content-length-range", 1, False]), "Invalid JSON."),
        (policy(["content-length-range", "1_0", 20]), "Invalid JSON."),
        (policy(["content-length-range", "\u0663", 20]), "Invalid JSON."),
        (
            policy({}),
            "Invalid Simple-Condition: Simple-Conditions must have exactly one property specified.",
        ),
        (
            policy({"acl": "a", "key": "b"}),
            "Invalid Simple-Condition: Simple-Conditions must have exactly one property specified.",
        ),
        (policy({"acl": 5}), "Invalid Simple-Condition: value must be a string."),
    ],
)
def test_documents_that_are_none(document: str, why: str) -> None:
    assert refusal(document) == f"InvalidPolicyDocument: Invalid Policy: {why}"


def test_s3s_own_escapes() -> None:
    r"""``\$`` is a dollar and ``\v`` a vertical tab, though JSON knows neither."""
    text = rf'{{"expiration": "{UNTIL}", "conditions": [{{"bucket": "johnsmith"}}, ["eq", "$key", "%s"]]}}'
    for escaped, key in (
        (r"\$a", "$a"),
        (r"a\vb", "a\vb"),
        (r"\\$a", r"\$a"),
        (r"\\\$", r"\$"),
        (r"\u00fc\"", '\u00fc"'),
    ):
        assert refusal(encoded(text % escaped), {"key": key}) == ""


def test_padding_may_be_left_out() -> None:
    assert refusal(policy().rstrip("=")) == "" == refusal(policy() + "\r\n")
