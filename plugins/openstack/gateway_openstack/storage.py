"""One container, asked with a token that is renewed in time.

(https://docs.openstack.org/api-ref/object-store/; statuses beyond HTTP's own: 498 is Swift's rate limit.)
"""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from twisted.internet import reactor, task
from twisted.internet.defer import DeferredLock

from gateway.api import (
    BackendBusy,
    BackendDenied,
    BackendDown,
    BackendError,
    BackendUnfit,
    BlobChanged,
    BlobExists,
    BlobMissing,
    Body,
    Outgoing,
    Refusal,
    Reply,
    Service,
    Timing,
    Values,
    judge,
    read_json,
    retry_after,
    unpack_metadata,
)
from gateway_openstack.identity import KEY, Identity, Token

META = "x-object-meta-"
UPLOAD = f"{META}upload"  # which upload, or which put with if_absent, wrote the object
PAGE = 500  # with names of 256 bytes, each written as an escape, a page stays below 1 MiB
SMALL = 64 * 1024  # a body up to this size is read first, and can be sent again with another token
_MARGIN = 60.0  # seconds before its end that a token is renewed, or a fifth of its life


class TokenRefused(BackendDenied):
    """The token is not accepted: it ended early, or never had the rights."""


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
        self._timing = Timing.read(values, "openstack")
        self._identity = Identity(values)
        self._door = Service(self._identity.url, _unsigned, timing=self._timing)
        self._accounts: dict[str, Service] = {}
        self._clock = clock
        self._token: Token | None = None
        self._due: float | None = None
        self._lock = DeferredLock()
        self._failures = 0
        self._fault: BackendError | None = None

    async def open(self) -> None:
        """Get the first token and find the container. Raises BackendUnfit, and what the services answer."""
        self._door.open()
        try:
            found = await self.ask("HEAD", expect=(200, 204, 404))
        except BackendDenied as fault:
            fix = f"compare the user name, private/{KEY} and the user's rights with what the service knows"
            raise BackendUnfit(str(fault), key="openstack.username", fix=fix) from fault
        if found.status == 404:
            seen = f"the account has no container {self.container!r}"
            raise BackendUnfit(seen, key="openstack.container", fix="make the container, or correct its name")

    async def close(self) -> None:
        self._token = None
        await self._door.close()
        while self._accounts:
            await self._accounts.popitem()[1].close()

    # ------------------------------------------------------------------ requests

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

        return await self._with_token(go, again=body is None or isinstance(body, bytes))

    async def stream(self, name: str, headers: Mapping[str, str], expect: Collection[int]) -> Reply:
        """GET an object; the caller closes the reply's body."""
        return await self._with_token(lambda account: account.stream(self.path(name), headers=headers, expect=expect))

    async def put(self, name: str, body: Body | bytes, size: int, headers: Mapping[str, str]) -> str:
        """Keep an object; gives its fingerprint (the MD5 of its bytes)."""
        if not isinstance(body, bytes) and size <= SMALL:
            body = await _whole(body, size)
        headers = {"Content-Type": "application/octet-stream", **headers}
        return etag(await self.ask("PUT", name, headers=headers, body=body, expect=(201,)))

    async def settle(self, name: str, upload: str) -> None:
        """Raises BlobExists unless ``upload`` wrote what is there after a while.

        Swift looks at If-None-Match before it reads a body, never again: of several writers at once all may be told
        that they succeeded, and the last one did. (Later ones are refused, so that a short wait shows who that was.)
        """
        try:
            await task.deferLater(reactor, self.pause)
        except BaseException:
            await self._withdraw(name, upload)
            raise
        found = await self.find(name)
        if found is None or found.upload != upload:
            raise BlobExists(name)

    async def _withdraw(self, name: str, upload: str) -> None:
        found = await self.find(name)
        if found is not None and found.upload == upload:
            await self.remove(name)

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

            outcome(await self._with_token(go), "POST")

    # ------------------------------------------------------------------ tokens

    async def _with_token(self, go: Callable[[Service], Any], again: bool = True) -> Reply:
        """Ask with the current token, and once more with another one where it is refused."""
        token = await self._current()
        try:
            return await self._answer(go, token)
        except TokenRefused as refused:
            token = await self._current(refused=token)
            if not again:  # the body is gone; the next attempt of whoever sent it will find the new token
                raise BackendBusy(f"the token ended while a body was sent ({refused})", after=1) from refused
        return await self._answer(go, token)

    async def _answer(self, go: Callable[[Service], Any], token: Token) -> Reply:
        reply: Reply = await go(self._accounts[token.url])
        return reply

    async def _current(self, refused: Token | None = None) -> Token:
        """A token that is good for a while and is not ``refused``; one renewal serves all who wait for it."""
        token = self._good(refused)
        if token is not None:
            return token
        failures = self._failures
        await self._lock.acquire()
        try:
            token = self._good(refused)
            if token is not None:
                return token
            if self._fault is not None and self._failures != failures:
                raise self._fault  # what was tried while we waited counts for us as well
            try:
                return await self._renew()
            except BackendError as fault:
                self._failures += 1
                self._fault = fault
                raise
        finally:
            self._lock.release()

    def _good(self, refused: Token | None) -> Token | None:
        due = self._due is not None and self._clock() >= self._due
        return None if due or self._token is refused else self._token

    async def _renew(self) -> Token:
        identity = self._identity
        reply = await self._door.ask(
            identity.method,
            identity.path,
            headers=identity.headers(),
            body=identity.body(),
            expect=(200, 201, 203, 204),
        )
        token = identity.read(reply)
        if identity.url.startswith("https:") and not token.url.startswith("https:"):
            raise BackendDown(f"{identity.url} names a storage without TLS ({token.url}): tokens are not sent there")
        if token.url not in self._accounts:
            self._accounts[token.url] = account = Service(token.url, self._sign, judge=_judge, timing=self._timing)
            account.open()
        self._token = token
        self._due = None if token.life is None else self._clock() + token.life - min(_MARGIN, token.life / 5)
        return token

    async def _sign(self, request: Outgoing) -> Mapping[str, str]:
        return {**request.headers, "X-Auth-Token": self._token.text if self._token else ""}


