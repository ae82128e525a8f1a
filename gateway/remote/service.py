"""A cloud service: signed requests, bounded in number and time, repeated where that is safe.

What comes out of here is a Reply or one of ``gateway.errors``; never an exception of Twisted's or treq's.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Collection, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from twisted.internet import task
from twisted.internet.defer import DeferredSemaphore

from gateway.bodies import BytesBody
from gateway.errors import BackendBusy, BackendDown, BackendError
from gateway.model import NOTHING, Body
from gateway.remote.hidden import hide
from gateway.remote.replies import Judge, Refusal, Reply, Unreached, judge
from gateway.remote.timing import Timing

if TYPE_CHECKING:
    from gateway.remote.client import Client

GATHERED = 64 * 1024  # a body up to this size is read before it is sent: it can be signed, and sent again
LARGEST_DOCUMENT = 1024 * 1024
TRIES = 3
FIRST_PAUSE = 0.2  # seconds; the pause before a repetition is drawn from zero to this, twice as much before the next


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A request before it is signed. ``payload`` is its body, or None for one that streams."""

    method: str
    url: str
    headers: Mapping[str, str]
    payload: bytes | None


# Gives the headers that go out with a request: those it has, and those that prove who we are.
Sign = Callable[[Outgoing], Awaitable[Mapping[str, str]]]


class _Settled(Exception):
    """A refusal that asking again does not change."""

    def __init__(self, fault: BackendError) -> None:
        super().__init__(fault)
        self.fault = fault


