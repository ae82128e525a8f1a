"""A worker or the supervisor dies, in every way that processes die."""

from __future__ import annotations

import hashlib
import http.client
import os
import re
import resource
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from cryptography import x509
from pytest_twisted import ensureDeferred
from twisted.internet import process, reactor
from twisted.internet.defer import Deferred

from gateway.node import lock
from gateway.node.lock import DataInUse, DataLock
from gateway.testing.server import LiveGateway
from gateway.workers import birth
from gateway.workers.child import Child
from gateway.workers.worker import ORPHANED
from tests.authority import Authority
from tests.campaign.signing import NoAnswer
from tests.workers.conftest import PATIENCE, SETTINGS, Crew, wait


def lives(pid: int) -> bool:
    """Also not as a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


class Writers:
    """Clients that write until they are told to stop, each key once. ``acknowledged``: key -> digest of its body."""

    def __init__(self, crew: Crew, count: int) -> None:
        self._crew = crew
        self._end = threading.Event()
        self.acknowledged: dict[str, str] = {}
        self.cut: list[int] = []  # writers whose connection broke
        self._threads = [threading.Thread(target=self._write, args=[number]) for number in range(count)]
        for thread in self._threads:
            thread.start()

    def _write(self, number: int) -> None:
        client, turn = self._crew.client(), 0
        while not self._end.is_set():
            key, body, turn = f"writer{number}/{turn}", os.urandom(3000), turn + 1
            try:
                answer = client.ask("PUT", f"/attic/{key}", body)
            except NoAnswer:
                self.cut.append(number)
                continue
            assert answer.status == 200, answer.body
            self.acknowledged[key] = hashlib.sha256(body).hexdigest()

    def stop(self) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join()

    def check(self) -> None:
        """Nothing that was acknowledged is lost."""
        client = self._crew.client()
        for key, digest in self.acknowledged.items():
            answer = client.ask("GET", f"/attic/{key}")
            assert answer.status == 200 and hashlib.sha256(answer.body).hexdigest() == digest, key


def test_a_killed_worker_loses_nothing_and_cuts_only_its_own(crew: Crew) -> None:
    assert crew.client().ask("PUT", "/attic").status == 200
    writers = Writers(crew, 12)
    for _ in range(3):
        before = len(writers.acknowledged)
        wait("writes", lambda before=before: len(writers.acknowledged) > before + 60)  # type: ignore[misc]
        victim = crew.pids()[0]
        crew.kill(victim)
    writers.stop()
    writers.check()
    # each of the three deaths cuts at most the connections of one process, and every line was written by one that lived
    assert 0 < len(writers.cut) <= 3 * 12
    log = crew.log()
    assert log.count("ended with signal SIGKILL after") == 3
    assert log.count("starts in 0.1 s") >= 1 and "starts in 0.2 s" in log  # the pauses grow
    assert crew.figure("gateway_catalogue_up") == 1


@ensureDeferred
async def test_one_that_dies_at_its_first_step_is_told_as_any_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before Twisted has begun to watch it."""
    real = process.registerReapProcessHandler

    def dies_first(pid: int, transport: Any) -> None:
        os.kill(pid, signal.SIGKILL)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        real(pid, transport)  # type: ignore[no-untyped-call]

    monkeypatch.setattr(process, "registerReapProcessHandler", dies_first)
    ended: Deferred[Child] = Deferred()
    child = Child(reactor, 0, birth.program(Path("tahoe.cfg"), 0), {}, ended.callback)
    assert await ended is child
    assert child.how == "signal SIGKILL"


def test_the_other_workers_connections_do_not_notice(crew: Crew) -> None:
    clients = [crew.client() for _ in range(40)]
    for client in clients:
        assert client.ask("GET", "/").status == 200
    wait("the lines", lambda: sum(crew.answered().values()) >= 40)
    assert len(crew.answered()) == 2, crew.answered()
    crew.kill(crew.pids()[0])
    cut = 0
    for client in clients:
        try:
            assert client.ask("GET", "/").status == 200
        except NoAnswer:
            cut += 1
    survivors = 40 - cut
    assert cut and survivors
    assert crew.figure("gateway_connections") <= survivors + 1


