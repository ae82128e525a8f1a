"""How each location is: tried every few seconds, remembered for those who ask."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from twisted.internet import defer, task
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from gateway.catalogue import Catalogue
from gateway.errors import BackendDown, BackendError, S3Error, kind_of
from gateway.model import HealthcheckRequest
from gateway.plugins.location import Location

log = Logger()


@dataclass(frozen=True, slots=True)
class State:
    """The outcome of one probe. ``message``: why it failed, for the operator; ``when``: seconds since the epoch.

    ``error``: the kind of failure, the name of an error class of ``gateway.errors``.
    """

    working: bool
    message: str
    seconds: float
    when: float
    details: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    error: str = ""


class Health:
    """Probes every location at each interval; a probe that hangs for ``patience`` seconds counts as failed.

    ``report`` (location, working) is called after each probe. ``wall`` is the wall clock, ``clock`` the reactor's.
    ``down``: why some locations are known to fail before the first probe.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        locations: Mapping[str, Location],
        clock: IReactorTime,
        wall: Callable[[], float],
        report: Callable[[str, bool], None],
        patience: float = 30.0,
        down: Mapping[str, BackendError] = MappingProxyType({}),
    ) -> None:
        self.states: dict[str, State] = {name: _failed(fault, 0.0, wall()) for name, fault in down.items()}
        for name in down:
            report(name, False)
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
        self._running: set[defer.Deferred[Any]] = set()

    def start(self, interval: float) -> None:
        """A round now, and one every ``interval`` seconds."""
        self._ended = self._loop.start(interval, now=True)

    async def stop(self) -> None:
        """No further round; ends the running one, so that a storage that hangs does not hold up a stop."""
        if self._loop.running:
            self._loop.stop()
        for running in tuple(self._running):
            running.cancel()
        if self._ended is not None:
            await self._ended
        with suppress(S3Error):  # a full disk: the name is swept away with this process's lease
            for name, probe in self._probes.items():
                await self._catalogue.blobs.dispose(name, [probe])

    def works(self, location: str) -> bool:
        """Whether a location passed its last probe, or was not tried yet."""
        known = self.states.get(location)
        return known is None or known.working

    def ready(self, location: str = "") -> tuple[bool, list[str]]:
        """Whether the catalogue and that location work, or every one, and what does not."""
        condition = self._catalogue.condition
        reasons = [] if condition.works else [f"the catalogue: {condition.doubt or condition.trouble}"]
        for name in [location] if location else self._locations:
            known = self.states.get(name)
            if name not in self._locations:
                reasons.append(f"{name}: no such location")
            elif known is None:
                reasons.append(f"{name}: not tried yet")
            elif not known.working:
                reasons.append(f"{name}: {known.message}")
        return not reasons, reasons

    def _round(self) -> defer.Deferred[None]:
        probes: list[defer.Deferred[Any]] = [defer.Deferred.fromCoroutine(self.probe(name)) for name in self._locations]
        if self._catalogue.condition.trouble:  # nobody else may try: who balances load sends no more writes here
            probes.append(defer.Deferred.fromCoroutine(self._retry()))
        self._running.update(probes)
        return defer.DeferredList(probes, consumeErrors=True).addCallback(self._rounded, probes)

    def _rounded(self, outcomes: Sequence[tuple[bool, Any]], probes: Sequence[defer.Deferred[Any]]) -> None:
        self._running.difference_update(probes)
        for fine, outcome in outcomes:
            if not fine and not outcome.check(defer.CancelledError):
                log.failure("a healthcheck failed", failure=outcome)

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
        except (BackendError, S3Error, defer.TimeoutError, TimeoutError) as fault:
            told = fault if isinstance(fault, BackendError) else BackendDown(f"no answer in {self._patience:g} seconds")
            if isinstance(fault, S3Error):  # no name could be leased for the probe
                told = BackendDown(fault.cause or fault.code)
            state = _failed(told, self._clock.seconds() - began, self._wall())
        self.states[name] = state
        self._report(name, state.working)
        if before is None or (before.working, before.error) != (state.working, state.error):
            word = "works" if state.working else f"fails: {state.message}"
            (log.info if state.working else log.error)("location {name} {word}", name=name, word=word)
        return state


def _failed(fault: BackendError, seconds: float, when: float) -> State:
    error = kind_of(fault)
    return State(False, f"{error}: {fault}", seconds, when, error=error)
