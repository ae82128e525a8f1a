"""https: certificates are verified, bodies flow, and connections are cut although the peer does not answer."""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from twisted.internet import reactor, ssl
from twisted.internet.defer import ensureDeferred

from gateway.errors import BackendDown
from gateway.testing.pours import MI, Pour, sample
from tests.remote.conftest import RawServer

# Twisted 26.10 hands its own pyOpenSSL objects to pyOpenSSL 26, which warns about it.
pytestmark = pytest.mark.filterwarnings("ignore:Passing pyOpenSSL (X509|PKey) objects is deprecated:DeprecationWarning")


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with a key and a certificate for 127.0.0.1 that signs itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "gateway test")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path_factory.mktemp("tls") / "server.pem"
    pem, pkcs8, plain = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    file.write_bytes(key.private_bytes(pem, pkcs8, plain) + made.public_bytes(pem))
    return file


@pytest.fixture
def secure(certificate: Path) -> Iterator[tuple[RawServer, str]]:
    made = RawServer()
    options = ssl.PrivateCertificate.loadPEM(certificate.read_bytes()).options()
    made.port = reactor.listenSSL(0, made, options, interface="127.0.0.1")  # type: ignore[attr-defined]
    yield made, f"https://127.0.0.1:{made.port.getHost().port}"

    async def end() -> None:
        await made.port.stopListening()
        for peer in made.peers:
            if not peer.lost:
                peer.cut()
                await peer.gone

    pytest_twisted.blockon(ensureDeferred(end()))


@pytest_twisted.ensureDeferred
async def test_an_unknown_certificate_is_refused(connect: Any, secure: tuple[RawServer, str]) -> None:
    server, url = secure
    with pytest.raises(BackendDown):
        await connect(url, timing={"retry": 0.0}).ask("GET", "/k")
    assert server.heads == []


@pytest_twisted.ensureDeferred
async def test_bodies_flow_both_ways(
    connect: Any, secure: tuple[RawServer, str], certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    server, url = secure
    service = connect(url)
    await service.ask("PUT", "/k", body=Pour(sample(3 * MI)))
    assert server.peers[0].body == sample(3 * MI)
    server.when_whole = lambda peer: peer.reply(content=sample(3 * MI))
    reply = await service.stream("/k")
    assert b"".join([chunk async for chunk in reply.body]) == sample(3 * MI)
    reply.body.close()
    reply = await service.stream("/k")
    reply.body.close()
    await server.peers[0].gone


@pytest_twisted.ensureDeferred
async def test_a_redirect_to_plain_http_is_refused(
    connect: Any, secure: tuple[RawServer, str], server: Any, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    safe, url = secure
    safe.when_whole = lambda peer: peer.reply(307, Location=server.url)
    with pytest.raises(BackendDown, match="not followed"):
        await connect(url).ask("GET", "/k")
    assert server.heads == []
