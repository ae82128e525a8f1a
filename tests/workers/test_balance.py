"""Connections are shared out among the workers, whatever the kernel thinks; nobody waits for a worker that hangs."""

from __future__ import annotations

import os
import signal
import socket
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock, deferLater

from gateway.testing.server import LiveGateway
from gateway.workers.balance import Balance, Turn, balance_memory
from gateway.workers.sockets import Adopting
from tests.workers.conftest import SETTINGS, Crew, wait

CLIENTS = 64


@pytest.fixture
def balance() -> Iterator[Balance]:
    descriptor = balance_memory(3)
    yield Balance(descriptor)
    os.close(descriptor)


def taken(turn: Turn) -> int:
    """What it takes of a crowd, one after the other, until the rest is somebody else's."""
    count = 0
    while turn.room() > 0 and count < 500:
        turn.change(1)
        count += 1
    return count


def present(balance: Balance, number: int) -> Turn:
    """A worker with an open door."""
    turn = Turn(balance, number)
    turn.begin()
    return turn


def test_who_has_an_eighth_more_leaves_the_next_to_another(balance: Balance) -> None:
    turns = [present(balance, number) for number in range(3)]
    assert [taken(turn) for turn in turns] == [2, 2, 4], "two more than the one that has fewest"
    for turn, more in zip(turns, (62, 62, 60), strict=True):
        turn.change(more)
    assert taken(turns[0]) == 11  # 64 and 64/8, and one for each further eighth
    turns[1].change(8)
    assert turns[0].room() <= 0, "another one has fewer still"
    turns[2].change(8)
    assert turns[0].room() > 0


def test_nobody_waits_for_one_that_is_not_there(balance: Balance) -> None:
    alone, came = present(balance, 1), Turn(balance, 0)
    assert taken(alone) == 500, "the others did not come yet, or have no door open"
    came.begin()
    assert alone.room() <= 0
    came.end()
    assert alone.room() > 0, "it closed its doors"
    came.change(-1)
    assert alone.room() > 0, "a connection that ends does not open them again"
    present(balance, 0)
    assert alone.room() <= 0
    balance.away(0)
    assert alone.room() > 0, "it died"


def test_who_has_fewer_again_goes_on_at_once(balance: Balance) -> None:
    clock, gone_on = Clock(), []
    ours, other = present(balance, 0), present(balance, 1)
    ours.change(4)
    ours.leave(clock.callLater(60, gone_on.append, "waited"))  # type: ignore[no-untyped-call]
    ours.change(-1)
    clock.advance(0)  # type: ignore[no-untyped-call]
    assert not gone_on, "3 and none"
    other.change(2)
    ours.change(-1)
    clock.advance(0)  # type: ignore[no-untyped-call]
    assert gone_on == ["waited"]


class Patient(Turn):
    """Counts how often it left newcomers to others."""

    left = 0

    def leave(self, pause: IDelayedCall) -> None:
        self.left += 1
        super().leave(pause)


@pytest_twisted.ensureDeferred
async def test_the_pauses_for_one_that_never_comes_get_rare(balance: Balance) -> None:
    turn = Patient(balance, 0)
    balance.tell(1, 0)
    with socket.create_server(("127.0.0.1", 0), backlog=CLIENTS) as listening:
        listening.setblocking(False)
        place = listening.getsockname()
        port = Adopting(reactor, [os.dup(listening.fileno())], turn).listenTCP(0, Factory.forProtocol(Protocol))
    lines = [socket.create_connection(place) for _ in range(CLIENTS)]
    while turn.connections < CLIENTS:
        await deferLater(reactor, 0.001)
    # 2 at once, and then 1, 2, 3, ... 11 after a pause each
    assert turn.left <= 13
    for line in lines:
        line.close()
    while turn.connections:
        await deferLater(reactor, 0.001)
    await port.stopListening()
    balance.away(1)
    assert balance.least() > CLIENTS, "nobody is there"


@contextmanager
def crowd(place: str) -> Iterator[list[socket.socket]]:
    """Clients that come at once and have not asked for anything yet. ``place``: an URL, or a socket's file."""
    url, lines = urlsplit(place), []
    for _ in range(CLIENTS):
        if url.scheme:
            lines.append(socket.create_connection((url.hostname or "", url.port or 80), 60))
        else:
            lines.append(socket.socket(socket.AF_UNIX))
            lines[-1].connect(place)
            lines[-1].settimeout(60)
    try:
        yield lines
    finally:
        for line in lines:
            line.close()


def answers(lines: list[socket.socket]) -> None:
    """All of them get a reply."""
    for line in lines:
        line.sendall(b"GET / HTTP/1.1\r\nHost: porch\r\nConnection: close\r\n\r\n")
    for line in lines:
        assert line.recv(100).startswith(b"HTTP/1.1 403"), "not refused as everybody without a signature is"


def shares(crew: Crew, lines: list[socket.socket]) -> Counter[int]:
    """How many of them each worker answers."""
    before = crew.answered()
    answers(lines)
    wait("the lines", lambda: sum((crew.answered() - before).values()) >= len(lines))
    return crew.answered() - before


def test_a_crowd_is_shared_out(tmp_path: Path) -> None:
    doors = f"tcp:0:interface=127.0.0.1\nunix:{tmp_path}/door"
    with LiveGateway(tmp_path / "porch", "local", gateway={**SETTINGS, "listen": doors}) as live:
        crew = Crew(live)
        for place in (live.endpoint, str(tmp_path / "door")):
            most = []
            for _ in range(5):
                wait("the end of the others", lambda: crew.figure("gateway_connections") <= 1)  # that which asks
                with crowd(place) as lines:
                    found = shares(crew, lines)
                    most.append(max(found.values()))
                    assert sorted(found) == sorted(crew.pids()), (place, found)
            # 30 to 34 on a quiet machine; now and then the system does not let one of them run
            assert sorted(most)[2] <= 40, (place, most)


def test_a_worker_that_hangs_gets_no_more_than_its_share_of_patience(crew: Crew) -> None:
    stopped, other = crew.pids()
    os.kill(stopped, signal.SIGSTOP)
    try:
        with crowd(crew.live.endpoint) as lines:
            assert shares(crew, lines) == {other: CLIENTS}
    finally:
        os.kill(stopped, signal.SIGCONT)


def test_what_a_dead_worker_had_is_forgotten(crew: Crew) -> None:
    with crowd(crew.live.endpoint):
        first, second = crew.pids()
        crew.kill(first)
        with crowd(crew.live.endpoint) as lines:
            newest = next(pid for pid in crew.pids() if pid != second)
            found = shares(crew, lines)
            # the other one has half of the first crowd
            assert found[newest] > 40, found
