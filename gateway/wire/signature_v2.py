"""AWS Signature Version 2 in the Authorization header and in the query, for old clients, where it is enabled.

Source: "Signing and Authenticating REST Requests" (S3 API Reference, Signature Version 2).
"""

from __future__ import annotations

import base64
import hmac
import re
from urllib.parse import unquote_to_bytes

from gateway.errors import S3Error
from gateway.model import Call
from gateway.wire import canonical
from gateway.wire.claim import Claim
from gateway.wire.signature_payload import check_word
from gateway.wire.signature_v4 import LARGEST_SKEW, same, too_skewed

# The parameters that a V2 signature covers ...
SUB_RESOURCES = frozenset(
    "accelerate acl analytics cors delete inventory lifecycle location logging metrics notification object-lock "
    "partNumber policy replication requestPayment response-cache-control response-content-disposition "
    "response-content-encoding response-content-language response-content-type response-expires restore select "
    "select-type storageClass tagging torrent uploadId uploads versionId versioning versions website".split()
)
# ... and those that it leaves open, which only choose a page or its form. Any other would change what is done
# without being signed.
_OPEN = frozenset(
    "AWSAccessKeyId Expires Signature bucket-region continuation-token delimiter encoding-type fetch-owner "
    "key-marker list-type marker max-buckets max-keys max-parts max-uploads part-number-marker prefix start-after "
    "upload-id-marker version-id-marker x-id".split()
)
_EPOCH = re.compile(r"[0-9]{1,18}", re.ASCII)
_LAST_EPOCH = 2**31  # S3 takes no later one


def attempts_query(pairs: list[tuple[str, str]]) -> bool:
    """Whether a query holds any sign of V2 authentication."""
    return any(name in ("AWSAccessKeyId", "Signature") for name, _ in pairs)


def from_header(call: Call, credentials: str) -> Claim:
    """Parse what follows ``AWS`` in the Authorization header: ``access-key:signature``."""
    access_key, _, signature = credentials.partition(":")
    if not access_key or not signature or ":" in signature:
        raise S3Error(
            "InvalidArgument",
            "AWS authorization header is invalid.  Expected AwsAccessKeyId:signature",
            fields={"ArgumentName": "Authorization", "ArgumentValue": f"AWS {credentials}"},
        )
    headers = call.headers
    text = headers.get("x-amz-date", headers.get("date", ""))
    time = canonical.http_time(text)
    time = canonical.iso_time(text) if time is None else time
    if time is None:
        raise S3Error("AccessDenied", "AWS authentication requires a valid Date or x-amz-date header")
    return Claim(
        access_key=access_key,
        scheme="v2",
        place="header",
        signature=signature,
        time=time,
        stamp="" if "x-amz-date" in headers else text,
        payload=_payload(call),
        token=headers.get("x-amz-security-token", ""),
    )


def from_query(call: Call) -> Claim:
    """Parse ``AWSAccessKeyId``, ``Expires`` and ``Signature``, each once."""
    words: dict[str, str] = {}
    for name, value in _pairs(call.query):
        if name in ("AWSAccessKeyId", "Expires", "Signature"):
            if name in words:
                raise S3Error("InvalidArgument", f"The query parameter {name} must be given once.")
            words[name] = value or ""
    if not all(words.get(name) for name in ("AWSAccessKeyId", "Expires", "Signature")):
        raise S3Error(
            "AccessDenied",
            "Query-string authentication requires the Signature, Expires and AWSAccessKeyId parameters",
        )
    expires = words["Expires"]
    if not _EPOCH.fullmatch(expires) or int(expires) >= _LAST_EPOCH:
        raise S3Error("AccessDenied", f"Invalid date (should be seconds since epoch): {expires}")
    return Claim(
        access_key=words["AWSAccessKeyId"],
        scheme="v2",
        place="query",
        signature=words["Signature"],
        stamp=expires,
        expires=int(expires),
        payload=_payload(call),
        token=call.headers.get("x-amz-security-token", ""),
    )


