"""What an error document in S3's grammar means. (docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html)"""

from __future__ import annotations

from gateway.errors import BackendBusy, BackendDenied, BackendDown, BackendError, BackendFull, BackendUnfit, BlobMissing
from gateway.remote.documents import read_xml
from gateway.remote.replies import Refusal, judge, retry_after

_MISSING = frozenset({"NoSuchKey", "NoSuchUpload", "NoSuchVersion", "InvalidPart", "InvalidPartOrder"})
_BUSY = frozenset({"SlowDown", "ServiceUnavailable", "TooManyRequests", "RequestLimitExceeded", "ServerBusy"})
_FULL = frozenset({"QuotaExceeded", "InsufficientStorage", "StorageQuotaExceeded"})
_DENIED = frozenset({"AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "RequestTimeTooSkewed"})


def judge_s3_grammar(refusal: Refusal) -> BackendError:
    """The document's code decides; where there is none (HEAD has no document) the status does."""
    code = ""
    if refusal.content.lstrip().startswith(b"<"):
        try:
            code = read_xml(refusal.content).findtext("Code") or ""
        except BackendDown:  # a page of some proxy
            return judge(refusal)
    if code == "NoSuchBucket":
        return BackendUnfit(str(refusal), fix="make the bucket, or name another one")
    if code in _MISSING or (refusal.status == 404 and refusal.method == "HEAD"):
        return BlobMissing(str(refusal))
    if code in _BUSY:
        return BackendBusy(str(refusal), retry_after(refusal.headers))
    if code in _FULL:
        return BackendFull(str(refusal))
    if code in _DENIED:
        return BackendDenied(str(refusal))
    return judge(refusal)
