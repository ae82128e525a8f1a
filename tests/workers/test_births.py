"""How workers begin: as copies that share their memory, or as programs, and what is loaded in them."""

from __future__ import annotations

import os
import re
import signal
import socket
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.logger import globalLogPublisher

from gateway.testing.server import LiveGateway
from gateway.workers import birth
from gateway.workers.channel import Channel, over
from gateway.workers.child import Child
from gateway.workers.worker import NAME
from tests.workers.conftest import SETTINGS, Crew, wait


def unshared(pid: int) -> float:
    """Which part of its memory (without files) a process has for itself alone; a page of three counts as a third."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    found = {key: int(size) for key, size in re.findall(r"^(\w+):\s+([0-9]+) kB$", text, re.MULTILINE)}
    return found["Pss_Anon"] / found["Anonymous"]


def command_of(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")


def test_the_first_workers_share_their_memory_and_later_ones_are_programs(crew: Crew) -> None:
    first = crew.pids()
    assert max(map(unshared, first)) < 0.75, list(map(unshared, first))
    assert not any("gateway.workers" in command_of(pid) for pid in first)
    crew.kill(first[0])
    (later,) = set(crew.pids()) - set(first)
    assert "-m gateway.workers" in command_of(later)
    assert unshared(later) > 0.95
    assert {Path(f"/proc/{pid}/comm").read_text().strip() for pid in crew.pids()} == {NAME}
    assert {crew.client().ask("GET", "/").status for _ in range(20)} == {200}


RUNS_A_THREAD = """
import sys, threading, time
threading.Thread(target=time.sleep, args=[1000], daemon=True).start()
from gateway.cli import main
sys.argv = ["gateway", *sys.argv[4:]]
main()
"""


def test_a_process_in_which_something_runs_is_not_copied(tmp_path: Path) -> None:
    """As with a plugin that starts a thread when it is imported."""
    before = [sys.executable, "-c", RUNS_A_THREAD]
    with LiveGateway(tmp_path, "local", gateway=SETTINGS, before=before) as live:
        crew = Crew(live)
        assert [("-m gateway.workers" in command_of(pid)) for pid in crew.pids()] == [True, True]
        assert {crew.client().ask("GET", "/").status for _ in range(20)} == {200}
        crew.close()


def test_a_start_that_fails_leaves_nobody(crew: Crew, command: Any) -> None:
    """The copies are there before anybody knows that the data are another gateway's."""
    config = crew.live.config_file
    done = command.run("gateway", "run", "-c", str(config), cwd=config.parent, code=3)
    assert f"in use by the gateway of process {crew.supervisor}" in done.stderr
    ours = {crew.supervisor, *crew.pids()}

    def others() -> set[int]:
        found = set()
        for each in Path("/proc").iterdir():
            with suppress(OSError):
                if each.name.isdigit() and str(config) in command_of(int(each.name)):
                    found.add(int(each.name))
        return found - ours

    wait("their end", lambda: not others())
    assert len(ours) == 3 and ours == {crew.supervisor, *crew.pids()}


@pytest_twisted.ensureDeferred
async def test_open_files_come_with_what_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"what it holds")
    ours, theirs = socket.socketpair()
    heard: Deferred[list[int]] = Deferred()
    gone: Deferred[None] = Deferred()
    this = over(reactor, ours.detach(), Channel({}, lambda: gone.callback(None)))
    other = over(reactor, theirs.detach(), Channel({"open": lambda: heard.callback(other.handed)}))
    with (tmp_path / "file").open("rb") as file:
        this.hand([file.fileno()] * 3)
        this.say("open")
        handed = await heard
        assert len(handed) == 3
        for descriptor in handed:
            assert not os.get_inheritable(descriptor)
            assert os.pread(descriptor, 100, 0) == b"what it holds"
            os.close(descriptor)
        other.end()
        await gone
        this.hand([file.fileno()])  # to nobody
        this.say("open")


PRINTS = f"""#!{sys.executable}
import os, subprocess
other = subprocess.Popen(["sleep", "600"])
os.write(2, b"I cannot go on; %d can" % other.pid)
os._exit(7)
"""


@pytest_twisted.ensureDeferred
async def test_last_words_are_told_and_nobody_else_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An interpreter prints why it ends; a program that it started still has its output."""
    lines: list[str] = []

    def note(event: Any) -> None:
        lines.append(event["log_format"].format(**event))

    interpreter = tmp_path / "interpreter"
    interpreter.write_text(PRINTS)
    interpreter.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(interpreter))
    ended: Deferred[Child] = Deferred()
    globalLogPublisher.addObserver(note)
    try:
        child = Child(reactor, 0, birth.program(Path("tahoe.cfg"), 0), {}, ended.callback)
        await ended
    finally:
        globalLogPublisher.removeObserver(note)
    assert child.how == "exit code 7"
    (told,) = [line for line in lines if line.startswith(f"worker {child.pid}: I cannot go on; ")]
    os.kill(int(told.split()[-2]), signal.SIGKILL)  # it is there


# Names of modules (with all below them) that a gateway with local storage has no use for while it serves.
NEEDLESS = (
    "gateway.doctor gateway.testing gateway.workers.worker gateway.workers.supervisor gateway_s3 gateway_openstack "
    "gateway_azure gateway_gcp pytest tqdm treq requests botocore boto3 keystoneauth1 google twisted.web twisted.words "
    "twisted.conch twisted.mail twisted.names twisted.trial sqlite3 unittest multiprocessing setuptools pkg_resources "
    "pydoc pdb"
).split()


def test_a_serving_process_loads_what_it_uses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python itself tells of each import; none is left for the requests, which would wait for it."""
    monkeypatch.setenv("PYTHONPROFILEIMPORTTIME", "1")
    with LiveGateway(tmp_path, "local") as live:
        told = tmp_path / "server.out"
        client = Crew(live).client()
        begun = told.read_text().count("\nimport time:")
        assert client.ask("PUT", "/attic").status == 200
        for size in (0, 4096, 9 << 20):
            body = os.urandom(size)
            assert client.ask("PUT", "/attic/key", body).status == 200
            assert client.ask("GET", "/attic/key").body == body
        assert client.ask("GET", "/attic", query={"list-type": "2"}).status == 200
        assert client.ask("GET", "/attic/nothing").status == 404
        assert client.ask("DELETE", "/attic/key").status == 204
        client.close()
        loaded = re.findall(r"^import time:[ 0-9]+\|[ 0-9]+\| +(\S+)$", told.read_text(), re.MULTILINE)
    assert "gateway.http.front" in loaded and "gateway_local.files" in loaded
    needless = [name for name in loaded if any(name == root or name.startswith(f"{root}.") for root in NEEDLESS)]
    assert not needless
    assert len(loaded) == begun, loaded[begun:]
