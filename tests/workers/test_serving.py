"""Two processes serve as one gateway: every client sees the same objects, whoever answers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from gateway.testing.server import LiveGateway
from tests.campaign.signing import Client
from tests.workers.conftest import SETTINGS, Crew, wait


def s3_of(live: LiveGateway) -> Any:
    """boto3 on a connection of its own."""
    return boto3.client(
        "s3",
        endpoint_url=live.endpoint,
        aws_access_key_id=live.access_key,
        aws_secret_access_key=live.secret_key,
        region_name=live.region,
        config=Config(s3={"addressing_style": "path"}),
    )


def each_worker(crew: Crew, clients: list[Client]) -> None:
    """Connections until every worker has some; they are kept in ``clients``."""
    while len(crew.answered("ListBuckets")) < len(crew.pids()):
        for _ in range(8):
            clients.append(crew.client())
            assert clients[-1].ask("GET", "/").status == 200
        assert len(clients) < 1000, crew.answered()
        wait("the lines", lambda: sum(crew.answered("ListBuckets").values()) >= len(clients))


def test_both_workers_answer_boto3(crew: Crew) -> None:
    said = (crew.live.folder / "server.out").read_text()
    assert "\n  workers   2\n" in said and len(crew.pids()) == 2
    s3_of(crew.live).create_bucket(Bucket="attic")
    for number in range(60):
        s3 = s3_of(crew.live)
        s3.put_object(Bucket="attic", Key=f"key {number}", Body=b"%d" % number)
        s3.close()
        other = s3_of(crew.live)
        assert other.get_object(Bucket="attic", Key=f"key {number}")["Body"].read() == b"%d" % number
        assert len(other.list_objects_v2(Bucket="attic")["Contents"]) == number + 1
        other.close()
    wait("the lines", lambda: sum(crew.answered().values()) >= 181)
    answered = crew.answered()
    assert set(answered) == set(crew.pids()), answered
    assert min(answered.values()) > 10, answered


def test_a_storage_of_one_process_is_served_by_one(tmp_path: Path) -> None:
    with LiveGateway(tmp_path, "memory", gateway={"workers": "4"}) as live:
        crew = Crew(live)
        assert crew.pids() == []
        said = (live.folder / "server.out").read_text()
    assert "  workers   1 (location storage: what memory keeps is there in one process only)" in said


def test_twistd_starts_and_stops_it(tmp_path: Path, command: Any) -> None:
    with LiveGateway(tmp_path, "local", gateway=SETTINGS):
        pass  # for its folder
    command.start("twistd", "-n", "--pidfile=", "gateway", "-c", "tahoe.cfg", cwd=tmp_path, until="2 workers are ready")
    command.stop()  # the whole process group is asked to stop, and does so without a traceback


def test_a_revoked_key_is_refused_by_all_at_once(crew: Crew) -> None:
    clients: list[Client] = []
    each_worker(crew, clients)
    words = [sys.executable, "-m", "gateway", "key", "revoke", crew.live.access_key]
    subprocess.run([*words, "-c", str(crew.live.config_file)], check=True, capture_output=True, timeout=60)
    assert {client.ask("GET", "/").status for client in clients} == {403}
    wait("the lines", lambda: [row["status"] for row in crew.access()].count(403) == len(clients))
    assert {row["pid"] for row in crew.access() if row["status"] == 403} == set(crew.pids())


def test_lines_of_the_access_log_stay_whole(crew: Crew) -> None:
    """Long lines of both at the same time, and the file is moved away meanwhile."""
    log = crew.live.folder / "log" / "access.log"
    clients = [crew.client() for _ in range(16)]

    def ask(client: Client) -> None:
        for number in range(60):
            assert client.ask("GET", f"/attic/{'x' * 900}{number}").status == 404

    threads = [threading.Thread(target=ask, args=[client]) for client in clients]
    for thread in threads:
        thread.start()
    wait("some lines", lambda: log.stat().st_size > 100_000)
    log.rename(log.with_suffix(".1"))
    for thread in threads:
        thread.join()
    old = log.with_suffix(".1")

    def rows() -> list[str]:
        return old.read_text().splitlines() + (log.read_text().splitlines() if log.exists() else [])

    wait("all lines", lambda: len(rows()) >= 16 * 60)
    assert len(rows()) == 16 * 60 and all(row.startswith('{"time":"2') and row.endswith('"}') for row in rows())
    assert {json.loads(row)["pid"] for row in rows()} == set(crew.pids())


def test_figures_are_those_of_all_and_never_go_back(crew: Crew) -> None:
    clients: list[Client] = []
    each_worker(crew, clients)
    name = "gateway_s3_requests_total"
    before = crew.figure(name)
    assert before == len(clients)
    assert crew.figure("gateway_connections") >= len(clients)
    assert crew.figure("gateway_ready") == crew.figure("gateway_backend_up") == 1
    assert crew.figure("gateway_s3_request_duration_seconds_count") == before
    resident = sum(
        int(line.split()[1]) * 1024
        for pid in [crew.supervisor, *crew.pids()]
        for line in Path(f"/proc/{pid}/status").read_text().splitlines()
        if line.startswith("VmRSS:")
    )
    assert 0.8 < crew.figure("process_resident_memory_bytes") / resident < 1.25
    crew.kill(crew.pids()[0])
    assert crew.figure(name) == before
    clients[-1].close()
    assert crew.client().ask("GET", "/").status == 200
    before += 1
    crew.kill(crew.pids()[0], signal.SIGTERM)  # one that may say good-bye loses no count
    crew.kill(crew.pids()[0], signal.SIGTERM)
    assert crew.figure(name) == before
    fresh = crew.client()
    assert fresh.ask("GET", "/").status == 200
    assert crew.figure(name) == before + 1


def test_a_fault_in_the_workers_ends_the_start_as_ever(tmp_path: Path, command: Any) -> None:
    with LiveGateway(tmp_path, "local", gateway=SETTINGS):
        pass
    (tmp_path / "private" / "seal").write_text("cd" * 32)
    done = command.run("gateway", "run", "-c", "tahoe.cfg", cwd=tmp_path, code=3)
    (line,) = done.stderr.splitlines()
    assert line.startswith("tahoe.cfg:") and "another sealing key" in line
    assert not done.stdout


def test_its_doors_may_be_unix_sockets(tmp_path: Path) -> None:
    """Made and removed by the supervisor; a worker that ends leaves them alone."""
    path = tmp_path / "door"
    listen = f"tcp:0:interface=127.0.0.1\nunix:{path}:mode=600"
    with LiveGateway(tmp_path / "porch", "local", gateway={**SETTINGS, "listen": listen}) as live:
        crew = Crew(live)
        assert path.stat().st_mode & 0o777 == 0o600
        crew.kill(crew.pids()[0], signal.SIGTERM)
        words = ["curl", "-s", "--unix-socket", str(path), "http://localhost/_/live"]
        assert subprocess.run(words, check=True, capture_output=True, timeout=60).stdout == b'{"live": true}\n'
        os.kill(live.pid, signal.SIGHUP)
    assert not path.exists()
