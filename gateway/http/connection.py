"""One client's connection: heads in, one exchange at a time, deadlines, and an end that does not eat the reply."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from twisted.internet import protocol
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IHalfCloseableProtocol,
    IPushProducer,
    ITCPTransport,
)
from twisted.python.failure import Failure
from zope.interface import implementer

from gateway.errors import S3Error
from gateway.http.exchange import Exchange
from gateway.http.head import Head, HeadReader
from gateway.http.outlet import Outlet
from gateway.http.reply_writer import CONTINUE
from gateway.http.request_body import NO_BODY, RequestBody, Source
from gateway.http.transport import Pipe, PlainWire, Wire
from gateway.model import Call

if TYPE_CHECKING:
    from gateway.http.front import Front

READ_SMALL = 64 * 1024
READ_LARGE = 512 * 1024  # bytes that one recv takes while a large body comes
MOST_PENDING = 64 * 1024  # pipelined bytes that may wait behind a running call
TLS_HANDSHAKE = 0x16  # the first byte of a ClientHello
NO_HEAD = Head("-", "/", "", {}, 0, False, False, False, 0)


@implementer(IPushProducer, IHalfCloseableProtocol)
class Connection(protocol.Protocol):
    """Reads heads, gives each to an Exchange, and goes on only when its reply is out.

    It is the transport's producer: between pauseProducing and resumeProducing the client is not taking its reply.
    ``lost``: the transport is gone. ``stays``: the client may send another request after this reply. ``plain``: the
    transport, where bytes may go to its socket directly.
    """

    def __init__(self, front: Front, peer: str) -> None:
        self._front = front
        self._limits = front.limits
        self.peer = peer
        self._pipe: Pipe
        self._wire: Wire
        self.plain: PlainWire | None = None
        self._outlet: Outlet | None = None
        self.secure = False
        self.lost = False
        self.stalled = False
        self._heads = HeadReader(front.limits)
        self._head_due = True  # the deadline is that of a head, not that of an idle connection
        self._pending = b""
        self._exchange: Exchange | None = None
        self._awaits_continue = False
        self._advancing = False
        self._held_back = False
        self._half_closed = False
        self._lingering = False
        self._closing = False
        self._dropped = 0
        self._deadline = math.inf
        self._stalled_at = 0.0
        self._offset = 0
        self._drained: Deferred[None] | None = None

    # -- what the transport calls

    def connectionMade(self) -> None:
        self._pipe = pipe = Pipe(self.transport)
        self._wire, self.plain, self.secure = pipe.wire, pipe.plain, pipe.secure
        self._wire.registerProducer(self, True)
        self._deadline = self._front.clock.seconds() + self._limits.head_seconds
        if not self._front.admit(self):
            self._refuse(S3Error("SlowDown", cause="too many connections"))

    def dataReceived(self, data: bytes) -> None:
        exchange = self._exchange
        if exchange is not None:
            body = exchange.body
            if not body.ended:
                data = body.feed(data)
            self._pending += data
            self._hold_back(body.full)
            body.wake()
        elif self._lingering:
            self._dropped += len(data)
            if self._dropped > self._limits.linger_bytes:
                self._close()
        else:
            self._pending += data
            self._advance()
            if self._exchange is None:
                self._hold_back(False)  # the client takes no replies and asks for more of them

    def readConnectionLost(self) -> None:
        """The client sends no more; it may still read, or be gone: an answer that has not begun gets a little time."""
        self._half_closed = True
        exchange = self._exchange
        if exchange is None:
            self._close()
            return
        if not exchange.sent:
            self._deadline = self._front.clock.seconds() + self._limits.linger_seconds
        exchange.body.fail(S3Error("IncompleteBody", cause="the client ended the connection inside the body"))

    def writeConnectionLost(self) -> None:
        """Our own half-close is out; the rest is lingering."""

    def connectionLost(self, reason: Failure | None = None) -> None:
        self.lost = True
        self._front.forget(self)
        if self._exchange is not None:
            self._exchange.leave()

    def pauseProducing(self) -> None:
        self.stalled = True
        self._stalled_at = self._front.clock.seconds()

    def resumeProducing(self) -> None:
        self.stalled = False
        drained, self._drained = self._drained, None
        if drained is not None:
            drained.callback(None)
        self._advance()

    def stopProducing(self) -> None:
        """connectionLost says the same."""

    # -- what an exchange and its body call

    @property
    def stays(self) -> bool:
        return not (self._front.draining or self._half_closed or self.lost)

    def send(self, data: bytes) -> None:
        self._awaits_continue = False
        self._pipe.write(data)

    def outlet(self, opening: bytes, size: int, took: Callable[[int], None]) -> Outlet:
        """A way for a large body, where the transport is ``plain``; nothing else is sent until it is closed."""
        assert self.plain is not None, "the transport sends what it is given"
        self._awaits_continue = False
        self._outlet = Outlet(self.plain, self, opening, size, took, self._front.clock.seconds)
        return self._outlet

    def outlet_closed(self) -> None:
        self._outlet = None

    def drained(self) -> Deferred[None]:
        """Fires when the client took what was written."""
        self._drained = Deferred()
        return self._drained

    def abort(self) -> None:
        if not self.lost:
            self._lingering = True
            self._wire.abortConnection()

    def exchanged(self, exchange: Exchange) -> None:
        """The exchange is over: the next head, or the end of the connection."""
        self._exchange = None
        self._pipe.receive(READ_SMALL)
        if self.lost or self._lingering:
            return
        if self._half_closed or not exchange.keep:  # its end may have come after the head of the reply
            self._linger()
            return
        self._head_due = False
        self._deadline = self._front.clock.seconds() + self._limits.idle_seconds
        self._advance()
        if self._front.draining:  # this reply began before that, and promised to keep the connection
            self.retire()

    def body_wanted(self) -> None:
        if self._awaits_continue:
            self._awaits_continue = False
            self._pipe.write(CONTINUE)

    def body_taken(self) -> None:
        self._let_go()

    # -- heads

    def _advance(self) -> None:
        """Take heads from what is pending while nothing is being answered and the client takes its replies."""
        if self._advancing:
            return  # an answer that was ready at once: the loop below goes on
        self._advancing = True
        while self._pending and self._exchange is None and not self._lingering and not self.stalled:
            data, self._pending = self._pending, b""
            self._take_head(data)
        self._advancing = False
        if self._held_back and self._exchange is None and not self._pending:
            self._let_go()

    def _take_head(self, data: bytes) -> None:
        if data[0] == TLS_HANDSHAKE and not self._heads.begun and not self.secure:
            self._front.saw_tls(self.peer)
            self._close()
            return
        try:
            head, rest = self._heads.feed(data)
        except S3Error as fault:
            self._refuse(fault)
            return
        if head is not None:
            self._begin(head, rest)
        elif not self._head_due and self._heads.begun:
            self._head_due = True
            self._deadline = self._front.clock.seconds() + self._limits.head_seconds

    def _begin(self, head: Head, rest: bytes) -> None:
        body = NO_BODY
        if head.length != 0:
            if head.length is None or head.length > READ_LARGE:
                self._pipe.receive(READ_LARGE)
            body = RequestBody(head.length, self._limits, self)
            rest = body.feed(rest) if rest else b""
        self._pending = rest
        self._deadline = math.inf
        self._awaits_continue = head.expects and not body.ended and not body.received
        self._exchange = exchange = Exchange(self._front, self, head, self._call(head, body), body)
        if isinstance(body.fault, S3Error):
            exchange.refuse(body.fault)
        else:
            self._hold_back(body.full)
            exchange.start()

    def _call(self, head: Head, body: RequestBody) -> Call:
        return Call(
            f"{random.getrandbits(64):016X}",
            head.method,
            head.path,
            head.query,
            head.headers,
            body,
            self.peer,
            self.secure,
            time.time(),
            self._front.stamp.host_id,
        )

    def _refuse(self, fault: S3Error, status: int | None = None) -> None:
        """Answer what never became a call, and end the connection."""
        self._exchange = Exchange(self._front, self, NO_HEAD, self._call(NO_HEAD, NO_BODY), NO_BODY)
        self._exchange.refuse(fault, status)

    # -- holding the client back

    def _hold_back(self, full: bool) -> None:
        if not self._held_back and not self._lingering and (full or len(self._pending) > MOST_PENDING):
            self._held_back = True
            self._wire.pauseProducing()

    def _let_go(self) -> None:
        if self._held_back and len(self._pending) <= MOST_PENDING and not (self.lost or self._closing):
            self._held_back = False
            self._wire.resumeProducing()

    # -- ends

    def _linger(self) -> None:
        """The reply is written: end our side, and drop what still comes, so that no reset overtakes the reply."""
        self._lingering = True
        self._pending = b""
        self._deadline = self._front.clock.seconds() + self._limits.linger_seconds
        self._wire.unregisterProducer()  # else a paused one would be resumed for ever instead of the end being sent
        if self._half_closed:
            self._close()
            return
        self._let_go()
        if self.secure:
            self._wire.loseConnection()  # sends close_notify and reads on until the client's
        elif ITCPTransport.providedBy(self.transport):
            self.transport.loseWriteConnection()

    def _close(self) -> None:
        """End the connection as soon as what was written is out."""
        if not self._closing and not self.lost:
            if not self._lingering:
                self._wire.unregisterProducer()
            self._lingering = self._closing = True
            self._deadline = self._front.clock.seconds() + self._limits.stall_seconds
            self._wire.loseConnection()

    def retire(self) -> None:
        """The server is stopping: an idle connection ends now, a busy one with its reply."""
        if self._exchange is None and not self._heads.begun and not self._lingering:
            self._close()
            # nothing waits to be sent; a client that sleeps on its connection answers no close_notify
            self._deadline = self._front.clock.seconds() + self._limits.linger_seconds

    # -- deadlines

    def watch(self, now: float) -> None:
        """Called every sweep: whoever is late is answered, cut off or let go."""
        if self._outlet is not None:
            waits_since = self._outlet.waits_since
            if waits_since is not None and now - waits_since >= self._limits.stall_seconds:
                self.abort()
        elif self.stalled and not self._lingering:
            offset = getattr(self.transport, "offset", 0)  # Twisted's count of what the socket took of its buffer
            if offset != self._offset:
                self._offset = offset
                self._stalled_at = now
            elif now - self._stalled_at >= self._limits.stall_seconds:
                self.abort()
        elif now >= self._deadline:
            self._overdue()
        elif self._exchange is not None:
            self._exchange.body.watch(now)

    def _overdue(self) -> None:
        if self._closing:
            self.abort()
        elif self._lingering:
            self._close()
        elif self._exchange is not None:
            self._deadline = math.inf
            if not self._exchange.sent:
                self.abort()
        elif self._heads.begun:
            self._refuse(S3Error("RequestTimeout", cause="the head of the request came too slowly"), 408)
        else:
            self._close()


_: type[Source] = Connection