def _payload(call: Call) -> str:
    word = call.headers.get("x-amz-content-sha256", "")
    if word:
        check_word(word)
    return word


def _pairs(raw: str) -> list[tuple[str, str | None]]:
    """The decoded (name, value) pairs of a raw query; None where there is no "=". V2 signs "+" as it is."""
    pairs: list[tuple[str, str | None]] = []
    for piece in raw.split("&"):
        name, equals, value = piece.partition("=")
        pairs.append((_decoded(name), _decoded(value) if equals else None))
    return pairs


def _decoded(text: str) -> str:
    if "%" not in text:
        return text
    try:
        return unquote_to_bytes(canonical.octets(text)).decode("utf-8")
    except UnicodeDecodeError:
        raise S3Error("InvalidURI") from None


def check_time(claim: Claim, now: float) -> None:
    """RequestTimeTooSkewed for a header, AccessDenied for a URL after its end."""
    if claim.expires is None:
        if abs(now - claim.time) > LARGEST_SKEW:
            raise too_skewed(claim.time, now)
    elif now > claim.expires:
        raise S3Error(
            "AccessDenied",
            "Request has expired",
            fields={"Expires": canonical.iso_extended(claim.expires), "ServerTime": canonical.iso_extended(now)},
            cause=f"the URL expired {now - claim.expires:.0f} s ago",
        )


def check_coverage(call: Call) -> None:
    """InvalidRequest for a parameter that V2 would not sign and that might change what is done."""
    for name, _ in _pairs(call.query):
        if name and name not in SUB_RESOURCES and name not in _OPEN:
            raise S3Error(
                "InvalidRequest",
                f"Signature Version 2 does not cover the parameter {name}. Please use AWS4-HMAC-SHA256.",
            )


def string_to_sign(call: Call, claim: Claim, bucket_in_host: str, path: str | None = None) -> str:
    """What V2 signs. ``bucket_in_host``: the bucket that the Host names, "" in path style."""
    headers = call.headers
    amz = "".join([f"{name}:{headers[name]}\n" for name in sorted(headers) if name.startswith("x-amz-")])
    resource = (f"/{bucket_in_host}" if bucket_in_host else "") + (call.path if path is None else path)
    signed = sorted((name, value or "") for name, value in _pairs(call.query) if name in SUB_RESOURCES)
    if signed:
        resource += "?" + "&".join([f"{name}={value}" if value else name for name, value in signed])
    md5, kind = headers.get("content-md5", ""), headers.get("content-type", "")
    return f"{call.method}\n{md5}\n{kind}\n{claim.stamp}\n{amz}{resource}"


def sign(secret: str, text: str) -> str:
    """The V2 signature of a string to sign: base64 of its HMAC-SHA1."""
    return base64.b64encode(hmac.digest(canonical.octets(secret), canonical.octets(text), "sha1")).decode("ascii")


def matches(call: Call, claim: Claim, secret: str, bucket_in_host: str) -> bool:
    """Whether the claim's signature is the one that this secret makes of the call."""
    if same(sign(secret, string_to_sign(call, claim, bucket_in_host)), claim.signature):
        return True
    if bucket_in_host or "/" in call.path[1:] or call.path == "/":
        return False
    # boto signs "/bucket/" for a bucket that it asks for as "/bucket"; both name the same bucket.
    return same(sign(secret, string_to_sign(call, claim, "", call.path + "/")), claim.signature)


def mismatch_fields(call: Call, claim: Claim, bucket_in_host: str) -> dict[str, str]:
    """What S3 tells a client whose signature is wrong."""
    text = string_to_sign(call, claim, bucket_in_host)
    return {
        "AWSAccessKeyId": claim.access_key,
        "StringToSign": text,
        "SignatureProvided": claim.signature,
        "StringToSignBytes": canonical.octets(text).hex(" "),
    }
