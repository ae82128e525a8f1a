"""Power loss under the whole gateway, in this process: real operations, catalogue and local backend.

A story runs with both recorders on. For moments of it, each state that the disk may be in is laid out in a folder, the
gateway's rooms are opened on it, and every key must be what its client was told, or was still asking for.
"""

from __future__ import annotations

import hashlib
import random
import shutil
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import apsw
from gateway_local import LocalBackend, blobfile, draft, folder
from twisted.internet.defer import Deferred, gatherResults

from gateway.bodies import BytesBody
from gateway.catalogue import CatalogueFault, database, open_catalogue
from gateway.catalogue import catalogue as rooms_of_catalogue
from gateway.errors import BackendError
from gateway.gate import Gate
from gateway.model import Call
from gateway.operations import Gateway
from gateway.plugins.location import Location
from gateway.reaper import Reaper
from gateway.seal import Seal
from gateway.settings import Values
from gateway.sqlitefile import VFS
from gateway.verifier import Rules
from tests.campaign.disk import Disk, Event, Os, Recording, RecordingVFS, Told
from tests.campaign.history import content
from tests.campaign.signing import Account

SEAL = Seal(b"k" * 32)
ACCOUNT = Account("AKIDCAMPAIGN", "a-secret-of-the-campaign")
BUCKET = "bucket"
SIZES = (0, 10, 1000, 5000, 40_000, 300_000)  # rows and files of the local backend


@dataclass(slots=True)
class House:
    """The rooms of a gateway, opened on two folders."""

    catalogue: Any
    backend: LocalBackend
    gate: Gate
    reaper: Reaper

    async def ask(self, method: str, path: str, body: bytes = b"", query: str = "", **more: str) -> tuple[int, bytes]:
        """``more`` headers: with _ for -."""
        extra = {name.replace("_", "-"): value for name, value in more.items()}
        headers = {**ACCOUNT.signed(method, "localhost", path, query, body, extra), "content-length": str(len(body))}
        call = Call("0" * 16, method, path, query, headers, BytesBody(body), "127.0.0.1", False, time.time())
        reply = await self.gate.answer(call)
        if isinstance(reply.body, bytes):
            return reply.status, reply.body
        try:
            return reply.status, b"".join([bytes(chunk) async for chunk in reply.body])
        finally:
            reply.body.close()


@asynccontextmanager
async def opened(data: Path, storage: Path, reactor: Any) -> AsyncIterator[House]:
    """Raises CatalogueFault, BackendError."""
    catalogue = open_catalogue(data, SEAL, reactor=reactor)
    backend = LocalBackend(Values.of(LocalBackend.settings, {"local.path": storage}))
    try:
        await backend.open()
        try:
            locations = {"storage": Location("storage", backend)}
            rooms = Gateway(catalogue, locations, "storage", SEAL)
            yield House(catalogue, backend, Gate(rooms, Rules()), Reaper(catalogue, locations))
        finally:
            await backend.close()
    finally:
        await catalogue.close()


@contextmanager
def recorded(recording: Recording, storage: Path) -> Iterator[None]:
    """Both recorders are on."""
    rooms: Any = (blobfile, draft, folder)
    before = [room.os for room in rooms]
    stand_in = Os(recording, storage)
    with suppress(ValueError):
        apsw.unregister_vfs(VFS)  # it goes on top of the recorder with the next catalogue that is opened
    vfs = RecordingVFS(recording)
    for room in rooms:
        room.os = stand_in
    try:
        yield
    finally:
        for room, real in zip(rooms, before, strict=True):
            room.os = real
        apsw.unregister_vfs(VFS)
        vfs.unregister()


async def story(house: House, recording: Recording, seed: int, rounds: int) -> None:
    """Puts of several sizes, overwrites, uploads, copies and deletes, one by one and four at once, and the reaper."""
    draw = random.Random(seed)
    account = await house.catalogue.accounts.add("campaign")
    await house.catalogue.accounts.add_key(account.id, ACCOUNT.access_key, ACCOUNT.secret)
    await told(house, recording, "PUT", "", "there")
    for number in range(rounds):
        keys = draw.sample(["a", "b", "c", "d", "e"], draw.choice([1, 1, 4]))
        await gatherResults([Deferred.fromCoroutine(change(house, recording, draw, key, number)) for key in keys])
        if draw.random() < 0.3:
            await copy(house, recording, *draw.sample(["a", "b", "c", "d", "e"], 2))
        if number % 6 == 5:
            await house.reaper.reap()


async def change(house: House, recording: Recording, draw: random.Random, key: str, number: int) -> None:
    if draw.random() < 0.25:
        await told(house, recording, "DELETE", key, None)
        return
    body = content(f"{key}-{number}", draw.choice(SIZES))
    if draw.random() < 0.25:
        await upload(house, recording, key, body)
    else:
        await told(house, recording, "PUT", key, _digest(body), body)


async def upload(house: House, recording: Recording, key: str, body: bytes) -> None:
    """In one part, which is put twice."""
    begun = (await house.ask("POST", f"/{BUCKET}/{key}", query="uploads="))[1].decode()
    query = f"uploadId={begun.partition('<UploadId>')[2].partition('<')[0]}"
    for each in (body[::-1], body):
        status, text = await house.ask("PUT", f"/{BUCKET}/{key}", each, f"partNumber=1&{query}")
        assert status == 200, text
    part = f"<Part><PartNumber>1</PartNumber><ETag>{_digest(body)}</ETag></Part>"
    whole = f"<CompleteMultipartUpload>{part}</CompleteMultipartUpload>".encode()
    await told(house, recording, "POST", key, _digest(body), whole, query)


