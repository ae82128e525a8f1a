"""CopyObject: inside a location a copy is one more row that refers to the same blobs."""

from __future__ import annotations

from gateway.model import Bucket
from gateway.operations.gateway import Operation

OPERATIONS: dict[str, Operation] = {}
