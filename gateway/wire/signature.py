"""Who signed this call, and is it true? The one door to all kinds of S3 authentication.

``read_claim`` parses, ``verify`` proves. Neither reads the body: ``verify`` answers how the body must be read.
"""

from __future__ import annotations

from collections.abc import Mapping

from gateway.errors import S3Error
from gateway.model import Call
from gateway.wire import canonical, diagnosis, signature_form, signature_read, signature_v2, signature_v4
from gateway.wire.claim import ChunkChain, Claim, Payload
from gateway.wire.signature_payload import (
    UNSIGNED,
    anonymous_payload,
    payload_of,
    refuse_unsigned,
    unchained_payload,
)

__all__ = [
    "ChunkChain",
    "Claim",
    "Payload",
    "anonymous_payload",
    "read_claim",
    "read_form_claim",
    "refuse_head_of_form",
    "verify",
]

# The work for a key that we do not know is done with this, so that time does not tell.
_NOBODY = "nobody" * 7
_NO_V2 = "The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256."
_ONE_MECHANISM = (
    "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature query string parameter or "
    "the Authorization header should be specified"
)


def read_claim(call: Call) -> Claim | None:
    """The signature that the call carries; None where it does not try to authenticate at all.

    Anything that looks like an attempt and is not whole raises S3Error, so that it never passes as anonymous.
    """
    authorization = call.headers.get("authorization")
    pairs = canonical.query_pairs(call.query)
    v4 = signature_read.attempts_query(pairs)
    v2 = signature_v2.attempts_query(pairs)
    if (authorization is not None) + v4 + v2 > 1:
        raise S3Error("InvalidArgument", _ONE_MECHANISM, fields={"ArgumentName": "Authorization"})
    if v4:
        return signature_read.from_query(call, pairs)
    if v2:
        return signature_v2.from_query(call)
    if authorization is None:
        return None
    return _in_header(call, authorization, pairs)


def refuse_head_of_form(call: Call) -> None:
    """AccessDenied for a form that is signed in its head: nothing but its policy authorises a form."""
    pairs = canonical.query_pairs(call.query)
    in_query = signature_read.attempts_query(pairs) or signature_v2.attempts_query(pairs)
    if in_query or "authorization" in call.headers:
        raise S3Error("AccessDenied", cause="a form is signed in its fields, not in its head")


def read_form_claim(fields: Mapping[str, str]) -> Claim | None:
    """The signature that a form carries among its fields; None where it does not try to authenticate at all."""
    return signature_form.read(fields)


def _in_header(call: Call, authorization: str, pairs: list[tuple[str, str]]) -> Claim:
    if not authorization:
        raise S3Error("AccessDenied", cause="the Authorization header is empty")
    scheme, space, credentials = authorization.partition(" ")
    credentials = credentials.strip(" \t")
    fields = {"ArgumentName": "Authorization", "ArgumentValue": authorization}
    if not space or not credentials:
        message = "Authorization header is invalid -- one and only one ' ' (space) required"
        raise S3Error("InvalidArgument", message, fields=fields)
    if scheme == signature_v4.ALGORITHM:
        return signature_read.from_header(call, credentials, pairs)
    if scheme == "AWS":
        return signature_v2.from_header(call, credentials)
    raise S3Error("InvalidArgument", "Unsupported Authorization Type", fields=fields)


def verify(
    call: Call,
    claim: Claim,
    secret: str | None,
    *,
    now: float,
    region: str | None = None,
    unsigned_over_http: bool = True,
    v2: bool = False,
    bucket_in_host: str = "",
    known_hosts: tuple[str, ...] = (),
    explain: bool = True,
) -> Payload:
    """Prove a claim and say how the body must be read and proved.

    ``secret``: of the claim's access key, None for an unknown key (the same work, then InvalidAccessKeyId).
    ``now``: epoch seconds. ``region``: the only region accepted, None accepts any. ``unsigned_over_http``: whether
    plain HTTP may carry bytes that nothing protects. ``v2``: whether Signature Version 2 is accepted at all.
    ``bucket_in_host``: the bucket that the Host names (V2 signs it). ``known_hosts``: names and ``host:port`` that
    clients may have signed; only the diagnosis of a failure reads them. ``explain``: whether a failure may cost the
    milliseconds that its diagnosis takes; a caller that sees many failures says no.

    Raises S3Error; on SignatureDoesNotMatch its ``cause`` names the likely reason for the operator.
    """
    if claim.scheme == "v2" and not v2:
        raise S3Error("InvalidRequest", _NO_V2)
    if claim.place == "form":
        payload = _prove_form(claim, secret, now, region, explain)
    elif claim.scheme == "v2":
        payload = _prove_v2(call, claim, secret, now, bucket_in_host, explain)
    else:
        payload = _prove_v4(call, claim, secret, now, region, known_hosts if explain else None)
    if claim.token:
        raise S3Error("InvalidToken", cause="a session token came with a key that is not temporary")
    if not unsigned_over_http:
        refuse_unsigned(call, payload)
    return payload


def _prove_v4(
    call: Call, claim: Claim, secret: str | None, now: float, region: str | None, known_hosts: tuple[str, ...] | None
) -> Payload:
    """``known_hosts`` None: a failure is not explained."""
    signature_v4.check_time(claim, now)
    if region is not None:
        signature_v4.check_region(claim, region)
    signature_v4.check_coverage(call, claim)
    signed = signature_v4.signed_of(call, claim)
    key = signature_v4.signing_key(secret or _NOBODY, claim.day, claim.region)
    right = signature_v4.matches(call, claim, signed, key)
    if secret is None:
        raise _unknown_key(claim)
    signature_v4.check_day(claim)
    if not (right and secret):  # an empty secret is none that a client could have proved to hold
        raise S3Error(
            "SignatureDoesNotMatch",
            fields=signature_v4.mismatch_fields(claim, signed),
            cause=""
            if known_hosts is None
            else diagnosis.explain(call, claim, secret, region=region, known_hosts=known_hosts),
        )
    if claim.place == "query":
        return unchained_payload(call.headers, claim.payload)
    return payload_of(call.headers, claim.payload, signature_v4.chain_of(claim, signed, key))


def _prove_v2(call: Call, claim: Claim, secret: str | None, now: float, bucket_in_host: str, explain: bool) -> Payload:
    signature_v2.check_time(claim, now)
    signature_v2.check_coverage(call)
    right = signature_v2.matches(call, claim, secret or _NOBODY, bucket_in_host)
    if secret is None:
        raise _unknown_key(claim)
    if not (right and secret):
        raise S3Error(
            "SignatureDoesNotMatch",
            fields=signature_v2.mismatch_fields(call, claim, bucket_in_host),
            cause=diagnosis.explain_v2(call, claim, secret, bucket_in_host) if explain else "",
        )
    return unchained_payload(call.headers, claim.payload or UNSIGNED)


def _prove_form(claim: Claim, secret: str | None, now: float, region: str | None, explain: bool) -> Payload:
    right = signature_form.prove(claim, secret or _NOBODY, now=now, region=region)
    if secret is None:
        raise _unknown_key(claim)
    signature_form.check_day(claim)
    if not (right and secret):
        raise S3Error(
            "SignatureDoesNotMatch",
            fields=signature_form.mismatch_fields(claim),
            cause=diagnosis.explain_form(claim, secret) if explain else "",
        )
    return Payload()


def _unknown_key(claim: Claim) -> S3Error:
    return S3Error(
        "InvalidAccessKeyId",
        fields={"AWSAccessKeyId": claim.access_key},
        cause=f"unknown key: there is no access key {claim.access_key!r} here, or it was revoked",
    )
