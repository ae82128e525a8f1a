"""One storage, one gateway."""

from __future__ import annotations

from typing import Any

import pytest
import pytest_twisted
from twisted.internet.defer import DeferredList, ensureDeferred

from gateway.errors import BackendDown
from gateway.plugins.location import Location
from gateway.plugins.marker import MARKER, ForeignStorage, Mark, claim, peek
from gateway.testing.faults import Down


@pytest_twisted.ensureDeferred
async def test_nobody_owns_a_fresh_storage(location: Location) -> None:
    assert await peek(location) is None


@pytest_twisted.ensureDeferred
async def test_who_claims_owns_and_may_claim_again(location: Location) -> None:
    for _ in range(2):
        await claim(location, "ours")
    assert await peek(location) == Mark("ours", 0)


@pytest_twisted.ensureDeferred
async def test_a_foreign_storage_is_refused_in_one_line_and_left_alone(location: Location) -> None:
    await claim(location, "theirs")
    with pytest.raises(ForeignStorage) as fault:
        await claim(location, "ours")
    text = str(fault.value)
    assert "'storage' belongs to another gateway (catalogue theirs, ours is ours)" in text
    assert "\n" not in text
    assert "gateway restore" in fault.value.fix
    assert await peek(location) == Mark("theirs", 0)


@pytest_twisted.ensureDeferred
async def test_of_many_who_claim_at_once_one_wins(location: Location) -> None:
    done = await DeferredList([ensureDeferred(claim(location, f"id{n}")) for n in range(8)], consumeErrors=True)
    assert [good for good, _ in done].count(True) == 1


@pytest.mark.parametrize("nonsense", [b"", b"\xff\xfe", b"[]", b"{}", b"null", b'{"catalogue": ', b"x" * 10_000])
@pytest_twisted.ensureDeferred
async def test_a_strange_blob_in_its_place_is_refused(location: Location, put: Any, nonsense: bytes) -> None:
    await put(location, MARKER, nonsense)
    with pytest.raises(ForeignStorage, match="no gateway wrote"):
        await claim(location, "ours")


@pytest_twisted.ensureDeferred
async def test_a_storage_that_is_down_is_not_foreign(memory: Any) -> None:
    with pytest.raises(BackendDown):
        await claim(Location("storage", memory, [Down()]), "ours")


def test_the_markers_name_is_an_opaque_one(location: Location) -> None:
    assert location.capabilities.refuses(MARKER) is None
    assert MARKER.isalnum()
    assert MARKER.islower()
