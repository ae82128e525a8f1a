"""What every wrapper shares: one method, which is handed the awaitable of each hook."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

Answer = Awaitable[Any]


class Wrapper:
    """Around every hook of a location: subclasses say how in ``around``. It cannot change the request: wrappers
    observe and limit, no more."""

    async def around(self, hook: str, request: Any, answer: Answer) -> Any:
        """The hook's result. ``answer`` is what the next one inside gave: await it once, or ``drop`` it."""
        return await answer


def drop(answer: Answer) -> None:
    """Let go of an answer that nobody will await: a coroutine never starts, a Deferred is cancelled."""
    for end in ("close", "cancel"):
        call = getattr(answer, end, None)
        if call is not None:
            call()
            return
