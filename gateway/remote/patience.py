"""How long a peer may keep us waiting before we give it up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Patience:
    """At most ``seconds`` of waiting for each ``least`` bytes; ``late`` is called once when that is used up.

    Only our own waiting counts: while whoever reads (or feeds) us takes his time, the peer is not to blame. Short waits
    add up, so that a peer which sends one byte a second is given up like one that sends none.
    """

    def __init__(self, clock: Any, seconds: float, least: int, late: Callable[[], None]) -> None:
        self._clock = clock
        self._seconds = seconds
        self._least = least
        self._late = late
        self._spent = 0.0
        self._moved = 0
        self._since = 0.0
        self._timer: Any = None

    def wait(self) -> None:
        """From now on we wait for the peer."""
        if self._timer is None:
            self._since = self._clock.seconds()
            self._timer = self._clock.callLater(max(0.0, self._seconds - self._spent), self._expire)

    def rest(self) -> None:
        """We do not wait any more; fine where we did not."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self._spent += self._clock.seconds() - self._since

    def moved(self, count: int) -> None:
        """The peer sent or took ``count`` bytes."""
        self._moved += count
        if self._moved >= self._least:
            self._moved = 0
            waiting = self._timer is not None
            self.rest()
            self._spent = 0.0
            if waiting:
                self.wait()

    def _expire(self) -> None:
        self._timer = None
        self._late()
