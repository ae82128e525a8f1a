"""What the process does when it is asked from outside: stop, stop now, look again. For `gateway run` and twistd."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

# make and systemd hand on a signal that the whole process group had already: that is one wish, not two
_SAME_WISH_SECONDS = 1.0


def on_hangup(reactor: Any, look_again: Callable[[], None]) -> None:
    """SIGHUP calls ``look_again`` on the reactor's thread, and never ends the process."""
    signal.signal(signal.SIGHUP, lambda number, frame: reactor.callFromThread(look_again))


def on_stop(reactor: Any, stop: Callable[[], Any]) -> None:
    """The first SIGTERM or SIGINT calls ``stop`` on the reactor's thread; a further one ends the process at once.

    To be called while the reactor runs, which else has handlers of its own.
    """
    asked = 0.0

    def ask(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        now = time.monotonic()
        if not asked:
            asked = now
            reactor.callFromThread(stop)
        elif now - asked > _SAME_WISH_SECONDS:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, ask)
