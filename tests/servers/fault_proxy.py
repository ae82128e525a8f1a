"""A proxy of our own between a client and a real HTTP server, which misbehaves as the test tells it.

``proxy = FaultProxy("http://127.0.0.1:1234")``, ``proxy.listen()``: then ``proxy.url`` leads where the server is.
``proxy.faults["word"] = fault`` makes every request whose target holds ``word`` end as ``fault`` says; ``fault(fault,
times=1)`` only the first. ``proxy.seen("word")`` are those requests. It runs in the test's own reactor.
"""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urlsplit

from twisted.internet import reactor as global_reactor
from twisted.internet import task
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectError
from twisted.internet.protocol import ClientFactory, Factory, Protocol

reactor: Any = global_reactor
BODILESS = (204, 304)

Fault = Callable[["Exchange"], Awaitable[None]]


@dataclass(frozen=True)
class Answer:
    """A server's reply. ``lines``: the status line and the headers, as they came."""

    lines: tuple[bytes, ...]
    body: bytes

    def head(self) -> bytes:
        return b"\r\n".join(self.lines) + b"\r\n\r\n"

    def whole(self) -> bytes:
        return self.head() + self.body

    def header(self, name: bytes) -> bytes:
        return _header(self.lines, name)


def _header(lines: tuple[bytes, ...] | list[bytes], name: bytes) -> bytes:
    for line in lines[1:]:
        told, _, value = line.partition(b":")
        if told.strip().lower() == name:
            return value.strip()
    return b""


@dataclass
class Seen:
    """A request that came by."""

    method: str
    target: str
    when: float
    headers: tuple[bytes, ...] = field(repr=False)


class Exchange:
    """One request and what becomes of it. ``gone`` is set when the client's connection is."""

    def __init__(self, proxy: FaultProxy, front: Front, lines: list[bytes], body: bytes) -> None:
        self.proxy = proxy
        self.method, self.target = (word.decode("latin-1") for word in lines[0].split(b" ")[:2])
        self.gone = False
        self._front = front
        self._head = b"\r\n".join(lines) + b"\r\n\r\n"
        self.body = bytearray(body)

    async def forward(self) -> Answer:
        """What the server answers; ConnectionAbortedError where it went away."""
        return await self.proxy.ask(self._head + self.body, self.method)

    def say(self, data: bytes) -> None:
        if not self.gone:
            self._front.transport.write(data)

    def finish(self) -> None:
        """Close in the orderly way."""
        self._front.transport.loseConnection()

    def reset(self) -> None:
        """Close with RST, once what was said is on its way."""
        if not self.gone:
            self._front.transport.abortConnection()

    async def pause(self, seconds: float) -> None:
        await task.deferLater(reactor, seconds)

    async def until_gone(self) -> None:
        """Silence, until the client has had enough of it."""
        while not self.gone:
            await self.pause(0.01)


class Front(Protocol):
    """A client's connection: one exchange after the other."""

    def __init__(self, proxy: FaultProxy) -> None:
        self._proxy = proxy
        self._data = bytearray()
        self._exchange: Exchange | None = None
        self._running: Deferred[None] | None = None

    def connectionMade(self) -> None:
        self._proxy.fronts.add(self)
        self.transport.setTcpNoDelay(True)

    def dataReceived(self, data: bytes) -> None:
        self._data += data
        self._next()

    def _next(self) -> None:
        head, found, _ = bytes(self._data[: 64 * 1024]).partition(b"\r\n\r\n")
        if self._running is not None or not found:
            return
        lines = head.split(b"\r\n")
        size = int(_header(lines, b"content-length") or b"0")
        start = len(head) + 4
        if len(self._data) < start + size:
            return
        body = bytes(self._data[start : start + size])
        del self._data[: start + size]
        self._exchange = Exchange(self._proxy, self, lines, body)
        fault = self._proxy.meet(self._exchange, lines)
        self._running = Deferred.fromCoroutine(fault(self._exchange))  # type: ignore[arg-type]
        self._running.addErrback(self._broken).addCallback(self._over)

    def _broken(self, failure: Any) -> None:
        failure.trap(ConnectError, ConnectionAbortedError, CancelledError)
        self.transport.abortConnection()

    def _over(self, _: object) -> None:
        self._running = None
        self._next()

    def connectionLost(self, reason: Any = None) -> None:
        self._proxy.fronts.discard(self)
        if self._exchange is not None:
            self._exchange.gone = True
        if self._running is not None:
            self._running.cancel()


