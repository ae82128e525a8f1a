"""Is the event loop held up? A timer that asks to be called four times a second, and tells how late it was."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

log = Logger()

EVERY = 0.25
LONG = 0.25  # seconds that the log hears of
_APART = 60.0  # seconds between two lines


class Stalls:
    """``tell(seconds)`` is called with each delay, from ``start`` to ``stop``; the log hears of long ones."""

    def __init__(self, clock: IReactorTime, tell: Callable[[float], None]) -> None:
        self._clock = clock
        self._tell = tell
        self._due = 0.0
        self._silent_until = 0.0
        self._timer: IDelayedCall | None = None

    def start(self) -> None:
        self._due = self._clock.seconds() + EVERY
        self._timer = self._clock.callLater(EVERY, self._fired)

    async def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _fired(self) -> None:
        now = self._clock.seconds()
        late = max(0.0, now - self._due)
        self._tell(late)
        if late > LONG and now >= self._silent_until:
            self._silent_until = now + _APART
            log.info("everything stood still for {late:.2f} s: a plugin blocks, or the machine is busy", late=late)
        self.start()
