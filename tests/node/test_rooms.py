"""The node opens every room in order, serves, and gives everything back, also when something fails on the way."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
import treq
from twisted.internet import reactor as global_reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.web.client import Agent

from gateway.node.lock import DataInUse, DataLock
from gateway.node.read import read_node
from gateway.node.service import Node
from gateway.settings import ConfigurationFaults

reactor: Any = global_reactor
GOOD = "[gateway]\nlisten = tcp:0:interface=127.0.0.1\ndrain_timeout = 5s\n[storage]\nbackend = memory\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "private").mkdir(mode=0o700)
    (tmp_path / "private" / "seal").write_text("ab" * 32)
    (tmp_path / "private" / "seal").chmod(0o600)
    return tmp_path


def node(folder: Path, text: str = GOOD) -> Node:
    (folder / "tahoe.cfg").write_text(text)
    return Node(read_node(folder / "tahoe.cfg"), reactor)


async def fetch(url: str) -> tuple[int, bytes]:
    """Over a connection of its own, which is gone afterwards."""
    reply = await treq.get(url, agent=Agent(reactor), timeout=30)
    return reply.code, await reply.content()


@pytest_twisted.ensureDeferred
async def test_it_serves_its_pages_and_s3_and_logs_what_it_served(folder: Path) -> None:
    opened = node(folder)
    await opened.open()
    try:
        (url,) = opened.urls
        assert (await fetch(url + "/_/live"))[0] == 200
        while (await fetch(url + "/_/ready"))[0] != 200:
            await deferLater(reactor, 0.05)
        health = json.loads((await fetch(url + "/_/healthcheck"))[1])
        assert health["locations"]["storage"]["code"] == 200
        status, body = await fetch(url + "/attic")
        assert status == 404 or b"<Code>" in body
        assert (
            b'gateway_backend_operations_total{backend="storage",op="healthcheck"'
            in (await fetch(url + "/_/metrics"))[1]
        )
    finally:
        await opened.close()
    (line,) = (folder / "log" / "access.log").read_text().splitlines()
    assert json.loads(line)["target"] == "/attic"


@pytest_twisted.ensureDeferred
async def test_an_endpoint_for_metrics_shows_nothing_else(folder: Path, command: Any) -> None:
    port = command.free_port()
    opened = node(folder, GOOD.replace("[storage]", f"metrics = tcp:{port}:interface=127.0.0.1\n[storage]"))
    await opened.open()
    try:
        status, text = await fetch(f"http://127.0.0.1:{port}/_/metrics")
        assert status == 200 and b"gateway_build_info" in text
        assert (await fetch(f"http://127.0.0.1:{port}/"))[0] == 403
    finally:
        await opened.close()


@pytest_twisted.ensureDeferred
async def test_after_close_the_same_data_and_port_can_be_opened_again(folder: Path, command: Any) -> None:
    text = GOOD.replace("tcp:0", f"tcp:{command.free_port()}")
    for _ in range(2):
        opened = node(folder, text)
        await opened.open()
        assert opened.catalogue is not None
        await opened.close()
        assert opened.catalogue is None


@pytest_twisted.ensureDeferred
async def test_a_start_that_fails_at_its_last_step_gives_everything_back(folder: Path, command: Any) -> None:
    broken = node(folder, GOOD.replace("tcp:0:interface=127.0.0.1", "tcp:0:interface=192.0.2.1"))
    with pytest.raises(ConfigurationFaults, match=r"tahoe\.cfg:2: "):
        await broken.open()
    DataLock.take(folder / "data").release()
    assert not [call for call in reactor.getDelayedCalls() if "LoopingCall" in str(call)]
    opened = node(folder)
    await opened.open()
    await opened.close()


@pytest_twisted.ensureDeferred
async def test_all_locations_that_do_not_open_are_told_at_once(folder: Path) -> None:
    (folder / "plain").write_text("a file")
    more = "".join(f"[location n{n}]\nbackend = local\nlocal.path = plain/{n}\n" for n in range(2))
    with pytest.raises(ConfigurationFaults) as raised:
        await node(folder, GOOD + more).open()
    assert [fault.line for fault in raised.value.faults] == [8, 11]


@pytest_twisted.ensureDeferred
async def test_a_storage_belongs_to_one_gateway(folder: Path, tmp_path: Path) -> None:
    text = GOOD.replace("backend = memory", f"backend = local\nlocal.path = {tmp_path}/shared")
    first = node(folder, text)
    await first.open()
    await first.close()
    second = node(folder, text.replace("[storage]", "data = data2\n[storage]"))
    with pytest.raises(ConfigurationFaults, match="another gateway"):
        await second.open()


@pytest_twisted.ensureDeferred
async def test_as_a_service_it_starts_and_stops(folder: Path) -> None:
    service = node(folder)
    service.startService()
    while not service.urls:
        await deferLater(reactor, 0.02)
    assert (await fetch(service.urls[0] + "/_/live"))[0] == 200
    stopped: Deferred[None] = service.stopService()
    await stopped
    assert not service.failed


def test_the_lock_belongs_to_one_process_and_dies_with_it(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from gateway.node.lock import DataLock;"
        "lock = DataLock.take(Path(sys.argv[1])); print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None and other.stdout.readline() == "held\n"
        with pytest.raises(DataInUse) as raised:
            DataLock.take(tmp_path)
        assert raised.value.pid == other.pid
        other.kill()
        other.wait()
        lock = DataLock.take(tmp_path)
    with pytest.raises(DataInUse):
        DataLock.take(tmp_path)
    lock.release()
    lock.release()
    DataLock.take(tmp_path).release()
