"""What lies beside a blob, sealed: enough to know which object it belongs to if the catalogue is ever lost."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping

from gateway.model import NOTHING, Bucket, Capabilities, Content
from gateway.operations.gateway import Gateway

PURPOSE = b"manifest"


def seal_manifest(
    gateway: Gateway, bucket: Bucket, key: bytes, content: Content, capabilities: Capabilities
) -> Mapping[str, str]:
    """The one metadata pair that put and createMPU carry; shorter, or nothing, where the backend keeps less."""
    facts: dict[str, object] = {"bucket": bucket.name, "key": key.decode(), "at": round(gateway.clock(), 3)}
    described = {**facts, "headers": dict(content.headers), "metadata": dict(content.metadata)}
    if content.storage_class != "STANDARD":
        described["class"] = content.storage_class
    limit = capabilities.metadata_size
    for candidate in (described, facts):
        plain = json.dumps(candidate, ensure_ascii=False, separators=(",", ":")).encode()
        sealed = base64.b64encode(gateway.seal.close(plain, PURPOSE)).decode()
        if limit is None or len("manifest") + len(sealed) <= limit:
            return {"manifest": sealed}
    return NOTHING
