"""What was acknowledged survives the end of its process, and processes that write together lose nothing."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.catalogue import open_catalogue
from gateway.seal import Seal

WRITES = """
import resource, sys
from pathlib import Path
from twisted.internet import reactor, task
from twisted.internet.defer import DeferredList, ensureDeferred
from gateway.catalogue import open_catalogue
from gateway.errors import S3Error
from gateway.model import NewVersion, Piece
from gateway.seal import Seal

folder, who, keys, rounds = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
catalogue = open_catalogue(folder, Seal(b"k" * 32))

async def put(bucket, key, text):
    name = await catalogue.blobs.name("storage")
    made = await catalogue.versions.commit(NewVersion(
        bucket=bucket.id, key=key, owner="o", location="storage", size=1, stored=1, etag=text,
        pieces=(Piece(name, 0, 1, b"crcs"),)))
    print("ack", made.id, key.decode(), text, name, flush=True)

async def main(reactor):
    bucket, _ = await catalogue.buckets.create("bucket", "o", "storage", "")
    for number in range(rounds):
        waiting = []
        for key in range(keys):
            waiting.append(ensureDeferred(put(bucket, b"%s-%d" % (who.encode(), key), f"{number}")))
            waiting.append(ensureDeferred(put(bucket, b"shared-%d" % key, f"{who}-{number}")))
        for good, failure in await DeferredList(waiting, consumeErrors=True):
            if not good:
                print("fail", failure.getErrorMessage(), flush=True)
        if len(sys.argv) > 5 and number == 2:
            wal = (folder / "catalogue.sqlite-wal").stat().st_size
            resource.setrlimit(resource.RLIMIT_FSIZE, (wal + 20_000, resource.RLIM_INFINITY))
        if len(sys.argv) > 5 and number == 5:
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    await catalogue.close()

task.react(lambda reactor: ensureDeferred(main(reactor)))
"""


def start(folder: Path, who: str, *numbers: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WRITES, str(folder), who, *map(str, numbers)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def acknowledged(lines: list[str]) -> dict[str, tuple[int, str, str]]:
    """key -> (sequence, etag, blob) of the newest acknowledged commit of each key."""
    newest: dict[str, tuple[int, str, str]] = {}
    for line in lines:
        if line.startswith("ack ") and line.endswith("\n"):
            _, sequence, key, etag, name = line.split()
            newest[key] = max(newest.get(key, (0, "", "")), (int(sequence), etag, name))
    return newest


def check_sound(folder: Path, loop) -> dict[str, tuple[int, str, str]]:
    """The file is whole and its references add up; gives key -> (sequence, etag, blob)."""
    catalogue = open_catalogue(folder, Seal(b"k" * 32), reactor=loop)
    rows = catalogue._database.rows
    assert rows("PRAGMA integrity_check") == [("ok",)]
    assert rows("SELECT name FROM blobs WHERE refs <> (SELECT count(*) FROM pieces WHERE blob = blobs.name)") == []
    assert rows("SELECT blob FROM pieces EXCEPT SELECT name FROM blobs WHERE doomed IS NULL") == []
    assert rows("SELECT live, doomed FROM about") == rows(
        "SELECT count(*) FILTER (WHERE doomed IS NULL), count(*) FILTER (WHERE doomed IS NOT NULL) FROM blobs"
    )
    assert rows("SELECT id FROM versions EXCEPT SELECT version FROM current_versions") == []
    found = rows(
        "SELECT v.key, v.id, v.etag, p.blob FROM current_versions c JOIN versions v ON v.id = c.version"
        " JOIN pieces p ON p.version = v.id"
    )
    loop.run(catalogue._close())
    return {key.decode(): (sequence, etag, name) for key, sequence, etag, name in found}


@pytest.mark.parametrize("after", [1, 60, 500, 1500])
def test_every_acknowledged_commit_survives_kill_9(tmp_path: Path, loop, after: int) -> None:
    process = start(tmp_path, "a", 40, 10_000)
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(after)]
    process.send_signal(signal.SIGKILL)
    lines += process.communicate(timeout=60)[0].splitlines(keepends=True)
    assert process.returncode == -signal.SIGKILL
    acks = acknowledged(lines)
    found = check_sound(tmp_path, loop)
    assert acks
    for key, newest in acks.items():
        assert found[key] >= newest, f"{key}: an acknowledged commit is lost"


def test_processes_that_write_together_lose_nothing(tmp_path: Path, loop) -> None:
    writers = [start(tmp_path, who, 20, 15) for who in "abc"]
    lines = [line for writer in writers for line in writer.communicate(timeout=120)[0].splitlines(keepends=True)]
    assert [writer.returncode for writer in writers] == [0, 0, 0]
    acks = [line for line in lines if line.startswith("ack ")]
    assert len(acks) == len(lines) == 3 * 15 * 40
    assert len({line.split()[1] for line in acks}) == len(acks), "a sequence number was drawn twice"
    assert len({line.split()[4] for line in acks}) == len(acks), "a blob name was given twice"
    assert check_sound(tmp_path, loop) == acknowledged(lines)


def test_a_full_disk_fails_commits_honestly_and_heals(tmp_path: Path, loop) -> None:
    process = start(tmp_path, "a", 40, 9, "limit the size of files from round 3 to 5")
    lines = process.communicate(timeout=120)[0].splitlines(keepends=True)
    assert process.returncode == 0
    failed = [line for line in lines if line.startswith("fail ")]
    assert failed and all("InsufficientStorage" in line or "ServiceUnavailable" in line for line in failed)
    assert len([line for line in lines if line.startswith("ack ")]) == 9 * 80 - len(failed)
    assert sum(line.split()[3].endswith("8") for line in lines if line.startswith("ack ")) == 80, "it did not heal"
    assert check_sound(tmp_path, loop) == acknowledged(lines)
