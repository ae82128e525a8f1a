"""AWS Signature Version 4: what it covers, what it should be, and whether it is.

Source: "Authenticating Requests: Using the Authorization Header" and "... Using Query Parameters", S3 API Reference.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from functools import lru_cache

from gateway.errors import S3Error
from gateway.model import Call
from gateway.model.record import record
from gateway.wire import canonical
from gateway.wire.claim import ChunkChain, Claim

ALGORITHM = "AWS4-HMAC-SHA256"
SERVICE = "s3"
TERMINAL = "aws4_request"
LARGEST_SKEW = 900.0  # seconds, either way

_VISIBLE = re.compile(r"[!-~]*")


@record(frozen=True, slots=True)
class Signed:
    """Everything that a V4 signature covers. ``headers``: (name, value) pairs in the order of SignedHeaders."""

    method: str
    path: str
    query: str
    headers: tuple[tuple[str, str], ...]
    payload: str
    stamp: str
    day: str
    region: str
    service: str = SERVICE

    @property
    def scope(self) -> str:
        return f"{self.day}/{self.region}/{self.service}/{TERMINAL}"

    def canonical_request(self) -> str:
        lines = "".join([f"{name}:{value}\n" for name, value in self.headers])
        names = ";".join([name for name, _ in self.headers])
        return f"{self.method}\n{self.path}\n{self.query}\n{lines}\n{names}\n{self.payload}"

    def string_to_sign(self, canonical_request: str) -> str:
        digest = hashlib.sha256(canonical.octets(canonical_request)).hexdigest()
        return f"{ALGORITHM}\n{self.stamp}\n{self.scope}\n{digest}"

    def signature(self, secret: str) -> str:
        key = signing_key(secret, self.day, self.region, self.service)
        return sign(key, self.string_to_sign(self.canonical_request()))


@lru_cache(maxsize=256)
def signing_key(secret: str, day: str, region: str, service: str = SERVICE) -> bytes:
    """The key of one day, region and service."""
    key = b"AWS4" + canonical.octets(secret)
    for word in (day, region, service, TERMINAL):
        key = hmac.digest(key, canonical.octets(word), "sha256")
    return key


def sign(key: bytes, text: str) -> str:
    """The signature of a string to sign, in lower-case hex."""
    return hmac.digest(key, canonical.octets(text), "sha256").hex()


def same(expected: str, given: str) -> bool:
    """Whether two signatures are equal, in a time that does not tell where they differ."""
    return hmac.compare_digest(canonical.octets(expected), canonical.octets(given))


def signed_of(call: Call, claim: Claim) -> Signed:
    """What the client's signature covers, as far as the call that reached us shows it."""
    headers = call.headers
    value = canonical.header_value
    return Signed(
        method=call.method,
        path=canonical.path(call.path),
        query=claim.query,
        headers=tuple([(name, value(headers.get(name, ""))) for name in claim.signed_headers]),
        payload=claim.payload,
        stamp=claim.stamp,
        day=claim.day,
        region=claim.region,
    )


def check_time(claim: Claim, now: float) -> None:
    """RequestTimeTooSkewed for a header, AccessDenied for a URL before or after its life."""
    if claim.expires is None:
        if abs(now - claim.time) > LARGEST_SKEW:
            raise too_skewed(claim.time, now)
        return
    if claim.time - now > LARGEST_SKEW:
        raise S3Error(
            "AccessDenied",
            "Request is not yet valid",
            fields={"X-Amz-Date": claim.stamp, "ServerTime": canonical.iso_extended(now)},
            cause=f"clock: the URL was signed {claim.time - now:.0f} s ahead of our time",
        )
    if now > claim.time + claim.expires:
        raise S3Error(
            "AccessDenied",
            "Request has expired",
            fields={
                "X-Amz-Expires": str(claim.expires),
                "Expires": canonical.iso_extended(claim.time + claim.expires),
                "ServerTime": canonical.iso_extended(now),
            },
            cause=f"the URL expired {now - claim.time - claim.expires:.0f} s ago",
        )