async def copy(house: House, recording: Recording, source: str, key: str) -> None:
    """While nobody else changes anything, so that it is known what it copies."""
    status, body = await house.ask("GET", f"/{BUCKET}/{source}")
    if status == 200:
        more = {"x_amz_copy_source": f"{BUCKET}/{source}"}
        await told(house, recording, "PUT", key, _digest(body), **more)


async def told(
    house: House,
    recording: Recording,
    method: str,
    key: str,
    value: str | None,
    body: bytes = b"",
    query: str = "",
    **more: str,
) -> None:
    """A change that must be done; it is written down what was asked, and that it was answered."""
    recording.add(Told(key, value, done=False))
    status, text = await house.ask(method, f"/{BUCKET}/{key}" if key else f"/{BUCKET}", body, query, **more)
    assert status in (200, 204), (status, text)
    recording.add(Told(key, value, done=True))


def _digest(body: bytes) -> str:
    return hashlib.md5(body).hexdigest()


async def record(
    scratch: Path, reactor: Any, seed: int, rounds: int, skips: Callable[[Any], bool] | None = None
) -> list[Event]:
    """The events of a story. ``skips``: which files' syncs a broken gateway leaves out."""
    recording = Recording()
    if skips is not None:
        recording.skips = skips
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    with recorded(recording, scratch / "storage"):
        async with opened(scratch / "data", scratch / "storage", reactor) as house:
            await story(house, recording, seed, rounds)
            events = list(recording.events)
    shutil.rmtree(scratch)
    return events


def is_file(file: Any) -> bool:
    """A blob's file, as the recorder knows it (SQLite's files go by their names)."""
    return isinstance(file, int) and file > 0


def is_directory(file: Any) -> bool:
    return isinstance(file, int) and file <= 0


@contextmanager
def sqlite_normal() -> Iterator[None]:
    """A catalogue that asks SQLite for less than it needs."""
    real = database.connect  # the name that open_catalogue uses is put elsewhere, not what it stands for

    def connect(path: Path) -> apsw.Connection:
        connection = real(path)
        connection.pragma("synchronous", "normal")
        return connection

    rooms_of_catalogue.connect = connect  # type: ignore[attr-defined]
    try:
        yield
    finally:
        rooms_of_catalogue.connect = real  # type: ignore[attr-defined]


@dataclass(slots=True)
class Expected:
    """What each key may hold: the value last told, and those still asked for."""

    allowed: dict[str, set[str | None]] = field(default_factory=dict)

    def step(self, event: Told) -> None:
        if event.done:
            self.allowed[event.key] = {event.value}
        else:
            self.allowed.setdefault(event.key, {None}).add(event.value)


@dataclass(slots=True)
class Outcome:
    states: int = 0
    violations: list[str] = field(default_factory=list)


async def check(
    events: Sequence[Event], scratch: Path, reactor: Any, *, seed: int, most: int, stop_early: bool = False
) -> Outcome:
    """Look at about ``most`` states, spread evenly over the story; ``stop_early`` at the first violation."""
    draw, outcome = random.Random(seed), Outcome()
    everything = sum(1 for _ in _states(events, random.Random(seed)))
    share = min(1.0, most / everything)
    for number, chosen, disk, expected in _states(events, random.Random(seed)):
        if draw.random() >= share:
            continue
        shutil.rmtree(scratch, ignore_errors=True)
        disk.lay_out(chosen, scratch / "data", scratch / "storage")
        outcome.states += 1
        wrong = await _wrong(scratch, reactor, expected.allowed)
        outcome.violations += [f"after event {number} of {len(events)}: {each}" for each in wrong]
        if stop_early and wrong:
            break
    shutil.rmtree(scratch, ignore_errors=True)
    return outcome


def _states(events: Sequence[Event], draw: random.Random) -> Iterator[tuple[int, tuple[Any, ...], Disk, Expected]]:
    """Every state of every moment since the bucket was there. ``Disk`` and ``Expected`` are of that moment."""
    disk, expected, ready = Disk(), Expected(), False
    for number, event in enumerate(events):
        if isinstance(event, Told):
            expected.step(event)
            ready = ready or (event.key == "" and event.done)
        else:
            disk.step(number, event)
        if ready:
            for chosen in disk.states(draw):
                yield number, chosen, disk, expected


async def _wrong(scratch: Path, reactor: Any, allowed: dict[str, set[str | None]]) -> list[str]:
    """Open the gateway on a state, and read every key."""
    wrong = []
    try:
        async with opened(scratch / "data", scratch / "storage", reactor) as house:
            if house.catalogue._database.rows("PRAGMA integrity_check") != [("ok",)]:
                wrong.append("the catalogue is damaged")
            for key, values in allowed.items():
                if not key:
                    continue
                status, body = await house.ask("GET", f"/{BUCKET}/{key}")
                found = _digest(body) if status == 200 else None
                if status not in (200, 404) or found not in values:
                    wrong.append(f"{key} is {status} {found}, and may be {values}")
    except (CatalogueFault, BackendError) as fault:
        wrong.append(f"the gateway does not start: {fault}")
    return wrong