def test_a_worker_that_cannot_be_started_is_tried_again(crew: Crew) -> None:
    """The supervisor has no descriptor left for a while."""
    soft, hard = resource.prlimit(crew.supervisor, resource.RLIMIT_NOFILE)
    resource.prlimit(crew.supervisor, resource.RLIMIT_NOFILE, (3, hard))
    os.kill(crew.pids()[0], signal.SIGKILL)
    wait("two tries", lambda: crew.log().count("no worker can be started") >= 2)
    assert {crew.client().ask("GET", "/").status for _ in range(10)} == {200}  # the other one serves
    resource.prlimit(crew.supervisor, resource.RLIMIT_NOFILE, (soft, hard))
    wait("another one", lambda: "serves in the place" in crew.log())
    assert len(crew.pids()) == 2


def test_a_worker_that_is_asked_to_end_is_drained_and_replaced(crew: Crew) -> None:
    """A reply that runs ends whole; what comes next goes to another."""
    client = crew.client()
    client.ask("PUT", "/attic")
    body = os.urandom(20 << 20)
    client.ask("PUT", "/attic/large", body)
    address = urlsplit(crew.live.endpoint)
    slow = http.client.HTTPConnection(str(address.hostname), address.port, timeout=60)
    signed = client._account.signed("GET", address.netloc, "/attic/large", "", b"", {})
    slow.request("GET", "/attic/large", headers=signed)
    reply = slow.getresponse()
    begun = reply.read(1000)
    for pid in crew.pids():
        os.kill(pid, signal.SIGTERM)
        time.sleep(0.5)  # the other one goes on to serve meanwhile
    assert begun + reply.read() == body
    slow.close()
    wait("two others", lambda: crew.log().count("serves in the place") == 2)
    assert crew.log().count("ended with exit code 0 after") == 2
    assert crew.client().ask("GET", "/attic/large").body == body


def test_no_worker_outlives_a_killed_supervisor(tmp_path: Path) -> None:
    """Nor when it is busy, or stopped and waked; the port is free, and a restart at once works."""
    port = free_port()
    with LiveGateway(tmp_path, "local", gateway={**SETTINGS, "listen": f"tcp:{port}:interface=127.0.0.1"}) as live:
        for turn in range(2):
            crew = Crew(live)
            client = crew.client()
            client.ask("PUT", "/attic")
            assert client.ask("PUT", f"/attic/{turn}", b"kept").status == 200
            workers = crew.pids()
            assert len(workers) == 2
            if turn == 1:
                os.kill(workers[0], signal.SIGSTOP)
            live.kill()
            if turn == 1:
                time.sleep(0.5)
                os.kill(workers[0], signal.SIGCONT)
            crew.close()
            live.start()  # takes the data lock, and the port
            assert not any(map(lives, workers))
            client = Crew(live).client()
            assert client.ask("GET", f"/attic/{turn}").body == b"kept"
            client.close()


HOLDS = """
import subprocess, sys
from pathlib import Path
from gateway.node.lock import DataLock
lock = DataLock.take(Path(sys.argv[1]))
held = [lock.descriptor]
worker = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=0, pass_fds=held)
print(worker.pid, flush=True)
worker.wait()
"""


