"""Endpoint strings become listening ports; what is wrong with one is a fault at its line."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from OpenSSL import SSL, crypto
from twisted.internet import endpoints
from twisted.internet.defer import maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort, IProtocolFactory, IStreamServerEndpoint

from gateway.settings import ConfigurationFault

_EXPECTED = "a Twisted server endpoint such as tcp:8000:interface=127.0.0.1"


def parse(reactor: Any, file: str, line: int, text: str) -> IStreamServerEndpoint:
    """Raises ConfigurationFault for a string that is no endpoint, or names certificates that do not load."""
    try:
        endpoint: IStreamServerEndpoint = endpoints.serverFromString(reactor, text)  # type: ignore[no-untyped-call]
        return endpoint
    except OSError as fault:
        seen = f"{text} ({fault.strerror}: {fault.filename})"
        raise ConfigurationFault(
            file, line, seen, "key and certificate files that we can read", "mend the path"
        ) from None
    except (SSL.Error, crypto.Error) as fault:
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
) -> list[IListeningPort]:
    """Open every endpoint; what does not open is added to ``faults``."""
    ports = []
    for line, text in lines:
        try:
            ports.append(await parse(reactor, file, line, text).listen(factory))
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
    return ports


def _reason(error: object) -> str:
    return getattr(error, "strerror", None) or str(error)


async def shut(ports: Sequence[IListeningPort]) -> None:
    """Stop listening; connections stay."""
    for port in ports:
        await maybeDeferred(port.stopListening)


def urls(ports: Sequence[IListeningPort], lines: Sequence[tuple[int, str]]) -> list[str]:
    """Where clients reach the ports, as URLs; others than TCP as their endpoint strings."""
    found = []
    for port, (_, text) in zip(ports, lines, strict=True):
        address = port.getHost()
        host, number = getattr(address, "host", None), getattr(address, "port", None)
        if host is None or number is None:
            found.append(text)
            continue
        scheme = "https" if text.startswith(("ssl:", "tls:")) else "http"
        host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
        found.append(f"{scheme}://{host}:{number}")
    return found
