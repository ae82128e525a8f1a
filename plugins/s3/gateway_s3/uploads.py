"""The four multipart hooks, with S3's own multipart uploads.

A token is ``<16 hex digits>.<S3's upload id>``. The digits go with the object as metadata: S3 forgets an upload when it
is completed, and a completion whose answer was lost is recognised by them.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import AsyncIterator
from xml.sax.saxutils import escape

from gateway.api import (
    AbortMPURequest,
    AbortMPUResult,
    BackendDown,
    BlobExists,
    BlobMissing,
    BlobSize,
    CompleteMPURequest,
    CompleteMPUResult,
    CreateMPURequest,
    CreateMPUResult,
    Refusal,
    UploadPartRequest,
    UploadPartResult,
    hookimpl,
    read_xml,
)
from gateway_s3.bucket import UPLOAD, Bucket, etag
from gateway_s3.refusals import judge_s3

_TOKEN = re.compile(r"(?P<mark>[0-9a-f]{16})\.(?P<id>.+)", re.DOTALL)


class Uploads:
    """Multipart uploads into ``bucket``."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket

    @hookimpl
    async def createMPU(self, request: CreateMPURequest) -> CreateMPUResult:
        mark = secrets.token_hex(8)
        headers = {**self._bucket.described(request.metadata), UPLOAD: mark}
        reply = await self._bucket.ask("POST", request.name, {"uploads": ""}, headers, idempotent=False)
        upload = read_xml(reply.content).findtext("UploadId")
        if not upload:
            raise BackendDown("the service began an upload and does not say which")
        return CreateMPUResult(f"{mark}.{upload}")

    @hookimpl
    async def uploadPart(self, request: UploadPartRequest) -> UploadPartResult:
        params = {"partNumber": str(request.number), "uploadId": _split(request.token)[1]}
        reply = await self._bucket.ask("PUT", request.name, params, body=request.body)
        return UploadPartResult(etag(reply))

    @hookimpl
    async def completeMPU(self, request: CompleteMPURequest) -> CompleteMPUResult:
        mark, upload = _split(request.token)
        headers = {}
        if request.if_absent:
            headers["if-none-match"] = "*"
            await self._check_absent(request.name, mark)
        lost: BlobMissing | None = None
        try:
            reply = await self._bucket.ask(
                "POST", request.name, {"uploadId": upload}, headers, _part_list(request), expect=(200, 412)
            )
            if reply.status == 200:
                self._check_joined(request.name, reply.content)
        except BlobMissing as fault:  # perhaps because it was completed before
            lost = fault
        return await self._joined(request, mark, lost)

    async def _check_absent(self, name: str, mark: str) -> None:
        """Not every service knows If-None-Match here."""
        try:
            found = await self._bucket.head(name)
        except BlobMissing:
            return
        if found.upload != mark:
            raise BlobExists(name)

    def _check_joined(self, name: str, content: bytes) -> None:
        """S3 may answer 200 before it begins, and tell the failure in the document."""
        if read_xml(content).tag != "CompleteMultipartUploadResult":
            raise judge_s3(Refusal("POST", self._bucket.path(name), 500, {}, content))

    async def _joined(self, request: CompleteMPURequest, mark: str, lost: BlobMissing | None) -> CompleteMPUResult:
        """The blob is there, this upload made it, and it has the size of the chosen parts."""
        size = sum(part.size for part in request.parts)
        try:
            found = await self._bucket.head(request.name)
        except BlobMissing:
            raise lost or BackendDown(f"{request.name} was completed and is not there") from None
        if found.upload != mark and lost is None:
            raise BlobExists(request.name)
        if found.upload != mark or found.size != size:
            raise lost or BackendDown(f"{request.name} was joined to {found.size} bytes instead of {size}")
        return CompleteMPUResult(found.fingerprint, (BlobSize(request.name, size),))

    @hookimpl
    async def abortMPU(self, request: AbortMPURequest) -> AbortMPUResult:
        if request.token is not None:
            await self._abort(request.name, _split(request.token)[1])
        else:
            for upload in [upload async for upload in self._open(request.name)]:
                await self._abort(request.name, upload)
        return AbortMPUResult()

    async def _abort(self, name: str, upload: str) -> None:
        try:
            await self._bucket.ask("DELETE", name, {"uploadId": upload}, expect=(200, 204))
        except BlobMissing:
            return  # completed or aborted before

    async def _open(self, name: str) -> AsyncIterator[str]:
        """S3's ids of the uploads that are open under exactly this name."""
        key = self._bucket.prefix + name
        params: dict[str, str] | None = {"uploads": "", "prefix": key}
        while params is not None:
            reply = await self._bucket.service.ask("GET", f"/{self._bucket.name}", params=params)
            page = read_xml(reply.content)
            for upload in page.iter("Upload"):
                if upload.findtext("Key") == key:
                    yield upload.findtext("UploadId") or ""
            markers = (page.findtext("NextKeyMarker") or "", page.findtext("NextUploadIdMarker") or "")
            after = {"key-marker": markers[0], "upload-id-marker": markers[1]}
            more = page.findtext("IsTruncated") == "true" and markers[0] <= key and params != {**params, **after}
            params = {**params, **after} if more else None


def _split(token: str) -> tuple[str, str]:
    match = _TOKEN.fullmatch(token)
    if match is None:
        raise BlobMissing(f"{token[:100]!r} is no upload of ours")
    return match["mark"], match["id"]


def _part_list(request: CompleteMPURequest) -> bytes:
    parts = "".join(
        f'<Part><PartNumber>{part.number}</PartNumber><ETag>"{escape(part.receipt)}"</ETag></Part>'
        for part in request.parts
    )
    namespace = "http://s3.amazonaws.com/doc/2006-03-01/"
    return f'<CompleteMultipartUpload xmlns="{namespace}">{parts}</CompleteMultipartUpload>'.encode()
