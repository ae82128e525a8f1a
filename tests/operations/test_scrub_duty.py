"""What is stored is read beside serving: at its own pace, on from where it was, and damage is told and never served."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock, deferLater
from twisted.logger import formatEvent, globalLogPublisher

from gateway.bodies import BytesBody
from gateway.catalogue.inventory import Kept
from gateway.errors import BackendDown, BlobMissing
from gateway.gate import Gate
from gateway.model import DeleteRequest, HeadRequest, PutRequest
from gateway.plugins.location import Location
from gateway.plugins.memory import MemoryBackend
from gateway.plugins.wrapping import Answer, Wrapper
from gateway.recovery import scrub_duty
from gateway.recovery.scrub import Pace, Scrub
from gateway.recovery.scrub_duty import STATE, ScrubDuty
from gateway.settings import Values
from gateway.verifier import Rules
from tests.operations.conftest import Shop

MIB = 1024 * 1024


@pytest.fixture
def logged() -> Iterator[list[str]]:
    lines: list[str] = []

    def note(event: dict[str, Any]) -> None:
        lines.append(formatEvent(event))

    globalLogPublisher.addObserver(note)
    yield lines
    globalLogPublisher.removeObserver(note)


async def eventually(condition: Any) -> None:
    for _ in range(2000):
        if condition():
            return
        await deferLater(reactor, 0.01)
    raise AssertionError("it never happened")


def duty_of(shop: Shop, folder: Any, works: Any = lambda name: True, clock: Any = reactor, **more: Any) -> ScrubDuty:
    return ScrubDuty(shop.catalogue, folder, {"storage": shop.location}, shop.gateway.seal, works, clock, **more)


async def fill(shop: Shop, count: int, size: int) -> list[Kept]:
    for number in range(count):
        answer = await shop.call("PUT", f"/bucket/key{number:02}", random.Random(number).randbytes(size))
        assert answer.status == 200
    return await shop.catalogue.inventory.page(0, 1 << 60)


async def damage(shop: Shop, kept: Kept, at: int) -> bytes:
    """Another byte in the storage than was written; gives what is there now."""
    answer = await shop.call("GET", f"/{kept.bucket}/{kept.key.decode()}")
    data = bytearray(answer.body)
    data[at] ^= 1
    name = kept.pieces[0].blob
    metadata = (await shop.location.head(HeadRequest(name=name))).metadata
    body = PutRequest(name=name, body=BytesBody(bytes(data)), size=len(data), metadata=metadata)
    await shop.location.put(body)
    return bytes(data)


@pytest_twisted.ensureDeferred
async def test_damage_is_sent_until_it_is_found_then_told_and_refused(
    shop: Shop, tmp_path: Any, logged: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scrub_duty, "_LEAST", 1 << 40)  # there is no hurry elsewhere
    rows = await fill(shop, 5, 3 * MIB)
    wrong = await damage(shop, rows[2], MIB + 7)
    await shop.call("PUT", "/bucket/copied", headers={"x-amz-copy-source": "/bucket/key01"})
    unread = Shop(shop.catalogue, shop.location, shop.trouble, shop.gateway.seal)
    unread.gate = Gate(replace(shop.gateway, verify_reads=False), Rules())
    assert (await unread.call("GET", "/bucket/key02")).body == wrong
    with pytest.raises(Exception, match="MiB 1"):
        await shop.call("GET", "/bucket/key02")
    duty = duty_of(shop, tmp_path)
    duty.start(1000)
    await eventually(lambda: duty.progress.ended)
    assert (duty.progress.found, duty.faults, duty.size) == (1, 1, 6 * 3 * MIB)
    [line] = [line for line in logged if "not as it was written" in line]
    assert line.startswith("damaged: bucket/'key02'") and rows[2].pieces[0].blob in line and "MiB 1 of" in line
    with pytest.raises(Exception, match="MiB 1"):
        await unread.call("GET", "/bucket/key02")
    first = await unread.call("GET", "/bucket/key02", headers={"range": "bytes=5-1000"})
    assert (first.status, first.body) == (206, wrong[5:1001])
    clean = await unread.call("GET", "/bucket/key02", headers={"range": f"bytes={MIB}-{MIB}"})
    assert (clean.status, clean.code) == (500, "InternalError")
    assert (await unread.call("PUT", "/bucket/key02", b"anew")).status == 200
    assert (await unread.call("GET", "/bucket/key02")).body == b"anew"
    await duty.stop()


@pytest_twisted.ensureDeferred
async def test_a_pass_goes_on_where_it_was_and_the_next_one_waits_for_its_time(shop: Shop, tmp_path: Any) -> None:
    await fill(shop, 6, MIB)
    clock, wall = Clock(), [1000.0]
    first = duty_of(shop, tmp_path, clock=clock, wall=lambda: wall[0])
    first.start(3600)
    for _ in range(3):
        clock.advance(1)
    at = first.progress.after
    assert 0 < at < first.progress.until
    await first.stop()
    second = duty_of(shop, tmp_path, clock=clock, wall=lambda: wall[0])
    second.start(3600)
    assert (second.progress.begun, second.progress.after) == (1000.0, at)
    while not second.progress.ended:
        clock.advance(1)
    assert first.size < 5 * MIB and 6 * MIB <= first.size + second.size <= 7 * MIB
    done = second.size
    wall[0] = 1000.0 + 3599
    clock.advance(3599)
    assert second.size == done
    wall[0] += 2
    clock.advance(2)
    assert (second.progress.begun, second.progress.ended, second.last) == (wall[0], 0.0, 1000.0)
    await second.stop()
    (tmp_path / STATE).write_text("{broken")
    third = duty_of(shop, tmp_path, clock=clock, wall=lambda: wall[0])
    third.start(3600)
    assert third.progress.begun == wall[0]
    await third.stop()


@pytest_twisted.ensureDeferred
async def test_it_reads_no_faster_than_its_time_asks_and_one_thing_at_a_time(shop: Shop, tmp_path: Any) -> None:
    await fill(shop, 8, MIB)
    clock = Clock()
    duty = duty_of(shop, tmp_path, clock=clock, wall=clock.seconds)
    shop.trouble.calls.clear()
    duty.start(100)
    for second in range(1, 6):
        clock.advance(1)
        assert duty.size <= (second + 1) * MIB
        assert shop.trouble.calls.count("get") <= second + 1
    assert duty.size >= 4 * MIB
    await duty.stop()


@pytest_twisted.ensureDeferred
async def test_others_have_their_turn_after_each_mib_however_great_the_hurry(
    shop: Shop, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scrub_duty, "_LEAST", 1 << 40)
    await fill(shop, 4, 3 * MIB)
    duty = duty_of(shop, tmp_path)
    duty.start(1000)
    seen, most = 0, 0
    while not duty.progress.ended:
        await deferLater(reactor, 0)
        most, seen = max(most, duty.size - seen), duty.size
    assert (seen, most) == (12 * MIB, MIB)
    await duty.stop()


@pytest_twisted.ensureDeferred
async def test_small_objects_are_no_rush_either(shop: Shop, tmp_path: Any) -> None:
    await fill(shop, 99, 1)
    clock = Clock()
    duty = duty_of(shop, tmp_path, clock=clock, wall=clock.seconds)
    shop.trouble.calls.clear()
    duty.start(3600)
    clock.advance(0.5)
    assert 20 < shop.trouble.calls.count("get") < 50
    await duty.stop()


@pytest_twisted.ensureDeferred
async def test_a_storage_that_does_not_answer_is_waited_for(shop: Shop, tmp_path: Any, logged: list[str]) -> None:
    await fill(shop, 2, 1000)
    shop.trouble.after["get"] = BlobMissing("not mounted")
    works = [False]
    duty = duty_of(shop, tmp_path, works=lambda name: works[0])
    duty.start(0.5)
    await eventually(lambda: shop.trouble.calls.count("get") > 5)
    assert duty.faults == 0 and not duty.progress.ended
    shop.trouble.after["get"] = BackendDown("away")
    works[0] = True  # its probe passes, and still nothing can be read: that is told
    await eventually(lambda: duty.faults)
    assert any(line.startswith("unreadable: bucket/'key00'") for line in logged)
    shop.trouble.after.clear()
    await eventually(lambda: duty.progress.before and duty.progress.ended and not duty.faults)
    await duty.stop()


@pytest_twisted.ensureDeferred
async def test_what_goes_while_it_is_read_is_no_fault(shop: Shop, tmp_path: Any) -> None:
    rows = await fill(shop, 2, 1000)
    for row in rows:
        await shop.location.delete(DeleteRequest(name=row.pieces[0].blob))
    await shop.call("DELETE", "/bucket/key01")
    duty = duty_of(shop, tmp_path)
    duty.start(1000)
    await eventually(lambda: duty.progress.ended)
    assert duty.faults == 1
    await duty.stop()
    scrub = Scrub(shop.catalogue, {"storage": shop.location}, shop.gateway.seal, Pace(None, reactor), lambda size: None)
    assert [[fault.kind for fault in await scrub.version(row)] for row in rows] == [["missing"], []]


class Deaf(Deferred[None]):
    """As a thread's work: it cannot be called back."""

    def cancel(self) -> None: ...


class Slow(Wrapper):
    """A wrapper: each head waits for its turn."""

    def __init__(self) -> None:
        self.waiting: list[Deaf] = []

    async def around(self, hook: str, request: object, answer: Answer) -> object:
        if hook == "head":
            self.waiting.append(Deaf())
            await self.waiting[-1]
        return await answer


@pytest_twisted.ensureDeferred
async def test_it_stops_although_a_storage_does_not_hear_of_it(shop: Shop, tmp_path: Any) -> None:
    await fill(shop, 3, 1000)
    slow = Slow()
    values = Values.of(MemoryBackend.settings, {}, secrets={}, location="storage")
    shop.location = Location("storage", MemoryBackend(values), [slow])
    duty = duty_of(shop, tmp_path)
    duty.start(1000)
    await eventually(lambda: slow.waiting)
    stopping = Deferred.fromCoroutine(duty.stop())
    slow.waiting[0].callback(None)
    await stopping.addTimeout(20, reactor)
    assert len(slow.waiting) == 1
