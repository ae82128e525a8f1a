"""What every wrapper shares: ten plain generators that hand each hook's awaitable to one method.

pluggy refuses ``async def`` wrappers, and a plain one cannot change the request: wrappers observe and limit, no more.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from typing import Any

from gateway.plugins.hookspecs import HOOKS, hookimpl

Answer = Awaitable[Any]


class Wrapper:
    """Around every hook of a location: subclasses say how in ``around``."""

    async def around(self, hook: str, request: Any, answer: Answer) -> Any:
        """The hook's result. ``answer`` is what the next one inside gave: await it once, or ``drop`` it."""
        return await answer


def _wrap(hook: str) -> Callable[[Wrapper, Any], Generator[None, Answer | None, Answer | None]]:
    @hookimpl(wrapper=True)
    def wrapped(self: Wrapper, request: Any) -> Generator[None, Answer | None, Answer | None]:
        answer = yield
        return None if answer is None else self.around(hook, request, answer)

    return wrapped


for _hook in HOOKS:
    setattr(Wrapper, _hook, _wrap(_hook))


def drop(answer: Answer) -> None:
    """Let go of an answer that nobody will await: a coroutine never starts, a Deferred is cancelled."""
    for end in ("close", "cancel"):
        call = getattr(answer, end, None)
        if call is not None:
            call()
            return