async def _unsigned(request: Outgoing) -> Mapping[str, str]:
    return request.headers


async def _whole(body: Body, size: int) -> bytes:
    data = bytearray()
    async for chunk in body:
        data += chunk
        if len(data) > size:
            break
    if len(data) != size:
        raise BackendDown(f"the body has not the {size} bytes that were promised")
    return bytes(data)


def etag(reply: Reply) -> str:
    """A segmented object's ETag is quoted, a plain one's is not, unless the operator wants it so."""
    found = reply.headers.get("etag", "").strip('"')
    if not found:
        raise BackendDown("the service answered without an ETag")
    return found


def outcome(reply: Reply, method: str) -> dict[str, Any]:
    """The document of a request that Swift answers before it is done; its true status stands in the document."""
    told = read_json(reply.content)
    status = str(told.get("Response Status", "")) if isinstance(told, dict) else ""
    if not re.match(r"[0-9]{3}", status):
        raise BackendDown("the service answered with something that is no result")
    if status[:3] not in ("200", "201"):
        raise _judge(Refusal(method, "", int(status[:3]), reply.headers, reply.content))
    return dict(told)


def _judge(refusal: Refusal) -> BackendError:
    """What Swift means."""
    status, method = refusal.status, refusal.method
    if status == 401:
        return TokenRefused(str(refusal))
    if status == 404 and method in ("GET", "HEAD") and refusal.path.count("/") > 1:  # not the container itself
        return BlobMissing(str(refusal))
    if status == 412:
        return BlobExists(str(refusal)) if method == "PUT" else BlobChanged(str(refusal))
    if status == 498 or (status == 202 and method == "PUT"):  # 202: another put of the same name came later, and first
        return BackendBusy(str(refusal), retry_after(refusal.headers))
    return judge(refusal)
