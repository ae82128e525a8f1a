"""The front door: makes connections, counts them, sweeps their deadlines, and closes the house in order."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IDelayedCall, IProtocolNegotiationFactory, IReactorTime
from twisted.internet.protocol import Factory
from twisted.logger import Logger
from zope.interface import implementer

from gateway.http.connection import Connection
from gateway.http.limits import Limits, Traffic
from gateway.http.reply_writer import Stamp
from gateway.model import Call, Reply

log = Logger()

MOST_REFUSED = 1024  # connections beyond the limit that are told so; further ones are closed without a word


def unobserved(call: Call, reply: Reply, traffic: Traffic) -> None:
    """Nobody looks."""


@implementer(IProtocolNegotiationFactory)
class Front(Factory):
    """A server factory: give it to any Twisted endpoint's ``listen``.

    ``answer(call)`` gives the reply; S3Error from it is answered, ClientGone ends the connection, anything else is
    logged and becomes a 500. ``observe(call, reply, traffic)`` is called after each reply and must be quick.
    ``running`` is the number of calls being answered now.
    """

    noisy = False

    def __init__(
        self,
        answer: Callable[[Call], Coroutine[Any, Any, Reply]],
        limits: Limits = Limits(),  # noqa: B008 - frozen
        *,
        observe: Callable[[Call, Reply, Traffic], None] = unobserved,
        clock: IReactorTime | None = None,
    ) -> None:
        self.answer = answer
        self.limits = limits
        self.observe = observe
        if clock is None:
            from twisted.internet import reactor  # importing it makes it, so not before somebody wants it

            clock = cast(IReactorTime, reactor)
        self.clock: IReactorTime = clock
        self.stamp = Stamp()
        self.running = 0
        self.draining = False
        self._connections: set[Connection] = set()
        self._per_peer: dict[str, int] = {}
        self._sweeping: IDelayedCall | None = None
        self._empty: Deferred[None] | None = None
        self._tls_seen = False

    def buildProtocol(self, addr: IAddress | None) -> Connection | None:
        if len(self._connections) >= self.limits.connections + MOST_REFUSED:
            return None
        return Connection(self, getattr(addr, "host", None) or "local")

    def acceptableProtocols(self) -> list[bytes]:
        """What TLS may negotiate (ALPN); curl fails without it."""
        return [b"http/1.1"]

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return len(self._connections)

    # -- what connections call

    def admit(self, connection: Connection) -> bool:
        """Count a new connection in. False where it is one too many."""
        self._connections.add(connection)
        mine = self._per_peer.get(connection.peer, 0) + 1
        self._per_peer[connection.peer] = mine
        if self._sweeping is None:
            self._sweeping = self.clock.callLater(self.limits.sweep_seconds, self._sweep)
        full = len(self._connections) > self.limits.connections or mine > self.limits.connections_per_peer
        return not (full or self.draining)

    def forget(self, connection: Connection) -> None:
        """Count a lost connection out."""
        self._connections.discard(connection)
        left = self._per_peer.get(connection.peer, 0) - 1
        if left > 0:
            self._per_peer[connection.peer] = left
        else:
            self._per_peer.pop(connection.peer, None)
        if not self._connections:
            if self._sweeping is not None:
                self._sweeping.cancel()
                self._sweeping = None
            if self._empty is not None:
                empty, self._empty = self._empty, None
                empty.callback(None)

    def saw_tls(self, peer: str) -> None:
        """A client speaks TLS to a plain port: one line for the operator, not one for each try."""
        if not self._tls_seen:
            self._tls_seen = True
            log.warn("{peer} speaks TLS to a port without TLS (told once)", peer=peer)

    def _sweep(self) -> None:
        """One timer for all deadlines of all connections."""
        self._sweeping = self.clock.callLater(self.limits.sweep_seconds, self._sweep)
        now = self.clock.seconds()
        for connection in list(self._connections):
            connection.watch(now)

    # -- the end

    async def drain(self, seconds: float) -> None:
        """Stop gracefully: idle connections end now, busy ones with their reply, the rest after ``seconds``."""
        self.draining = True
        for connection in list(self._connections):
            connection.retire()
        if not self._connections:
            return
        empty: Deferred[None] = Deferred()
        self._empty = empty
        deadline = self.clock.callLater(seconds, self._abort_all)
        try:
            await empty
        finally:
            if deadline.active():
                deadline.cancel()

    def _abort_all(self) -> None:
        for connection in list(self._connections):
            connection.abort()
