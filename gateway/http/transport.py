"""The shape of what lies below a connection."""

from __future__ import annotations

from contextlib import suppress
from socket import socket
from typing import Protocol, cast

from twisted.internet.interfaces import ISSLTransport, ISystemHandle, ITCPTransport


class Wire(Protocol):
    """What this room asks of a transport; TCP, UNIX and TLS transports have it all."""

    def write(self, data: bytes) -> object: ...

    def registerProducer(self, producer: object, streaming: bool) -> object: ...

    def unregisterProducer(self) -> object: ...

    def pauseProducing(self) -> object: ...

    def resumeProducing(self) -> object: ...

    def loseConnection(self) -> object: ...

    def abortConnection(self) -> object: ...


class PlainWire(Wire, Protocol):
    """A transport that sends what it is given, as it is, through a socket: TCP and UNIX, not TLS.

    ``bufferSize``: how many bytes it receives at once.
    """

    bufferSize: int  # noqa: N815 - Twisted's

    def getHandle(self) -> socket: ...


class Pipe:
    """A connection's transport, made ready for requests and replies.

    ``secure``: TLS. ``plain``: the transport, where bytes may go to its socket directly.
    """

    def __init__(self, transport: object) -> None:
        self.wire = cast(Wire, transport)
        self.secure = ISSLTransport.providedBy(transport)
        self.plain: PlainWire | None = None
        self._buffered = False
        if ITCPTransport.providedBy(transport):
            transport.setTcpNoDelay(True)  # else the last short write of a reply waits for the client's delayed ACK
            transport.setTcpKeepAlive(True)
        if not self.secure and ISystemHandle.providedBy(transport):
            self.plain = cast(PlainWire, transport)

    def write(self, data: bytes) -> None:
        """A short reply fits into the socket at once, and needs no further turn of the reactor.

        Where it does not, Twisted's buffer has the rest, and everything that this connection writes after it.
        """
        if self.plain is not None and not self._buffered:
            with suppress(OSError):  # a full socket, or a broken one, of which the transport will hear as well
                data = data[self.plain.getHandle().send(data) :]
            if not data:
                return
            self._buffered = True
        self.wire.write(data)

    def receive(self, at_once: int) -> None:
        """How many bytes one recv takes, where that can be said."""
        if self.plain is not None:
            self.plain.bufferSize = at_once
