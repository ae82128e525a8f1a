"""A limit counts what is under way, and never waits for itself."""

from __future__ import annotations

from typing import Any

import pytest
import pytest_twisted
from twisted.internet.defer import CancelledError, Deferred, DeferredList, ensureDeferred

from gateway import model
from gateway.bodies import BytesBody, contents
from gateway.errors import BlobMissing
from gateway.plugins.hookspecs import hookimpl
from gateway.plugins.limits import Limits
from gateway.plugins.location import Location
from gateway.plugins.memory import MemoryBackend
from gateway.testing.faults import Hanging
from gateway.testing.pours import Pour
from gateway.testing.stage import turns


def put(name: str, body: Any = None) -> model.PutRequest:
    return model.PutRequest(name=name, body=body or BytesBody(b"data"), size=4)


def slow() -> Pour:
    wait: Deferred[None] = Deferred()
    body = Pour(b"data", stop_at=0, then=wait)
    body.let_go = lambda: wait.callback(None)  # type: ignore[attr-defined]
    return body


@pytest_twisted.ensureDeferred
async def test_no_more_than_so_many_run_at_once(memory: MemoryBackend) -> None:
    hanging = Hanging(["put"])
    location = Location("storage", memory, [hanging, Limits(3)])
    running = [ensureDeferred(location.put(put(f"a/{number}"))) for number in range(10)]
    seen = []
    while hanging.waiting:
        seen.append(hanging.waiting)
        hanging.release()
    assert seen == [3, 3, 3, 1]
    await DeferredList(running, fireOnOneErrback=True)


@pytest_twisted.ensureDeferred
async def test_a_failure_and_a_cancel_give_the_slot_back(memory: MemoryBackend) -> None:
    location = Location("storage", memory, [Limits(1)])
    for _ in range(3):
        with pytest.raises(BlobMissing):
            await location.get(model.GetRequest(name="none"))
        with pytest.raises(BlobMissing):
            await location.head(model.HeadRequest(name="none"))
    running = ensureDeferred(location.put(put("a/b", slow())))
    waiting = ensureDeferred(location.put(put("a/c")))
    assert not waiting.called
    running.cancel()
    with pytest.raises(CancelledError):
        await running
    await waiting


@pytest_twisted.ensureDeferred
async def test_who_is_cancelled_while_waiting_takes_no_slot_and_never_begins(memory: MemoryBackend) -> None:
    location = Location("storage", memory, [Limits(1)])
    body = slow()
    running = ensureDeferred(location.put(put("a/b", body)))
    tired = Pour(b"data")
    waiting = ensureDeferred(location.put(put("a/c", tired)))
    waiting.cancel()
    with pytest.raises(CancelledError):
        await waiting
    assert (tired.given, tired.closed) == (0, 1)
    await turns(1)
    body.let_go()  # type: ignore[attr-defined]
    await running
    await location.put(put("a/d"))


@pytest_twisted.ensureDeferred
async def test_a_get_holds_its_slot_until_its_body_is_closed(memory: MemoryBackend) -> None:
    location = Location("storage", memory, [Limits(1)])
    await location.put(put("a/b"))
    first = await location.get(model.GetRequest(name="a/b"))
    second = ensureDeferred(location.get(model.GetRequest(name="a/b")))
    assert not second.called
    assert first.body is not None
    assert [chunk async for chunk in first.body] == [b"data"]
    assert not second.called, "read to the end is not closed"
    first.body.close()
    first.body.close()
    got = await second
    third = ensureDeferred(location.get(model.GetRequest(name="a/b")))
    assert not third.called, "closing twice gave two slots"
    assert await contents(got) == b"data"
    assert await contents(await third) == b"data"


@pytest_twisted.ensureDeferred
async def test_a_get_of_a_region_holds_its_slot_as_well(memory: MemoryBackend) -> None:
    class Stretch:
        fd, offset, length = 3, 4, 5
        closed = 0

        def close(self) -> None:
            self.closed += 1

    region = Stretch()

    class Files(MemoryBackend):
        @hookimpl
        async def get(self, request: model.GetRequest) -> model.GetResult:
            return model.GetResult(9, "f", region=region)

    location = Location("storage", Files({"memory.limit": 10}), [Limits(1)])  # type: ignore[arg-type]
    first = await location.get(model.GetRequest(name="a"))
    second = ensureDeferred(location.get(model.GetRequest(name="a")))
    assert first.region is not None
    assert (first.region.fd, first.region.offset, first.region.length) == (3, 4, 5)
    assert not second.called
    first.region.close()
    assert second.called
    assert region.closed == 1
    (await second).region.close()  # type: ignore[union-attr]


@pytest_twisted.ensureDeferred
async def test_parts_pass_below_the_limit(memory: MemoryBackend) -> None:
    """uploadPart holds the only slot while it puts its part: above the limit it would wait for itself."""
    location = Location("storage", memory, [Limits(1)])
    token = (await location.createMPU(model.CreateMPURequest(name="a/b"))).token
    request = model.UploadPartRequest(name="a/b", token=token, number=1, body=BytesBody(b"data"), size=4)
    running = ensureDeferred(location.uploadPart(request))
    assert running.called
    part = model.ChosenPart(number=1, size=4, receipt=(await running).receipt)
    done = ensureDeferred(location.completeMPU(model.CompleteMPURequest(name="a/b", token=token, parts=(part,))))
    assert done.called
    await done
    listed = ensureDeferred(location.list(model.ListRequest()))
    assert listed.called
    assert len((await listed).blobs) == 1


@pytest_twisted.ensureDeferred
async def test_copies_inside_one_location_never_wait_for_each_other(memory: MemoryBackend) -> None:
    """Each copy reads one blob while it writes another, and opens a second one on the way."""
    location = Location("storage", memory, [Limits(1)])
    await location.put(put("a/b"))

    class Reading:
        size: int | None = 8

        async def __aiter__(self) -> Any:
            for _ in range(2):
                yield await contents(await location.get(model.GetRequest(name="a/b")))
                await turns(2)

        def close(self) -> None:
            pass

    async def copy(number: int) -> None:
        first = await location.get(model.GetRequest(name="a/b"))
        await turns(1)
        await location.put(model.PutRequest(name=f"a/copy{number}", body=Reading(), size=8))
        assert first.body is not None
        first.body.close()

    done = DeferredList([ensureDeferred(copy(number)) for number in range(5)], fireOnOneErrback=True)
    for _ in range(200):
        if done.called:
            break
        await turns(1)
    assert done.called, "copies wait for each other"
    await done


@pytest_twisted.ensureDeferred
async def test_a_full_house_is_not_a_sick_one(memory: MemoryBackend) -> None:
    location = Location("storage", memory, [Limits(1)])
    body = slow()
    running = ensureDeferred(location.put(put("a/b", body)))
    check = ensureDeferred(location.healthcheck(model.HealthcheckRequest(probe="probe")))
    assert check.called
    await check
    await turns(1)
    body.let_go()  # type: ignore[attr-defined]
    await running
