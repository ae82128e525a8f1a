"""What the supervisor and a worker say to each other: one JSON object a line, over a pair of connected sockets.

``say`` tells what kind of message it is; docs/architecture.md lists them. A line of another kind is not understood, and
ends the connection: both sides are of one version, for one started the other.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Mapping
from typing import Any

from twisted.internet.protocol import Factory, connectionDone
from twisted.protocols.basic import LineOnlyReceiver

LONGEST = 64 << 20  # bytes of a line: the figures of a worker are some ten thousand
Say = Callable[..., None]


class Channel(LineOnlyReceiver):
    """One end. ``heard`` maps what may be said to us to who listens; ``lost`` is called when the other end is gone."""

    delimiter = b"\n"
    MAX_LENGTH = LONGEST

    def __init__(self, heard: Mapping[str, Callable[..., Any]], lost: Callable[[], None] = lambda: None) -> None:
        self._heard = heard
        self._lost = lost

    def say(self, word: str, **more: object) -> None:
        """Tell the other end; nothing happens where it is gone."""
        self.sendLine(json.dumps({"say": word, **more}).encode())  # type: ignore[no-untyped-call]

    def end(self) -> None:
        """Close it when everything is sent."""
        assert self.transport is not None
        self.transport.loseConnection()

    def lineReceived(self, line: bytes) -> None:
        message = json.loads(line)
        self._heard[message.pop("say")](**message)

    def connectionLost(self, reason: Any = connectionDone) -> None:
        self._lost()


def over(reactor: Any, descriptor: int, channel: Channel) -> Channel:
    """The channel speaks over a connected socket from now on; ``descriptor`` is closed, the reactor has its own."""
    factory = Factory.forProtocol(lambda: channel)
    factory.noisy = False
    os.set_blocking(descriptor, False)
    reactor.adoptStreamConnection(descriptor, socket.AF_UNIX, factory)
    os.close(descriptor)
    return channel
