"""Blobs as objects of one bucket, on Amazon S3 or any other service that speaks its protocol.

(docs.aws.amazon.com/AmazonS3/latest/API; the settings are those of Tahoe-LAFS's page on cloud storage.)
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from gateway.api import (
    METADATA_PAIRS,
    METADATA_SIZE,
    BackendUnfit,
    Capabilities,
    ListRequest,
    S3Dialect,
    S3Objects,
    Secret,
    Service,
    Setting,
    Timing,
    Values,
    hookimpl,
    timing_settings,
)
from gateway_s3.refusals import FIXES, Denied, OtherRegion, judge_s3
from gateway_s3.signing import Credentials, Signer, from_profile, given

AMAZON = "s3.amazonaws.com"
FIRST_REGION = "us-east-1"  # what every service of the protocol takes, or answers with the right one

_GIB = 1024**3
_MIB = 1024**2
_LONGEST = 1024  # bytes of a key
_ROOM = 256  # of these, kept free for the prefix
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")  # none of these survives XML


def refuses(name: str) -> str | None:
    """Why a blob cannot have this name: S3 would take nearly any, but proxies and clients change some."""
    if _CONTROL.search(name):
        return f"{name[:100]!r} has control characters"
    if any(segment in ("", ".", "..") for segment in name.split("/")):
        return f"a segment of {name[:100]!r} is empty, '.' or '..'"
    if len(name.encode()) > _LONGEST - _ROOM:
        return f"{name[:100]!r}... is longer than {_LONGEST - _ROOM} bytes"
    return None


class S3Backend(S3Objects):
    """A bucket, or what begins with ``s3.prefix`` in it, as a location."""

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
    kit_version = 2
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

    put = hookimpl(S3Objects.put)
    get = hookimpl(S3Objects.get)
    head = hookimpl(S3Objects.head)
    delete = hookimpl(S3Objects.delete)
    list = hookimpl(S3Objects.list)
    healthcheck = hookimpl(S3Objects.healthcheck)
    createMPU = hookimpl(S3Objects.createMPU)  # noqa: N815
    uploadPart = hookimpl(S3Objects.uploadPart)  # noqa: N815
    completeMPU = hookimpl(S3Objects.completeMPU)  # noqa: N815
    abortMPU = hookimpl(S3Objects.abortMPU)  # noqa: N815

    def __init__(self, values: Values) -> None:
        bucket, prefix, encryption = values["s3.bucket"], values["s3.prefix"], values["s3.encryption"]
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{2,254}", bucket):
            raise BackendUnfit(f"{bucket!r} is no bucket's name", key="s3.bucket", fix="write the bucket's name")
        if prefix and (refuses(prefix.removesuffix("/")) or len(prefix.encode()) > _ROOM):
            raise BackendUnfit(f"{prefix!r} cannot begin a key", key="s3.prefix", fix="choose a short, plain prefix")
        self._values = values
        self._credentials = None if values["s3.profile"] is not None else given(values)
        kept = () if encryption == "none" else (("x-amz-server-side-encryption", encryption),)
        dialect = S3Dialect(complete_only=("if-none-match", "*"), kept=kept)
        super().__init__(self._connect(Credentials("", ""), FIRST_REGION), bucket, prefix, dialect, refuses)

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
        """Connect, and see whether the bucket is there and lets us in."""
        self._service = self._connect(credentials, region)
        self._service.open()
        try:
            await self.list(ListRequest(limit=1))
        except Denied as fault:
            await self.close()
            key = "s3.bucket" if fault.code == "AccessDenied" else "s3.access_key_id"
            raise BackendUnfit(str(fault), key=key, fix=FIXES.get(fault.code, FIXES["AccessDenied"])) from fault
        except BaseException:
            await self.close()
            raise

    def _connect(self, credentials: Credentials, region: str) -> Service:
        url: str = self._values["s3.url"]
        parts = urlsplit(url)
        if parts.hostname == AMAZON and region != FIRST_REGION:
            url = f"{parts.scheme}://s3.{region}.amazonaws.com"  # Amazon's other regions have names of their own
        return Service(url, Signer(credentials, region), judge=judge_s3, timing=Timing.read(self._values, "s3"))

    async def close(self) -> None:
        """Fine twice."""
        await self._service.close()
