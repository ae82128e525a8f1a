"""The connections to one service: kept, counted, bounded in what they may say, and cut rather than closed."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.ssl import optionsForClientTLS
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.web.client import URI, HTTPConnectionPool
from twisted.web.iweb import IAgentEndpointFactory
from zope.interface import implementer

LARGEST_HEAD = 64 * 1024  # bytes of status line and headers, those of interim replies included
IDLE = 20  # seconds a connection is kept without a request; many servers close it soon after

_HEAD_END = re.compile(rb"\n\r?\n")


class Connection(ProtocolWrapper):
    """Counts the head of each reply: Twisted bounds a line, not how many there are.

    A reply that does not begin like HTTP, one that was not asked for, and a head that is too long cut the connection.
    Twisted's client closes politely, and over TLS a peer that does not answer keeps such a connection for ever: we cut.
    """

    _head: bytearray | None = None
    _room = 0

    def expect_reply(self) -> None:
        """A request goes out: the next bytes are the head of its reply."""
        self._head = bytearray()
        self._room = LARGEST_HEAD

    def dataReceived(self, data: bytes) -> None:
        if self._head is not None and not self._passes(data):
            self.abortConnection()
            return
        super().dataReceived(data)  # type: ignore[no-untyped-call]

    def loseConnection(self) -> None:
        self.disconnecting = 1
        self.abortConnection()

    def abortConnection(self) -> None:
        self._head = None
        self.transport.abortConnection()  # type: ignore[union-attr]

    def _passes(self, data: bytes) -> bool:
        """Whether the head is fine so far. A head may come in any pieces, and after interim heads (1xx)."""
        assert self._head is not None
        head = self._head
        looked = max(0, len(head) - 2)
        head += data
        while (end := _HEAD_END.search(head, looked)) is not None:
            if not head.startswith(b"HTTP/"):
                return False
            if end.end() > self._room:
                return False
            if head[:13].partition(b" ")[2][:1] != b"1":
                self._head = None
                return True
            self._room -= end.end()
            del head[: end.end()]
            looked = 0
        return len(head) <= self._room and head[:5] == b"HTTP/"[: len(head)]


class _Pool(HTTPConnectionPool):
    """Tells a connection when a request goes out on it."""

    def getConnection(self, key: Any, endpoint: Any) -> Deferred[Any]:
        def found(client: Any) -> Any:
            client.transport.expect_reply()
            return client

        waiting: Deferred[Any] = super().getConnection(key, endpoint)
        return waiting.addCallback(found)


@implementer(IStreamClientEndpoint)
class _Counted:
    """An endpoint whose connections are ours."""

    def __init__(self, endpoint: Any, connections: Connections) -> None:
        self._endpoint = endpoint
        self._connections = connections

    def connect(self, factory: Any) -> Deferred[Any]:
        factory.noisy = False  # else Twisted logs two lines for each connection
        wrapping = _Wrapping(factory, self._connections)
        connecting: Deferred[Any] = self._endpoint.connect(wrapping)
        return connecting.addCallback(lambda connection: connection.wrappedProtocol)


class _Wrapping(WrappingFactory[Connection]):
    protocol = Connection
    noisy = False

    def __init__(self, factory: Any, connections: Connections) -> None:
        super().__init__(factory)  # type: ignore[no-untyped-call]
        self._connections = connections

    def registerProtocol(self, p: Connection) -> None:
        self._connections.add(p)

    def unregisterProtocol(self, p: Connection) -> None:
        self._connections.discard(p)


@implementer(IAgentEndpointFactory)
class Connections:
    """Where ``url`` leads, and every connection that is open to there; at most ``most`` are kept without use."""

    def __init__(self, reactor: Any, url: str, timeout: float, most: int) -> None:
        self._reactor = reactor
        self._timeout = timeout
        self._open: set[Connection] = set()
        self._closing: Deferred[None] | None = None
        self._options = optionsForClientTLS(urlsplit(url).hostname or "") if url.startswith("https:") else None
        self.pool = _Pool(reactor)  # type: ignore[no-untyped-call]
        self.pool.retryAutomatically = False  # Service repeats requests itself, and knows which may be
        self.pool.cachedConnectionTimeout = IDLE
        self.pool.maxPersistentPerHost = most

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:
        endpoint: Any = HostnameEndpoint(self._reactor, uri.host, uri.port, timeout=self._timeout)
        if self._options is not None:
            # One context for all: reading the machine's certificates takes as long as many requests.
            endpoint = wrapClientTLS(self._options, endpoint)
        counted: IStreamClientEndpoint = _Counted(endpoint, self)
        return counted

    def add(self, connection: Connection) -> None:
        self._open.add(connection)
        if self._closing is not None:
            connection.abortConnection()

    def discard(self, connection: Connection) -> None:
        self._open.discard(connection)
        if self._closing is not None and not self._open and not self._closing.called:
            self._closing.callback(None)

    async def close(self) -> None:
        """Cut what is open, and what opens from now on; returns when it is gone."""
        if self._closing is not None:
            return
        self._closing = Deferred()
        if not self._open:
            self._closing.callback(None)
        for connection in tuple(self._open):
            connection.abortConnection()
        await self.pool.closeCachedConnections()  # type: ignore[no-untyped-call]
        await self._closing
