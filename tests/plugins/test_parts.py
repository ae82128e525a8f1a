"""Multipart by one blob per part: whoever dies or comes late, no part is lost and none is left behind."""

from __future__ import annotations

import re
from contextlib import nullcontext
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.defer import ensureDeferred

from gateway import model
from gateway.bodies import BytesBody
from gateway.errors import BackendDown, BlobMissing
from gateway.plugins.hookspecs import MPU_HOOKS
from gateway.plugins.location import Blobs, Location
from gateway.plugins.memory import MemoryBackend
from gateway.plugins.parts import Parts
from gateway.plugins.wrapping import Answer, Wrapper, drop
from gateway.testing.faults import Hanging, Lying

NAME = "0123456789abcdef/00002f"
OPAQUE = re.compile(r"[a-z0-9]{1,40}(/[a-z0-9]{1,40}){0,2}")


class Dying(Wrapper):
    """Does ``steps`` changes more, then none."""

    def __init__(self, steps: int) -> None:
        self.steps = steps

    async def around(self, hook: str, request: Any, answer: Answer) -> Any:
        if hook in ("put", "delete"):
            if self.steps == 0:
                drop(answer)
                raise BackendDown("dead")
            self.steps -= 1
        return await answer


async def begin(parts: Parts, name: str = NAME) -> str:
    return (await parts.createMPU(model.CreateMPURequest(name=name))).token


async def send(parts: Parts, token: str, number: int, data: bytes, name: str = NAME) -> model.ChosenPart:
    request = model.UploadPartRequest(name=name, token=token, number=number, body=BytesBody(data), size=len(data))
    return model.ChosenPart(number=number, size=len(data), receipt=(await parts.uploadPart(request)).receipt)


async def complete(parts: Parts, token: str, *chosen: model.ChosenPart) -> model.CompleteMPUResult:
    return await parts.completeMPU(model.CompleteMPURequest(name=NAME, token=token, parts=chosen))


async def stored(memory: MemoryBackend) -> list[str]:
    """Everything that is stored, markers among it."""
    return [blob.name for blob in (await memory.list(model.ListRequest(limit=100_000))).blobs]


@pytest.fixture
def parts(memory: MemoryBackend) -> Parts:
    return Parts(Blobs("storage", memory))


@pytest_twisted.ensureDeferred
async def test_every_name_is_an_opaque_name(parts: Parts, memory: MemoryBackend) -> None:
    longest = "a" * 40 + "/" + "b" * 5
    for name in (NAME, "a", longest):
        token = await begin(parts, name)
        await send(parts, token, 1, b"one", name)
        await send(parts, token, 10_000, b"last", name)
    everything = await stored(memory)
    assert len(everything) == 9
    assert all(OPAQUE.fullmatch(name) and len(name) <= 80 for name in everything)


@pytest_twisted.ensureDeferred
async def test_completing_moves_no_byte(memory: MemoryBackend) -> None:
    token = await begin(Parts(Blobs("storage", memory)))
    chosen = [await send(Parts(Blobs("storage", memory)), token, number, b"data") for number in (1, 2)]
    moved: list[str] = []

    class Watch(Wrapper):
        async def around(self, hook: str, request: Any, answer: Answer) -> Any:
            moved.append(hook)
            return await answer

    await complete(Parts(Blobs("storage", memory, [Watch()])), token, *chosen)
    assert "put" not in moved
    assert "get" not in moved
    assert moved.count("delete") == 1, "the marker, and nothing else"


@pytest_twisted.ensureDeferred
async def test_a_part_of_another_size_is_not_joined(memory: MemoryBackend, parts: Parts) -> None:
    token = await begin(parts)
    part = await send(parts, token, 1, b"data")
    with pytest.raises(BlobMissing, match="expected a part of 4 bytes"):
        await complete(Parts(Blobs("storage", memory, [Lying(by=-1)])), token, part)
    assert len((await complete(parts, token, part)).blobs) == 1


@pytest_twisted.ensureDeferred
async def test_a_part_that_comes_too_late_removes_itself(memory: MemoryBackend, parts: Parts) -> None:
    token = await begin(parts)
    hanging = Hanging(["head"])
    late = ensureDeferred(send(Parts(Blobs("storage", memory, [hanging])), token, 1, b"late"))
    assert hanging.waiting == 1, "the part is stored, the marker not yet looked for"
    await parts.abortMPU(model.AbortMPURequest(name=NAME, token=token))
    hanging.on = False
    hanging.release()
    with pytest.raises(BlobMissing):
        await late
    assert await stored(memory) == []


@pytest_twisted.ensureDeferred
async def test_a_part_of_an_ended_upload_leaves_nothing(memory: MemoryBackend, parts: Parts) -> None:
    token = await begin(parts)
    await parts.abortMPU(model.AbortMPURequest(name=NAME, token=token))
    with pytest.raises(BlobMissing):
        await send(parts, token, 1, b"after the end")
    assert await stored(memory) == []


