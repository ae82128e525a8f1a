"""One bucket of a service that speaks S3's grammar, whatever its headers are called and however requests are signed.

The methods take and give the records of the hooks; a plugin marks them as its hooks. A token is
``<16 hex digits>.<the service's upload id>``: the digits go with the blob as metadata, so that a completion whose
answer was lost is recognised. (docs.aws.amazon.com/AmazonS3/latest/API)
"""

from __future__ import annotations

import re
import secrets
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from xml.etree.ElementTree import Element

from gateway import model
from gateway.bodies import BytesBody, EmptyBody, contents
from gateway.errors import BackendDown, BackendError, BackendUnfit, BlobChanged, BlobExists, BlobMissing
from gateway.model import NOTHING, Body
from gateway.remote.arrival import Arrivals, Sent
from gateway.remote.documents import read_xml
from gateway.remote.metadata import pack, unpack
from gateway.remote.ranges import whole_size
from gateway.remote.replies import Refusal, Reply
from gateway.remote.s3_refusals import judge_s3_grammar
from gateway.remote.s3_rows import listed, part_list, part_rows
from gateway.remote.service import Service

_LISTED = 1000  # the most that a page holds
_PROBE = 4096  # bytes
_TOKEN = re.compile(r"([0-9a-f]{16})\.(.+)", re.DOTALL)
_ERROR = re.compile(rb"\s*(<\?[^>]*>\s*)?<Error[\s>]")
_ETAG_OF_BYTES = re.compile("[0-9a-f]{32}")
_TYPE = {"content-type": "application/octet-stream"}


@dataclass(frozen=True, slots=True)
class S3Dialect:
    """``meta`` begins the names of metadata headers; ``create_only`` are the headers of a put that replaces nothing.

    ``look_first``: the service may ignore these, so ask for the blob before. ``complete_only`` are those of a Complete,
    where the service may know them. ``generation``: the header that tells a blob's generation, and the one that makes a
    delete depend on it. ``kept`` goes with every new object.
    """

    meta: str = "x-amz-meta-"
    create_only: tuple[str, str] = ("if-none-match", "*")
    look_first: bool = False
    complete_only: tuple[str, str] | None = None
    generation: tuple[str, str] | None = None
    kept: tuple[tuple[str, str], ...] = ()


