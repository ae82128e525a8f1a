"""A live front door on loopback, and clients that send raw bytes to it, all in the test's own reactor."""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.protocol import Protocol
from twisted.logger import globalLogPublisher

from gateway.http import Front, Limits, Traffic
from gateway.model import Call, Reply

PATIENCE = 20.0  # seconds; only a broken test waits so long


class Client(Protocol):
    """Sends raw bytes and remembers what came."""

    def __init__(self) -> None:
        self.data = b""
        self.ended = False
        self._waiting: list[tuple[Callable[[], bool], Deferred[None]]] = []

    def dataReceived(self, data: bytes) -> None:
        self.data += data
        self._look()

    def connectionLost(self, reason: object = None) -> None:
        self.ended = True
        self._look()

    def _look(self) -> None:
        for waiting in list(self._waiting):
            condition, waiter = waiting
            if condition():
                self._waiting.remove(waiting)
                waiter.callback(None)

    async def until(self, condition: Callable[[], bool]) -> bytes:
        if not condition():
            waiter: Deferred[None] = Deferred()
            self._waiting.append((condition, waiter))
            await waiter.addTimeout(PATIENCE, reactor)
        return self.data

    def send(self, data: bytes) -> None:
        self.transport.write(data)

    async def replies(self, count: int) -> list[Answer]:
        """Wait for so many replies on the open connection."""
        await self.until(lambda: len(parse(self.data)) >= count or self.ended)
        return parse(self.data)

    async def closed(self) -> list[Answer]:
        await self.until(lambda: self.ended)
        return parse(self.data)


@dataclass
class Answer:
    """A reply as the wire carried it."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def code(self) -> str:
        match = re.search(rb"<Code>(\w+)</Code>", self.body)
        return match[1].decode() if match else ""


def parse(data: bytes) -> list[Answer]:
    """Every complete reply in ``data`` (none to HEAD among them)."""
    found = []
    while b"\r\n\r\n" in data:
        head, _, rest = data.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        status = int(first.split(" ")[1])
        size = int(headers.get("content-length", "0"))
        if len(rest) < size:
            break
        found.append(Answer(status, headers, rest[:size]))
        data = rest[size:]
    return found


@dataclass
class Door:
    """A front that counts what its operation read; ``answers`` may be replaced before the first call."""

    front: Front
    port: Any
    calls: list[Call]
    seen: list[tuple[Call, Reply, Traffic]]
    clients: list[Client] = field(default_factory=list)

    async def connect(self) -> Client:
        client = Client()
        endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", self.port.getHost().port)
        await connectProtocol(endpoint, client)
        self.clients.append(client)
        return client

    async def talk(self, data: bytes) -> list[Answer]:
        """Send everything at once, and wait for the end of the connection."""
        client = await self.connect()
        client.send(data)
        return await client.closed()

    async def talk_slowly(self, data: bytes) -> list[Answer]:
        """Send byte by byte, each in its own segment."""
        client = await self.connect()
        client.transport.setTcpNoDelay(True)
        for at in range(len(data)):
            if client.ended:
                break
            client.send(data[at : at + 1])
            await turn()
        return await client.closed()

    async def eventually(self, condition: Callable[[], object]) -> None:
        """Wait until it is true; a test that never sees it fails."""
        waited = 0.0
        while not condition():
            assert waited < PATIENCE, "it never happened"
            await turn(0.01)
            waited += 0.01

    @property
    def paths(self) -> list[str]:
        return [call.path for call in self.calls]


def turn(seconds: float = 0) -> Deferred[None]:
    """Let the reactor go round."""
    waiter: Deferred[None] = Deferred()
    reactor.callLater(seconds, waiter.callback, None)
    return waiter


Answerer = Callable[[Call], Coroutine[Any, Any, Reply]]


async def read_all(call: Call) -> Reply:
    """The operation of most tests: read the body, tell its size and bytes."""
    body = b""
    async for chunk in call.body:
        assert 1 <= len(chunk) <= 1024 * 1024
        body += chunk
    return Reply(200, (("X-Method", call.method), ("X-Path", call.path), ("X-Size", str(len(body)))), body[:100])


@pytest.fixture
def open_door() -> Iterator[Callable[..., Door]]:
    """``open_door(answer, limits)`` listens; everything is closed after the test."""
    doors: list[Door] = []

    def opener(answer: Answerer = read_all, **limits: Any) -> Door:
        calls: list[Call] = []
        seen: list[tuple[Call, Reply, Traffic]] = []

        async def noted(call: Call) -> Reply:
            calls.append(call)
            return await answer(call)

        limits.setdefault("sweep_seconds", 0.02)
        limits.setdefault("linger_seconds", 0.3)
        front = Front(noted, Limits(**limits), observe=lambda *all: seen.append(all))
        port = reactor.listenTCP(0, front, interface="127.0.0.1")
        doors.append(Door(front, port, calls, seen))
        return doors[-1]

    yield opener

    async def close() -> None:
        for door in doors:
            await door.port.stopListening()
            for client in door.clients:
                if not client.ended:
                    client.transport.abortConnection()
            await door.front.drain(0)
            await door.eventually(lambda door=door: all(client.ended for client in door.clients))

    pytest_twisted.blockon(Deferred.fromCoroutine(close()))


@pytest.fixture
def logged() -> Iterator[list[dict[str, Any]]]:
    """What the log got: a client's fault must leave no traceback in it."""
    events: list[dict[str, Any]] = []
    globalLogPublisher.addObserver(events.append)
    yield events
    globalLogPublisher.removeObserver(events.append)
