"""The memory backend keeps every promise of the seam."""

from __future__ import annotations

from typing import Any

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred, ensureDeferred

from gateway.api import BackendDown, BackendFull, DeleteRequest, HealthcheckRequest, PutRequest, Values
from gateway.plugins.location import Location
from gateway.plugins.memory import MemoryBackend
from gateway.testing import BackendContract
from gateway.testing.pours import Pour
from gateway.testing.stage import turns


class TestMemory(BackendContract):
    @pytest.fixture
    def backend(self) -> MemoryBackend:
        return MemoryBackend(Values.of(MemoryBackend.settings, {}))


def small(limit: int) -> Location:
    return Location("storage", MemoryBackend(Values.of(MemoryBackend.settings, {"memory.limit": limit})))


@pytest_twisted.ensureDeferred
async def test_the_limit_counts_what_is_kept(put: Any) -> None:
    location = small(10)
    await put(location, "a", b"12345")
    await put(location, "b", b"12345")
    for refused in (lambda: put(location, "c", b"1"), lambda: location.healthcheck(HealthcheckRequest(probe="p"))):
        with pytest.raises(BackendFull, match="10 of 10 bytes are used"):
            await refused()
    await put(location, "empty", b"")
    await location.delete(DeleteRequest(name="a"))
    await location.delete(DeleteRequest(name="a"))
    await put(location, "c", b"12345")
    with pytest.raises(BackendFull):
        await put(location, "d", b"1")


@pytest_twisted.ensureDeferred
async def test_a_body_that_is_not_kept_does_not_count(put: Any) -> None:
    location = small(10)
    for _ in range(3):
        with pytest.raises(BackendDown):
            await location.put(PutRequest(name="a", body=Pour(b"1234", size=8), size=8))
    await put(location, "a", b"1234567890")


@pytest_twisted.ensureDeferred
async def test_a_body_on_its_way_counts(put: Any) -> None:
    location = small(10)
    wait: Deferred[None] = Deferred()
    running = ensureDeferred(location.put(PutRequest(name="a", body=Pour(b"12345678", stop_at=4, then=wait), size=8)))
    with pytest.raises(BackendFull):
        await put(location, "b", b"123")
    await put(location, "b", b"12")
    await turns(1)
    wait.callback(None)
    await running
