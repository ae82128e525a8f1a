"""Ways to break a request that botocore signed, and the part that the operator's log must name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from gateway.model import Call
from gateway.wire import diagnosis, signature_v4
from gateway.wire.signature import read_claim

Oracle = Any  # tests/wire/conftest.py
Change = Callable[..., Call]

PUBLIC = "http://files.example.com:8000"


@dataclass(frozen=True)
class Broken:
    """``url`` and ``sent`` are signed; ``headers`` and ``fields`` are what arrives instead."""

    part: str
    hint: str
    url: str = f"{PUBLIC}/bucket/dir/a%20b"
    method: str = "GET"
    sent: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str | None] = field(default_factory=dict)
    fields: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    code: str = "SignatureDoesNotMatch"


BROKEN = {
    "a proxy sends its own Host and X-Forwarded-Host": Broken(
        "Host",
        "files.example.com:8000",
        headers={"host": "10.0.0.5:9090", "x-forwarded-host": "files.example.com:8000"},
    ),
    "a proxy sends its own Host, and the port beside X-Forwarded-Host": Broken(
        "Host",
        "files.example.com:8000",
        headers={"host": "backend", "x-forwarded-host": "files.example.com", "x-forwarded-port": "8000"},
    ),
    "a proxy sends its own Host and Forwarded": Broken(
        "Host",
        "files.example.com:8000",
        headers={"host": "backend", "forwarded": 'for=1.2.3.4;host="files.example.com:8000";proto=http'},
    ),
    "a proxy sends its own Host, and we know our names": Broken(
        "Host",
        "files.example.com:8000",
        headers={"host": "backend:9090"},
        options={"known_hosts": ("other.example.com", "files.example.com:8000")},
    ),
    "a proxy sends its own Host and says nothing": Broken(
        "Host", "a proxy is in between", headers={"host": "backend", "via": "1.1 proxy"}
    ),
    "a proxy drops the port": Broken("Host", "dropped the port", headers={"host": "files.example.com"}),
    "a proxy adds the port": Broken(
        "Host", "added the port", url="http://files.example.com/b/k", headers={"host": "files.example.com:8000"}
    ),
    "a proxy changes the port": Broken("Host", "the port", headers={"host": "files.example.com:9090"}),
    "a proxy moves the bucket from the Host to the path": Broken(
        "Host",
        "bucket.files.example.com",
        url="http://bucket.files.example.com/key",
        headers={"host": "files.example.com"},
        fields={"path": "/bucket/key"},
    ),
    "the path is decoded twice": Broken(
        "path", "decoded it once more", url=f"{PUBLIC}/b/a%2520b", fields={"path": "/b/a%20b"}
    ),
    "the client's signer encodes the path twice": Broken("path", "encodes it twice", fields={"signed": "twice"}),
    "%2F is decoded": Broken("path", "%2F", url=f"{PUBLIC}/b/a%2Fb", fields={"path": "/b/a/b"}),
    "slashes are merged": Broken("path", "normalised", url=f"{PUBLIC}/b/x//y/z", fields={"path": "/b/x/y/z"}),
    "a prefix is removed": Broken(
        "path",
        "prefix",
        url=f"{PUBLIC}/store/b/k",
        headers={"x-forwarded-prefix": "/store/"},
        fields={"path": "/b/k"},
    ),
    "a prefix is put in front": Broken("path", "prefix", url=f"{PUBLIC}/b/k", fields={"path": "/internal/b/k"}),
    "a slash is put at the end": Broken("path", "slash", url=f"{PUBLIC}/b/k", fields={"path": "/b/k/"}),
    "a plus for a space": Broken("path", "+", url=f"{PUBLIC}/b/a%2Bb", fields={"path": "/b/a%20b"}),
    "Host and path both change": Broken(
        "Host",
        "and path",
        url=f"{PUBLIC}/b/a%2520b",
        headers={"host": "files.example.com"},
        fields={"path": "/b/a%20b"},
    ),
    "a charset is added": Broken(
        "header content-type",
        "'text/plain'",
        method="PUT",
        sent={"content-type": "text/plain"},
        headers={"content-type": "text/plain; charset=utf-8"},
    ),
    "accept-encoding is removed": Broken(
        "header accept-encoding",
        "'identity'",
        sent={"accept-encoding": "identity"},
        headers={"accept-encoding": None},
    ),
    "accept-encoding is rewritten": Broken(
        "header accept-encoding", "changed", sent={"accept-encoding": "gzip"}, headers={"accept-encoding": "br"}
    ),
    "a header that nobody can guess is removed": Broken(
        "header x-custom", "removed", sent={"x-custom": "unguessable"}, headers={"x-custom": None}
    ),
    "a list header grows": Broken(
        "header cache-control", "changed", sent={"cache-control": "no-cache"}, headers={"cache-control": "no-cache, x"}
    ),
    "a proxy adds an x-amz- header": Broken(
        "header added", "x-amz-cf-id", headers={"x-amz-cf-id": "x"}, code="AccessDenied"
    ),
    "the clock is off": Broken("clock", "3600 s", options={"now": 1369353600.0 + 3600}, code="RequestTimeTooSkewed"),
    "the body hash is replaced": Broken(
        "body hash",
        "'UNSIGNED-PAYLOAD'",
        method="PUT",
        sent={"x-payload": "UNSIGNED-PAYLOAD"},
        headers={"x-amz-content-sha256": "0" * 64},
    ),
    "the region of the credential is not the one signed": Broken(
        "region", "'us-east-1'", fields={"scope": "eu-west-9"}
    ),
    "the region is not ours": Broken(
        "region", "strict", options={"region": "eu-west-1"}, code="AuthorizationHeaderMalformed"
    ),
    "the key is unknown": Broken("unknown key", "AKIA", options={"secret": None}, code="InvalidAccessKeyId"),
    "the secret is another one": Broken("secret", "another secret", options={"secret": "other"}),
    "the secret has a line end": Broken(
        "secret", "line end", options={"secret": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKE"}, fields={"secret": "\n"}
    ),
    "HEAD becomes GET": Broken("method", "HEAD", method="HEAD", fields={"method": "GET"}),
    "a parameter is added": Broken(
        "query", "utm_source", url=f"{PUBLIC}/b?list-type=2", fields={"query": "list-type=2&utm_source=x"}
    ),
    "a parameter is removed": Broken(
        "query", "list-type=2", url=f"{PUBLIC}/b?list-type=2&prefix=x", fields={"query": "prefix=x"}
    ),
    "the query is decoded twice": Broken(
        "query", "decoded twice", url=f"{PUBLIC}/b?prefix=a%252Fb", fields={"query": "prefix=a%2Fb"}
    ),
    "one digit of the signature is wrong": Broken("signature", "1 of its 64 digits", fields={"signature": "flip"}),
    "the signature is cut": Broken("signature", "63 characters", fields={"signature": "cut"}),
}


def arrived(oracle: Oracle, change: Change, broken: Broken) -> tuple[Call, Call]:
    """The call as it was signed, and as it arrives."""
    sent = dict(broken.sent)
    payload = sent.pop("x-payload", "signed")
    fields = dict(broken.fields)
    signer = oracle
    if "secret" in fields:
        signer = replace(oracle, secret=broken.options["secret"] + fields.pop("secret"))
    intact = signer.header(broken.method, broken.url, sent, payload=payload)
    assert signer.prove(intact)
    call = change(intact, broken.headers)
    value = call.headers["authorization"]
    if fields.pop("signed", ""):
        claim = read_claim(intact)
        assert claim is not None
        seen = signature_v4.signed_of(intact, claim)
        twice = replace(seen, path=seen.path.replace("%", "%25")).signature(oracle.secret)
        call = change(call, {"authorization": value[:-64] + twice})
    if "scope" in fields:
        call = change(call, {"authorization": value.replace("/us-east-1/", f"/{fields.pop('scope')}/")})
    damage = fields.pop("signature", "")
    if damage == "cut":
        call = change(call, {"authorization": value[:-1]})
    elif damage:
        call = change(call, {"authorization": value[:-1] + ("0" if value[-1] != "0" else "1")})
    return intact, change(call, **fields)


@pytest.mark.parametrize("name", BROKEN)
def test_the_log_names_the_part_that_differs(oracle: Oracle, change: Change, name: str) -> None:
    broken = BROKEN[name]
    _, call = arrived(oracle, change, broken)
    error = oracle.refusal(call, **broken.options)
    assert error.code == broken.code
    assert error.cause.startswith(broken.part), error.cause
    assert broken.hint in error.cause
    assert "\n" not in error.cause
    assert oracle.secret not in error.cause
    assert oracle.secret not in str(error.fields)


def test_a_presigned_url_is_diagnosed_too(oracle: Oracle, change: Change) -> None:
    call = oracle.presigned("GET", f"{PUBLIC}/b/k")
    assert oracle.refusal(change(call, {"host": "files.example.com"})).cause.startswith("Host: ")
    assert oracle.refusal(change(call, query=f"{call.query}&fbclid=1")).cause.startswith("query: ")
    assert oracle.refusal(change(call, method="HEAD")).cause.startswith("method: ")
    cause = oracle.refusal(call, secret="other").cause
    assert cause.startswith("secret: ")
    claim = read_claim(call)
    assert claim is not None and claim.signature not in cause


def test_v2_is_diagnosed_too(oracle: Oracle, change: Change) -> None:
    call = oracle.v2_header("PUT", "http://files.example.com/b/a%2520b", {"content-type": "text/plain"})
    for part, other in (
        ("path", change(call, path="/b/a%20b")),
        ("method", change(call, method="GET")),
        ("header content-type", change(call, {"content-type": "text/plain; charset=x"})),
        ("header x-amz-added", change(call, {"x-amz-added": "x"})),
    ):
        assert oracle.refusal(other, v2=True).cause.startswith(part)
    assert oracle.refusal(call, v2=True, secret="other").cause.startswith("secret")
    hosted = oracle.v2_header("GET", "http://bucket.example.com/k", resource="/bucket/k")
    assert oracle.refusal(hosted, v2=True).cause.startswith("Host")


def test_a_busy_caller_can_do_without(oracle: Oracle) -> None:
    for call in (oracle.header(), oracle.presigned(), oracle.v2_query("GET", "http://h/b/k")):
        error = oracle.refusal(call, secret="other", explain=False, v2=True)
        assert (error.code, error.cause) == ("SignatureDoesNotMatch", "")


def test_the_search_is_bounded(oracle: Oracle, change: Change, monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []
    real = signature_v4.Signed.signature
    monkeypatch.setattr(signature_v4.Signed, "signature", lambda self, secret: tried.append(1) or real(self, secret))
    headers: dict[str, str | None] = {f"x-header-{number}": "a, b" for number in range(200)}
    url = f"{PUBLIC}/b" + "/x" * 400 + "?" + "&".join(f"p{number}=1" for number in range(90))
    call = oracle.header("GET", url, headers)
    oracle.refusal(change(call, headers, path=call.path + "y"), secret="other")
    assert len(tried) <= diagnosis.MOST_GUESSES + 20
