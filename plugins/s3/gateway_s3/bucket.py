"""One bucket: where it is, requests for its keys, and what the answers say."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

from gateway.api import (
    BackendDenied,
    BackendDown,
    BackendUnfit,
    Body,
    Reply,
    Service,
    Timing,
    Values,
    pack_metadata,
    unpack_metadata,
)
from gateway_s3.refusals import FIXES, Denied, NoBucket, OtherRegion, judge_s3
from gateway_s3.signing import Credentials, Signer, from_profile, given

AMAZON = "s3.amazonaws.com"
FIRST_REGION = "us-east-1"  # what every service of the protocol takes, or answers with the right one
META = "x-amz-meta-"
UPLOAD = META + "gwupload"  # which upload joined this blob: a completion that is repeated knows its own work

_LONGEST = 1024  # bytes of a key
_ROOM = 256  # of these, kept free for the prefix
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")  # none of these survives XML


def refuses(name: str) -> str | None:
    """Why a blob cannot have this name: S3 would take nearly any, but proxies and clients change some."""
    if _CONTROL.search(name):
        return "it has control characters"
    if any(segment in ("", ".", "..") for segment in name.split("/")):
        return "a segment of it is empty, '.' or '..'"
    if len(name.encode()) > _LONGEST - _ROOM:
        return f"it is longer than {_LONGEST - _ROOM} bytes"
    return None


class Bucket:
    """The bucket that ``values`` name. Building it does no I/O; raises BackendUnfit."""

    def __init__(self, values: Values) -> None:
        self._values = values
        self.name: str = values["s3.bucket"]
        self.prefix: str = values["s3.prefix"] or ""
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{2,254}", self.name):
            raise BackendUnfit(f"{self.name!r} is no bucket's name", key="s3.bucket", fix="write the bucket's name")
        if self.prefix and (refuses(self.prefix.removesuffix("/")) or len(self.prefix.encode()) > _ROOM):
            raise BackendUnfit("s3.prefix cannot begin a key", key="s3.prefix", fix="choose a short, plain prefix")
        self._credentials = None if values["s3.profile"] is not None else given(values)
        encryption = values["s3.encryption"]
        self._kept = {} if encryption == "none" else {"x-amz-server-side-encryption": encryption}
        self._service: Service | None = None

    async def open(self) -> None:
        """Find the bucket and its region. Raises BackendUnfit, BackendDown."""
        credentials = self._credentials or from_profile(self._values["s3.profile"])
        written: str | None = self._values["s3.region"]
        try:
            await self._look(credentials, written or FIRST_REGION)
        except OtherRegion as fault:
            if written is not None:
                fix = f"write s3.region = {fault.region}, or remove the line"
                raise BackendUnfit(f"the bucket is not in {written}", key="s3.region", fix=fix) from fault
            await self._look(credentials, fault.region)

    async def _look(self, credentials: Credentials, region: str) -> None:
        url: str = self._values["s3.url"]
        parts = urlsplit(url)
        if parts.hostname == AMAZON and region != FIRST_REGION:
            url = f"{parts.scheme}://s3.{region}.amazonaws.com"  # Amazon's other regions have names of their own
        timing = Timing.read(self._values, "s3")
        service = Service(url, Signer(credentials, region), judge=judge_s3, timing=timing)
        service.open()
        try:
            await service.ask("GET", f"/{self.name}", params={"list-type": "2", "max-keys": "1"})
        except (NoBucket, Denied) as fault:
            await service.close()
            key = "s3.bucket" if fault.code in ("NoSuchBucket", "AccessDenied") else "s3.access_key_id"
            raise BackendUnfit(str(fault), key=key, fix=FIXES.get(fault.code, "ask the service why")) from fault
        except BaseException:
            await service.close()
            raise
        self._service = service

    async def close(self) -> None:
        """Fine twice."""
        service, self._service = self._service, None
        if service is not None:
            await service.close()

    @property
    def service(self) -> Service:
        if self._service is None:
            raise BackendDown("this location is not open")
        return self._service

    def path(self, name: str) -> str:
        """The path of a blob's key. Raises BackendDenied for names that were refused."""
        if reason := refuses(name):
            raise BackendDenied(f"{name[:100]!r}: {reason}")
        return f"/{self.name}/{self.prefix}{name}"

    def described(self, metadata: Mapping[str, str]) -> dict[str, str]:
        """The headers of a new object."""
        packed = {META + name: value for name, value in pack_metadata(metadata).items()}
        return {"content-type": "application/octet-stream", **self._kept, **packed}

    async def ask(
        self,
        method: str,
        name: str,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: Body | bytes | None = None,
        expect: Collection[int] = (200,),
        idempotent: bool = True,
    ) -> Reply:
        """A request for one blob's key; a key that is not there is BlobMissing."""
        return await self.service.ask(
            method,
            self.path(name),
            params=params or {},
            headers=headers or {},
            body=body,
            expect=expect,
            idempotent=idempotent,
        )

    async def head(self, name: str) -> Found:
        """What is known about a blob. Raises BlobMissing."""
        return Found(await self.ask("HEAD", name))


class Found:
    """What the headers of a reply say about an object."""

    def __init__(self, reply: Reply) -> None:
        self._headers = reply.headers
        self.fingerprint = etag(reply)

    @property
    def size(self) -> int:
        text = self._headers.get("content-length", "")
        if not (text.isascii() and text.isdigit()):
            raise BackendDown("the service does not say how large an object is")
        return int(text)

    @property
    def metadata(self) -> dict[str, str]:
        return unpack_metadata(self._headers, META)

    @property
    def upload(self) -> str | None:
        return self._headers.get(UPLOAD)

    @property
    def modified(self) -> float | None:
        try:
            return parsedate_to_datetime(self._headers["last-modified"]).timestamp()
        except (KeyError, ValueError):
            return None


def etag(reply: Reply) -> str:
    """The object's ETag without quotes. Raises BackendDown where there is none."""
    found = reply.headers.get("etag", "").removeprefix("W/").strip('"')
    if not found:
        raise BackendDown("the service answers without an ETag")
    return found


def iso_date(text: str | None) -> float | None:
    """Seconds since the epoch."""
    try:
        return datetime.fromisoformat(text or "").timestamp()
    except ValueError:
        return None
