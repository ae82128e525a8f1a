"""Who signed a form: its policy carries the signature, V4 or V2, in fields of the form itself.

Source: "Authenticating Requests in Browser-Based Uploads Using POST (AWS Signature Version 4)" in S3's API Reference;
of V2, "Browser-Based Uploads Using POST" of the same. The messages are S3's own.
"""

from __future__ import annotations

from collections.abc import Mapping

from gateway.errors import S3Error
from gateway.wire import canonical, signature_v2, signature_v4
from gateway.wire.claim import Claim
from gateway.wire.form import missing
from gateway.wire.post_policy import expired
from gateway.wire.request import bad_argument
from gateway.wire.signature_read import LONGEST_LIFE, credential

_V4 = ("policy", "x-amz-algorithm", "x-amz-credential", "x-amz-date", "x-amz-signature")
_V2 = ("policy", "AWSAccessKeyId", "signature")
_ATTEMPT = frozenset((*_V4, "x-amz-security-token", "awsaccesskeyid", "signature"))
_ONE_MECHANISM = "Only one auth mechanism allowed; a form is signed with Signature Version 4 or 2."


def read(fields: Mapping[str, str]) -> Claim | None:
    """The signature that a form carries; None where it carries no sign of one. ``fields``: names in lower case.

    Raises InvalidArgument for an attempt that is not whole.
    """
    if not _ATTEMPT.intersection(fields):
        return None
    if "awsaccesskeyid" not in fields and "signature" not in fields:
        return _v4(fields)
    if any(name in fields for name in _V4[1:]):
        raise bad_argument("Signature", "", _ONE_MECHANISM)
    for name in _V2:
        if name.lower() not in fields:
            raise missing(name)
    return Claim(
        access_key=fields["awsaccesskeyid"],
        scheme="v2",
        place="form",
        signature=fields["signature"],
        payload=fields["policy"],
        token=fields.get("x-amz-security-token", ""),
    )


def _v4(fields: Mapping[str, str]) -> Claim:
    for name in _V4:
        if name not in fields:
            raise missing(name)
    if fields["x-amz-algorithm"] != signature_v4.ALGORITHM:
        message = f"Only {signature_v4.ALGORITHM} is supported"
        raise bad_argument("X-Amz-Algorithm", fields["x-amz-algorithm"][:64], message)
    stamp = fields["x-amz-date"]
    time = canonical.iso_time(stamp)
    if time is None:
        raise bad_argument("X-Amz-Date", stamp[:64], "X-Amz-Date must be formated via ISO8601 Long format")
    whole = fields["x-amz-credential"]
    try:
        access_key, day, region = credential(whole, _refused)
    except S3Error as error:
        raise bad_argument("x-amz-credential", whole[:256], error.message or "") from None
    return Claim(
        access_key=access_key,
        scheme="v4",
        place="form",
        signature=fields["x-amz-signature"],
        time=time,
        stamp=stamp,
        day=day,
        region=region,
        payload=fields["policy"],
        token=fields.get("x-amz-security-token", ""),
    )


def _refused(why: str) -> S3Error:
    return S3Error("InvalidArgument", why)


def prove(claim: Claim, secret: str, *, now: float, region: str | None) -> bool:
    """Whether the claim's signature is the one that this secret makes of the policy (V4: of that day and region).

    Raises AccessDenied for a V4 date that is more than a week ago, or not yet, and InvalidArgument for a region that is
    not ``region`` (None takes any). What else limits its life is in the policy.
    """
    if claim.scheme == "v2":
        return signature_v4.same(signature_v2.sign(secret, claim.payload), claim.signature)
    if now > claim.time + LONGEST_LIFE:
        raise expired()
    if claim.time - now > signature_v4.LARGEST_SKEW:
        raise S3Error(
            "AccessDenied",
            "Request is not yet valid",
            fields={"X-Amz-Date": claim.stamp, "ServerTime": canonical.iso_extended(now)},
            cause=f"clock: the form was signed {claim.time - now:.0f} s ahead of our time",
        )
    if region is not None and claim.region != region:
        raise _credential_refused(claim, f'the region "{claim.region}" is wrong; expecting "{region}"')
    key = signature_v4.signing_key(secret, claim.day, claim.region)
    return signature_v4.same(signature_v4.sign(key, claim.payload), claim.signature)


def check_day(claim: Claim) -> None:
    """S3's answer to a scope of another day than that of x-amz-date; to be asked when the key is known."""
    if why := signature_v4.wrong_day(claim):
        raise _credential_refused(claim, why)


def _credential_refused(claim: Claim, why: str) -> S3Error:
    scope = f"{claim.access_key}/{claim.day}/{claim.region}/{signature_v4.SERVICE}/{signature_v4.TERMINAL}"
    return bad_argument("x-amz-credential", scope, why)


def mismatch_fields(claim: Claim) -> dict[str, str]:
    """What S3 tells a client whose signature is wrong."""
    return {
        "AWSAccessKeyId": claim.access_key,
        "StringToSign": claim.payload,
        "SignatureProvided": claim.signature,
        "StringToSignBytes": canonical.octets(claim.payload).hex(" "),
    }
