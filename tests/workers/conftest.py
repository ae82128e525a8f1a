"""A gateway of two workers, and what its log tells of who answered."""

from __future__ import annotations

import json
import os
import re
import signal
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gateway.testing.server import LiveGateway
from tests.campaign.signing import Account, Client

PATIENCE = 60.0
SETTINGS = {"workers": "2", "reap_interval": "300ms", "probe_interval": "1s", "drain_timeout": "10s"}


def wait(what: str, until: Callable[[], object]) -> None:
    """Poll; the test ends where it never comes."""
    end = time.monotonic() + PATIENCE
    while not until():
        assert time.monotonic() < end, f"never: {what}"
        time.sleep(0.05)


class Crew:
    """A live gateway with its workers."""

    def __init__(self, live: LiveGateway) -> None:
        self.live = live
        self.supervisor = live.pid
        self._clients: list[Client] = []

    def pids(self) -> list[int]:
        """The workers that live."""
        try:
            text = Path(f"/proc/{self.supervisor}/task/{self.supervisor}/children").read_text()
        except OSError:
            return []
        return [int(word) for word in text.split()]

    def client(self) -> Client:
        """A connection, to whichever worker takes it."""
        self._clients.append(Client(self.live.endpoint, Account(self.live.access_key, self.live.secret_key)))
        return self._clients[-1]

    def close(self) -> None:
        for client in self._clients:
            client.close()

    def page(self, path: str) -> str:
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with direct.open(f"{self.live.endpoint}{path}", timeout=30) as reply:
            return str(reply.read().decode())

    def log(self) -> str:
        return (self.live.folder / "log" / "gateway.log").read_text()

    def access(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in (self.live.folder / "log" / "access.log").read_text().splitlines()]

    def answered(self, operation: str = "") -> Counter[int]:
        """How many replies each process has in the access log."""
        return Counter(int(str(row["pid"])) for row in self.access() if operation in ("", row["operation"]))

    def kill(self, pid: int, how: signal.Signals = signal.SIGKILL) -> None:
        """A worker dies; returns when another one serves in its place."""
        served = self.log().count("serves in the place")
        os.kill(pid, how)
        wait(f"another worker in the place of {pid}", lambda: self.log().count("serves in the place") > served)
        assert pid not in self.pids()

    def figure(self, name: str) -> float:
        """The sum of a figure over its labels."""
        found = re.findall(rf"^{name}(?:{{[^}}]*}})? (\S+)$", self.page("/_/metrics"), re.MULTILINE)
        return sum(map(float, found))


@pytest.fixture
def crew(tmp_path: Path) -> Iterator[Crew]:
    with LiveGateway(tmp_path / "porch", "local", gateway=SETTINGS) as live:
        made = Crew(live)
        yield made
        made.close()
        gone = made.pids()
    assert "Traceback" not in made.log(), made.log()
    assert len(gone) == 2
    assert not any(Path(f"/proc/{pid}").exists() for pid in gone)
