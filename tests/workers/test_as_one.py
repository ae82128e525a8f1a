"""What must hold over all processes: one winner, one reaper, one doubt."""

from __future__ import annotations

import http.client
import os
import sys
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gateway.testing.server import LiveGateway
from tests.campaign.signing import Answer, Client
from tests.workers.conftest import SETTINGS, Crew, wait

CLIENTS = 64
ROUNDS = 200


def test_of_many_conditional_writes_one_wins(crew: Crew, capsys: pytest.CaptureFixture[str]) -> None:
    """64 clients at two processes at the same moment: half of the rounds make a key, the others replace it."""
    clients = [crew.client() for _ in range(CLIENTS)]
    clients[0].ask("PUT", "/attic")
    together = threading.Barrier(CLIENTS)
    winners: list[str] = []  # request ids
    asked = CLIENTS * ROUNDS + 1

    def write(number: int, turn: int, condition: dict[str, str]) -> tuple[int, Answer]:
        together.wait()
        return number, clients[number].ask("PUT", f"/attic/{turn // 2}", b"%d of %d" % (number, turn), **condition)

    etag = ""
    with ThreadPoolExecutor(CLIENTS) as pool:
        for turn in range(ROUNDS):
            condition = {"if_match": f'"{etag}"'} if turn % 2 else {"if_none_match": "*"}
            answers = list(pool.map(write, range(CLIENTS), [turn] * CLIENTS, [condition] * CLIENTS))
            assert Counter(answer.status for _, answer in answers) == {200: 1, 412: CLIENTS - 1}, turn
            ((winner, won),) = [each for each in answers if each[1].status == 200]
            found = clients[turn % CLIENTS].ask("GET", f"/attic/{turn // 2}")
            assert found.body == b"%d of %d" % (winner, turn) and found.etag == won.etag
            etag = won.etag
            winners.append(won.headers["x-amz-request-id"])
    wait("the lines", lambda: sum(crew.answered("PutObject").values()) >= asked - 1)
    pid_of = {str(row["request_id"]): int(str(row["pid"])) for row in crew.access()}
    answered, won_by = crew.answered("PutObject"), Counter(pid_of[winner] for winner in winners)
    with capsys.disabled():
        asked_of = ", ".join(f"{pid} answered {count}, won {won_by[pid]}" for pid, count in answered.items())
        sys.stdout.write(f"\n{ROUNDS} rounds, {CLIENTS} clients; by pid: {asked_of}  ")
    assert set(answered) == set(crew.pids()), answered
    assert len(won_by) == 2, won_by  # each of them beat the other


def test_duties_are_one_workers_and_passed_on(crew: Crew) -> None:
    """What is deleted is gone from the disk soon, whichever worker dies; one process alone passes over it."""
    storage = crew.live.folder / "storage"
    client = crew.client()
    client.ask("PUT", "/attic")
    body = os.urandom(3 << 20)  # not beside its row

    def kept() -> int:
        return sum(file.stat().st_size >= len(body) for file in storage.rglob("*") if file.is_file())

    for turn in range(3):
        assert client.ask("PUT", f"/attic/{turn}", body).status == 200
        wait("it is there", lambda: kept() == 1)
        assert client.ask("DELETE", f"/attic/{turn}").status == 204
        wait("it is gone", lambda: kept() == 0)
        wait("it is counted", lambda turn=turn: crew.figure("gateway_reaper_blobs_total") == turn + 1)  # type: ignore[misc]
        crew.kill(crew.pids()[0])  # one of them has the duties; after two deaths every first one had
        client = crew.client()
    assert crew.figure("gateway_reaper_blobs_total") == 3
    assert crew.figure("gateway_reaper_last_pass_timestamp_seconds") > 0


def test_what_one_worker_reads_the_other_does_not_reap(crew: Crew) -> None:
    """A GET that is read slowly at each of them, while the object is deleted."""
    client = crew.client()
    client.ask("PUT", "/attic")
    body = os.urandom(24 << 20)
    client.ask("PUT", "/attic/large", body)
    readers = [Slow(crew.client(), "/attic/large") for _ in range(12)]
    client.ask("DELETE", "/attic/large")
    passes = crew.figure("gateway_reaper_passes_total")
    wait("some passes", lambda: crew.figure("gateway_reaper_passes_total") > passes + 5)
    assert all(reader.rest() == body for reader in readers)
    wait("the lines", lambda: sum(crew.answered("GetObject").values()) == len(readers))
    assert len(crew.answered("GetObject")) == 2, crew.answered("GetObject")
    storage = crew.live.folder / "storage"
    wait("its end", lambda: not any(f.stat().st_size >= len(body) for f in storage.rglob("*") if f.is_file()))


class Slow:
    """A GET whose body waits."""

    def __init__(self, client: Client, path: str) -> None:
        self._wire = http.client.HTTPConnection(client._host, timeout=60)
        self._wire.request("GET", path, headers=client._account.signed("GET", client._host, path, "", b"", {}))
        self._reply = self._wire.getresponse()
        self._begun = self._reply.read(100)

    def rest(self) -> bytes:
        try:
            return self._begun + self._reply.read()
        finally:
            self._wire.close()


def test_a_doubt_of_one_is_everybodys(tmp_path: Path) -> None:
    """A page that one worker finds damaged stops the changes and the reaper of all, of later workers too."""
    settings = {**SETTINGS, "reap_interval": "1h"}
    with LiveGateway(tmp_path / "porch", "local", gateway=settings) as live:
        crew = Crew(live)
        clients = [crew.client() for _ in range(16)]
        clients[0].ask("PUT", "/attic")
        for number in range(600):
            assert clients[number % 16].ask("PUT", f"/attic/{number:04}" + "x" * 500, b"x").status == 200
        crew.close()
        live.stop()  # what is in the log goes into the file
    file = tmp_path / "porch" / "data" / "catalogue.sqlite"
    with LiveGateway(tmp_path / "porch", "local", gateway=settings) as live:
        crew = Crew(live)
        wait("the first look at every page", lambda: crew.figure("gateway_catalogue_up") == 1)
        size = file.stat().st_size
        with file.open("r+b") as catalogue:
            for start in range(size // 2 // 4096 * 4096, size, 4096):
                catalogue.seek(start + 2000)
                catalogue.write(b"\xff" * 64)
        client = crew.client()  # one worker meets it
        client.ask("GET", "/attic", query={"list-type": "2"})
        wait(
            "its doubt",
            lambda: client.ask("PUT", "/attic/new", b"x").status == 503 and "nothing is changed" in crew.log(),
        )
        wait("everybody's", lambda: crew.log().count("nothing is changed or reaped") == 2)
        assert {crew.client().ask("PUT", f"/attic/new{number}", b"x").status for number in range(30)} == {503}
        crew.kill(crew.pids()[0])
        wait("the new one's", lambda: crew.log().count("nothing is changed or reaped") == 3)
        crew.close()
