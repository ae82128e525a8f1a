"""Who takes the next connection, where several processes wait at one door: nobody who has many more than another.

The kernel wakes all of them, and the quickest takes everything: of 64 clients that came at once, one of two workers
often had 40 or more, and then stood at its limit beside one with time to spare. So each tells how many connections it
has, in memory that all see; who has clearly more than another leaves a newcomer to it for a moment, and takes it where
the other did not come for it (it is busy, or hangs).
"""

from __future__ import annotations

import mmap
import os
from typing import Any

from twisted.internet.interfaces import IDelayedCall

LEFT_TO_OTHERS = 0.005  # seconds
_MOST = 100  # connections that a process takes in one turn of its event loop
_WIDTH = 8  # bytes: one store of the processor, so that nobody reads half a number
_AWAY = (1 << 64) - 1  # it takes nobody


def balance_memory(workers: int) -> int:
    """A descriptor of memory for so many processes, all of them away, that goes with the last one. Raises OSError."""
    descriptor = os.memfd_create("gateway-balance")
    os.write(descriptor, workers * _AWAY.to_bytes(_WIDTH))
    return descriptor


class Balance:
    """What each process tells. ``descriptor``: of ``balance_memory``; it stays the caller's."""

    def __init__(self, descriptor: int) -> None:
        self._numbers = memoryview(mmap.mmap(descriptor, 0)).cast("Q")

    def tell(self, number: int, connections: int) -> None:
        """Worker ``number`` has so many."""
        self._numbers[number] = connections

    def away(self, number: int) -> None:
        """It takes no more: it is gone, or will be."""
        self._numbers[number] = _AWAY

    def least(self) -> int:
        """The connections of who has fewest."""
        return min(self._numbers)


class Turn:
    """Of one worker, at all its doors; nobody waits for it before one is open, and after one is closed."""

    def __init__(self, balance: Balance, number: int) -> None:
        self._balance = balance
        self._number = number
        self.connections = 0
        self._takes = False
        self._pauses: list[IDelayedCall] = []

    def begin(self) -> None:
        """A door is open."""
        self._takes = True
        self.change(0)

    def change(self, by: int) -> None:
        """So many connections more."""
        self.connections += by
        if self._takes:
            self._balance.tell(self._number, self.connections)
        if self._pauses and self.room() > 0:
            for pause in self._pauses:
                if pause.active():
                    pause.reset(0)
            self._pauses.clear()

    def room(self) -> int:
        """How many of those that come are ours to take now: until we have an eighth more than another, and one.

        Were it none more, every second newcomer would wait for the other, and a crowd would come in one by one.
        """
        return min(self._balance.least() + 2 + self.connections // 8 - self.connections, _MOST)

    def leave(self, pause: IDelayedCall) -> None:
        """The next ones are left to others until then, or until we have fewer ourselves."""
        self._pauses = [*(each for each in self._pauses if each.active()), pause]

    def end(self) -> None:
        """A door is closed."""
        self._takes = False
        self._balance.away(self._number)


class Counted:
    """Mixed into a transport of Twisted's: a connection that counts while it is open."""

    def __init__(self, skt: Any, protocol: Any, client: Any, server: Any, *more: Any) -> None:
        super().__init__(skt, protocol, client, server, *more)  # type: ignore[call-arg]
        self._turn: Turn = server.turn
        self._turn.change(1)

    def connectionLost(self, reason: Any) -> None:
        self._turn.change(-1)
        super().connectionLost(reason)  # type: ignore[misc]


class InTurn:
    """Mixed into a port of Twisted's: in each turn of the event loop it takes the connections that are ours."""

    turn: Turn
    reactor: Any
    _left = 1  # how many we take of those that others left as well: each time one more, for who hangs takes none

    def doRead(self) -> None:
        room = self.turn.room()
        if room > 0:
            self._left = 1
            self._take(room)
        else:
            port: Any = self
            port.stopReading()
            self.turn.leave(self.reactor.callLater(LEFT_TO_OTHERS, self._go_on))

    def _go_on(self) -> None:
        port: Any = self
        if not port.connected or port.disconnecting:
            return
        room = self.turn.room()
        if room > 0:
            self._take(room)
        elif self._take(self._left):
            self._left = min(self._left + 1, _MOST)
        else:
            self._left = 1
        port.startReading()

    def _take(self, most: int) -> bool:
        """Whether there were any."""
        before = self.turn.connections
        self.numberAccepts = most
        super().doRead()  # type: ignore[misc]
        return self.turn.connections > before

    def loseConnection(self, *reason: Any) -> Any:
        self.turn.end()
        return super().loseConnection(*reason)  # type: ignore[misc]

    stopListening = loseConnection  # noqa: N815 - Twisted's