class S3Objects:
    """The blobs whose keys begin with ``prefix`` in ``bucket``; ``refuses`` is as in Capabilities.

    Few services make a Complete depend on anything, so completeMPU looks first: elsewhere its ``if_absent`` has no one
    winner.
    """

    def __init__(
        self, service: Service, bucket: str, prefix: str, dialect: S3Dialect, refuses: Callable[[str], str | None]
    ) -> None:
        self._service = service
        self._refuses = refuses
        self._bucket = f"/{bucket}"
        self._prefix = prefix
        self._dialect = dialect
        self._mark = f"{dialect.meta}gwupload"
        self._arrivals = Arrivals()

    async def put(self, request: model.PutRequest) -> model.PutResult:
        headers = self._described(request.metadata)
        if request.if_absent:
            headers |= [self._dialect.create_only]
            if self._dialect.look_first and await self._find(request.name) is not None:
                raise BlobExists(request.name)
        sent = Sent(request.body)
        reply = await self._ask(
            "PUT",
            request.name,
            headers=headers,
            body=sent,
            expect=(200, 409, 412) if request.if_absent else (200,),
            idempotent=not request.if_absent,  # the second try would find what the first one made
        )
        if reply.status != 200:  # 409: several at once, and another one was first
            raise BlobExists(request.name)
        try:
            return model.PutResult(self._arrived(reply, request.name, sent))
        except BackendDown:
            with suppress(BackendError):
                await self.delete(model.DeleteRequest(name=request.name))
            raise

    async def get(self, request: model.GetRequest) -> model.GetResult:
        if request.length == 0:
            return await self._nothing(request)
        headers = {} if request.expect is None else {"if-match": f'"{request.expect}"'}
        if request.start or request.length is not None:
            last = "" if request.length is None else request.start + request.length - 1
            headers["range"] = f"bytes={request.start}-{last}"
        reply = await self._service.stream(self._path(request.name), headers=headers, expect=(200, 206, 412, 416))
        if reply.status == 416:
            reply.body.close()
            return await self._nothing(request)
        try:
            if reply.status == 412 or request.expect not in (None, fingerprint(reply)):  # not all know If-Match
                raise BlobChanged(request.name)
            return model.GetResult(whole_size(reply, request.start, request.length), fingerprint(reply), reply.body)
        except BaseException:
            reply.body.close()
            raise

    async def _nothing(self, request: model.GetRequest) -> model.GetResult:
        """A range without bytes, which HTTP cannot express."""
        found = await self.head(model.HeadRequest(name=request.name))
        if request.expect not in (None, found.fingerprint):
            raise BlobChanged(request.name)
        if request.length != 0 and request.start < found.size:
            raise BackendDown(f"{request.name}: the service gives none of the bytes from {request.start} on")
        return model.GetResult(found.size, found.fingerprint, EmptyBody())

    async def head(self, request: model.HeadRequest) -> model.HeadResult:
        reply = await self._ask("HEAD", request.name)
        metadata = unpack(reply.headers, self._dialect.meta)
        return model.HeadResult(_size(reply), fingerprint(reply), metadata, _modified(reply))

    async def delete(self, request: model.DeleteRequest) -> model.DeleteResult:
        headers = {}
        if request.expect is not None:
            found = await self._find(request.name)
            if found is None:
                return model.DeleteResult()
            if fingerprint(found) != request.expect:
                raise BlobChanged(request.name)
            if self._dialect.generation is not None:
                told, condition = self._dialect.generation
                headers[condition] = found.headers.get(told, "")
        try:
            reply = await self._ask("DELETE", request.name, headers=headers, expect=(200, 204, 412))
        except BlobMissing:
            return model.DeleteResult()
        if reply.status == 412:
            raise BlobChanged(request.name)
        return model.DeleteResult()

    async def list(self, request: model.ListRequest) -> model.ListResult:
        params = {"list-type": "2", "max-keys": str(min(request.limit, _LISTED))}
        params["prefix"] = self._prefix + request.prefix
        if request.after:
            params["start-after"] = self._prefix + request.after
        page = await self._page(params, "ListBucketResult")
        blobs = [listed(row, self._prefix) for row in page.iter("Contents")]
        more = page.findtext("IsTruncated") == "true" and blobs
        return model.ListResult(tuple(blobs), blobs[-1].name if more else None)

    async def healthcheck(self, request: model.HealthcheckRequest) -> model.HealthcheckResult:
        told = secrets.token_bytes(_PROBE)
        await self.put(model.PutRequest(name=request.probe, body=BytesBody(told), size=_PROBE))
        found = await contents(await self.get(model.GetRequest(name=request.probe)))
        await self.delete(model.DeleteRequest(name=request.probe))
        if found != told:
            raise BackendDown(f"the bucket {self._bucket[1:]} does not give back what was written")
        return model.HealthcheckResult({"bucket": self._bucket[1:]})

    async def createMPU(self, request: model.CreateMPURequest) -> model.CreateMPUResult:
        mark = secrets.token_hex(8)
        headers = {**self._described(request.metadata), self._mark: mark}
        reply = await self._ask("POST", request.name, {"uploads": ""}, headers, b"", idempotent=False)
        upload = read_xml(reply.content).findtext("UploadId")
        if not upload:
            raise BackendDown("the service began an upload and does not say which")
        return model.CreateMPUResult(f"{mark}.{upload}")

    async def uploadPart(self, request: model.UploadPartRequest) -> model.UploadPartResult:
        params = {"partNumber": str(request.number), "uploadId": _split(request.token)[1]}
        sent = Sent(request.body)
        reply = await self._ask("PUT", request.name, params, _TYPE, sent)
        return model.UploadPartResult(self._arrived(reply, f"part {request.number} of {request.name}", sent))

    def _arrived(self, reply: Reply, what: str, sent: Sent) -> str:
        """The fingerprint: the MD5 of what was sent, unless the service encrypts with a key of its customer's."""
        etag = fingerprint(reply)
        if _ETAG_OF_BYTES.fullmatch(etag) and sent.size and not _encrypted(reply):
            self._arrivals.check(what, etag, sent.md5())
        return etag

    async def completeMPU(self, request: model.CompleteMPURequest) -> model.CompleteMPUResult:
        mark, upload = _split(request.token)
        found = await self._find(request.name)
        if found is None or found.headers.get(self._mark) != mark:
            if found is not None and request.if_absent:
                raise BlobExists(request.name)
            found = await self._join(request, mark, upload)
        size = sum(part.size for part in request.parts)
        if _size(found) != size:
            raise BackendDown(f"{request.name} was joined to {_size(found)} bytes instead of {size}")
        return model.CompleteMPUResult(fingerprint(found), (model.BlobSize(request.name, size),))

    async def _join(self, request: model.CompleteMPURequest, mark: str, upload: str) -> Reply:
        """Complete the upload, or find that another call has done so."""
        headers = dict(_TYPE)
        if request.if_absent and self._dialect.complete_only is not None:
            headers |= [self._dialect.complete_only]
        try:
            params = {"uploadId": upload}
            reply = await self._ask("POST", request.name, params, headers, part_list(request.parts), expect=(200, 412))
            if reply.status == 412:
                raise BlobExists(request.name)
            if read_xml(reply.content).tag != "CompleteMultipartUploadResult":
                raise BackendDown(f"{request.name}: the service answers a completion with another document")
        except (BlobMissing, BlobExists) as fault:
            found = await self._find(request.name)
            if found is None or found.headers.get(self._mark) != mark:
                if isinstance(fault, BlobMissing):
                    await self._blame_what_was_left_out(request, upload)
                raise
            return found
        return await self._ask("HEAD", request.name)

    async def _blame_what_was_left_out(self, request: model.CompleteMPURequest, upload: str) -> None:
        """Raises BackendUnfit where all chosen parts are there, and others too: Ceph completes no such upload."""
        sent: dict[int, str] = {}
        marker: str | None = "0"
        while marker:
            params = {"uploadId": upload, "part-number-marker": marker}
            try:
                page = read_xml((await self._ask("GET", request.name, params)).content)
            except BlobMissing:
                return
            sent |= part_rows(page)
            after = page.findtext("NextPartNumberMarker") if page.findtext("IsTruncated") == "true" else None
            marker = after if after != marker else None
        left = sorted(sent.keys() - {part.number for part in request.parts})
        if left and all(sent.get(part.number) == part.receipt for part in request.parts):
            limit = f"the service completes an upload only with every part that was sent, and {left[:5]} are left out"
            raise BackendUnfit(f"{request.name}: {limit}", fix="send the upload anew, without these parts")

    async def abortMPU(self, request: model.AbortMPURequest) -> model.AbortMPUResult:
        if request.token is not None:
            uploads = [_split(request.token)[1]]
        else:
            uploads = [upload async for upload in self._open(request.name)]
        for upload in uploads:
            try:
                await self._ask("DELETE", request.name, {"uploadId": upload}, expect=(200, 204))
            except BlobMissing:
                continue  # completed or aborted before
        return model.AbortMPUResult()

    async def _open(self, name: str) -> AsyncIterator[str]:
        """The ids of the uploads that are open under exactly this name."""
        key, markers = self._prefix + name, ("", "")
        while True:
            params = {"uploads": "", "prefix": key, "key-marker": markers[0], "upload-id-marker": markers[1]}
            given = {name: value for name, value in params.items() if value or name == "uploads"}
            page = await self._page(given, "ListMultipartUploadsResult")
            for upload in page.iter("Upload"):
                if upload.findtext("Key") == key:
                    yield upload.findtext("UploadId") or ""
            before = markers
            markers = (page.findtext("NextKeyMarker") or "", page.findtext("NextUploadIdMarker") or "")
            if page.findtext("IsTruncated") != "true" or markers == before or markers[0] > key:
                return

    async def _find(self, name: str) -> Reply | None:
        try:
            return await self._ask("HEAD", name)
        except BlobMissing:
            return None

    async def _ask(
        self,
        method: str,
        name: str,
        params: Mapping[str, str] = NOTHING,
        headers: Mapping[str, str] = NOTHING,
        body: Body | bytes | None = None,
        expect: Collection[int] = (200,),
        idempotent: bool = True,
    ) -> Reply:
        path = self._path(name)
        reply = await self._service.ask(
            method, path, params=params, headers=headers, body=body, expect=expect, idempotent=idempotent
        )
        return _meant(reply, method, path)

    async def _page(self, params: Mapping[str, str], tag: str) -> Element:
        """A page of one of the bucket's lists, whose document begins with ``tag``."""
        reply = await self._service.ask("GET", self._bucket, params=params)
        page = read_xml(_meant(reply, "GET", self._bucket).content)
        if page.tag != tag:
            raise BackendDown(f"the service answers with {page.tag[:100]} instead of {tag}")
        return page

    def _path(self, name: str) -> str:
        if (reason := self._refuses(name)) is not None:
            raise BackendUnfit(reason)
        return f"{self._bucket}/{self._prefix}{name}"

    def _described(self, metadata: Mapping[str, str]) -> dict[str, str]:
        packed = {f"{self._dialect.meta}{name}": value for name, value in pack(metadata).items()}
        return {**_TYPE, **dict(self._dialect.kept), **packed}


