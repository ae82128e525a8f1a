"""A small XML body, read whole and proved before anything in it counts."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto
from typing import TypeVar

from twisted.internet.threads import deferToThread

from gateway.errors import S3Error
from gateway.streams import Intake, read_all
from gateway.verifier import VerifiedCall

LARGEST_DOCUMENT = 1024**2
LARGEST_LIST = 10 * 1024**2  # 10,000 parts with their checksums, or 1,000 keys of 1,024 bytes in escaped form

_LONG = 64 * 1024  # parsing 10,000 parts takes a tenth of a second: a thread's work
Document = TypeVar("Document")


class Digest(Enum):
    """What the digest headers of a call with an XML body mean."""

    OPTIONAL = auto()
    REQUIRED = auto()  # S3 refuses the call without Content-MD5 or a checksum
    OF_THE_OBJECT = auto()  # x-amz-checksum-* is about the object that the call makes, not about the document


_LISTS = ("CompleteMultipartUpload", "DeleteObjects")


async def read_xml(
    call: VerifiedCall, parse: Callable[[bytes], Document], *, digest: Digest = Digest.OPTIONAL
) -> Document:
    """The document in the body, with its signature, digests and length proved first. Raises what ``parse`` raises."""
    limit = LARGEST_LIST if call.route.operation in _LISTS else LARGEST_DOCUMENT
    headers = call.route.headers
    if digest is Digest.OF_THE_OBJECT:
        headers = {name: value for name, value in headers.items() if not name.startswith("x-amz-checksum-")}
    intake = Intake(call.call.body, headers, call.payload, limit=limit, too_large="MaxMessageLengthExceeded")
    if digest is Digest.REQUIRED and not intake.has_promise:
        raise S3Error("InvalidRequest", "Missing required header for this request: Content-MD5 OR x-amz-checksum-*")
    try:
        body = await read_all(intake)
    finally:
        intake.close()
    if len(body) > _LONG:
        return await deferToThread(parse, body)
    return parse(body)
