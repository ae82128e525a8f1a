"""The same door behind TLS: ALPN, the client's address, and an orderly end."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from typing import Any

import pytest
import pytest_twisted
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from OpenSSL import SSL
from twisted.internet import reactor, ssl
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import SSL4ClientEndpoint, connectProtocol
from twisted.internet.protocol import Protocol
from twisted.internet.task import deferLater

from gateway.errors import S3Error
from gateway.http import Front, Limits
from gateway.model import Call, Reply

# Twisted 26.10 hands its own pyOpenSSL objects to pyOpenSSL 26, which warns about it; "ssl:" endpoints do the same.
pytestmark = pytest.mark.filterwarnings("ignore:Passing pyOpenSSL (X509|PKey) objects is deprecated:DeprecationWarning")


def certificate() -> ssl.CertificateOptions:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    pem = made.public_bytes(serialization.Encoding.PEM) + key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return ssl.PrivateCertificate.loadPEM(pem).options()


class Client(Protocol):
    def __init__(self) -> None:
        self.data = b""
        self.protocol: bytes | None = None
        self.gone: Deferred[bytes] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        self.protocol = self.transport.negotiatedProtocol
        self.data += data

    def connectionLost(self, reason: object = None) -> None:
        self.gone.callback(self.data)


class Trusting(ssl.ClientContextFactory):
    def getContext(self) -> SSL.Context:
        context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        context.set_alpn_protos([b"h2", b"http/1.1"])
        return context


@pytest.fixture
def listen() -> Iterator[Any]:
    opened: list[tuple[Any, Front]] = []

    async def open_and_connect(answer: Any) -> Client:
        front = Front(answer, Limits(sweep_seconds=0.02, linger_seconds=0.3))
        port = reactor.listenSSL(0, front, certificate(), interface="127.0.0.1")
        opened.append((port, front))
        client = Client()
        await connectProtocol(SSL4ClientEndpoint(reactor, "127.0.0.1", port.getHost().port, Trusting()), client)
        return client

    open_and_connect.opened = opened  # type: ignore[attr-defined]
    yield open_and_connect

    async def close() -> None:
        for port, front in opened:
            await port.stopListening()
            await front.drain(0)

    pytest_twisted.blockon(Deferred.fromCoroutine(close()))


@pytest_twisted.ensureDeferred
async def test_alpn_and_the_call_is_secure(listen: Any) -> None:
    calls: list[Call] = []

    async def answer(call: Call) -> Reply:
        calls.append(call)
        return Reply(200, (), b"x" * 300_000)

    client = await listen(answer)
    client.transport.write(b"GET /a HTTP/1.1\r\nHost: h\r\n\r\nGET /b HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
    data = await client.gone
    assert client.protocol == b"http/1.1"
    assert data.count(b"HTTP/1.1 200 OK") == 2
    assert data.count(b"x" * 300_000) == 2
    assert [(call.secure, call.peer) for call in calls] == [(True, "127.0.0.1")] * 2


@pytest_twisted.ensureDeferred
async def test_a_refusal_arrives_although_the_body_is_still_coming(listen: Any) -> None:
    async def answer(call: Call) -> Reply:
        raise S3Error("AccessDenied")

    client = await listen(answer)
    client.transport.write(b"PUT /a HTTP/1.1\r\nHost: h\r\nContent-Length: 900000\r\n\r\n" + b"x" * 500_000)
    data = await client.gone
    assert data.startswith(b"HTTP/1.1 403 ")
    assert data.endswith(b"</Error>")


@pytest_twisted.ensureDeferred
async def test_an_idle_client_that_sleeps_does_not_hold_up_a_drain(listen: Any) -> None:
    async def answer(call: Call) -> Reply:
        return Reply(200, (), b"idle")

    client = await listen(answer)
    client.transport.write(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
    while b"idle" not in client.data:
        await deferLater(reactor, 0.01)
    client.transport.pauseProducing()
    [(_, front)] = listen.opened
    await Deferred.fromCoroutine(front.drain(1000)).addTimeout(20, reactor)
    assert front.connections == 0
