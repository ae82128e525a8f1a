"""TLS in front of the front door: certificates that can be exchanged while connections stay, and nothing below 1.2."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from OpenSSL import SSL
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator, IProtocolFactory
from twisted.logger import Logger
from twisted.protocols.tls import BufferingTLSTransport, TLSMemoryBIOFactory
from zope.interface import implementer

from gateway.http.transport import Wire

log = Logger()

# What Mozilla's server side TLS guide calls intermediate; TLS 1.3 has no weak ones.
CIPHERS = b"ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM:DHE+CHACHA20"
_TOLD = (
    b'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>InvalidRequest</Code>'
    b"<Message>This port speaks TLS. Use an https:// URL.</Message></Error>"
)
SPEAK_TLS = (
    b"HTTP/1.1 400 Bad Request\r\nServer: txgateway\r\nContent-Type: application/xml\r\nConnection: close\r\n"
    b"Content-Length: %d\r\n\r\n%b" % (len(_TOLD), _TOLD)
)


class CertificateUnfit(Exception):
    """The files hold no key with its certificate; the text tells why."""


@implementer(IOpenSSLServerConnectionCreator)
class Certificate:
    """A key and the certificates that prove it, in PEM files: the server's own first, then those that signed it.

    ``load`` reads the files; later connections get what it found, earlier ones keep theirs. ``expires``: seconds since
    the epoch. ``stale``: the last ``load`` failed, so what an earlier one found is still in use.
    """

    def __init__(self, key: Path, chain: Path, more: Path | None = None) -> None:
        self._key = key
        self._chain = chain
        self._more = more
        self._context: SSL.Context | None = None
        self.expires = 0.0
        self.stale = False

    def __repr__(self) -> str:
        return f"<Certificate {self._chain}>"

    def load(self) -> None:
        """Raises OSError and CertificateUnfit; then everything stays as it was."""
        self.stale = True
        certificates = _certificates(self._chain)
        if self._more is not None:
            certificates += _certificates(self._more)
        key = _key(self._key)
        if key.public_key() != certificates[0].public_key():
            raise CertificateUnfit(f"{self._key} is not the key of the first certificate in {self._chain}")
        try:
            self._context = _context(key, certificates)
        except SSL.Error as fault:  # a key that this OpenSSL takes for too weak, and the like
            reasons = ", ".join(str(reason[-1]) for reason in fault.args[0]) if fault.args else "refused by OpenSSL"
            raise CertificateUnfit(f"{self._chain}: {reasons}") from fault
        self.expires = certificates[0].not_valid_after_utc.timestamp()
        self.stale = False

    def until(self) -> str:
        """The end of the server's own certificate, for people."""
        return datetime.fromtimestamp(self.expires, UTC).strftime("%Y-%m-%d %H:%M UTC")

    def serverConnectionForTLS(self, protocol: object) -> SSL.Connection:
        """What Twisted asks for each new connection."""
        assert self._context is not None, "load() comes first"
        return SSL.Connection(self._context, None)


def _certificates(path: Path) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(path.read_bytes())
    except ValueError as fault:
        raise CertificateUnfit(f"{path} holds no certificate in PEM") from fault


def _key(path: Path) -> Any:
    try:
        return serialization.load_pem_private_key(path.read_bytes(), None)
    except TypeError as fault:  # nobody is there to type the password
        raise CertificateUnfit(f"{path} is locked with a password") from fault
    except ValueError as fault:
        raise CertificateUnfit(f"{path} holds no private key in PEM") from fault


def _choose(connection: SSL.Connection, offered: list[bytes]) -> Any:
    """ALPN: we speak one protocol, and curl fails where nobody says so."""
    return b"http/1.1" if b"http/1.1" in offered else SSL.NO_OVERLAPPING_PROTOCOLS


def _context(key: Any, certificates: list[x509.Certificate]) -> SSL.Context:
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    # no tickets and no cache: the key of a ticket would outlive every connection that it protects
    context.set_options(SSL.OP_NO_COMPRESSION | SSL.OP_NO_TICKET | SSL.OP_CIPHER_SERVER_PREFERENCE)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_mode(SSL.MODE_RELEASE_BUFFERS)
    context.set_cipher_list(CIPHERS)
    context.set_alpn_select_callback(_choose)
    context.use_certificate(certificates[0])
    for signer in certificates[1:]:
        context.add_extra_chain_cert(signer)
    context.use_privatekey(key)
    context.check_privatekey()
    return context


class _Secured(BufferingTLSTransport):
    """TLS, but for a client that speaks plain HTTP: it is told so in words that it understands."""

    _begun = False

    def dataReceived(self, data: bytes) -> None:
        if not self._begun:
            self._begun = True
            if data[:1].isalpha() and data[:1].isupper():  # no record of TLS starts with a letter
                factory, below = cast(Secured, self.factory), cast(Wire, self.transport)
                factory.saw_plain(self.getPeer())  # type: ignore[no-untyped-call]
                below.write(SPEAK_TLS)
                below.loseConnection()
                return
        super().dataReceived(data)  # type: ignore[no-untyped-call]


class Secured(TLSMemoryBIOFactory):
    """Gives the connections of another factory (the Front) over TLS; listen with it on a TCP endpoint."""

    protocol = _Secured
    noisy = False

    def __init__(self, certificate: Certificate, factory: IProtocolFactory) -> None:
        super().__init__(certificate, False, factory)
        self._plain_seen = False

    def saw_plain(self, peer: Any) -> None:
        """One line for the operator, not one for each try."""
        if not self._plain_seen:
            self._plain_seen = True
            log.warn("{peer} speaks HTTP without TLS to a port with TLS (told once)", peer=getattr(peer, "host", peer))
