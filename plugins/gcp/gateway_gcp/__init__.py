"""Blobs as objects of a Google Cloud Storage bucket, over its XML API.

With a service account requests speak Google's own dialect. With an HMAC key they speak Amazon's, in which Google knows
no condition for a put: there, create-only is looked up first. https://cloud.google.com/storage/docs/xml-api/overview
"""

from __future__ import annotations

import json
import re

from gateway.api import (
    METADATA_PAIRS,
    METADATA_SIZE,
    BackendError,
    BackendUnfit,
    Capabilities,
    ListRequest,
    Refusal,
    S3Dialect,
    S3Objects,
    Secret,
    Service,
    Setting,
    Timing,
    Values,
    hookimpl,
    judge_s3_grammar,
    timing_settings,
)
from gateway_gcp.signing import HmacKey, ServiceAccount

GOOGLES = S3Dialect(
    meta="x-goog-meta-",
    create_only=("x-goog-if-generation-match", "0"),
    generation=("x-goog-generation", "x-goog-if-generation-match"),
)
AMAZONS = S3Dialect(look_first=True)

_MIB = 1024 * 1024
_NAME = re.compile(r"[a-z0-9]{1,40}(/[a-z0-9]{1,40}){0,2}")
_PREFIX = re.compile(r"([\w-][\w.-]*/)*([\w-][\w.-]*)?", re.ASCII)


def refuses(name: str) -> str | None:
    """Why ``name`` cannot be kept: it is not ``[a-z0-9]{1,40}(/[a-z0-9]{1,40}){0,2}`` of at most 80 characters."""
    if len(name) > 80 or not _NAME.fullmatch(name):
        return f"{name[:100]!r} is not one to three segments of a-z and 0-9, at most 80 characters"
    return None


class GoogleBackend(S3Objects):
    """A bucket, or what begins with ``gcp.prefix`` in it, as a location."""

    settings = (
        Setting("gcp.bucket", "text", "Bucket that holds the blobs; no other gateway may use it."),
        Setting("gcp.access_key_id", "text", "Access id of an HMAC key; without it a service account.", default=None),
        Setting("gcp.url", "url", "Where the service is.", default="https://storage.googleapis.com"),
        Setting("gcp.region", "text", "Region that signatures with an HMAC key name.", default="auto"),
        Setting("gcp.prefix", "text", "What the name of every blob begins with.", default=""),
        *timing_settings("gcp"),
    )
    secrets = (
        Secret("gcpsecret", "Secret that belongs to gcp.access_key_id.", required=False),
        Secret("gcp_service_account", "Key file (JSON) of a service account, instead of a key.", required=False),
    )
    kit_version = 2
    capabilities = Capabilities(
        shared=True,
        largest_blob=5 * _MIB**2,
        smallest_part=5 * _MIB,
        largest_part=5 * 1024 * _MIB,
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
        bucket, prefix = values["gcp.bucket"], values["gcp.prefix"]
        if not re.fullmatch(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]", bucket):
            raise BackendUnfit(f"{bucket!r} is no bucket's name", key="gcp.bucket", fix="write the bucket's name")
        if not _PREFIX.fullmatch(prefix) or len(prefix) > 200:
            fix = "use letters, digits, '-', '_', '.' and '/', such as gateway/"
            raise BackendUnfit(f"{prefix!r} cannot begin a name", key="gcp.prefix", fix=fix)
        self._sign = _credentials(values)
        dialect = AMAZONS if isinstance(self._sign, HmacKey) else GOOGLES
        timing = Timing.read(values, "gcp")
        service = Service(values["gcp.url"], self._sign, judge=self._judged, timing=timing)
        super().__init__(service, bucket, prefix, dialect, refuses)

    async def open(self) -> None:
        """See whether the bucket is there and lets us in. Raises BackendUnfit, BackendDenied, BackendDown."""
        self._sign.open()
        self._service.open()
        try:
            await self.list(ListRequest(limit=1))
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        await self._service.close()
        await self._sign.close()

    def _judged(self, refusal: Refusal) -> BackendError:
        if refusal.status == 401 and isinstance(self._sign, ServiceAccount):
            self._sign.forget()  # the next request asks for another token
        error = judge_s3_grammar(refusal)
        if isinstance(error, BackendUnfit):
            return BackendUnfit(str(error), key="gcp.bucket", fix=error.fix)
        return error


def _credentials(values: Values) -> HmacKey | ServiceAccount:
    """Raises BackendUnfit."""
    key = values["gcp.access_key_id"]
    secret, account = values.secret("gcpsecret"), values.secret("gcp_service_account")
    if key is not None and secret is not None and account is None:
        return HmacKey(key, secret, values["gcp.region"])
    if key is None and secret is None and account is not None:
        try:
            return ServiceAccount(json.loads(account), Timing.read(values, "gcp"))
        except ValueError as fault:
            reason = "not JSON" if isinstance(fault, json.JSONDecodeError) else str(fault)
            raise BackendUnfit(
                f"gcp_service_account in private/: {reason}", key="gcp.bucket", fix="download the key file anew"
            ) from None
    raise BackendUnfit(
        "it takes gcp.access_key_id and gcpsecret in private/, or gcp_service_account in private/",
        key="gcp.access_key_id",
        fix="give the one pair or the other file, and not both",
    )
