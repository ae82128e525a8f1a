"""The shape of what lies below a connection."""

from __future__ import annotations

from socket import socket
from typing import Protocol


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
