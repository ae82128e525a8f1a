"""if_absent where it hurts: writers whose bodies overlap, which Swift lets all through."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_twisted
from gateway_openstack import OpenStackBackend
from twisted.internet import defer, reactor, task

from gateway.api import BlobExists, BytesBody, GetRequest, PutRequest, StreamBody

SIZE = 80 * 1024  # more than is read before it is sent


def held(fill: bytes, gate: defer.Deferred[None]) -> StreamBody:
    """A body that stops half-way until the gate opens."""

    async def chunks() -> AsyncIterator[bytes]:
        yield fill * (SIZE // 2)
        await gate
        yield fill * (SIZE - SIZE // 2)

    return StreamBody(chunks(), SIZE, lambda: None)


async def content(backend: OpenStackBackend, name: str) -> bytes:
    result = await backend.get(GetRequest(name=name))
    assert result.body is not None
    try:
        return b"".join([chunk async for chunk in result.body])
    finally:
        result.body.close()


@pytest.mark.parametrize("order", ["first is done first", "last is done first"])
@pytest_twisted.ensureDeferred
async def test_of_two_that_overlap_one_wins(opened: OpenStackBackend, folder: str, order: str) -> None:
    name = f"{folder}/a"
    gates: list[defer.Deferred[None]] = [defer.Deferred(), defer.Deferred()]
    running = []
    for fill, gate in zip(b"AB", gates, strict=True):
        body = held(bytes([fill]), gate)
        request = PutRequest(name=name, body=body, size=SIZE, if_absent=True)
        running.append(defer.ensureDeferred(opened.put(request)))
        await task.deferLater(reactor, 0.3)  # Swift has looked, and found no blob
    for gate in gates if order == "first is done first" else reversed(gates):
        gate.callback(None)
        await task.deferLater(reactor, 0.5)
    done = await defer.DeferredList(running, consumeErrors=True)
    won = [number for number, (good, _) in enumerate(done) if good]
    assert len(won) == 1
    loser = done[1 - won[0]][1]
    assert isinstance(loser.value, BlobExists), loser  # type: ignore[union-attr]
    assert await content(opened, name) == b"AB"[won[0] : won[0] + 1] * SIZE


@pytest_twisted.ensureDeferred
async def test_a_writer_that_gives_up_while_it_waits_leaves_nothing(opened: OpenStackBackend, folder: str) -> None:
    name = f"{folder}/a"
    request = PutRequest(name=name, body=BytesBody(b"x"), size=1, if_absent=True)
    running = defer.ensureDeferred(opened.put(request))
    while await opened._storage.find(name) is None:
        pass
    await task.deferLater(reactor, 0.2)
    running.cancel()
    with pytest.raises(defer.CancelledError):
        await running
    assert await opened._storage.find(name) is None
