# mypy: disable-error-code="empty-body"
"""The ten hooks between the gateway and a storage, and the promises that both sides keep.

The core promises: sizes are true, else the body raises; the last chunk of a body is given only after everything about
it was verified; every body is closed; opaque names match ``[a-z0-9]{1,40}(/[a-z0-9]{1,40}){0,2}``, are at most 80
characters, never used again, and none is a directory of another.

The backend promises: all or nothing; an exception from a body comes out unchanged and leaves nothing; a cancelled put
waits for its thread and tells the truth; ``get`` reads ahead at most 4 MiB; after ``put`` or ``completeMPU`` returned,
the blob survives power loss. Hooks await Deferreds or coroutines of them, never asyncio.

A backend implements all four MPU hooks or none; for those that have none, ``parts.py`` keeps one blob per part.
"""

from __future__ import annotations

from collections.abc import Awaitable

import pluggy

from gateway import model

PROJECT = "gateway"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)

MPU_HOOKS = ("createMPU", "uploadPart", "completeMPU", "abortMPU")
HOOKS = ("put", "get", "delete", "head", "list", "healthcheck", *MPU_HOOKS)


class Hooks:
    """What a backend plugin implements: methods of these names, marked with ``hookimpl``, each ``async``."""

    @hookspec(firstresult=True)
    def put(self, request: model.PutRequest) -> Awaitable[model.PutResult]:
        """Keep a blob. Raises BlobExists (``if_absent``), BackendFull, BackendBusy, BackendDown, BackendDenied."""

    @hookspec(firstresult=True)
    def get(self, request: model.GetRequest) -> Awaitable[model.GetResult]:
        """Open a range of a blob. Raises BlobMissing, BlobChanged (``expect``), and the storage's errors."""

    @hookspec(firstresult=True)
    def delete(self, request: model.DeleteRequest) -> Awaitable[model.DeleteResult]:
        """Forget a blob; deleting a missing one is fine. Raises BlobChanged (``expect``)."""

    @hookspec(firstresult=True)
    def head(self, request: model.HeadRequest) -> Awaitable[model.HeadResult]:
        """Size, fingerprint and the metadata given at put. Raises BlobMissing."""

    @hookspec(firstresult=True)
    def list(self, request: model.ListRequest) -> Awaitable[model.ListResult]:
        """A page of names in byte order. Uploads that are not complete do not show."""

    @hookspec(firstresult=True)
    def healthcheck(self, request: model.HealthcheckRequest) -> Awaitable[model.HealthcheckResult]:
        """Write, read and delete the probe; raise what would stop a put, a get or a delete.

        A probe that fails may leave the blob: whoever asked gives the same name again, or deletes it.
        """

    @hookspec(firstresult=True)
    def createMPU(self, request: model.CreateMPURequest) -> Awaitable[model.CreateMPUResult]:
        """Begin a multipart upload."""

    @hookspec(firstresult=True)
    def uploadPart(self, request: model.UploadPartRequest) -> Awaitable[model.UploadPartResult]:
        """Keep one part, with the promises of put. Raises BlobMissing where the upload is gone."""

    @hookspec(firstresult=True)
    def completeMPU(self, request: model.CompleteMPURequest) -> Awaitable[model.CompleteMPUResult]:
        """Join the chosen parts; idempotent. Raises BlobMissing where the upload or a part is gone."""

    @hookspec(firstresult=True)
    def abortMPU(self, request: model.AbortMPURequest) -> Awaitable[model.AbortMPUResult]:
        """End open uploads and free their parts; fine where there is none."""
