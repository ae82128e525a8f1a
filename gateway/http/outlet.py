"""The large body of one reply on a plain socket: sent by the kernel from where it lies, past Twisted's buffer.

Twisted copies what it sends, and gives the kernel at most 128 KiB in each turn of the reactor. Here a turn gives it up
to 2 MiB, of a buffer or, by sendfile, of a file; then it is another connection's turn.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from socket import socket
from typing import cast

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPullProducer, IReactorFDSet, IWriteDescriptor
from twisted.internet.threads import deferToThread
from twisted.python.failure import Failure
from zope.interface import implementer

from gateway.errors import BackendDown, ClientGone, S3Error
from gateway.http.transport import PlainWire
from gateway.model import Region, Stretch
from gateway.streams.regions import is_cached

_TURN = 2 * 1024 * 1024
_GONE = (ConnectionError, TimeoutError)  # what the socket's errors are; all others are the file's


class WrongSize(Exception):
    """A reply's body gave more or fewer bytes than it had declared."""


@implementer(IPullProducer)
class _WhenEmpty:
    """A transport asks a pull producer for more at the beginning, and then whenever its buffer is empty."""

    def __init__(self) -> None:
        self.empty: Deferred[None] = Deferred()
        self._begun = False

    def resumeProducing(self) -> None:
        if self._begun and not self.empty.called:
            self.empty.callback(None)
        self._begun = True

    def stopProducing(self) -> None:
        """The connection is lost; whoever waits is cancelled."""


class _Bytes:
    """Bytes that are to be sent."""

    def __init__(self, data: bytes | memoryview) -> None:
        self._data = memoryview(data)
        self.left = len(data)

    def at_once(self) -> bool:
        return True

    def step(self, to: socket) -> int:
        count = to.send(self._data[len(self._data) - self.left :][:_TURN])
        self.left -= count
        return count

    def close(self) -> None:
        """Nothing is held."""


class _File:
    """A region that is to be sent."""

    def __init__(self, region: Region) -> None:
        self._region = region
        self.left = region.length

    def at_once(self) -> bool:
        """Whether the next step finds its bytes in the page cache."""
        return is_cached(self._region.fd, self._position, min(self.left, _TURN))

    @property
    def _position(self) -> int:
        return self._region.offset + self._region.length - self.left

    def step(self, to: socket) -> int:
        try:
            count = os.sendfile(to.fileno(), self._region.fd, self._position, min(self.left, _TURN))
        except (BlockingIOError, *_GONE):
            raise
        except OSError as fault:
            raise BackendDown(f"read failed: {fault}") from fault
        if not count:
            raise BackendDown(f"a file became shorter: {self.left} bytes were still to come")
        self.left -= count
        return count

    def close(self) -> None:
        self._region.close()


