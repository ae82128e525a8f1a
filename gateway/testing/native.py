"""A memory backend that joins parts itself: for tests of what a location does with native multipart uploads."""

from __future__ import annotations

import secrets

from gateway import model
from gateway.bodies import BytesBody, contents
from gateway.errors import BlobMissing
from gateway.plugins.hookspecs import hookimpl
from gateway.plugins.memory import MemoryBackend
from gateway.settings import Values


class NativeMemory(MemoryBackend):
    """A completed upload is one blob, under the name that createMPU was given."""

    def __init__(self, values: Values) -> None:
        super().__init__(values)
        self._parts = MemoryBackend(values)
        self._open: dict[str, model.CreateMPURequest] = {}
        self._joined: dict[str, tuple[model.CompleteMPURequest, model.CompleteMPUResult]] = {}

    @hookimpl
    async def createMPU(self, request: model.CreateMPURequest) -> model.CreateMPUResult:
        token = secrets.token_hex(8)
        self._open[token] = request
        return model.CreateMPUResult(token)

    @hookimpl
    async def uploadPart(self, request: model.UploadPartRequest) -> model.UploadPartResult:
        self._check_open(request.name, request.token)
        receipt = f"{request.token}/{request.number}/{secrets.token_hex(8)}"
        await self._parts.put(model.PutRequest(name=receipt, body=request.body, size=request.size))
        try:
            self._check_open(request.name, request.token)  # it may have ended while the body came
        except BlobMissing:
            await self._parts.delete(model.DeleteRequest(name=receipt))
            raise
        return model.UploadPartResult(receipt)

    @hookimpl
    async def completeMPU(self, request: model.CompleteMPURequest) -> model.CompleteMPUResult:
        if request.token in self._joined:
            asked, answer = self._joined[request.token]
            if asked.parts != request.parts:
                raise BlobMissing(f"{request.token} was completed with other parts")
            return answer
        upload = self._check_open(request.name, request.token)
        joined = bytearray()
        for part in request.parts:
            data = await contents(await self._parts.get(model.GetRequest(name=part.receipt)))
            if len(data) != part.size or not part.receipt.startswith(f"{request.token}/{part.number}/"):
                raise BlobMissing(f"part {part.number} is not the one that was chosen")
            joined += data
        put = await self.put(
            model.PutRequest(
                name=request.name,
                body=BytesBody(joined),
                size=len(joined),
                if_absent=request.if_absent,
                metadata=upload.metadata,
            )
        )
        result = model.CompleteMPUResult(put.fingerprint, (model.BlobSize(request.name, len(joined)),))
        self._joined[request.token] = (request, result)
        await self._end(request.token)
        return result

    @hookimpl
    async def abortMPU(self, request: model.AbortMPURequest) -> model.AbortMPUResult:
        for token, upload in list(self._open.items()):
            if upload.name == request.name and request.token in (None, token):
                await self._end(token)
        return model.AbortMPUResult()

    def _check_open(self, name: str, token: str) -> model.CreateMPURequest:
        upload = self._open.get(token)
        if upload is None or upload.name != name:
            raise BlobMissing(f"the upload {token} of {name} is not open")
        return upload

    async def _end(self, token: str) -> None:
        self._open.pop(token, None)
        left = await self._parts.list(model.ListRequest(prefix=f"{token}/", limit=100_000))
        for blob in left.blobs:
            await self._parts.delete(model.DeleteRequest(name=blob.name))
