"""Counts what keeps a reactor too long: its thread's own CPU time in each callback, whatever else the machine does.

``with Watchdog(reactor) as dog``: ``dog.slow`` are the offences as (seconds, what), ``dog.counted`` how many callbacks
were looked at. A callback that waits (a synchronous read, a lock) takes no CPU time; that is looked for elsewhere.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from typing import Any, Self

LIMIT = 0.25  # seconds


class Watchdog:
    def __init__(self, reactor: Any, limit: float = LIMIT) -> None:
        self.slow: list[tuple[float, str]] = []
        self.counted = 0
        self.worst = 0.0
        self._reactor = reactor
        self._limit = limit
        self._on = False

    def __enter__(self) -> Self:
        """Reads and writes of sockets, one by one, and each round of timed and thread calls."""
        self._on = True
        gc.freeze()  # a pass over all that the tests made before is no callback's fault
        self._reactor._doReadOrWrite = self._timed(self._reactor._doReadOrWrite, lambda args: repr(args[0]))
        self._reactor.runUntilCurrent = self._timed(self._reactor.runUntilCurrent, lambda args: "timed calls")
        return self

    def __exit__(self, *fault: object) -> None:
        self._on = False  # a callback that runs still holds what we put there
        gc.unfreeze()
        del self._reactor._doReadOrWrite, self._reactor.runUntilCurrent

    def _timed(self, call: Callable[..., Any], name: Callable[[tuple[Any, ...]], str]) -> Callable[..., Any]:
        def timed(*args: Any) -> Any:
            if not self._on:
                return call(*args)
            began = time.thread_time()
            try:
                return call(*args)
            finally:
                spent = time.thread_time() - began
                if self._on:
                    self.counted += 1
                    self.worst = max(self.worst, spent)
                    if spent > self._limit:
                        self.slow.append((spent, name(args)))

        return timed
