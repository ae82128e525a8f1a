"""What Swift's answers mean. (https://docs.openstack.org/api-ref/object-store/; 498 is its rate limit.)"""

from __future__ import annotations

import re
from typing import Any

from gateway.api import (
    BackendBusy,
    BackendDenied,
    BackendDown,
    BackendError,
    BlobChanged,
    BlobExists,
    BlobMissing,
    Refusal,
    Reply,
    judge,
    read_json,
    retry_after,
)


class TokenRefused(BackendDenied):
    """The token is not accepted: it ended early, or never had the rights."""


def etag(reply: Reply) -> str:
    """A segmented object's ETag is quoted, a plain one's is not, unless the operator wants it so."""
    found = reply.headers.get("etag", "").strip('"')
    if not found:
        raise BackendDown("the service answered without an ETag")
    return found


def outcome(reply: Reply, method: str) -> dict[str, Any]:
    """The document of a request that Swift answers before it is done; its true status stands in the document."""
    told = read_json(reply.content)
    status = str(told.get("Response Status", "")) if isinstance(told, dict) else ""
    if not re.match(r"[0-9]{3}", status):
        raise BackendDown("the service answered with something that is no result")
    if status[:3] not in ("200", "201"):
        raise judge_swift(Refusal(method, "", int(status[:3]), reply.headers, reply.content))
    return dict(told)


def judge_swift(refusal: Refusal) -> BackendError:
    """What Swift means."""
    status, method = refusal.status, refusal.method
    if status == 401:
        return TokenRefused(str(refusal))
    if status == 404 and method in ("GET", "HEAD") and refusal.path.count("/") > 1:  # not the container itself
        return BlobMissing(str(refusal))
    if status == 412:
        return BlobExists(str(refusal)) if method == "PUT" else BlobChanged(str(refusal))
    if status == 498:
        return BackendBusy(str(refusal), retry_after(refusal.headers))
    return judge(refusal)
