"""How each location is: tried every few seconds, remembered for those who ask."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from twisted.internet import defer, task
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from gateway.catalogue import Catalogue
from gateway.errors import BackendDown, BackendError, S3Error
from gateway.model import HealthcheckRequest
from gateway.plugins.location import Location

log = Logger()


@dataclass(frozen=True, slots=True)
class State:
    """The outcome of one probe. ``message``: why it failed, for the operator; ``when``: seconds since the epoch."""

    working: bool
    message: str
    seconds: float
    when: float
    details: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


class Health:
    """Probes every location at each interval; a probe that hangs for ``patience`` seconds counts as failed.

    ``report`` (location, working) is called after each probe. ``wall`` is the wall clock, ``clock`` the reactor's.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        locations: Mapping[str, Location],
        clock: IReactorTime,
        wall: Callable[[], float],
        report: Callable[[str, bool], None],
        patience: float = 30.0,
    ) -> None:
        self.states: dict[str, State] = {}
        self._probes: dict[str, str] = {}
        self._catalogue = catalogue
        self._locations = locations
        self._clock = clock
        self._wall = wall
        self._report = report
        self._patience = patience
        self._loop = task.LoopingCall(self._round)
        self._loop.clock = clock
        self._ended: defer.Deferred[task.LoopingCall] | None = None  # fires when the loop's last round is over

    def start(self, interval: float) -> None:
        """A round now, and one every ``interval`` seconds."""
        self._ended = self._loop.start(interval, now=True)

    async def stop(self) -> None:
        """No further round; waits for the running one."""
        if self._loop.running:
            self._loop.stop()
        if self._ended is not None:
            await self._ended
        with suppress(S3Error):  # a full disk: the name is swept away with this process's lease
            for name, probe in self._probes.items():
                await self._catalogue.blobs.dispose(name, [probe])

    def ready(self) -> tuple[bool, list[str]]:
        """Whether every location and the catalogue work, and what does not."""
        condition = self._catalogue.condition
        doubted = [] if condition.works else [f"the catalogue: {condition.doubt or condition.trouble}"]
        waiting = [f"{name}: not tried yet" for name in self._locations if name not in self.states]
        failing = [f"{name}: {state.message}" for name, state in self.states.items() if not state.working]
        reasons = doubted + waiting + failing
        return not reasons, reasons

    def _round(self) -> defer.Deferred[None]:
        probes: list[defer.Deferred[Any]] = [defer.Deferred.fromCoroutine(self.probe(name)) for name in self._locations]
        if self._catalogue.condition.trouble:  # nobody else may try: who balances load sends no more writes here
            probes.append(defer.Deferred.fromCoroutine(self._retry()))
        return defer.gatherResults(probes, consumeErrors=True).addCallbacks(
            lambda _: None, lambda failure: log.failure("a round of healthchecks failed", failure=failure)
        )

    async def _retry(self) -> None:
        with suppress(S3Error):  # the condition tells
            await self._catalogue.try_to_change()

    async def _probe_name(self, name: str) -> str:
        """A leased name for all probes of this process: should it die in one, the reaper sweeps the blob away."""
        if name not in self._probes:
            self._probes[name] = await self._catalogue.blobs.name(name)
        return self._probes[name]

    async def probe(self, name: str) -> State:
        """Try one location now."""
        began = self._clock.seconds()
        before = self.states.get(name)
        try:
            request = HealthcheckRequest(probe=await self._probe_name(name))
            check = defer.Deferred.fromCoroutine(self._locations[name].healthcheck(request))
            result = await check.addTimeout(self._patience, self._clock)
            state = State(True, "", self._clock.seconds() - began, self._wall(), result.details)
        except (BackendError, defer.TimeoutError, TimeoutError) as fault:
            told = fault if isinstance(fault, BackendError) else BackendDown(f"no answer in {self._patience:g} seconds")
            message = f"{type(told).__name__}: {told}"
            state = State(False, message, self._clock.seconds() - began, self._wall())
        self.states[name] = state
        self._report(name, state.working)
        if before is None or before.working != state.working:
            word = "works" if state.working else f"fails: {state.message}"
            (log.info if state.working else log.error)("location {name} {word}", name=name, word=word)
        return state