class _Back(Protocol):
    """A connection to the server, for one exchange."""

    def __init__(self, request: bytes, method: str) -> None:
        self._request = request
        self._method = method
        self._data = b""
        self.answer: Deferred[Answer] = Deferred(lambda _: self.transport.abortConnection())

    def connectionMade(self) -> None:
        self.transport.setTcpNoDelay(True)
        self.transport.write(self._request)

    def dataReceived(self, data: bytes) -> None:
        self._data += data
        head, found, body = self._data.partition(b"\r\n\r\n")
        if not found:
            return
        lines = tuple(head.split(b"\r\n"))
        status = int(lines[0].split(b" ")[1])
        if status < 200:
            self._data = body
            return
        length = _header(lines, b"content-length")
        if self._method == "HEAD" or status in BODILESS:
            whole = True
        elif b"chunked" in _header(lines, b"transfer-encoding").lower():
            whole = body.endswith(b"0\r\n\r\n")
        else:
            whole = bool(length) and len(body) >= int(length)
        if whole:
            self._done(Answer(lines, body))

    def _done(self, answer: Answer) -> None:
        self.transport.abortConnection()
        if not self.answer.called:
            self.answer.callback(answer)

    def connectionLost(self, reason: Any = None) -> None:
        head, found, body = self._data.partition(b"\r\n\r\n")
        if not self.answer.called and found:  # the end of the connection is the end of the body
            self.answer.callback(Answer(tuple(head.split(b"\r\n")), body))
        elif not self.answer.called:
            self.answer.errback(ConnectionAbortedError("the server hung up"))


class FaultProxy(Factory):
    noisy = False

    def __init__(self, upstream: str) -> None:
        self.faults: dict[str, Fault] = {}
        self.fronts: set[Front] = set()
        self.requests: list[Seen] = []
        self.upstream = upstream
        parts = urlsplit(upstream)
        self._host, self._port = parts.hostname, parts.port
        self._path = parts.path
        self._number = 0
        self._listening: Any = None

    @property
    def url(self) -> str:
        """What the upstream's URL is, through the proxy."""
        return f"http://127.0.0.1:{self._number}{self._path}"

    def listen(self) -> None:
        """Accept connections; again on the same port after stop()."""
        self._listening = reactor.listenTCP(self._number, self, interface="127.0.0.1")
        self._number = self._listening.getHost().port

    async def stop(self) -> None:
        """Refuse connections, and cut those that are open."""
        listening, self._listening = self._listening, None
        if listening is not None:
            await listening.stopListening()
        for front in tuple(self.fronts):
            front.transport.abortConnection()
        while self.fronts:
            await task.deferLater(reactor, 0.005)

    def buildProtocol(self, addr: Any) -> Front:
        return Front(self)

    def seen(self, word: str) -> list[Seen]:
        return [each for each in self.requests if word in each.target]

    def meet(self, exchange: Exchange, lines: list[bytes]) -> Fault:
        """Note a request, and choose what becomes of it."""
        target = unquote(exchange.target)
        self.requests.append(Seen(exchange.method, target, reactor.seconds(), tuple(lines)))
        return next((fault for word, fault in self.faults.items() if word in target), fine)

    async def ask(self, request: bytes, method: str) -> Answer:
        back = _Back(request, method)
        factory = ClientFactory()
        factory.noisy = False
        factory.protocol = lambda: back  # type: ignore[assignment, method-assign]
        factory.clientConnectionFailed = lambda _, reason: back.answer.errback(reason)  # type: ignore[method-assign]
        reactor.connectTCP(self._host, self._port, factory)
        return await back.answer


async def fine(exchange: Exchange) -> None:
    """What a proxy is for."""
    exchange.say((await exchange.forward()).whole())


def first(fault: Fault, times: int = 1) -> Fault:
    """The fault for the first ``times`` requests only."""
    count = itertools.count()

    async def met(exchange: Exchange) -> None:
        await (fault if next(count) < times else fine)(exchange)

    return met
