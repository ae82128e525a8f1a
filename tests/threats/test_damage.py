"""T145: a catalogue that was damaged or put back from an old copy, met by a real gateway's process and its commands."""

from __future__ import annotations

import json
import re
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest

from gateway.catalogue.database import FILE
from gateway.sqlitefile import checked_pages
from tests.campaign.nursery import nursery
from tests.campaign.signing import Answer
from tests.campaign.subject import PATIENCE, Broken, Subject
from tests.localfolder import Blob, names

SQLITE = (FILE, f"{FILE}-wal", f"{FILE}-shm")


class Gateway(Subject):
    """A real process that need not become ready."""

    def serve(self) -> None:
        """Start it and wait for its doors only."""
        said = self.folder / "server.out"
        said.write_text("")
        self._child = nursery().child(["run", "-c", str(self.folder / "tahoe.cfg")], said)
        self._child.go()
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end and not self._child.dead(0.02):
            if found := re.search(r"endpoint\s+(\S+)", said.read_text()):
                self.endpoint = found[1]
                return
        raise Broken(self.said())

    def say(self, *words: str) -> tuple[int, str]:
        """The exit code of a command, and all that it printed."""
        said = self.folder / "command.out"
        said.write_text("")
        child = nursery().child([*words, "-c", str(self.folder / "tahoe.cfg")], said)
        child.go()
        return child.end(PATIENCE), said.read_text()

    def ask(self, method: str, path: str, body: bytes = b"") -> Answer:
        client = self.client()
        try:
            return client.ask(method, path, body)
        finally:
            client.close()

    def page(self, name: str) -> tuple[int, Any]:
        try:
            with urllib.request.urlopen(f"{self.endpoint}/_/{name}", timeout=PATIENCE) as reply:
                return reply.status, reply.read()
        except urllib.error.HTTPError as refused:
            with refused:
                return refused.code, refused.read()

    def blobs(self) -> set[str]:
        return names(self.folder / "storage")

    def reap_often(self) -> None:
        file = self.folder / "tahoe.cfg"
        file.write_text(file.read_text().replace("reap_interval = 3600", "reap_interval = 0.1"))

    def marked(self) -> int:
        """How many changes the location was told of."""
        text = Blob(self.folder / "storage", "gatewayowner").read_bytes().decode(errors="replace")
        return int(re.findall(r'"changes": (\d+)', text)[0])

    @staticmethod
    def wait(until: Callable[[], bool]) -> None:
        end = time.monotonic() + PATIENCE
        while not until():
            assert time.monotonic() < end
            time.sleep(0.05)

    def store(self, **objects: bytes) -> None:
        for key, body in objects.items():
            assert self.ask("PUT", f"/bucket/{key}", body).status == 200


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    made = Gateway(tmp_path / "gateway")
    made.start()
    assert made.ask("PUT", "/bucket").status == 200
    made.store(a=b"first", b=b"kept")
    yield made
    made.kill()


def one_line(code: int, said: str) -> None:
    """A refusal as an operator shall read it."""
    assert code == 3, said
    (line,) = said.strip().splitlines()
    assert re.match(r"\S*tahoe\.cfg(:\d+)?: seen .*; expected .*; fix: ", line), line
    assert "gateway reap --accept-loss" in line and "gateway restore" in line


@pytest.mark.parametrize("what", ["the database", "the whole folder"])
def test_an_old_copy_is_refused_and_nothing_is_reaped_until_somebody_says_so(gateway: Gateway, what: str) -> None:
    data = gateway.folder / "data"
    gateway.kill()
    shutil.copytree(data, gateway.folder / "copy")
    gateway.reap_often()
    gateway.start()
    gateway.store(c=b"new", a=b"second")
    gateway.wait(lambda: gateway.marked() > 6)  # with its next pass the reaper tells the location
    gateway.kill()
    there = gateway.blobs()
    if what == "the database":
        word = "has forgotten the last"
        for name in SQLITE:
            shutil.copy(gateway.folder / "copy" / name, data / name)
    else:
        word = "changes, of which the catalogue knows"
        shutil.rmtree(data)
        shutil.copytree(gateway.folder / "copy", data)
    with pytest.raises(Broken, match=word):
        gateway.start()
    for words in (("check",), ("reap", "--now"), ("reap", "--now")):
        one_line(*gateway.say(*words))
    assert there <= gateway.blobs()

    code, said = gateway.say("reap", "--accept-loss")
    assert code == 0 and "blobs that it does not know are kept" in said, said
    gateway.start()
    assert gateway.ask("GET", "/bucket/b").body == b"kept"
    assert gateway.ask("GET", "/bucket/c").status == 404
    gateway.store(c=b"newer")
    gateway.stop()
    code, said = gateway.say("reap", "--now")
    assert code == 0, said
    assert there <= gateway.blobs(), "what the catalogue forgot was deleted"


def test_a_damaged_page_is_told_and_what_is_whole_is_still_served(gateway: Gateway) -> None:
    gateway.store(a=b"second", d=b"more")
    gateway.stop()
    gateway.reap_often()
    there = gateway.blobs()
    path = gateway.folder / "data" / FILE
    connection = apsw.Connection(str(path), vfs=checked_pages())
    ((root,),) = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'upload_parts'").fetchall()
    connection.close()
    with path.open("r+b") as file:
        file.seek((root - 1) * 4096 + 2000)
        file.write(b"\x10")

    code, said = gateway.say("check")
    assert code == 3 and "the catalogue is damaged" in said and "gateway restore" in said, said
    gateway.serve()
    gateway.wait(lambda: b"damaged" in gateway.page("ready")[1])
    status, text = gateway.page("ready")
    assert status == 503 and "the catalogue is damaged" in json.loads(text)["reasons"][0]
    assert b"gateway_catalogue_up 0.0" in gateway.page("metrics")[1]
    assert gateway.ask("GET", "/bucket/a").body == b"second"
    refused = gateway.ask("PUT", "/bucket/e", b"late")
    assert (refused.status, refused.texts("Code")) == (503, ["ServiceUnavailable"])
    assert gateway.ask("DELETE", "/bucket/b").status == 503
    time.sleep(0.5)  # several passes of the reaper, were there any
    assert there <= gateway.blobs(), "doomed or not: nothing is deleted"
    told = [line for line in gateway.said().splitlines() if "the catalogue is damaged" in line]
    assert told and "Traceback" not in gateway.said()
    gateway.kill()
    assert gateway.say("reap", "--now")[0] == 3
