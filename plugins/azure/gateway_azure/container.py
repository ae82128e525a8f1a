"""One container as its blob service speaks of it: signed requests, names behind a prefix, answers read.

https://learn.microsoft.com/rest/api/storageservices/blob-service-rest-api
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from contextlib import suppress
from email.utils import formatdate
from types import MappingProxyType
from urllib.parse import parse_qsl, urlsplit

from gateway.api import (
    GATHERED,
    Arrivals,
    BackendDown,
    BackendError,
    BlobChanged,
    BlobMissing,
    Body,
    BytesBody,
    ListedBlob,
    Outgoing,
    Reply,
    Sent,
    Service,
    Timing,
    gathered,
    read_xml,
)
from gateway_azure.answers import judged, listed
from gateway_azure.signing import SharedKey

NOTHING: Mapping[str, str] = MappingProxyType({})
VERSION = "2025-11-05"  # of the REST API; pinned, for a newer one may mean other things


class Container:
    """``key`` signs each request, or is None where ``token`` (the parameters of a SAS) goes along with each."""

    def __init__(
        self, url: str, name: str, prefix: str, key: SharedKey | None, token: Mapping[str, str], timing: Timing
    ) -> None:
        self.name = name
        self._prefix = prefix
        self._key = key
        self._token = token
        self._md5s, self._crcs = Arrivals(), Arrivals()
        self._service = Service(url, self._sign, judge=judged, timing=timing)

    def open(self) -> None:
        self._service.open()

    async def close(self) -> None:
        await self._service.close()

    async def put(
        self,
        name: str,
        body: Body | bytes,
        size: int,
        *,
        params: Mapping[str, str] = NOTHING,
        headers: Mapping[str, str] = NOTHING,
        if_absent: bool = False,
        announce: bool = True,
    ) -> Reply:
        """Put Blob, Put Block and Put Block List. Raises BlobExists (``if_absent``), BackendDown (damaged on the way).

        Azure compares the MD5 of a small body, which is known before; of others, and where we do not ``announce`` it,
        it tells what it computed. (An answer has a CRC only where the request has no MD5.)
        """
        body = Sent(BytesBody(body) if isinstance(body, bytes) else body, crc=True)
        data = await gathered(body, size) if size <= GATHERED else body
        # The signature covers the length, and whoever signs does not see a body that streams.
        sent = {**headers, "content-length": str(size)}
        if if_absent:
            sent["if-none-match"] = "*"
        if data is not body and announce:
            sent["content-md5"] = _md5(body)
        reply = await self._service.ask(
            "PUT",
            self._path(name),
            params={**self._token, **params},
            headers=sent,
            body=data,
            expect=(201,),
            idempotent=not if_absent,  # the second try would find what the first one made
        )
        try:
            self._prove(name, reply.headers, body)
        except BackendDown:
            if "comp" not in params:  # a block is nothing yet
                with suppress(BackendError):
                    await self.delete(name)
            raise
        return reply

    def _prove(self, name: str, told: Mapping[str, str], sent: Sent) -> None:
        """Whether what Azure computed is what we did. (Azurite tells nothing of a block.)"""
        if crc := told.get("x-ms-content-crc64"):
            self._crcs.check(name, crc, sent.crc64())
        elif md5 := told.get("content-md5"):
            self._md5s.check(name, md5, _md5(sent))

    async def get(self, name: str, bytes_range: str, expect: str | None) -> Reply:
        """200, 206, or 416 for a range beyond the end; the caller closes the body. Raises BlobMissing, BlobChanged."""
        headers = _if_match(expect)
        if bytes_range:
            headers["x-ms-range"] = bytes_range
        return await self._service.stream(self._path(name), params=self._token, headers=headers, expect=(200, 206, 416))

    async def head(self, name: str) -> Reply:
        return await self._service.ask("HEAD", self._path(name), params=self._token)

    async def find(self, name: str) -> Reply | None:
        """What head gives, None where there is no blob."""
        try:
            return await self.head(name)
        except BlobMissing:
            return None

    async def delete(self, name: str, expect: str | None = None) -> None:
        """Fine where there is no blob. Raises BlobChanged (``expect``)."""
        try:
            await self._service.ask(
                "DELETE", self._path(name), params=self._token, headers=_if_match(expect), expect=(202,)
            )
        except BlobMissing:
            pass
        except BlobChanged:
            if await self.find(name) is not None:  # a missing blob does not match either
                raise

    async def page(self, prefix: str, marker: str, most: int) -> tuple[list[ListedBlob], str]:
        """List Blobs: at most ``most`` (perhaps none), and the marker for what follows; no marker at the end."""
        wanted = {"prefix": self._prefix + prefix, "marker": marker, "maxresults": str(most)}
        params = {**self._token, "restype": "container", "comp": "list"}
        params |= {name: value for name, value in wanted.items() if value}
        root = read_xml((await self._service.ask("GET", f"/{self.name}", params=params)).content)
        if root.tag != "EnumerationResults":
            raise BackendDown(f"the service answers with {root.tag[:100]} instead of a list of blobs")
        blobs = [listed(blob, self._prefix) for blob in root.iterfind("Blobs/Blob")]
        return blobs, root.findtext("NextMarker") or ""

    def _path(self, name: str) -> str:
        return f"/{self.name}/{self._prefix}{name}"

    async def _sign(self, request: Outgoing) -> Mapping[str, str]:
        headers = {**request.headers, "x-ms-date": formatdate(usegmt=True), "x-ms-version": VERSION}
        if self._key is not None:
            parts = urlsplit(request.url)
            params = parse_qsl(parts.query, keep_blank_values=True)
            headers["authorization"] = self._key.authorization(request.method, parts.path, params, headers)
        headers.pop("content-length", None)  # the connection sends it
        return headers


def _md5(sent: Sent) -> str:
    return base64.b64encode(bytes.fromhex(sent.md5())).decode()


def _if_match(expect: str | None) -> dict[str, str]:
    return {} if expect is None else {"if-match": f'"{expect}"'}