def too_skewed(time: float, now: float) -> S3Error:
    """S3's answer to a clock that is more than 15 minutes off."""
    side = "behind" if time < now else "ahead of"
    return S3Error(
        "RequestTimeTooSkewed",
        fields={
            "RequestTime": canonical.iso_basic(time),
            "ServerTime": canonical.iso_extended(now),
            "MaxAllowedSkewMilliseconds": str(int(LARGEST_SKEW * 1000)),
        },
        cause=f"clock: the client's clock is {abs(now - time):.0f} s {side} ours",
    )


def wrong_day(claim: Claim) -> str:
    """What is wrong with a scope of another day than that of X-Amz-Date; "" where they agree."""
    if claim.day == claim.stamp[:8]:
        return ""
    return f'Invalid credential date "{claim.day}". This date is not the same as X-Amz-Date: "{claim.stamp[:8]}".'


def check_day(claim: Claim) -> None:
    """S3's answer to a wrong day. It comes after those to a clock that is off and to an unknown key, as S3 gives
    them."""
    why = wrong_day(claim)
    if not why:
        return
    if claim.place == "header":
        raise S3Error("AuthorizationHeaderMalformed", f"The authorization header is malformed; {why}")
    raise S3Error("AuthorizationQueryParametersError", why)


def check_region(claim: Claim, region: str) -> None:
    """S3's answer to a scope of another region; the Region element tells the SDKs where to sign for."""
    if claim.region == region:
        return
    why = f"the region '{claim.region}' is wrong; expecting '{region}'"
    cause = f"region: the client signs for {claim.region!r}, this server is {region!r} and strict"
    if claim.place == "header":
        message = f"The authorization header is malformed; {why}"
        raise S3Error("AuthorizationHeaderMalformed", message, fields={"Region": region}, cause=cause)
    message = f"Error parsing the X-Amz-Credential parameter; {why}"
    raise S3Error("AuthorizationQueryParametersError", message, fields={"Region": region}, cause=cause)


def check_coverage(call: Call, claim: Claim) -> None:
    """AccessDenied for a header that changes the meaning of the request and is not signed."""
    signed = claim.signed_headers
    loose = [
        name
        for name in call.headers
        if name not in signed
        and ((name.startswith("x-amz-") and name != "x-amz-content-sha256") or name == "host" or name == "content-md5")
    ]
    if "host" not in signed and "host" not in loose:
        loose.append("host")
    if loose:
        names = ", ".join(sorted(loose))
        raise S3Error(
            "AccessDenied",
            "There were headers present in the request which were not signed",
            fields={"HeadersNotSigned": names},
            cause=f"header added: {names} came unsigned; the client left it out, or a proxy added it",
        )


def matches(call: Call, claim: Claim, signed: Signed, key: bytes) -> bool:
    """Whether the claim's signature is the one that this key makes of the call."""
    if not same(sign(key, signed.string_to_sign(signed.canonical_request())), claim.signature):
        if signed.path == call.path or not _VISIBLE.fullmatch(call.path):
            return False
        # Some signers sign the path as they send it. It names the same key, so nothing is lost by taking it.
        raw = Signed(
            signed.method,
            call.path,
            signed.query,
            signed.headers,
            signed.payload,
            signed.stamp,
            signed.day,
            signed.region,
        )
        if not same(sign(key, raw.string_to_sign(raw.canonical_request())), claim.signature):
            return False
    # A signed header that did not arrive is read as empty above; it must have arrived.
    return all(name in call.headers for name in claim.signed_headers)


def chain_of(claim: Claim, signed: Signed, key: bytes) -> ChunkChain:
    """The start of the chain of chunk signatures."""
    return ChunkChain(claim.access_key, key, claim.stamp, signed.scope, claim.signature)


def mismatch_fields(claim: Claim, signed: Signed) -> dict[str, str]:
    """What S3 tells a client whose signature is wrong: the strings we signed (they only echo the request)."""
    request = signed.canonical_request()
    text = signed.string_to_sign(request)
    return {
        "AWSAccessKeyId": claim.access_key,
        "StringToSign": text,
        "SignatureProvided": claim.signature,
        "StringToSignBytes": canonical.octets(text).hex(" "),
        "CanonicalRequest": request,
        "CanonicalRequestBytes": canonical.octets(request).hex(" "),
    }
