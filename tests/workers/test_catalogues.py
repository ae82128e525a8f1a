"""The catalogue as several processes have it: what one does, the others know."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import pytest_twisted
from twisted.internet import reactor

from gateway.catalogue import Catalogue, Slots, open_catalogue, slots_memory
from gateway.catalogue.starts import SLOTS
from gateway.catalogue.witness import Witness
from gateway.node.rooms import open_place
from gateway.node.seat import Seat
from gateway.plugins.location import Location
from gateway.plugins.marker import Forgotten, advance, claim
from gateway.plugins.memory import MemoryBackend
from gateway.seal import Seal
from gateway.settings import Values

SEAL = Seal(b"s" * 32)


@asynccontextmanager
async def pair(folder: Path) -> AsyncIterator[tuple[Catalogue, Catalogue]]:
    """Two catalogues on one file, as two workers have them."""
    memory = slots_memory(2)
    one, other = (
        open_catalogue(folder, SEAL, reactor=reactor, slots=Slots(row, 2, os.dup(memory)))  # type: ignore[arg-type]
        for row in range(2)
    )
    os.close(memory)
    try:
        yield one, other
    finally:
        await one.close()
        await other.close()


async def newest(catalogue: Catalogue, sequence: int) -> None:
    """As if so many versions had been committed."""

    def change(connection: object) -> None:
        execute = connection.execute  # type: ignore[attr-defined]
        execute("DELETE FROM sqlite_sequence WHERE name = 'versions'")
        execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('versions', ?)", (sequence,))

    await catalogue.writer.submit(change)


@pytest_twisted.ensureDeferred
async def test_a_write_of_another_process_holds_the_floor_down(tmp_path: Path) -> None:
    async with pair(tmp_path) as (one, other):
        with one.starts.begin(1, b"key") as first:
            await newest(one, first.sequence + 10)
            with other.starts.begin(1, b"key") as second:
                assert second.sequence == first.sequence + 10
                assert second.floor == first.sequence
            with other.starts.begin(1, b"another key") as third:
                assert third.floor == third.sequence
            await newest(one, first.sequence + 20)
            with one.starts.begin(1, b"key") as fourth:
                assert fourth.floor == first.sequence
        with other.starts.begin(1, b"key") as fifth:
            assert fifth.floor == fifth.sequence == first.sequence + 20


def test_what_a_dead_process_left_goes_with_its_successor() -> None:
    memory = slots_memory(2)
    dead, other = Slots(0, 2, os.dup(memory)), Slots(1, 2, os.dup(memory))
    assert other.told(7) is None
    dead.tell(7, 0)
    dead.tell(SLOTS - 1, 12)
    assert (other.told(7), other.told(SLOTS - 1), dead.told(7)) == (0, 12, None)
    Slots(0, 2, memory)
    assert other.told(7) is None and other.told(SLOTS - 1) is None


def test_the_witness_of_two_never_goes_back(tmp_path: Path) -> None:
    one, other = Witness(tmp_path), Witness(tmp_path)
    id_ = "a" * 32
    one.begin(id_, 10)
    other.begin(id_, 12)
    one.note(11)  # committed before, and told later
    assert one.said() == other.said() == (id_, 12)
    one.note(13)
    assert other.said() == (id_, 13)
    one.close()
    other.close()


@pytest_twisted.ensureDeferred
async def test_a_commit_of_one_is_known_to_the_other(tmp_path: Path) -> None:
    async with pair(tmp_path) as (one, other):
        account = await one.accounts.add("alice")
        await one.accounts.add_key(account.id, "AK", "secret")
        found = await other.accounts.signer("AK")
        assert found is not None and found[0].name == "alice"
        assert one.changes == other.changes == 2
        await one.accounts.remove_key("AK")
        assert await other.accounts.signer("AK") is None


@pytest_twisted.ensureDeferred
async def test_what_another_process_reads_is_not_reaped_before_it_says_so(tmp_path: Path) -> None:
    async with pair(tmp_path) as (one, other):
        reading = other.blobs.reading()
        name = await one.blobs.name("storage")
        await one.blobs.dispose("storage", [name])
        doomed = await one.blobs.doomed("storage")
        assert doomed == [name]  # it was never live: nobody can be reading it
        reading.close()
        await other.blobs.publish()
        assert await one.blobs.doomed("storage") == [name]


@pytest_twisted.ensureDeferred
async def test_a_later_worker_meets_a_marker_that_a_sibling_moved_on(tmp_path: Path) -> None:
    """It is no old catalogue, for a sibling found the location in order; one that nobody looked at yet may be."""
    async with pair(tmp_path) as (one, other):
        location = Location("storage", MemoryBackend(Values.of(MemoryBackend.settings, {})))
        await claim(location, one.id)
        await other.accounts.add("alice")
        await advance(location, one.id, other.changes)
        assert one.found == 0
        for seat in (Seat(), Seat(found=0), Seat(found=5, verified={"cold"})):
            with pytest.raises(Forgotten):
                await open_place(location, one, seat)
        told: list[str] = []
        await open_place(location, one, Seat(found=0, verified={"storage"}, verify=told.append))
        assert told == ["storage"]
        await advance(location, one.id, 50)
        with pytest.raises(Forgotten):
            await open_place(location, one, Seat(found=0, verified={"storage"}))
