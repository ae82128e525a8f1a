"""Doors that several processes share: the supervisor binds them, each worker accepts at the same socket.

An endpoint of Twisted opens its ports through the reactor it was given; so it is given one that binds without
accepting, and in the workers one that hands out what was bound, in the same order. Whatever the endpoint puts around
the factory (a PROXY header, TLS) stays as it is. A socket that all share loses nobody when one of them dies; with
SO_REUSEPORT each has a queue of its own, and what waits in it dies with its owner.
"""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from twisted.internet import tcp, unix
from twisted.internet.abstract import isIPv6Address
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort
from twisted.python.lockfile import FilesystemLock
from zope.interface import implementer

from gateway.workers.balance import Counted, InTurn, Turn


@implementer(IListeningPort)
class Bound:
    """A socket that listens, and at which this process accepts nobody."""

    def __init__(self, listening: socket.socket, lock: FilesystemLock | None = None) -> None:
        self.socket = listening
        self._path = listening.getsockname() if lock else None
        self._lock = lock

    def startListening(self) -> None:
        """It does."""

    def stopListening(self) -> None:
        """Close our descriptor; the workers have theirs, and go on."""
        self.socket.close()
        if self._path is not None and self._lock is not None:
            with suppress(FileNotFoundError):
                os.unlink(self._path)
            self._lock.unlock()  # type: ignore[no-untyped-call]

    def getHost(self) -> IPv4Address | IPv6Address | UNIXAddress:
        address = self.socket.getsockname()
        if self.socket.family == socket.AF_UNIX:
            return UNIXAddress(os.fsencode(address))
        return (IPv6Address if self.socket.family == socket.AF_INET6 else IPv4Address)("TCP", *address)


class Binding:
    """A reactor for endpoints of the supervisor. ``sockets``: all that they bound, in order."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self.sockets: list[socket.socket] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)

    def _keep(self, bound: Bound) -> Bound:
        self.sockets.append(bound.socket)
        return bound

    def listenTCP(self, port: int, factory: object, backlog: int = 50, interface: str = "") -> Bound:
        family = socket.AF_INET6 if isIPv6Address(interface) else socket.AF_INET
        address: Any = (interface, port)
        listening = socket.socket(family, socket.SOCK_STREAM)
        try:
            listening.setblocking(False)
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:  # with its scope
                address = socket.getaddrinfo(interface, port, family, flags=socket.AI_NUMERICHOST)[0][4]
            listening.bind(address)
            listening.listen(backlog)
        except OSError as fault:
            listening.close()
            raise CannotListenError(interface, port, fault) from fault  # type: ignore[no-untyped-call]
        return self._keep(Bound(listening))

    def listenUNIX(
        self,
        address: str,
        factory: object,
        backlog: int = 50,
        mode: int = 0o666,
        wantPID: bool = False,  # noqa: N803
    ) -> Bound:
        path = os.fsdecode(address)
        lock = FilesystemLock(f"{path}.lock") if wantPID else None  # type: ignore[no-untyped-call]
        if lock is not None and not lock.lock():  # type: ignore[no-untyped-call]
            raise CannotListenError(None, path, OSError(0, "another process listens there"))  # type: ignore[no-untyped-call]
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            listening.setblocking(False)
            if lock is not None and not lock.clean:  # left by a process that was killed
                with suppress(OSError):
                    if stat.S_ISSOCK(os.stat(path).st_mode):
                        os.unlink(path)
            listening.bind(path)
            os.chmod(path, mode)
            listening.listen(backlog)
        except OSError as fault:
            listening.close()
            if lock is not None:
                lock.unlock()  # type: ignore[no-untyped-call]
            raise CannotListenError(None, path, fault) from fault  # type: ignore[no-untyped-call]
        return self._keep(Bound(listening, lock))

    def adoptStreamPort(self, fileDescriptor: int, addressFamily: int, factory: object) -> Bound:  # noqa: N803
        return self._keep(Bound(socket.socket(fileno=os.dup(fileDescriptor))))


class _TcpConnection(Counted, tcp.Server):
    pass


class _Tcp(InTurn, tcp.Port):
    transport: Any = _TcpConnection


class _UnixConnection(Counted, unix.Server):
    pass


class _Unix(InTurn, unix.Port):
    """Leaves the file alone, which the supervisor made and removes."""

    transport: Any = _UnixConnection
    _shouldShutdown = False  # noqa: N815 - Twisted's

    def startListening(self) -> None:
        port: Any = self
        port.factory.doStart()
        port.socket, port._preexistingSocket = port._preexistingSocket, None
        port.fileno = port.socket.fileno
        self.connected = True
        self.startReading()  # type: ignore[no-untyped-call]

    def connectionLost(self, reason: Any) -> None:
        tcp.Port.connectionLost(self, reason)  # type: ignore[no-untyped-call]


class Adopting:
    """A reactor for the same endpoints in a worker: each gets the next of ``descriptors``, which are closed."""

    def __init__(self, reactor: Any, descriptors: Sequence[int], turn: Turn) -> None:
        self._reactor = reactor
        self._turn = turn
        self._left = list(descriptors)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)

    def _next(self, factory: object) -> Any:
        descriptor = self._left.pop(0)
        unix_port: Any = _Unix
        tcp_port: Any = _Tcp
        with socket.socket(fileno=descriptor) as listening:
            if listening.family == socket.AF_UNIX:
                port: Any = unix_port._fromListeningDescriptor(self._reactor, descriptor, factory)
            else:
                port = tcp_port._fromListeningDescriptor(self._reactor, descriptor, listening.family, factory)
        port.turn = self._turn
        port.startListening()
        self._turn.begin()
        return port

    def listenTCP(self, port: int, factory: object, backlog: int = 50, interface: str = "") -> Any:
        return self._next(factory)

    def listenUNIX(
        self,
        address: str,
        factory: object,
        backlog: int = 50,
        mode: int = 0o666,
        wantPID: bool = False,  # noqa: N803
    ) -> Any:
        return self._next(factory)

    def adoptStreamPort(self, fileDescriptor: int, addressFamily: int, factory: object) -> Any:  # noqa: N803
        return self._next(factory)
