"""Wrappers that make a good storage behave badly, for tests: ``Location(name, backend, [Hanging(["get"])])``.

Each strikes at the hooks that it is given, by default all, as long as ``on`` is True.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from twisted.internet import reactor, task
from twisted.internet.defer import Deferred

from gateway.errors import BackendBusy, BackendDown, BackendError, BackendFull, BlobMissing
from gateway.model import GetResult, HeadResult, ListResult
from gateway.plugins.hookspecs import HOOKS
from gateway.plugins.wrapping import Answer, Wrapper, drop


class Fault(Wrapper):
    """Passes everything on; its children strike. ``struck`` counts how often."""

    def __init__(self, hooks: Iterable[str] = HOOKS) -> None:
        self.hooks = frozenset(hooks)
        assert self.hooks <= set(HOOKS), f"no such hook: {sorted(self.hooks - set(HOOKS))}"
        self.on = True
        self.struck = 0

    async def around(self, hook: str, request: Any, answer: Answer) -> Any:
        if not self.on or hook not in self.hooks:
            return await answer
        self.struck += 1
        return await self.strike(request, answer)

    async def strike(self, request: Any, answer: Answer) -> Any:
        return await answer


class Failing(Fault):
    """Raises an error before the storage hears of the request; ``times`` times, or always."""

    def __init__(self, error: BackendError, hooks: Iterable[str] = HOOKS, times: int | None = None) -> None:
        super().__init__(hooks)
        self._error = error
        self._times = times

    async def strike(self, request: Any, answer: Answer) -> Any:
        if self._times is not None and self.struck > self._times:
            return await answer
        drop(answer)
        raise self._error


class Busy(Failing):
    """Asks to come back ``after`` so many seconds."""

    def __init__(self, hooks: Iterable[str] = HOOKS, after: float | None = None, times: int | None = None) -> None:
        super().__init__(BackendBusy("busy, by request of the test", after), hooks, times)


class Full(Failing):
    """No room for new blobs and parts; reading and deleting works."""

    def __init__(self, hooks: Iterable[str] = ("put", "createMPU", "uploadPart", "healthcheck")) -> None:
        super().__init__(BackendFull("full, by request of the test"), hooks)


class Down(Failing):
    """Does not answer sensibly."""

    def __init__(self, hooks: Iterable[str] = HOOKS, times: int | None = None) -> None:
        super().__init__(BackendDown("down, by request of the test"), hooks, times)


class Slow(Fault):
    """Answers ``seconds`` later than it could."""

    def __init__(self, seconds: float, hooks: Iterable[str] = HOOKS, clock: Any = reactor) -> None:
        super().__init__(hooks)
        self._seconds = seconds
        self._clock = clock

    async def strike(self, request: Any, answer: Answer) -> Any:
        try:
            await task.deferLater(self._clock, self._seconds)
        except BaseException:
            drop(answer)
            raise
        return await answer


class Hanging(Fault):
    """Does not begin before ``release()``; whoever is tired of waiting cancels."""

    def __init__(self, hooks: Iterable[str] = HOOKS) -> None:
        super().__init__(hooks)
        self._waiting: list[Deferred[None]] = []

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def release(self) -> None:
        """Let everything go on that waits now; what comes later waits again, unless ``on`` is False."""
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            each.callback(None)

    async def strike(self, request: Any, answer: Answer) -> Any:
        gate: Deferred[None] = Deferred(self._waiting.remove)
        self._waiting.append(gate)
        try:
            await gate
        except BaseException:
            drop(answer)
            raise
        return await answer


class Reordering(Fault):
    """Begins what comes within ``seconds`` of each other in the opposite order: who asks first is served last."""

    def __init__(self, seconds: float = 0.05, hooks: Iterable[str] = HOOKS, clock: Any = reactor) -> None:
        super().__init__(hooks)
        self._seconds = seconds
        self._clock = clock
        self._waiting: list[Deferred[None]] = []

    async def strike(self, request: Any, answer: Answer) -> Any:
        turn: Deferred[None] = Deferred(self._waiting.remove)
        if not self._waiting:
            self._clock.callLater(self._seconds, self._begin)
        self._waiting.append(turn)
        try:
            await turn
        except BaseException:
            drop(answer)
            raise
        return await answer

    def _begin(self) -> None:
        waiting, self._waiting = self._waiting, []
        for each in reversed(waiting):
            each.callback(None)


class Losing(Fault):
    """Has lost the blobs in ``names``: they still list, and nobody can read them."""

    def __init__(self, names: Iterable[str] = (), hooks: Iterable[str] = ("get", "head")) -> None:
        super().__init__(hooks)
        self.names = set(names)

    async def strike(self, request: Any, answer: Answer) -> Any:
        if request.name not in self.names:
            return await answer
        drop(answer)
        raise BlobMissing(f"{request.name} is lost, by request of the test")


class Lying(Fault):
    """Tells sizes that are wrong by ``by`` bytes; the bytes themselves are right."""

    def __init__(self, by: int = 1, hooks: Iterable[str] = ("get", "head", "list")) -> None:
        super().__init__(hooks)
        self._by = by

    async def strike(self, request: Any, answer: Answer) -> Any:
        result = await answer
        if isinstance(result, ListResult):
            return replace(result, blobs=tuple(replace(blob, size=blob.size + self._by) for blob in result.blobs))
        if isinstance(result, GetResult | HeadResult):
            return replace(result, size=result.size + self._by)
        return result
