"""From x-amz-content-sha256 and its companions to how a body must be read.

Source: "Signature Calculations ... Transferring Payload in Multiple Chunks" (with and without trailing headers), S3
API Reference.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from gateway.errors import S3Error
from gateway.model import Call
from gateway.wire.checksums import trailer_names
from gateway.wire.claim import ChunkChain, Payload

UNSIGNED = "UNSIGNED-PAYLOAD"
STREAMING_UNSIGNED_TRAILER = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
STREAMING_SIGNED = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
STREAMING_SIGNED_TRAILER = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"

_HEADER = "x-amz-content-sha256"
_WORDS = frozenset((UNSIGNED, STREAMING_UNSIGNED_TRAILER, STREAMING_SIGNED, STREAMING_SIGNED_TRAILER))
_HEX = re.compile(r"[0-9a-fA-F]{64}", re.ASCII)
_LENGTH = re.compile(r"[0-9]{1,18}", re.ASCII)
_EXPECTED = (
    "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, STREAMING-UNSIGNED-PAYLOAD-TRAILER, "
    "STREAMING-AWS4-HMAC-SHA256-PAYLOAD, STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER, "
    "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD, STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD-TRAILER "
    "or a valid sha256 value."
)


def check_word(word: str) -> None:
    """InvalidArgument unless it is a digest or one of the words we can prove (ECDSA streams are not)."""
    if word not in _WORDS and not _HEX.fullmatch(word):
        raise S3Error("InvalidArgument", _EXPECTED, fields={"ArgumentName": _HEADER, "ArgumentValue": word})


def anonymous_payload(call: Call) -> Payload:
    """How to read the body of a call that nobody signed. Raises S3Error as ``unchained_payload`` does."""
    word = call.headers.get(_HEADER, UNSIGNED)
    check_word(word)
    return unchained_payload(call.headers, word)


def unchained_payload(headers: Mapping[str, str], word: str) -> Payload:
    """How to read a body where no signature can start a chain: none at all, V2, or V4 in the query.

    Raises InvalidArgument for signed chunks, and S3Error as ``payload_of`` does.
    """
    if word in (STREAMING_SIGNED, STREAMING_SIGNED_TRAILER):
        raise S3Error(
            "InvalidArgument",
            "Signed chunks need a Signature Version 4 in the Authorization header.",
            fields={"ArgumentName": _HEADER, "ArgumentValue": word},
        )
    return payload_of(headers, word, None)


def payload_of(headers: Mapping[str, str], word: str, chain: ChunkChain | None) -> Payload:
    """How to read a body whose payload line is ``word`` (already checked). ``chain`` seeds signed chunks.

    Raises MissingContentLength or InvalidArgument for x-amz-decoded-content-length, MalformedTrailerError for
    trailers that are announced where none can come, or missing where one must.
    """
    trailers = trailer_names(headers) if "x-amz-trailer" in headers else ()
    if word == UNSIGNED or not word.startswith("STREAMING-"):
        if trailers:
            raise S3Error("MalformedTrailerError")
        return Payload() if word == UNSIGNED else Payload(sha256=word.lower())
    trailer_signed = word == STREAMING_SIGNED_TRAILER
    if bool(trailers) != trailer_signed and word != STREAMING_UNSIGNED_TRAILER:
        raise S3Error("MalformedTrailerError")
    return Payload(
        framed=True,
        decoded_length=_decoded_length(headers),
        chain=chain if word != STREAMING_UNSIGNED_TRAILER else None,
        trailers=trailers,
        trailer_signed=trailer_signed,
    )


def _decoded_length(headers: Mapping[str, str]) -> int:
    text = headers.get("x-amz-decoded-content-length", "")
    if not text:
        raise S3Error("MissingContentLength")
    if not _LENGTH.fullmatch(text):
        raise S3Error(
            "InvalidArgument",
            fields={"ArgumentName": "x-amz-decoded-content-length", "ArgumentValue": text},
        )
    return int(text)


def refuse_unsigned(call: Call, payload: Payload) -> None:
    """InvalidRequest for a write whose bytes nothing protects on their way: plain HTTP, no digest, no signature."""
    protected = call.secure or payload.sha256 is not None or payload.chain is not None
    if not protected and call.method in ("PUT", "POST"):
        raise S3Error("InvalidRequest", "This service accepts an unsigned payload over HTTPS only.")
