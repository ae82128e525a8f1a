"""Blobs as objects of one bucket, on Amazon S3 or any other service that speaks its protocol.

(docs.aws.amazon.com/AmazonS3/latest/API; the settings are those of Tahoe-LAFS's page on cloud storage.)
"""

from __future__ import annotations

import re
import secrets
from contextlib import suppress

from gateway.api import (
    METADATA_PAIRS,
    METADATA_SIZE,
    BackendDown,
    BlobChanged,
    BlobExists,
    BlobMissing,
    Capabilities,
    DeleteRequest,
    DeleteResult,
    EmptyBody,
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
    Reply,
    Secret,
    Setting,
    Values,
    hookimpl,
    read_xml,
    timing_settings,
)
from gateway_s3.bucket import AMAZON, Bucket, etag, iso_date, refuses
from gateway_s3.uploads import Uploads

_GIB = 1024**3
_MIB = 1024**2
_LISTED = 1000  # the most that S3 lists in a page
_PROBE = 1024  # bytes
_RANGE = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18})")


class S3Backend(Uploads):
    """A bucket as a location."""

    settings = (
        Setting("s3.access_key_id", "text", "Access key; required unless s3.profile is set.", default=None),
        Setting("s3.bucket", "text", "Bucket that holds the blobs; no other gateway may use it."),
        Setting("s3.url", "url", "Where the service is.", default=f"https://{AMAZON}"),
        Setting("s3.region", "text", "Region of the bucket; found out where it is not set.", default=None),
        Setting("s3.prefix", "text", "What the key of every blob begins with.", default=""),
        Setting("s3.profile", "text", "Profile of the AWS credentials file, instead of a key.", default=None),
        Setting(
            "s3.encryption",
            "choice",
            "How the service encrypts what it keeps.",
            default="none",
            choices=("none", "AES256", "aws:kms"),
        ),
        *timing_settings("s3"),
    )
    secrets = (
        Secret("s3secret", "Secret key that belongs to s3.access_key_id.", required=False),
        Secret("s3usertoken", "DevPay's user token, if DevPay is used.", required=False),
        Secret("s3producttoken", "DevPay's product token, if DevPay is used.", required=False),
    )
    capabilities = Capabilities(
        shared=True,
        largest_blob=5 * _GIB,
        smallest_part=5 * _MIB,
        largest_part=5 * _GIB,
        most_parts=10_000,
        metadata_pairs=METADATA_PAIRS,
        metadata_size=METADATA_SIZE,
        refuses=refuses,
    )

    def __init__(self, values: Values) -> None:
        super().__init__(Bucket(values))

    async def open(self) -> None:
        """Find the bucket and its region. Raises BackendUnfit, BackendDown."""
        await self._bucket.open()

    async def close(self) -> None:
        """Fine twice."""
        await self._bucket.close()

    @hookimpl
    async def put(self, request: PutRequest) -> PutResult:
        headers = self._bucket.described(request.metadata)
        if request.if_absent:
            headers["if-none-match"] = "*"
        reply = await self._bucket.ask(
            "PUT",
            request.name,
            headers=headers,
            body=request.body,
            expect=(200, 409, 412) if request.if_absent else (200,),
            idempotent=not request.if_absent,  # said twice, it would take our own blob for another's
        )
        if reply.status != 200:  # 409: several at once, and another one was first
            raise BlobExists(request.name)
        return PutResult(etag(reply))

    @hookimpl
    async def get(self, request: GetRequest) -> GetResult:
        if request.length == 0:
            return await self._nothing(request)
        headers = {} if request.expect is None else {"if-match": f'"{request.expect}"'}
        if request.start or request.length is not None:
            last = "" if request.length is None else request.start + request.length - 1
            headers["range"] = f"bytes={request.start}-{last}"
        path = self._bucket.path(request.name)
        reply = await self._bucket.service.stream(path, headers=headers, expect=(200, 206, 412, 416))
        if reply.status == 416:
            reply.body.close()
            return await self._nothing(request)
        try:
            fingerprint = "" if reply.status == 412 else etag(reply)
            if reply.status == 412 or request.expect not in (None, fingerprint):  # not everyone knows If-Match
                raise BlobChanged(request.name)
            return GetResult(_whole_size(reply, request), fingerprint, body=reply.body)
        except BaseException:
            reply.body.close()
            raise

    async def _nothing(self, request: GetRequest) -> GetResult:
        """A range that has no bytes."""
        found = await self._bucket.head(request.name)
        if request.expect not in (None, found.fingerprint):
            raise BlobChanged(request.name)
        return GetResult(found.size, found.fingerprint, body=EmptyBody())

    @hookimpl
    async def head(self, request: HeadRequest) -> HeadResult:
        found = await self._bucket.head(request.name)
        return HeadResult(found.size, found.fingerprint, found.metadata, found.modified)

    @hookimpl
    async def delete(self, request: DeleteRequest) -> DeleteResult:
        with suppress(BlobMissing):
            if request.expect is not None and (await self._bucket.head(request.name)).fingerprint != request.expect:
                raise BlobChanged(request.name)
            await self._bucket.ask("DELETE", request.name, expect=(200, 204))
        return DeleteResult()

    @hookimpl
    async def list(self, request: ListRequest) -> ListResult:
        params = {"list-type": "2", "max-keys": str(min(request.limit, _LISTED))}
        params["prefix"] = self._bucket.prefix + request.prefix
        if request.after:
            params["start-after"] = self._bucket.prefix + request.after
        reply = await self._bucket.service.ask("GET", f"/{self._bucket.name}", params=params)
        page = read_xml(reply.content)
        blobs = tuple(
            ListedBlob(
                (each.findtext("Key") or "").removeprefix(self._bucket.prefix),
                int(each.findtext("Size") or 0),
                (each.findtext("ETag") or "").strip('"'),
                iso_date(each.findtext("LastModified")),
            )
            for each in page.iter("Contents")
        )
        more = page.findtext("IsTruncated") == "true" and blobs
        return ListResult(blobs, blobs[-1].name if more else None)

    @hookimpl
    async def healthcheck(self, request: HealthcheckRequest) -> HealthcheckResult:
        told = secrets.token_bytes(_PROBE)
        try:
            await self._bucket.ask("PUT", request.probe, headers=self._bucket.described({}), body=told)
            if (await self._bucket.ask("GET", request.probe)).content != told:
                raise BackendDown(f"bucket {self._bucket.name} does not give back what was written")
        finally:
            await self._bucket.ask("DELETE", request.probe, expect=(200, 204))
        return HealthcheckResult()


def _whole_size(reply: Reply, request: GetRequest) -> int:
    """The whole object's size. Raises BackendDown where the reply is not the range that was asked for."""
    size = reply.body.size
    wanted = request.length
    if size is None:
        raise BackendDown(f"{request.name}: the service does not say how many bytes it sends")
    shown = reply.headers.get("content-range")
    if shown is None:
        if reply.status == 206 or request.start or (wanted is not None and size > wanted):
            raise BackendDown(f"{request.name}: the service ignores ranges")
        return size
    match = _RANGE.fullmatch(shown)
    first, last, whole = map(int, match.groups()) if match else (-1, -1, -1)
    end = whole if wanted is None else min(whole, request.start + wanted)
    if (first, last + 1, size) != (request.start, end, end - request.start):
        raise BackendDown(f"{request.name}: the service answers with another range: {shown!r} of {size} bytes")
    return whole
