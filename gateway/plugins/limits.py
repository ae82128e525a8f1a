"""A wrapper that bounds how much a location does at once."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from twisted.internet.defer import DeferredSemaphore

from gateway.bodies import RegionWhenClosed, when_closed
from gateway.model import GetResult
from gateway.plugins.wrapping import Answer, Wrapper, drop


class Limits(Wrapper):
    """At most ``most`` gets and ``most`` other hooks under way; the others wait in the order they came.

    A get is under way until its body or region is closed. Gets are counted apart, and a get inside a put's body is
    not counted: a copy inside one location reads while it writes, and two of them would wait for each other for ever.
    A healthcheck is not counted either: a full house is not a sick one.
    """

    def __init__(self, most: int) -> None:
        self._gets = DeferredSemaphore(most)
        self._others = DeferredSemaphore(most)
        self._inside: ContextVar[bool] = ContextVar("inside a hook that holds a slot", default=False)

    @property
    def running(self) -> int:
        """How many operations are under way."""
        return sum(slots.limit - slots.tokens for slots in (self._gets, self._others))

    @property
    def waiting(self) -> int:
        """How many operations wait for a slot."""
        return len(self._gets.waiting) + len(self._others.waiting)

    async def around(self, hook: str, request: Any, answer: Answer) -> Any:
        if hook == "healthcheck" or self._inside.get():
            return await answer
        return await (self._get(answer) if hook == "get" else self._other(answer))

    async def _other(self, answer: Answer) -> Any:
        if not _free(self._others):
            await self._slot(self._others, answer)
        self._inside.set(True)
        try:
            return await answer
        finally:
            self._inside.set(False)
            self._others.release()

    async def _get(self, answer: Answer) -> Any:
        if not _free(self._gets):
            await self._slot(self._gets, answer)
        try:
            result = await answer
        except BaseException:
            self._gets.release()
            raise
        return _held(result, self._gets.release)

    async def _slot(self, slots: DeferredSemaphore, answer: Answer) -> None:
        try:
            await slots.acquire()
        except BaseException:  # cancelled while it waited
            drop(answer)
            raise


def _free(slots: DeferredSemaphore) -> bool:
    """Take a slot if there is one, without the Deferred that ``acquire`` would make."""
    if not slots.tokens:
        return False
    slots.tokens -= 1
    return True


def _held(result: Any, release: Callable[[], None]) -> Any:
    """The same result, whose body or region calls ``release`` once, when it is closed."""
    if isinstance(result, GetResult) and result.body is not None:
        return GetResult(result.size, result.fingerprint, when_closed(result.body, release))
    if isinstance(result, GetResult) and result.region is not None:
        return GetResult(result.size, result.fingerprint, None, RegionWhenClosed(result.region, release))
    release()  # no get's answer: there is nothing to close, and the location refuses it
    return result
