"""One container, and what can be asked of it. (https://docs.openstack.org/api-ref/object-store/)"""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from twisted.internet import reactor, task
from twisted.internet.defer import CancelledError

from gateway.api import (
    GATHERED,
    BackendDenied,
    BackendDown,
    BackendError,
    BackendUnfit,
    BlobExists,
    BlobMissing,
    Body,
    BytesBody,
    Reply,
    Sent,
    Service,
    Values,
    damaged,
    gathered,
    read_json,
    unpack_metadata,
)
from gateway_openstack.account import Account
from gateway_openstack.answers import etag, outcome
from gateway_openstack.identity import KEY

META = "x-object-meta-"
UPLOAD = f"{META}upload"  # which upload, or which put with if_absent, wrote the object
PAGE = 500  # with names of 256 bytes, each written as an escape, a page stays below 1 MiB


@dataclass(frozen=True, slots=True)
class Found:
    """An object as HEAD tells it. ``large``: its bytes lie in segments."""

    size: int
    fingerprint: str
    metadata: Mapping[str, str]
    upload: str
    large: bool
    modified: float | None


class Storage:
    """``container`` of the account that the token leads to. ``clock`` counts the tokens' seconds."""

    pause = 1.5  # seconds in which writers at once have all written

    def __init__(self, values: Values, clock: Callable[[], float] = time.monotonic) -> None:
        self.container: str = values["openstack.container"]
        if "/" in self.container or len(self.container.encode()) > 256:
            seen = f"{self.container!r} is no container: up to 256 bytes without a slash"
            raise BackendUnfit(seen, key="openstack.container", fix="correct openstack.container")
        self._account = Account(values, clock)

    async def open(self) -> None:
        """Get the first token and find the container. Raises BackendUnfit, and what the services answer."""
        self._account.open()
        try:
            found = await self.ask("HEAD", expect=(200, 204, 404))
        except BackendDenied as fault:
            fix = f"compare the user name, private/{KEY} and the user's rights with what the service knows"
            raise BackendUnfit(str(fault), key="openstack.username", fix=fix) from fault
        if found.status == 404:
            seen = f"the account has no container {self.container!r}"
            raise BackendUnfit(seen, key="openstack.container", fix="make the container, or correct its name")

    async def close(self) -> None:
        await self._account.close()

    def path(self, name: str = "") -> str:
        return f"/{self.container}/{name}" if name else f"/{self.container}"

    async def ask(
        self,
        method: str,
        name: str = "",
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: Body | bytes | None = None,
        expect: Collection[int] = (200,),
    ) -> Reply:
        """Ask about an object, or about the container; the reply's document is in ``content``."""
        path = self.path(name)

        async def go(account: Service) -> Reply:
            return await account.ask(method, path, params=params or {}, headers=headers or {}, body=body, expect=expect)

        return await self._account.with_token(go, again=body is None or isinstance(body, bytes))

    async def stream(self, name: str, headers: Mapping[str, str], expect: Collection[int]) -> Reply:
        """GET an object; the caller closes the reply's body."""
        path = self.path(name)
        return await self._account.with_token(lambda account: account.stream(path, headers=headers, expect=expect))

    async def put(self, name: str, body: Body | bytes, size: int, headers: Mapping[str, str]) -> str:
        """Keep an object; gives its fingerprint (the MD5 of its bytes). BackendDown: other bytes arrived."""
        sent = Sent(BytesBody(body) if isinstance(body, bytes) else body)
        data = await gathered(sent, size) if size <= GATHERED else sent
        headers = {"Content-Type": "application/octet-stream", **headers}
        kept = etag(await self.ask("PUT", name, headers=headers, body=data, expect=(201,)))
        if kept != sent.md5():
            with suppress(BackendError):
                await self.remove(name)
            raise damaged(name, kept, sent.md5())
        return kept

    async def settle(self, name: str, upload: str) -> Found:
        """What is there after a while, if ``upload`` wrote it. Raises BlobExists where somebody else did.

        Swift looks at If-None-Match before it reads a body, never again: of several writers at once all may be told
        that they succeeded, and the last one did. (Later ones are refused, so that a short wait shows who that was.)
        """
        await self._own(name, upload)
        try:
            await task.deferLater(reactor, self.pause)
            return await self._own(name, upload)
        except CancelledError:
            with suppress(BlobExists):
                await self._own(name, upload)
                await self.remove(name)
            raise

    async def _own(self, name: str, upload: str) -> Found:
        found = await self.find(name)
        if found is None or found.upload != upload:
            raise BlobExists(name)
        return found

    async def find(self, name: str) -> Found | None:
        """What there is under that name; asked of every replica, for somebody may have written just now."""
        try:
            reply = await self.ask("HEAD", name, headers={"X-Newest": "true"}, expect=(200, 204))
        except BlobMissing:
            return None
        modified = reply.headers.get("x-timestamp", "")
        return Found(
            size=int(reply.headers.get("content-length", "0")),
            fingerprint=etag(reply),
            metadata=unpack_metadata(reply.headers, META),
            upload=reply.headers.get(UPLOAD, ""),
            large=reply.headers.get("x-static-large-object", "").lower() == "true",
            modified=float(modified) if re.fullmatch(r"[0-9]{1,12}(\.[0-9]{1,9})?", modified) else None,
        )

    async def page(self, prefix: str, after: str, limit: int) -> list[dict[str, Any]]:
        """Up to ``limit`` (at most PAGE) objects in byte order, as Swift's JSON has them."""
        params = {"format": "json", "prefix": prefix, "marker": after, "limit": str(limit)}
        reply = await self.ask("GET", params=params, expect=(200, 204))
        found = read_json(reply.content) if reply.status == 200 else []
        if not isinstance(found, list) or not all(isinstance(each, dict) and "name" in each for each in found):
            raise BackendDown("the service answered with something that is no listing")
        return found

    async def names(self, prefix: str) -> AsyncIterator[str]:
        after: str | None = ""
        while after is not None:
            page = await self.page(prefix, after, PAGE)
            for each in page:
                yield each["name"]
            after = page[-1]["name"] if len(page) == PAGE else None

    async def remove(self, name: str) -> None:
        """Delete one object; fine where there is none."""
        await self.ask("DELETE", name, expect=(200, 204, 404))

    async def remove_all(self, names: list[str]) -> None:
        """Delete many objects, several hundred in one request."""
        for at in range(0, len(names), PAGE):
            lines = "\n".join(quote(self.path(name)) for name in names[at : at + PAGE]).encode()

            async def go(account: Service, lines: bytes = lines) -> Reply:
                headers = {"Content-Type": "text/plain", "Accept": "application/json"}
                return await account.ask("POST", params={"bulk-delete": ""}, headers=headers, body=lines)

            outcome(await self._account.with_token(go), "POST")
