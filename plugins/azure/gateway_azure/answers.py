"""What the blob service's answers mean. https://learn.microsoft.com/rest/api/storageservices/blob-service-error-codes"""

from __future__ import annotations

import re
from dataclasses import replace
from email.utils import parsedate_to_datetime
from urllib.parse import unquote
from xml.etree.ElementTree import Element

from gateway.api import (
    BackendBusy,
    BackendDenied,
    BackendDown,
    BackendError,
    BackendUnfit,
    BlobChanged,
    BlobExists,
    BlobMissing,
    ListedBlob,
    Refusal,
    Reply,
    judge,
    retry_after,
)

_CODES: dict[str, type[BackendError]] = {
    "BlobAlreadyExists": BlobExists,
    "BlobNotFound": BlobMissing,
    "ResourceNotFound": BlobMissing,
    "InvalidBlockList": BlobMissing,  # a block that was never sent, or was thrown away
    "ConditionNotMet": BlobChanged,
    "LeaseIdMissing": BackendDenied,
    "SnapshotsPresent": BackendDenied,
    "BlobImmutableDueToPolicy": BackendDenied,
}
_REASONS = {
    "AuthenticationFailed": "the account key or the SAS is wrong or has expired, or this machine's clock is wrong",
    "AuthorizationFailure": "the account key or the SAS is wrong, or the account's firewall keeps this machine out",
    "AuthorizationPermissionMismatch": "the SAS lacks a right: read, create, write, delete and list are needed",
    "AuthorizationProtocolMismatch": "the SAS is for https only",
    "AuthorizationSourceIPMismatch": "the SAS is for another address than this machine's",
    "LeaseIdMissing": "somebody holds a lease on the blob",
    "SnapshotsPresent": "the blob has snapshots: delete them first",
}


def judged(refusal: Refusal) -> BackendError:
    """The error that a refusal means; its code is in a header, for HEAD has no document."""
    code = refusal.headers.get("x-ms-error-code", "")
    said = f"{refusal.method} {refusal.path}: {refusal.status} {code}"
    told = (f"{said}: {_REASONS[code]}" if code in _REASONS else said) + refusal.clock
    if code in ("ContainerNotFound", "ContainerBeingDeleted", "ContainerDisabled"):
        return BackendUnfit(said, key="azure.container", fix="make the container, or name another one")
    if code in _CODES:
        return _CODES[code](told)
    if refusal.status == 404 and refusal.method == "HEAD" and not code:
        return BlobMissing(said)
    if refusal.status in (401, 403) and code:
        return BackendDenied(told)
    if code == "ServerBusy":
        return BackendBusy(said, retry_after(refusal.headers))
    # a redirect may repeat the query, and a SAS is in there
    headers = {**refusal.headers, "location": refusal.headers.get("location", "nowhere").partition("?")[0]}
    return judge(replace(refusal, headers=headers))


def fingerprint(reply: Reply) -> str:
    etag = reply.headers.get("etag", "").strip('"')
    if not etag:
        raise BackendDown("the service answered without an ETag")
    return etag


def blob_size(reply: Reply) -> int:
    """The size that a HEAD tells."""
    told = reply.headers.get("content-length", "")
    if not re.fullmatch(r"[0-9]{1,18}", told):
        raise BackendDown("the service answered without the blob's size")
    return int(told)


def modified(text: str | None) -> float | None:
    """Seconds since the epoch, of an HTTP date."""
    try:
        return parsedate_to_datetime(text or "").timestamp()
    except ValueError:
        return None


def listed(blob: Element, prefix: str) -> ListedBlob:
    """A row of List Blobs, whose name loses ``prefix``. Raises BackendDown where it makes no sense."""
    name, size = blob.findtext("Name"), blob.findtext("Properties/Content-Length")
    etag = (blob.findtext("Properties/Etag") or "").strip('"')
    if not name or not etag or size is None or not re.fullmatch(r"[0-9]{1,18}", size):
        raise BackendDown("the service listed a blob without name, ETag or size")
    if blob.find("Name[@Encoded='true']") is not None:
        name = unquote(name)
    return ListedBlob(name.removeprefix(prefix), int(size), etag, modified(blob.findtext("Properties/Last-Modified")))
