"""Is the event loop held up? A timer that asks to be called four times a second, and tells how late it was."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime

EVERY = 0.25


class Stalls:
    """``tell(seconds)`` is called with each delay, from ``start`` to ``stop``."""

    def __init__(self, clock: IReactorTime, tell: Callable[[float], None]) -> None:
        self._clock = clock
        self._tell = tell
        self._due = 0.0
        self._timer: IDelayedCall | None = None

    def start(self) -> None:
        self._due = self._clock.seconds() + EVERY
        self._timer = self._clock.callLater(EVERY, self._fired)

    async def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _fired(self) -> None:
        self._tell(max(0.0, self._clock.seconds() - self._due))
        self.start()