def _meant(reply: Reply, method: str, path: str) -> Reply:
    """The reply, unless its document is a failure: one may come as a 200, after the service took its time."""
    if reply.status == 200 and _ERROR.match(reply.content):
        raise judge_s3_grammar(Refusal(method, path, 500, reply.headers, reply.content))
    return reply


def fingerprint(reply: Reply) -> str:
    """The ETag without quotes. Raises BackendDown where there is none."""
    etag = reply.headers.get("etag", "").removeprefix("W/").strip('"')
    if not etag:
        raise BackendDown("the service answered without an ETag")
    return etag


def _encrypted(reply: Reply) -> bool:
    """Whether a key of KMS makes the ETag something else than an MD5."""
    google = "x-goog-encryption-kms-key-name" in reply.headers
    return google or reply.headers.get("x-amz-server-side-encryption", "").startswith("aws:kms")


def _size(reply: Reply) -> int:
    told = reply.headers.get("content-length", "")
    if not re.fullmatch("[0-9]{1,18}", told):
        raise BackendDown("the service answered without the object's size")
    return int(told)


def _modified(reply: Reply) -> float | None:
    try:
        return parsedate_to_datetime(reply.headers.get("last-modified", "")).timestamp()
    except ValueError:
        return None


def _split(token: str) -> tuple[str, str]:
    match = _TOKEN.fullmatch(token)
    if match is None:
        raise BlobMissing(f"{token[:100]!r} is no upload of ours")
    return match[1], match[2]
