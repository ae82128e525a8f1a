"""A server on a loopback port that answers as a test tells it, byte by byte, and a Service that talks to it."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.protocol import Factory, Protocol
from twisted.logger import LogLevel, formatEvent, globalLogPublisher

from gateway.remote import Outgoing, Service, Timing

Script = Callable[["Peer"], None]


class Peer(Protocol):
    """One connection. ``heads`` are the requests' heads; ``body`` is what came after the last one."""

    def __init__(self, server: RawServer) -> None:
        self.server = server
        self.heads: list[bytes] = []
        self.body = b""
        self.lost = False
        self.gone: Deferred[None] = Deferred()
        self._head = b""

    def dataReceived(self, data: bytes) -> None:
        if not self.heads or self._complete():
            self._head += data
            if b"\r\n\r\n" not in self._head:
                return
            head, _, data = self._head.partition(b"\r\n\r\n")
            self._head = b""
            self.heads.append(head)
            self.server.heads.append(head)
            self.body = b""
        self.body += data
        self.server.tell(self)

    def _complete(self) -> bool:
        return bool(self.heads) and len(self.body) >= self.length

    @property
    def length(self) -> int:
        for line in self.heads[-1].split(b"\r\n"):
            if line.lower().startswith(b"content-length:"):
                return int(line.partition(b":")[2])
        return 0

    def say(self, data: bytes) -> None:
        self.transport.write(data)

    def reply(self, status: int = 200, content: bytes = b"", **headers: str) -> None:
        lines = [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        head = "\r\n".join([f"HTTP/1.1 {status} X", *lines, f"Content-Length: {len(content)}", "", ""])
        self.say(head.encode() + content)

    def cut(self) -> None:
        self.transport.abortConnection()

    def connectionLost(self, reason: Any = None) -> None:
        self.lost = True
        self.gone.callback(None)


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Whatever a service does, nothing is logged as a fault of the program."""
    faults: list[str] = []

    def watch(event: Any) -> None:
        if event.get("log_level") is LogLevel.critical:
            faults.append(str(formatEvent(event)) + str(event.get("log_failure", "")))

    globalLogPublisher.addObserver(watch)
    yield
    gc.collect()  # a Deferred whose error nobody heard tells it when it goes
    globalLogPublisher.removeObserver(watch)
    assert not faults


class RawServer(Factory):
    """``when_whole`` is called with a Peer when a request is complete, ``when_head`` when its head is."""

    noisy = False

    def __init__(self) -> None:
        self.heads: list[bytes] = []
        self.peers: list[Peer] = []
        self.scripts: list[Script] = []
        self.when_whole: Script | None = Peer.reply
        self.when_head: Script | None = None
        self.port: Any = None

    def buildProtocol(self, addr: Any) -> Peer:
        peer = Peer(self)
        self.peers.append(peer)
        return peer

    def tell(self, peer: Peer) -> None:
        if self.when_head is not None:
            self.when_head(peer)
        elif peer._complete():
            script = self.scripts.pop(0) if self.scripts else self.when_whole
            if script is not None:
                script(peer)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port.getHost().port}"


@pytest.fixture
def server() -> Iterator[RawServer]:
    made = RawServer()
    made.port = reactor.listenTCP(0, made, interface="127.0.0.1")  # type: ignore[attr-defined]
    yield made

    async def end() -> None:
        await made.port.stopListening()
        for peer in made.peers:
            if not peer.lost:
                peer.cut()
                await peer.gone

    pytest_twisted.blockon(ensureDeferred(end()))


async def sign(request: Outgoing) -> Mapping[str, str]:
    return {**request.headers, "authorization": "the secret"}


@pytest.fixture
def connect() -> Iterator[Callable[..., Service]]:
    """Opens services with short deadlines, and closes them at the end."""
    opened: list[Service] = []

    def connector(url: str, **more: Any) -> Service:
        times = {"connect": 5.0, "reply": 5.0, "idle": 5.0, **more.pop("timing", {})}
        service = Service(url, more.pop("sign", sign), timing=Timing(**times), **more)
        service.open()
        opened.append(service)
        return service

    yield connector
    for service in opened:
        pytest_twisted.blockon(ensureDeferred(service.close()))


@pytest.fixture
def service(connect: Callable[..., Service], server: RawServer) -> Service:
    return connect(server.url)
