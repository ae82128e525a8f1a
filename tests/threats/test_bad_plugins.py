"""T154: a storage plugin that raises, answers with a failure, or blocks harms only the requests that are for it."""

from __future__ import annotations

import http.client
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.campaign.signing import Answer
from tests.campaign.subject import Subject

MODULE = """
import time
from twisted.internet import defer, reactor, task
from gateway import api
from gateway.plugins.memory import MemoryBackend

class Broken(MemoryBackend):
    settings = (api.Setting("broken.mode", "path", "A file with what to do: raise, fail or block."),)

    def __init__(self, values):
        super().__init__({"memory.limit": 1 << 20})
        self._mode = values["broken.mode"]

    def _ruin(self, real, request):
        mode = self._mode.read_text()
        if mode == "raise":
            raise RuntimeError("smoke")
        if mode == "exit":
            raise SystemExit(7)
        if mode == "fail":
            return task.deferLater(reactor, 0, lambda: 1 / 0)
        if mode == "fail unheard":
            defer.fail(LookupError("nobody waits for this one"))
        if mode == "block":
            time.sleep(0.8)
        return real(request)

def ruined(name):
    real = getattr(MemoryBackend, name)
    @api.hookimpl
    def hook(self, request):
        return self._ruin(lambda request: real(self, request), request)
    return hook

for name in ("put", "get", "delete", "head", "list"):
    setattr(Broken, name, ruined(name))
"""
IN_BROKEN = b"<CreateBucketConfiguration><LocationConstraint>broken</LocationConstraint></CreateBucketConfiguration>"


class House(Subject):
    """A gateway with a sound location and a broken one, whose plugin does what the file ``mode`` says."""

    def ask(self, method: str, path: str, body: bytes = b"") -> Answer:
        client = self.client()
        try:
            return client.ask(method, path, body)
        finally:
            client.close()

    def do(self, mode: str) -> None:
        (self.folder / "mode").write_text(mode)

    def stalls(self) -> int:
        wire = http.client.HTTPConnection(urlsplit(self.endpoint).netloc, timeout=30)
        wire.request("GET", "/_/metrics")
        text = wire.getresponse().read().decode()
        wire.close()
        (found,) = re.findall(r"^gateway_reactor_stalls_total (\S+)$", text, re.MULTILINE)
        return int(float(found))


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    info = tmp_path / "site" / "broken_backend-1.2.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken-backend\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text("[gateway.backends]\nbroken = broken_backend:Broken\n")
    (tmp_path / "site" / "broken_backend.py").write_text(MODULE)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    made = House(tmp_path / "gateway", twistd=True)  # from nothing, so that it sees the distribution
    made.do("work")
    config = made.folder / "tahoe.cfg"
    config.write_text(config.read_text() + "\n[location broken]\nbackend = broken\nbroken.mode = mode\n")
    made.start()
    try:
        assert made.ask("PUT", "/sound").status == 200
        assert made.ask("PUT", "/broken", IN_BROKEN).status == 200
        for bucket in ("sound", "broken"):
            assert made.ask("PUT", f"/{bucket}/kept", b"kept").status == 200
        yield made
        assert made.ask("GET", "/sound/kept").body == b"kept"
        made.stop()
    finally:
        made.kill()


@pytest.mark.parametrize(
    ("mode", "status", "code"),
    [
        ("raise", 503, b"ServiceUnavailable"),
        ("fail", 503, b"ServiceUnavailable"),
        ("exit", 500, b"InternalError"),  # no fault of a storage by any reading
    ],
)
def test_t154_a_plugin_that_raises_fails_only_its_own_requests(
    house: House, mode: str, status: int, code: bytes
) -> None:
    house.do(mode)
    for method, key, body in (("PUT", "new", b"n"), ("PUT", "kept", b"n"), ("GET", "kept", b"")):
        answer = house.ask(method, f"/broken/{key}", body)
        assert (answer.status, b"<Code>%b</Code>" % code in answer.body) == (status, True), answer.body
        for secret in (b"smoke", b"ZeroDivision", b"Traceback", b"broken_backend"):
            assert secret not in answer.body
        assert house.ask("PUT", f"/sound/{mode}", b"fine").status == 200
        assert house.ask("GET", f"/sound/{mode}").body == b"fine"
    assert house.ask("GET", "/broken").status == 200, "a listing asks no storage"
    house.do("work")
    assert house.ask("GET", "/broken/kept").body == b"kept", "it was not overwritten by what failed"
    assert house.ask("GET", "/broken/new").status == 404
    assert house.ask("PUT", "/broken/new", b"n").status == 200


def test_t154_a_failure_that_nobody_hears_is_logged_and_harms_nobody(house: House) -> None:
    house.do("fail unheard")
    assert house.ask("GET", "/broken/kept").body == b"kept"
    assert house.ask("PUT", "/sound/other", b"fine").status == 200
    assert "nobody waits for this one" in (house.folder / "server.out").read_text()


def test_t154_a_plugin_that_blocks_holds_the_others_up_and_that_is_told(house: House) -> None:
    before = house.stalls()
    house.do("block")
    answers: list[Answer] = []
    asking = [
        threading.Thread(target=lambda bucket=bucket: answers.append(house.ask("GET", f"/{bucket}/kept")))  # type: ignore[misc]
        for bucket in ("broken", "sound", "sound")
    ]
    for each in asking:
        each.start()
    for each in asking:
        each.join()
    assert [(answer.status, answer.body) for answer in answers] == [(200, b"kept")] * 3
    house.do("work")
    assert house.stalls() > before
    assert "stood still for" in (house.folder / "server.out").read_text()
