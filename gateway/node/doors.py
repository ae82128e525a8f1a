"""Endpoint strings become listening ports; what is wrong with one is a fault at its line."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from OpenSSL import SSL, crypto
from twisted.internet import endpoints
from twisted.internet.defer import maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort, IProtocolFactory, IStreamServerEndpoint
from twisted.logger import Logger

from gateway.http.tls import Certificate, CertificateUnfit, Secured
from gateway.settings import ConfigurationFault, nearest

log = Logger()

_EXPECTED = "a Twisted server endpoint such as tcp:8000:interface=127.0.0.1"
_FILES = ("privateKey", "certKey", "extraCertChain")
_CROWD = 1024  # beyond it a client's first packet is dropped, and it waits a second to send another; Twisted's is 50
_EXPIRES_SOON = 21 * 86400


@dataclass(frozen=True, slots=True)
class Door:
    """An endpoint that is open; ``certificate`` where it is one of ours with TLS."""

    line: int
    text: str
    port: IListeningPort
    certificate: Certificate | None

    @property
    def where(self) -> str:
        """The endpoint without its files."""
        return ":".join(word for word in re.split(r"(?<!\\):", self.text) if word.partition("=")[0] not in _FILES)


def _certificate(folder: Path, text: str) -> tuple[Certificate, str]:
    """The certificate that an ``ssl:`` endpoint names, and its rest as a ``tcp:`` endpoint. Raises ValueError."""
    named: dict[str, str] = {}
    kept = []
    for word in re.split(r"(?<!\\):", text)[1:]:
        key, equals, value = word.partition("=")
        if equals and key in _FILES:
            named[key] = re.sub(r"\\(.)", r"\1", value)
        elif equals and key in ("sslmethod", "dhParameters"):
            raise ValueError(f"{key} is not needed: TLS 1.2 and 1.3 are spoken, each with its best keys")
        elif equals and key not in ("port", "interface", "backlog"):
            near = nearest(key, [*_FILES, "interface", "backlog"])
            raise ValueError(f"unknown word {key}" + (f"; did you mean {near}?" if near else ""))
        else:
            kept.append(word)
    if "privateKey" not in named:
        raise ValueError("no privateKey=FILE")
    files = {key: Path(folder, Path(file).expanduser()) for key, file in named.items()}
    key = files["privateKey"]
    return Certificate(key, files.get("certKey", key), files.get("extraCertChain")), ":".join(["tcp", *kept])


def _with_room(words: str) -> str:
    """The endpoint with room for ``_CROWD`` clients that are not accepted yet, where it does not say how many."""
    if not words.startswith(("tcp:", "tcp6:", "unix:")) or re.search(r"(?<!\\):backlog=", words):
        return words
    return f"{words}:backlog={_CROWD}"


def _parse(reactor: Any, file: str, line: int, text: str) -> tuple[IStreamServerEndpoint, Certificate | None]:
    """Raises ConfigurationFault for a string that is no endpoint, or names certificates that do not load."""
    try:
        certificate = None
        words = text
        if text.startswith("ssl:"):
            certificate, words = _certificate(Path(file).absolute().parent, text)
            certificate.load()
        endpoint: IStreamServerEndpoint = endpoints.serverFromString(reactor, _with_room(words))  # type: ignore[no-untyped-call]
        return endpoint, certificate
    except OSError as fault:
        seen = f"{text} ({fault.strerror}: {fault.filename})"
        raise ConfigurationFault(
            file, line, seen, "key and certificate files that we can read", "mend the path"
        ) from None
    except (CertificateUnfit, SSL.Error, crypto.Error) as fault:
        seen = f"{text} ({fault})"
        raise ConfigurationFault(file, line, seen, "a key and its certificate in PEM", "replace them") from None
    except (ValueError, TypeError, LookupError) as fault:
        raise ConfigurationFault(file, line, f"{text} ({fault})", _EXPECTED, "correct the endpoint") from None


async def listen(
    reactor: Any,
    file: str,
    lines: Sequence[tuple[int, str]],
    factory: IProtocolFactory,
    faults: list[ConfigurationFault],
) -> list[Door]:
    """Open every endpoint; what does not open is added to ``faults``."""
    doors = []
    for line, text in lines:
        try:
            endpoint, certificate = _parse(reactor, file, line, text)
            behind = Secured(certificate, factory) if certificate else factory
            doors.append(Door(line, text, await endpoint.listen(behind), certificate))
        except ConfigurationFault as fault:
            faults.append(fault)
        except CannotListenError as fault:
            seen = f"{text} ({_reason(fault.socketError)})"
            fix = "choose another port, or stop who has it"
            faults.append(ConfigurationFault(file, line, seen, "a free port that we may open", fix))
        except OSError as fault:  # a unix socket whose folder is missing or not ours
            fix = "make that folder ours, or choose another path"
            seen = f"{text} ({fault.strerror}: {os.fsdecode(fault.filename2 or fault.filename or '')})"
            faults.append(ConfigurationFault(file, line, seen, "a socket that we may make", fix))
        except OverflowError:
            faults.append(ConfigurationFault(file, line, text, "a port from 0 to 65535", "choose another port"))
    return doors


def _reason(error: object) -> str:
    return getattr(error, "strerror", None) or str(error)


def renew(doors: Sequence[Door], file: str, *, tell: bool = True) -> None:
    """Read the certificates again. One that is broken stays out of use, and is told in one line (or, without ``tell``,
    by another process)."""
    for door in doors:
        if door.certificate is None:
            continue
        try:
            door.certificate.load()
        except (OSError, CertificateUnfit) as fault:
            told = f"{fault.strerror}: {fault.filename}" if isinstance(fault, OSError) else str(fault)
            expected, fix = "a key and its certificate in PEM", "replace them and send SIGHUP again"
            wrong = ConfigurationFault(file, door.line, f"{door.text} ({told})", expected, fix)
            if tell:
                log.error("{fault}; the certificate from before stays in use", fault=str(wrong))
        else:
            if tell:
                log.info("the certificate of {where} was read again", where=door.text)
    if tell:
        tell_expiry(doors)


def tell_expiry(doors: Sequence[Door]) -> None:
    """A line for each certificate that ends soon, or did."""
    for door in doors:
        if door.certificate is not None and door.certificate.expires - time.time() < _EXPIRES_SOON:
            log.warn("the certificate of {where} ends {when}", where=door.text, when=door.certificate.until())


async def shut(doors: Sequence[Door]) -> None:
    """Stop listening; connections stay."""
    for door in doors:
        await maybeDeferred(door.port.stopListening)


def urls(doors: Sequence[Door]) -> list[str]:
    """Where clients reach the doors, as URLs; others than TCP as their endpoint strings."""
    found = []
    for door in doors:
        address = door.port.getHost()
        host, number = getattr(address, "host", None), getattr(address, "port", None)
        if host is None or number is None:
            found.append(door.text)
            continue
        scheme = "https" if door.text.startswith(("ssl:", "tls:")) else "http"
        host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
        found.append(f"{scheme}://{host}:{number}")
    return found