@pytest_twisted.ensureDeferred
async def test_after_completion_nothing_is_deleted_any_more(memory: MemoryBackend, parts: Parts) -> None:
    token = await begin(parts)
    sent = [await send(parts, token, number, b"data") for number in (1, 2, 3)]
    result = await complete(parts, token, *sent)
    await complete(parts, token, sent[0])
    with pytest.raises(BlobMissing):
        await send(parts, token, 4, b"data")
    assert await stored(memory) == [blob.name for blob in result.blobs]


def test_parts_never_come_before_a_backend_of_its_own_hooks() -> None:
    marked = [getattr(Parts, hook).gateway_impl["trylast"] for hook in MPU_HOOKS]
    assert marked == [True] * 4


@pytest.mark.parametrize("ending", ["complete", "abort"])
@pytest_twisted.ensureDeferred
async def test_a_part_that_comes_while_the_upload_ends_is_swept_up(
    memory: MemoryBackend, parts: Parts, ending: str
) -> None:
    token = await begin(parts)
    part = await send(parts, token, 1, b"data")
    hanging = Hanging(["delete"])
    slow = Parts(Blobs("storage", memory, [hanging]))
    if ending == "complete":
        running: Any = ensureDeferred(complete(slow, token, part))
    else:
        running = ensureDeferred(slow.abortMPU(model.AbortMPURequest(name=NAME, token=token)))
    assert hanging.waiting, "the parts are listed, the marker is still there"
    await send(parts, token, 2, b"late, and acknowledged")
    while not running.called:
        hanging.release()
    result = await running
    assert await stored(memory) == ([result.blobs[0].name] if ending == "complete" else [])


@pytest_twisted.ensureDeferred
async def test_whoever_dies_while_completing_can_be_followed(memory: MemoryBackend, parts: Parts) -> None:
    for steps in range(6):
        token = await begin(parts)
        sent = [await send(parts, token, number, b"%d" % number) for number in (1, 2, 2, 3, 3)]
        chosen = (sent[0], sent[2])
        dying = Dying(steps)
        outcome: Any = None
        try:
            outcome = await complete(Parts(Blobs("storage", memory, [dying])), token, *chosen)
        except BackendDown:
            assert dying.steps == 0
        again = await complete(parts, token, *chosen)
        assert outcome in (None, again)
        assert await stored(memory) == sorted(blob.name for blob in again.blobs), f"died after {steps} steps"
        for blob in again.blobs:
            await memory.delete(model.DeleteRequest(name=blob.name))


@pytest_twisted.ensureDeferred
async def test_whoever_dies_while_aborting_can_be_followed(memory: MemoryBackend, parts: Parts) -> None:
    for steps in range(5):
        token = await begin(parts)
        for number in (1, 2, 3):
            await send(parts, token, number, b"data")
        request = model.AbortMPURequest(name=NAME, token=token)
        with pytest.raises(BackendDown) if steps < 4 else nullcontext():
            await Parts(Blobs("storage", memory, [Dying(steps)])).abortMPU(request)
        await parts.abortMPU(request)
        assert await stored(memory) == [], f"died after {steps} steps"


@pytest_twisted.ensureDeferred
async def test_thousands_of_parts(memory: MemoryBackend, parts: Parts) -> None:
    token = await begin(parts)
    chosen = [await send(parts, token, number, b"x") for number in range(1, 2_501)]
    again = [await send(parts, token, number, b"y") for number in range(1, 51)]
    result = await complete(parts, token, *again, *chosen[50:])
    assert len(result.blobs) == 2_500
    assert await stored(memory) == sorted(blob.name for blob in result.blobs)


@pytest_twisted.ensureDeferred
async def test_a_list_hides_open_uploads_page_by_page(parts: Parts, location: Location, put: Any) -> None:
    token = await begin(parts)
    for number in range(1, 6):
        await send(parts, token, number, b"x")
    await put(location, "zzz", b"plain")
    await put(location, f"{NAME}x/{token}open5", b"looks like a marker, is none")
    shown: list[str] = []
    after: str | None = ""
    while after is not None:
        page = await location.list(model.ListRequest(limit=2, after=after))
        shown += [blob.name for blob in page.blobs]
        after = page.after
    assert shown == [f"{NAME}x/{token}open5", "zzz"]


@pytest_twisted.ensureDeferred
async def test_the_first_failure_of_many_deletes_comes_out(memory: MemoryBackend, parts: Parts) -> None:
    token = await begin(parts)
    for number in range(1, 30):
        await send(parts, token, number, b"x")
    with pytest.raises(BackendDown, match="dead"):
        await Parts(Blobs("storage", memory, [Dying(12)])).abortMPU(model.AbortMPURequest(name=NAME))
    assert len(await stored(memory)) == 30 - 12
