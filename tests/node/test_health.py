"""A location's health is tried, remembered and told; a storage that hangs counts as failed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest_twisted
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from gateway.api import BackendDown, HealthcheckRequest, HealthcheckResult, Values, hookimpl
from gateway.catalogue import Catalogue, open_catalogue
from gateway.node.health import Health
from gateway.plugins.location import Location
from gateway.plugins.memory import MemoryBackend
from gateway.seal import Seal


class Moody(MemoryBackend):
    """A backend whose healthcheck does what ``mood`` says."""

    def __init__(self, values: Values) -> None:
        super().__init__(values)
        self.mood = "fine"
        self.probes: list[str] = []

    @hookimpl
    async def healthcheck(self, request: HealthcheckRequest) -> HealthcheckResult:
        self.probes.append(request.probe)
        if self.mood == "down":
            raise BackendDown("the cable is out")
        if self.mood == "hanging":
            await Deferred()
        return HealthcheckResult({"free_bytes": "7"})


class Scene:
    def __init__(self, catalogue: Catalogue) -> None:
        self.backend = Moody(Values.of(MemoryBackend.settings, {}))
        self.clock = Clock()
        self.told: list[tuple[str, bool]] = []
        location = Location("porch", self.backend)
        report = lambda name, working: self.told.append((name, working))  # noqa: E731
        self.health = Health(catalogue, {"porch": location}, self.clock, lambda: 17.0, report, patience=5)


@pytest_twisted.async_yield_fixture
async def scene(tmp_path: Path) -> AsyncIterator[Any]:
    catalogue = open_catalogue(tmp_path, Seal(b"k" * 32))
    made = Scene(catalogue)
    await made.health._probe_name("porch")  # a lease is a write: after it, probes answer within one turn
    yield made
    await made.health.stop()
    await catalogue.close()


@pytest_twisted.ensureDeferred
async def test_before_the_first_probe_nobody_is_ready(scene: Any) -> None:
    assert scene.health.ready() == (False, ["porch: not tried yet"])
    scene.health.start(30)
    assert scene.health.ready() == (True, [])
    state = scene.health.states["porch"]
    assert (state.working, state.when, state.details["free_bytes"]) == (True, 17.0, "7")


@pytest_twisted.ensureDeferred
async def test_a_failure_is_told_and_so_is_its_end(scene: Any) -> None:
    scene.health.start(30)
    scene.backend.mood = "down"
    scene.clock.advance(30)
    ready, reasons = scene.health.ready()
    assert not ready and "the cable is out" in reasons[0]
    scene.backend.mood = "fine"
    scene.clock.advance(30)
    assert scene.health.ready() == (True, [])
    assert scene.told == [("porch", True), ("porch", False), ("porch", True)]
    assert len(set(scene.backend.probes)) == 1, "one name for all probes of a process"


@pytest_twisted.ensureDeferred
async def test_a_storage_that_hangs_counts_as_failed(scene: Any) -> None:
    scene.backend.mood = "hanging"
    scene.health.start(30)
    scene.clock.advance(4.9)
    assert scene.health.ready()[1] == ["porch: not tried yet"]
    scene.clock.advance(0.2)
    assert "no answer in 5 seconds" in scene.health.ready()[1][0]
