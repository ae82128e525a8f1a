"""Two processes serve as one gateway: every client sees the same objects, whoever answers."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from gateway.observe.figures import FIGURES
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


WRITES = """
import sys
from collections import Counter
from pathlib import Path
from gateway.observe import AccessLog
log = AccessLog(Path(sys.argv[1]))
log.open()
print("ready", flush=True)
sys.stdin.readline()
for turn in range(1000):
    log._write((sys.argv[2] * 1000 + "\\n").encode() * 40)
"""


def test_lines_of_several_processes_stay_whole(tmp_path: Path) -> None:
    """Both write as fast as they can, and the file is moved away meanwhile."""
    log = tmp_path / "access.log"
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITES, str(log), letter], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for letter in "ab"
    ]
    for writer in writers:
        assert writer.stdout is not None and writer.stdout.readline() == "ready\n"
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("\n")
        writer.stdin.flush()
    wait("some lines", lambda: log.stat().st_size > 1_000_000)
    log.rename(tmp_path / "access.log.1")
    for writer in writers:
        writer.communicate(timeout=60)
        assert writer.returncode == 0
    rows = [row for file in tmp_path.glob("access.log*") for row in file.read_text().splitlines()]
    assert Counter(rows) == {"a" * 1000: 1000 * 40, "b" * 1000: 1000 * 40}


def test_figures_are_those_of_all_and_never_go_back(crew: Crew) -> None:
    clients: list[Client] = []
    each_worker(crew, clients)
    name = "gateway_s3_requests_total"
    before = crew.figure(name)
    assert before == len(clients)
    shown = re.findall(r"^# TYPE (\S+) ", crew.page("/_/metrics"), re.MULTILINE)
    assert sorted(shown) == sorted(figure.name for figure in FIGURES)
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


BY_SYSTEMD = """
import os, socket, sys
door = socket.create_server(("127.0.0.1", 0))
os.dup2(door.fileno(), 3)
os.set_inheritable(3, True)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1", LISTEN_FDNAMES="door")
os.execv(sys.argv[1], sys.argv[1:])
"""


def test_doors_of_every_kind_are_shared(tmp_path: Path) -> None:
    """Of systemd, IPv6, behind the PROXY protocol, and a file: a worker that ends takes none of them along."""
    path = tmp_path / "door"
    listen = (
        f"systemd:domain=INET:index=0\ntcp:0:interface=\\:\\:1\nhaproxy:tcp:0:interface=127.0.0.1\nunix:{path}:mode=600"
    )
    with LiveGateway(
        tmp_path / "porch",
        "local",
        gateway={**SETTINGS, "listen": listen},
        before=[sys.executable, "-c", BY_SYSTEMD],
    ) as live:
        crew = Crew(live)
        urls = re.findall(r"  endpoint  (http://\S+)", (tmp_path / "porch" / "server.out").read_text())
        assert len(urls) == 3 and urls[1].startswith("http://[::1]:")
        assert path.stat().st_mode & 0o777 == 0o600
        doors = [[url] for url in urls[:2]]
        doors += [["--haproxy-protocol", urls[2]], ["--unix-socket", str(path), "http://localhost"]]
        for how in (signal.SIGTERM, signal.SIGKILL):
            for *words, url in doors:
                asked = ["curl", "-s", "-g", "--noproxy", "*", *words, f"{url}/_/live"]
                said = subprocess.run(asked, check=True, capture_output=True, timeout=60).stdout
                assert said == b'{"live": true}\n', url
            crew.kill(crew.pids()[0], how)
        assert path.exists()
    assert not path.exists()
