"""The fault wrappers strike where and when they are told, and nowhere else."""

from __future__ import annotations

import pytest
import pytest_twisted
from twisted.internet.defer import CancelledError, ensureDeferred
from twisted.internet.task import Clock

from gateway import model
from gateway.api import BackendBusy, BackendDown, BackendFull, BlobMissing, BytesBody, Values
from gateway.bodies import contents
from gateway.plugins.location import Location
from gateway.plugins.memory import MemoryBackend
from gateway.testing.faults import Busy, Down, Failing, Fault, Full, Hanging, Losing, Lying, Reordering, Slow

HEAD = model.HeadRequest(name="a")


def put(name: str = "a") -> model.PutRequest:
    return model.PutRequest(name=name, body=BytesBody(b"data"), size=4)


def with_fault(fault: Fault) -> Location:
    return Location("storage", MemoryBackend(Values.of(MemoryBackend.settings, {})), [fault])


@pytest.mark.parametrize(
    ("fault", "error"), [(Busy(["head"], after=7.0), BackendBusy), (Down(["head"]), BackendDown)], ids=["busy", "down"]
)
@pytest_twisted.ensureDeferred
async def test_a_failing_hook_fails_and_the_others_work(fault: Failing, error: type[Exception]) -> None:
    location = with_fault(fault)
    await location.put(put())
    for _ in range(2):
        with pytest.raises(error) as raised:
            await location.head(HEAD)
        assert getattr(raised.value, "after", 7.0) == 7.0
    fault.on = False
    assert (await location.head(HEAD)).size == 4
    assert fault.struck == 2


@pytest_twisted.ensureDeferred
async def test_it_fails_so_many_times() -> None:
    location = with_fault(Down(["put"], times=2))
    for _ in range(2):
        with pytest.raises(BackendDown):
            await location.put(put())
        with pytest.raises(BlobMissing):
            await location.head(HEAD)
    await location.put(put())


@pytest_twisted.ensureDeferred
async def test_a_full_storage_reads_and_deletes() -> None:
    fault = Full()
    fault.on = False
    location = with_fault(fault)
    await location.put(put())
    fault.on = True
    for refused in (location.put(put("b")), location.createMPU(model.CreateMPURequest(name="c"))):
        with pytest.raises(BackendFull):
            await refused
    assert await contents(await location.get(model.GetRequest(name="a"))) == b"data"
    await location.delete(model.DeleteRequest(name="a"))


@pytest_twisted.ensureDeferred
async def test_a_slow_storage_answers_later() -> None:
    clock = Clock()
    location = with_fault(Slow(3.0, ["put"], clock))
    running = ensureDeferred(location.put(put()))
    clock.advance(2.9)
    assert not running.called
    clock.advance(0.1)
    await running


@pytest_twisted.ensureDeferred
async def test_a_hanging_storage_waits_until_it_is_released_or_cancelled() -> None:
    fault = Hanging(["put"])
    location = with_fault(fault)
    running, tired = (ensureDeferred(location.put(put(name))) for name in "ab")
    assert fault.waiting == 2
    tired.cancel()
    with pytest.raises(CancelledError):
        await tired
    assert fault.waiting == 1
    assert not running.called
    fault.release()
    await running
    with pytest.raises(BlobMissing):
        await location.head(model.HeadRequest(name="b"))


@pytest_twisted.ensureDeferred
async def test_who_asks_first_is_served_last() -> None:
    clock = Clock()
    fault = Reordering(1.0, ["put"], clock)
    location = with_fault(fault)
    bodies = (b"first", b"second", b"third")
    requests = [model.PutRequest(name="a", body=BytesBody(data), size=len(data)) for data in bodies]
    running = [ensureDeferred(location.put(request)) for request in requests]
    running[1].cancel()
    with pytest.raises(CancelledError):
        await running[1]
    clock.advance(0.9)
    assert not running[0].called
    clock.advance(0.1)
    results = [await running[0], await running[2]]
    assert await contents(await location.get(model.GetRequest(name="a"))) == b"first", "the first one came last"
    assert (await location.head(HEAD)).fingerprint == results[0].fingerprint
    late = ensureDeferred(location.put(put()))  # a storm that is over begins anew
    clock.advance(1.0)
    await late
    assert clock.getDelayedCalls() == []


@pytest_twisted.ensureDeferred
async def test_a_lost_blob_still_lists() -> None:
    location = with_fault(Losing({"a"}))
    for name in "ab":
        await location.put(put(name))
    for lost in (location.head(HEAD), location.get(model.GetRequest(name="a"))):
        with pytest.raises(BlobMissing):
            await lost
    assert [blob.name for blob in (await location.list(model.ListRequest())).blobs] == ["a", "b"]
    assert (await location.head(model.HeadRequest(name="b"))).size == 4


@pytest_twisted.ensureDeferred
async def test_a_liar_tells_other_sizes() -> None:
    location = with_fault(Lying(by=-1))
    await location.put(put())
    got = await location.get(model.GetRequest(name="a"))
    assert got.size == 3
    assert await contents(got) == b"data"
    assert (await location.head(HEAD)).size == 3
    assert [blob.size for blob in (await location.list(model.ListRequest())).blobs] == [3]


def test_a_misspelt_hook_is_noticed() -> None:
    with pytest.raises(AssertionError, match="no such hook"):
        Slow(1.0, ["putt"])