def test_a_start_waits_for_the_workers_of_a_killed_supervisor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They hold the data lock as well; one that does not end keeps the start from beginning."""
    words = [sys.executable, "-c", HOLDS, str(tmp_path)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as supervisor:
        assert supervisor.stdin is not None and supervisor.stdout is not None
        worker = int(supervisor.stdout.readline())
        with pytest.raises(DataInUse) as raised:
            DataLock.take(tmp_path)  # at once, for the supervisor lives
        assert raised.value.pid == supervisor.pid
        supervisor.kill()
        wait("its death", lambda: not lives(supervisor.pid))
        monkeypatch.setattr(lock, "ORPHANS", 0.2)
        with pytest.raises(DataInUse):
            DataLock.take(tmp_path)
        assert lives(worker)
        monkeypatch.setattr(lock, "ORPHANS", PATIENCE)
        ending = threading.Timer(0.5, supervisor.stdin.close)  # the worker's end
        ending.start()
        DataLock.take(tmp_path).release()
        ending.join()
        assert not lives(worker)


def test_a_worker_whose_event_loop_hangs_dies_with_the_supervisor() -> None:
    """A thread of its own sees the end of the channel."""
    ours, theirs = socket.socketpair()
    code = (
        "import sys, threading, time; from gateway.workers.worker import _die_with_the_supervisor;"
        "_die_with_the_supervisor(int(sys.argv[1]), threading.Event()); print('hangs', flush=True); time.sleep(1000)"
    )
    words = [sys.executable, "-c", code, str(theirs.fileno())]
    with theirs:
        hanging = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, pass_fds=[theirs.fileno()])
    with hanging:
        assert hanging.stdout is not None and hanging.stdout.readline() == "hangs\n"
        assert hanging.poll() is None
        ours.close()
        assert hanging.wait(PATIENCE) == ORPHANED


def test_a_new_certificate_is_shown_by_all(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    before = authority.issue("server")
    listen = f"ssl:0:privateKey={tmp_path}/server-key.pem:certKey={tmp_path}/server.pem:interface=127.0.0.1"
    settings = {**SETTINGS, "listen": f"tcp:0:interface=127.0.0.1\n{listen}"}
    with LiveGateway(tmp_path / "porch", "local", gateway=settings) as live:
        found = re.findall(r"https://127.0.0.1:([0-9]+)", (tmp_path / "porch" / "server.out").read_text())

        def shown(count: int = 40) -> set[int]:
            return {serial_at(int(found[0]), authority.file) for _ in range(count)}

        assert shown() == {before}
        after = authority.issue("server")
        os.kill(live.pid, signal.SIGHUP)
        wait("the new one", lambda: shown() == {after})
        (tmp_path / "server.pem").write_text("broken")
        os.kill(live.pid, signal.SIGHUP)
        crew = Crew(live)
        wait("a line", lambda: "the certificate from before stays in use" in crew.log())
        assert shown() == {after}
        assert crew.log().count("stays in use") == 1  # not one for each process
        wait("it is told", lambda: crew.figure("gateway_tls_certificate_stale") == 1)


def test_all_are_asked_at_once_and_end_at_once(crew: Crew) -> None:
    """Ctrl-C and systemd tell the whole group; the supervisor alone is told by kill."""
    workers = crew.pids()
    for pid in (*workers, crew.supervisor):
        os.kill(pid, signal.SIGTERM)
    wait("their end", lambda: not any(map(lives, (*workers, crew.supervisor))))
    assert "serves in the place" not in crew.log()
    crew.live.kill()
    crew.live.start()
    crew.supervisor = crew.live.pid


def test_ready_says_no_everywhere_while_it_stops(tmp_path: Path) -> None:
    with LiveGateway(tmp_path, "local", gateway={**SETTINGS, "drain_notice": "3s"}) as live:
        crew = Crew(live)
        os.kill(live.pid, signal.SIGTERM)
        statuses: list[int] = []

        def told() -> bool:
            statuses.append(status(live.endpoint, "/_/ready"))
            return statuses[-20:] == [503] * 20

        wait("every worker says no", told)
        assert status(live.endpoint, "/_/live") == 200
        wait("the end", lambda: not lives(crew.supervisor))
        live.kill()


def status(endpoint: str, path: str) -> int:
    address = urlsplit(endpoint)
    connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=30)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    finally:
        connection.close()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def serial_at(port: int, authority: Path) -> int:
    """Of the certificate that is shown there."""
    context = ssl.create_default_context(cafile=authority)
    plain = socket.create_connection(("127.0.0.1", port), timeout=30)
    with context.wrap_socket(plain, server_hostname="localhost") as wire:
        shown = wire.getpeercert(binary_form=True)
    assert shown is not None
    return x509.load_der_x509_certificate(shown).serial_number
