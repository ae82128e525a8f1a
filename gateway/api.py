"""The one door for plugin authors: everything a backend needs, and nothing else.

A backend is a class with declared ``settings`` (and ``secrets``, where it needs some), ``capabilities`` and the hooks
of ``Hooks`` as ``async def`` methods marked with ``hookimpl``. The entry-point group is ``gateway.backends``; the
entry point's name is the backend's type. ``gateway.testing.BackendContract`` tests it.
"""

from __future__ import annotations

from gateway.bodies import BytesBody, EmptyBody, StreamBody
from gateway.errors import (
    BackendBusy,
    BackendDenied,
    BackendDown,
    BackendError,
    BackendFull,
    BackendUnfit,
    BlobChanged,
    BlobExists,
    BlobMissing,
)
from gateway.model import (
    AbortMPURequest,
    AbortMPUResult,
    BlobSize,
    Body,
    Capabilities,
    ChosenPart,
    CompleteMPURequest,
    CompleteMPUResult,
    CreateMPURequest,
    CreateMPUResult,
    DeleteRequest,
    DeleteResult,
    GetRequest,
    GetResult,
    HeadRequest,
    HeadResult,
    HealthcheckRequest,
    HealthcheckResult,
    ListedBlob,
    ListRequest,
    ListResult,
    PutRequest,
    PutResult,
    Region,
    UploadPartRequest,
    UploadPartResult,
)
from gateway.plugins.hookspecs import Hooks, hookimpl
from gateway.settings import REQUIRED, Secret, Setting, Values

__all__ = [
    "REQUIRED",
    "AbortMPURequest",
    "AbortMPUResult",
    "BackendBusy",
    "BackendDenied",
    "BackendDown",
    "BackendError",
    "BackendFull",
    "BackendUnfit",
    "BlobChanged",
    "BlobExists",
    "BlobMissing",
    "BlobSize",
    "Body",
    "BytesBody",
    "Capabilities",
    "ChosenPart",
    "CompleteMPURequest",
    "CompleteMPUResult",
    "CreateMPURequest",
    "CreateMPUResult",
    "DeleteRequest",
    "DeleteResult",
    "EmptyBody",
    "GetRequest",
    "GetResult",
    "HeadRequest",
    "HeadResult",
    "HealthcheckRequest",
    "HealthcheckResult",
    "Hooks",
    "ListRequest",
    "ListResult",
    "ListedBlob",
    "PutRequest",
    "PutResult",
    "Region",
    "Secret",
    "Setting",
    "StreamBody",
    "UploadPartRequest",
    "UploadPartResult",
    "Values",
    "hookimpl",
]
