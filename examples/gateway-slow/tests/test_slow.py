"""Behind the wrapper every promise of a backend is kept; and it waits as it was told."""

from __future__ import annotations

from typing import Any

import pytest
import pytest_twisted
from gateway_slow import Slow
from twisted.internet.defer import CancelledError, ensureDeferred
from twisted.internet.task import Clock

from gateway import api
from gateway.testing import BackendContract, Location, MemoryBackend


def slow(clock: Any = None, **written: object) -> Slow:
    values = api.Values.of(Slow.settings, {f"slow.{key}": value for key, value in written.items()})
    return Slow(values) if clock is None else Slow(values, clock)


def memory() -> MemoryBackend:
    return MemoryBackend(api.Values.of(MemoryBackend.settings, {}))


class TestSlow(BackendContract):
    @pytest.fixture
    def backend(self) -> MemoryBackend:
        return memory()

    @pytest.fixture
    def wrappers(self) -> list[Slow]:
        return [slow(delay="2ms", spread="1ms")]


def a_put() -> api.PutRequest:
    return api.PutRequest(name="blob", body=api.BytesBody(b"data"), size=4)


@pytest_twisted.ensureDeferred
async def test_only_what_was_named_waits() -> None:
    clock = Clock()
    location = Location("storage", memory(), [slow(clock, delay="3s", hooks="put\ndelete")])
    putting = ensureDeferred(location.put(a_put()))
    clock.advance(2.9)
    assert not putting.called
    with pytest.raises(api.BlobMissing):  # the storage has not heard of it
        await location.head(api.HeadRequest(name="blob"))
    clock.advance(0.1)
    await putting
    assert (await location.head(api.HeadRequest(name="blob"))).size == 4


@pytest_twisted.ensureDeferred
async def test_too_long_a_wait_is_refused_at_once() -> None:
    location = Location("storage", memory(), [slow(Clock(), delay="3s", most="2s")])
    with pytest.raises(api.BackendBusy) as refused:
        await location.put(a_put())
    assert refused.value.after == 2.0


@pytest_twisted.ensureDeferred
async def test_who_is_tired_of_waiting_leaves_nothing() -> None:
    clock = Clock()
    location = Location("storage", memory(), [slow(clock, delay="3s", hooks="put")])
    putting = ensureDeferred(location.put(a_put()))
    putting.cancel()
    with pytest.raises(CancelledError):
        await putting
    clock.advance(5)
    assert (await location.list(api.ListRequest())).blobs == ()
    assert clock.getDelayedCalls() == []
