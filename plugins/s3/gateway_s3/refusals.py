"""What S3's error codes mean to a gateway that keeps its blobs there.

(docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html, and what other servers of the protocol send.)
"""

from __future__ import annotations

import re

from gateway.api import (
    BackendBusy,
    BackendDenied,
    BackendDown,
    BackendError,
    BackendFull,
    BlobMissing,
    Refusal,
    judge,
    read_xml,
    retry_after,
)

MISSING = ("NoSuchKey", "NoSuchUpload", "NoSuchVersion", "InvalidPart", "InvalidPartOrder")
BUSY = ("SlowDown", "RequestLimitExceeded", "Throttling", "TooManyRequests", "ServiceUnavailable", "ServerBusy")
FULL = ("QuotaExceeded", "InsufficientStorage", "XMinioStorageFull", "StorageQuotaExceeded")
REGION = re.compile(r"[a-z0-9-]{1,40}")  # it becomes a part of a host name

FIXES = {
    "InvalidAccessKeyId": "write an access key of this service",
    "SignatureDoesNotMatch": "write the secret that belongs to this access key",
    "AccessDenied": "let this access key list the bucket, and read, write and delete in it",
    "RequestTimeTooSkewed": "set this machine's clock: it is more than 15 minutes off",
    "NoSuchBucket": "make the bucket, or write the name of one that exists",
}


class NoBucket(BackendDown):
    """The bucket is not there."""

    code = "NoSuchBucket"


class Denied(BackendDenied):
    """``code`` is S3's reason."""

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code


class OtherRegion(BackendDown):
    """The bucket lives in ``region``."""

    def __init__(self, message: str, region: str) -> None:
        super().__init__(message)
        self.region = region


def judge_s3(refusal: Refusal) -> BackendError:
    """The code decides where there is one (not in the answer to a HEAD), else the status."""
    code = region = ""
    if refusal.content.lstrip().startswith(b"<"):
        try:
            document = read_xml(refusal.content)
        except BackendDown:  # a proxy's page, perhaps
            return judge(refusal)
        code = document.findtext("Code") or ""
        region = document.findtext("Region") or ""
    region = refusal.headers.get("x-amz-bucket-region", "") or region
    if (refusal.status in (301, 307) or code == "AuthorizationHeaderMalformed") and REGION.fullmatch(region):
        return OtherRegion(f"{refusal} (the bucket is in {region})", region)
    if code == "NoSuchBucket":
        return NoBucket(str(refusal))
    if code in MISSING or (refusal.status == 404 and not code):
        return BlobMissing(str(refusal))
    if code in BUSY:
        return BackendBusy(str(refusal), retry_after(refusal.headers))
    if code in FULL:
        return BackendFull(str(refusal))
    if refusal.status in (401, 403) or code in FIXES:
        return Denied(str(refusal), code or "AccessDenied")
    return judge(refusal)
