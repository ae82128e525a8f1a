"""What Amazon's error documents tell besides S3's grammar: the bucket's region, and what an operator can mend.

(docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html)
"""

from __future__ import annotations

import re

from gateway.api import BackendDenied, BackendDown, BackendError, BackendUnfit, Refusal, judge_s3_grammar, read_xml

FIXES = {
    "InvalidAccessKeyId": "write an access key of this service",
    "SignatureDoesNotMatch": "write the secret that belongs to this access key",
    "AccessDenied": "let this access key list the bucket, and read, write and delete in it",
    "RequestTimeTooSkewed": "set this machine's clock: it is more than 15 minutes off",
}
_REGION = re.compile(r"[a-z0-9-]{1,40}")  # it becomes a part of a host name


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
    """Amazon's own codes first, then what every service of the grammar means."""
    code, region = _told(refusal)
    if (refusal.status in (301, 307) or code == "AuthorizationHeaderMalformed") and _REGION.fullmatch(region):
        return OtherRegion(f"{refusal} (the bucket is in {region})", region)
    fault = judge_s3_grammar(refusal)
    if isinstance(fault, BackendUnfit):
        return BackendUnfit(str(fault), key="s3.bucket", fix=fault.fix)
    return Denied(str(fault), code) if isinstance(fault, BackendDenied) else fault


def _told(refusal: Refusal) -> tuple[str, str]:
    """The code and the region, each empty where it is not told."""
    code = region = ""
    if refusal.content.lstrip().startswith(b"<"):
        try:
            document = read_xml(refusal.content)
            code, region = document.findtext("Code") or "", document.findtext("Region") or ""
        except BackendDown:
            pass  # a page of some proxy
    return code, refusal.headers.get("x-amz-bucket-region", "") or region
