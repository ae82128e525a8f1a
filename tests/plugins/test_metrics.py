"""Each hook is reported once: its name, how it ended, how long it took."""

from __future__ import annotations

import pytest
import pytest_twisted
from twisted.internet.defer import CancelledError, ensureDeferred
from twisted.internet.task import Clock

from gateway import model
from gateway.bodies import BytesBody
from gateway.errors import BlobMissing
from gateway.plugins.location import Location
from gateway.plugins.memory import MemoryBackend
from gateway.plugins.metrics import Metrics
from gateway.testing.faults import Hanging, Slow


@pytest_twisted.ensureDeferred
async def test_each_hook_is_reported_with_its_outcome_and_its_seconds(memory: MemoryBackend) -> None:
    seen: list[tuple[str, str, float]] = []
    clock = Clock()
    report = Metrics(lambda *told: seen.append(told), clock.seconds)
    location = Location("storage", memory, [Slow(2.5, ["put"], clock), report])
    running = ensureDeferred(location.put(model.PutRequest(name="a", body=BytesBody(b"x"), size=1)))
    clock.advance(2.5)
    await running
    with pytest.raises(BlobMissing):
        await location.head(model.HeadRequest(name="none"))
    await location.createMPU(model.CreateMPURequest(name="b"))
    assert seen == [("put", "ok", 2.5), ("head", "BlobMissing", 0.0), ("createMPU", "ok", 0.0)]


@pytest_twisted.ensureDeferred
async def test_a_cancelled_hook_is_reported(memory: MemoryBackend) -> None:
    seen: list[tuple[str, str, float]] = []
    location = Location("storage", memory, [Hanging(), Metrics(lambda *told: seen.append(told), lambda: 1.0)])
    running = ensureDeferred(location.head(model.HeadRequest(name="a")))
    running.cancel()
    with pytest.raises(CancelledError):
        await running
    assert seen == [("head", "CancelledError", 0.0)]
