"""Makes a storage of a txgateway slower than it is, as far as it says: to see what clients make of it.

A wrapper observes and limits. This one waits before the storage hears of a request, and lets go of one whose turn
would come too late.
"""

from __future__ import annotations

import random
from typing import Any

from twisted.internet import reactor, task

from gateway import api


class Slow(api.Wrapper):
    """Every hook begins ``slow.delay`` later, give or take ``slow.spread``; a longer one than ``slow.most`` is busy."""

    settings = (
        api.Setting("slow.delay", "seconds", "How much later the storage hears of a request.", default="100ms"),
        api.Setting("slow.spread", "seconds", "By how much a delay may differ, either way.", default="0s"),
        api.Setting("slow.most", "seconds", "A longer delay is answered with busy, at once.", default="10s"),
        api.Setting("slow.hooks", "lines", "Which hooks are slow, one a line; without it, all.", default=None),
    )

    def __init__(self, values: api.Values, clock: Any = reactor) -> None:
        """Cheap: settings only. What begins here is never ended."""
        self._delay, self._spread, self._most = (values[f"slow.{key}"] for key in ("delay", "spread", "most"))
        self._hooks = values["slow.hooks"]
        self._clock = clock

    async def around(self, hook: str, request: Any, answer: api.Answer) -> Any:
        if self._hooks and hook not in self._hooks:
            return await answer
        delay = max(0.0, self._delay + random.uniform(-self._spread, self._spread))
        try:
            if delay > self._most:
                raise api.BackendBusy(f"{hook} would wait {delay:g} s, slow.most is {self._most:g} s", self._most)
            await task.deferLater(self._clock, delay)
        except BaseException:  # refused, or cancelled while it waited: nobody will await the answer
            api.drop(answer)
            raise
        return await answer