@implementer(IWriteDescriptor)
class Outlet:
    """``opening`` and a body of ``size`` bytes, through a descriptor of its own that shares the transport's socket.

    ``await send(stretch)`` for each stretch of the body, then ``end``; ``close`` in any case. ``producer`` is the
    transport's own; ``took`` hears how many bytes went out. ``waits_since``: since when the client has taken nothing,
    None while nobody waits for the client.
    """

    def __init__(
        self,
        wire: PlainWire,
        producer: object,
        opening: bytes,
        size: int,
        took: Callable[[int], None],
        clock: Callable[[], float],
    ) -> None:
        self._wire = wire
        self._producer = producer
        self._opening = opening
        self._missing = size
        self._took = took
        self._clock = clock
        from twisted.internet import reactor  # importing it makes it, so not before somebody wants it

        self._reactor = cast(IReactorFDSet, reactor)
        self._socket: socket | None = None
        self._fd = -1
        self._sending: _Bytes | _File | None = None
        self._done: Deferred[None] | None = None
        self._in_thread = False
        self._closed = False
        self.waits_since: float | None = None

    async def send(self, stretch: Stretch) -> None:
        """Takes a region over. Comes back when the kernel has all of it; the opening goes before the first one.

        Raises ClientGone; BackendDown for a file that cannot be read or became shorter; WrongSize; and SlowDown before
        the first byte, where the process has no descriptor left.
        """
        self._sending = sending = _Bytes(stretch) if isinstance(stretch, (bytes, memoryview)) else _File(stretch)
        try:
            self._missing -= sending.left
            if self._missing < 0:
                raise WrongSize("a body gave more bytes than it had declared")
            if self._socket is None:
                await self._open()
            if sending.left:
                self._done = Deferred()
                self.waits_since = self._clock()
                self._reactor.addWriter(self)
                await self._done
        finally:
            self.waits_since = self._done = None
            if not self._in_thread:
                self._let_go()

    async def _open(self) -> None:
        """The transport sends what it holds, with the opening behind it; from then on the socket is free for us."""
        try:
            self._socket = self._wire.getHandle().dup()
        except OSError as fault:
            raise S3Error("SlowDown", cause=f"no further descriptor for a reply: {fault.strerror}") from fault
        self._fd = self._socket.fileno()
        last = _WhenEmpty()
        self._wire.unregisterProducer()
        self._wire.registerProducer(last, False)
        self._wire.write(self._opening)
        self._took(len(self._opening))
        self.waits_since = self._clock()
        try:
            await last.empty
        finally:
            self._wire.unregisterProducer()
            self._wire.registerProducer(self._producer, True)

    def end(self) -> None:
        """The body is over. Raises WrongSize."""
        if self._missing:
            raise WrongSize(f"a body gave {self._missing} bytes fewer than it had declared")

    def close(self) -> None:
        """Give the socket back; fine at any time and twice."""
        self._closed = True
        if not self._in_thread:
            self._let_go()

    def _let_go(self) -> None:
        sending, self._sending = self._sending, None
        if sending is not None:
            sending.close()
        if self._closed and self._socket is not None:
            self._reactor.removeWriter(self)
            self._socket.close()
            self._socket = None

    # -- what the reactor calls

    def fileno(self) -> int:
        return self._fd  # also once it is closed: the reactor compares it after a doWrite that sent the last byte

    def logPrefix(self) -> str:
        return "outlet"

    def doWrite(self) -> None:
        """The socket takes more."""
        sending, to = self._sending, self._socket
        if self._done is None or sending is None or to is None:
            self._reactor.removeWriter(self)  # nothing to send just now
            return
        try:
            if sending.at_once():
                self._stepped(sending.step(to))
            else:  # a disk must be waited for: a thread does that, and sends what the socket takes then
                self._in_thread, self.waits_since = True, None
                self._reactor.removeWriter(self)
                deferToThread(sending.step, to).addCallbacks(self._came_back, self._failed_there)
        except BlockingIOError:
            pass
        except (*_GONE, BackendDown) as fault:
            self._over(fault)

    def _came_back(self, count: int) -> None:
        self._in_thread = False
        if self._done is None:  # whoever waited was cancelled meanwhile
            self._let_go()
            return
        self._reactor.addWriter(self)
        self._stepped(count)

    def _failed_there(self, failure: Failure) -> None:
        if isinstance(failure.value, BlockingIOError):
            self._came_back(0)
            return
        self._in_thread = False
        if self._done is None:
            self._let_go()
        else:
            self._over(failure.value)

    def _stepped(self, count: int) -> None:
        self._took(count)
        self.waits_since = self._clock()
        if self._sending is not None and not self._sending.left:
            self._over(None)

    def _over(self, fault: BaseException | None) -> None:
        done, self._done = self._done, None
        if done is None:
            return
        if fault is None:
            done.callback(None)
            return
        self._reactor.removeWriter(self)
        done.errback(ClientGone() if isinstance(fault, _GONE) else fault)

    def connectionLost(self, reason: Failure) -> None:
        """The socket broke."""
        self._over(ClientGone())
