"""The watchdog barks at what computes in the reactor for too long, and at nothing else."""

from __future__ import annotations

import time
from typing import Any

import pytest_twisted
from twisted.internet import reactor as global_reactor
from twisted.internet import task
from twisted.internet.defer import Deferred
from twisted.internet.protocol import ClientFactory, Factory, Protocol

from tests.faults.watchdog import Watchdog

reactor: Any = global_reactor


def compute(seconds: float) -> None:
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass


@pytest_twisted.ensureDeferred
async def test_a_timed_call_that_computes_is_counted() -> None:
    with Watchdog(reactor, limit=0.05) as dog:
        await task.deferLater(reactor, 0, compute, 0.06)
        await task.deferLater(reactor, 0)
    (offence,) = dog.slow
    assert 0.06 <= offence[0] == dog.worst and offence[1] == "timed calls"
    with Watchdog(reactor, limit=0.05) as dog:
        for _ in range(3):
            await task.deferLater(reactor, 0, compute, 0.01)
    assert dog.slow == [] and dog.counted >= 2  # the last one still runs


@pytest_twisted.ensureDeferred
async def test_a_read_that_computes_is_counted() -> None:
    got: Deferred[None] = Deferred()

    class Slow(Protocol):
        def dataReceived(self, data: bytes) -> None:
            compute(0.06)
            reactor.callLater(0, got.callback, None)

    port = reactor.listenTCP(0, Factory.forProtocol(Slow), interface="127.0.0.1")
    client = ClientFactory.forProtocol(Protocol)
    gone: Deferred[Any] = Deferred()
    client.clientConnectionLost = lambda *_: gone.callback(None)  # type: ignore[method-assign]
    connector = reactor.connectTCP("127.0.0.1", port.getHost().port, client)
    while connector.state != "connected":
        await task.deferLater(reactor, 0.005)
    with Watchdog(reactor, limit=0.05) as dog:
        connector.transport.write(b"x")
        await got
    assert len(dog.slow) == 1 and "Slow" in dog.slow[0][1]
    connector.disconnect()
    await gone
    await port.stopListening()


@pytest_twisted.ensureDeferred
async def test_a_machine_that_is_busy_elsewhere_is_not_our_fault() -> None:
    with Watchdog(reactor, limit=0.05) as dog:
        await task.deferLater(reactor, 0, time.sleep, 0.1)  # as long as another process had the core
    assert dog.slow == []
