"""What the supervisor and a worker say to each other: one JSON object a line, over a pair of connected sockets.

``say`` tells what kind of message it is; docs/architecture.md lists them. A line of another kind is not understood, and
ends the connection: both sides are of one version, for one started the other.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from twisted.internet.interfaces import IFileDescriptorReceiver
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.protocols.basic import LineOnlyReceiver
from zope.interface import implementer

LONGEST = 64 << 20  # bytes of a line: the figures of a worker are some ten thousand
Say = Callable[..., None]
P = TypeVar("P", bound=Protocol)


@implementer(IFileDescriptorReceiver)
class Channel(LineOnlyReceiver):
    """One end. ``heard`` maps what may be said to us to who listens; ``lost`` is called when the other end is gone.

    ``handed``: descriptors that came, ours from now on; they are here before what was said after them is heard.
    """

    delimiter = b"\n"
    MAX_LENGTH = LONGEST

    def __init__(self, heard: Mapping[str, Callable[..., Any]], lost: Callable[[], None] = lambda: None) -> None:
        self._heard = heard
        self._lost = lost
        self.handed: list[int] = []

    def say(self, word: str, **more: object) -> None:
        """Tell the other end; nothing happens where it is gone."""
        self.sendLine(json.dumps({"say": word, **more}).encode())  # type: ignore[no-untyped-call]

    def hand(self, descriptors: Iterable[int]) -> None:
        """Give the other end these open files, with what is said next; they must stay open until that is sent.

        Nothing happens where it is gone.
        """
        transport: Any = self.transport
        if transport.connected:
            for descriptor in descriptors:
                transport.sendFileDescriptor(descriptor)

    def end(self) -> None:
        """Close it when everything is sent."""
        assert self.transport is not None
        self.transport.loseConnection()

    def lineReceived(self, line: bytes) -> None:
        message = json.loads(line)
        self._heard[message.pop("say")](**message)

    def fileDescriptorReceived(self, descriptor: int) -> None:
        os.set_inheritable(descriptor, False)
        self.handed.append(descriptor)

    def connectionLost(self, reason: Any = connectionDone) -> None:
        self._lost()


def over(reactor: Any, descriptor: int, protocol: P) -> P:
    """It speaks over a connected socket from now on; ``descriptor`` is closed, the reactor has its own."""
    factory = Factory.forProtocol(lambda: protocol)
    factory.noisy = False
    os.set_blocking(descriptor, False)
    reactor.adoptStreamConnection(descriptor, socket.AF_UNIX, factory)
    os.close(descriptor)
    return protocol
