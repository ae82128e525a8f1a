"""A small XML body, read whole and proved before anything in it counts."""

from __future__ import annotations

from gateway.errors import S3Error
from gateway.streams import Intake, read_all
from gateway.verifier import VerifiedCall

LARGEST_DOCUMENT = 1024**2
LARGEST_LIST = 10 * 1024**2  # 10,000 parts with their checksums, or 1,000 keys of 1,024 bytes in escaped form

_LISTS = ("CompleteMultipartUpload", "DeleteObjects")


async def read_xml(call: VerifiedCall, *, digest_required: bool = False) -> bytes:
    """The body, with its signature, digests and length proved.

    ``digest_required``: S3 refuses this one without Content-MD5 or a checksum.
    """
    limit = LARGEST_LIST if call.route.operation in _LISTS else LARGEST_DOCUMENT
    intake = Intake(call.call.body, call.route.headers, call.payload, limit=limit, too_large="MaxMessageLengthExceeded")
    if digest_required and not intake.has_promise:
        raise S3Error("InvalidRequest", "Missing required header for this request: Content-MD5 OR x-amz-checksum-*")
    try:
        return await read_all(intake)
    finally:
        intake.close()