class Service:
    """The service at ``url`` (http or https, perhaps with a path that all requests begin with).

    ``sign`` gives the headers that go out with a request, and is asked anew for each try. ``judge`` turns a reply that
    was not expected into an error. At most ``most`` replies stream at once, and as many other requests run.
    """

    def __init__(
        self, url: str, sign: Sign, *, judge: Judge = judge, timing: Timing | None = None, most: int = 128
    ) -> None:
        self._url = url.rstrip("/")
        self._root = urlsplit(self._url).path
        self._sign = sign
        self._judge = judge
        self._timing = timing or Timing()
        self._most = most
        self._client: Client | None = None
        self._reactor: Any = None
        self._streams = DeferredSemaphore(most)
        self._others = DeferredSemaphore(most)
        self._inside: ContextVar[bool] = ContextVar("inside a request that holds a slot", default=False)

    def __repr__(self) -> str:
        return f"<Service {self._url}>"

    def open(self) -> None:
        """To be called before the first request; the reactor is chosen by now."""
        from twisted.internet import reactor

        from gateway.remote.client import Client  # not at import: whoever has no cloud need not load an HTTP client

        self._reactor = reactor
        self._client = Client(self._url, self._timing, self._most, reactor)

    async def close(self) -> None:
        """Cut all connections; fine twice, and before open()."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    async def ask(
        self,
        method: str,
        path: str = "",
        *,
        params: Mapping[str, str] = NOTHING,
        headers: Mapping[str, str] = NOTHING,
        body: Body | bytes | None = None,
        expect: Collection[int] = (200,),
        idempotent: bool = True,
    ) -> Reply:
        """A reply with its whole document in ``content``.

        ``path`` and ``params`` are plain text, encoded here. ``body`` has a known size; what it raises comes out
        unchanged, and the service is left with nothing. A status that is not in ``expect`` is raised as the judge says.
        A request that is not ``idempotent`` is repeated only where the service certainly did not act on it.
        """
        return await self._repeat(self._outgoing(method, path, params, headers), body, expect, idempotent, True)

    async def stream(
        self,
        path: str,
        *,
        params: Mapping[str, str] = NOTHING,
        headers: Mapping[str, str] = NOTHING,
        expect: Collection[int] = (200,),
    ) -> Reply:
        """GET a reply whose ``body`` streams; it holds its slot and its connection until it is closed."""
        return await self._repeat(self._outgoing("GET", path, params, headers), None, expect, True, False)

    def _outgoing(self, method: str, path: str, params: Mapping[str, str], headers: Mapping[str, str]) -> Outgoing:
        url = self._url + quote(path, safe="/-_.~")
        if params:
            url += "?" + "&".join(f"{_quoted(name)}={_quoted(value)}" for name, value in sorted(params.items()))
        return Outgoing(method, url, headers, b"")

    async def _repeat(
        self, request: Outgoing, body: Body | bytes | None, expect: Collection[int], idempotent: bool, whole: bool
    ) -> Reply:
        streamed: Body | None = None
        if isinstance(body, bytes):
            request = replace(request, payload=body)
        elif body is not None and body.size is not None and body.size <= GATHERED:
            request = replace(request, payload=await gathered(body, body.size))
        elif body is not None:
            request, streamed = replace(request, payload=None), body
        try:
            return await self._tries(request, streamed, expect, idempotent, whole)
        except _Settled as settled:
            raise settled.fault from None

    async def _tries(
        self, request: Outgoing, streamed: Body | None, expect: Collection[int], idempotent: bool, whole: bool
    ) -> Reply:
        end = self._seconds() + self._timing.retry
        for number in range(1, TRIES):
            try:
                return await self._try(request, streamed, expect, whole)
            except (BackendBusy, BackendDown) as fault:
                pause = random.uniform(0, FIRST_PAUSE * 2 ** (number - 1))
                if isinstance(fault, BackendBusy) and fault.after is not None:
                    pause += fault.after
                if self._seconds() + pause > end or not _repeatable(fault, idempotent, streamed):
                    raise
            await task.deferLater(self._reactor, pause)
        return await self._try(request, streamed, expect, whole)

    async def _try(self, request: Outgoing, streamed: Body | None, expect: Collection[int], whole: bool) -> Reply:
        if self._inside.get():  # a request for the sake of another's body must not wait for that one's slot
            return await self._exchange(request, streamed, expect, whole)
        slots = self._others if whole else self._streams
        await slots.acquire()
        self._inside.set(True)
        try:
            reply = await self._exchange(request, streamed, expect, whole)
        except BaseException:
            slots.release()
            raise
        finally:
            self._inside.set(False)
        reply.body.when_closed(slots.release)
        return reply

    async def _exchange(self, request: Outgoing, streamed: Body | None, expect: Collection[int], whole: bool) -> Reply:
        what = f"{request.method} {self._path(request)}"
        headers = await self._sign(request)
        if self._client is None:
            raise BackendDown(f"{what}: this location is not open")
        body = streamed
        if body is None and request.method not in ("GET", "HEAD"):
            body = BytesBody(request.payload or b"")
        reply = await self._client.send(request.method, request.url, headers, body, whole=whole, what=what)
        if whole or reply.status not in expect:
            content = await self._document(reply, what)
            reply = replace(reply, content=content)
        if reply.status not in expect:
            content = hide(reply.content, headers, request.url)
            told = {name: hide(value.encode(), headers, request.url).decode() for name, value in reply.headers.items()}
            refusal = Refusal(request.method, self._path(request), reply.status, told, content)
            fault = self._judge(refusal)
            raise fault if reply.status >= 500 or isinstance(fault, BackendBusy) else _Settled(fault)
        return reply

    async def _document(self, reply: Reply, what: str) -> bytes:
        """The whole document of a reply, which is closed. Raises BackendDown when it is too large or too slow."""
        late = BackendDown(f"{what}: the document does not end")
        timer = self._reactor.callLater(self._timing.document, reply.body.fail, late)
        content = bytearray()
        try:
            async for chunk in reply.body:
                content += chunk
                if len(content) > LARGEST_DOCUMENT:
                    raise BackendDown(f"{what}: the document is larger than {LARGEST_DOCUMENT} bytes")
        finally:
            reply.body.close()
            if timer.active():
                timer.cancel()
        return bytes(content)

    def _path(self, request: Outgoing) -> str:
        return urlsplit(request.url).path[len(self._root) :] or "/"

    def _seconds(self) -> float:
        if self._reactor is None:
            raise BackendDown(f"{self._url}: this location is not open")
        return float(self._reactor.seconds())


def _quoted(text: str) -> str:
    return quote(text, safe="-_.~")


async def gathered(body: Body, size: int) -> bytes:
    """The whole body in memory. Raises BackendDown where it has not ``size`` bytes."""
    data = bytearray()
    async for chunk in body:
        data += chunk
        if len(data) > size:
            break
    if len(data) != size:
        raise BackendDown(f"the body has not the {size} bytes that were promised")
    return bytes(data)


def _repeatable(fault: BackendBusy | BackendDown, idempotent: bool, streamed: Body | None) -> bool:
    """Nothing was done, or doing it twice does no harm; and there is a body to send again."""
    if isinstance(fault, Unreached):
        return True  # then not even a streamed body was begun
    return streamed is None and (idempotent or isinstance(fault, BackendBusy))
