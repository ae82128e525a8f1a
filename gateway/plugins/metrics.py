"""A wrapper that tells how long each hook of a location took and how it ended."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from gateway.plugins.wrapping import Answer, Wrapper

# hook, outcome ("ok" or the name of the exception's class), seconds
Report = Callable[[str, str, float], None]


class Metrics(Wrapper):
    """Calls ``report`` once for each hook. A get ends when its body is open, not when it was read."""

    def __init__(self, report: Report, clock: Callable[[], float] = time.perf_counter) -> None:
        self._report = report
        self._clock = clock

    async def around(self, hook: str, request: Any, answer: Answer) -> Any:
        began = self._clock()
        outcome = "ok"
        try:
            return await answer
        except BaseException as reason:
            outcome = type(reason).__name__
            raise
        finally:
            self._report(hook, outcome, self._clock() - began)
