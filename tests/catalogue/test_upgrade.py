"""T155: a catalogue of an earlier schema, or one whose pages have no room for checksums yet, is opened by this gateway,
and that is killed at every system call on the way. (A newer schema is refused: see test_opening.py.)"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import apsw
import pytest

from gateway.catalogue.database import FILE, connect, migrate, use_wal
from gateway.catalogue.schema import MIGRATIONS
from gateway.seal import Seal
from gateway.sqlitefile import RESERVED, reserve

KEY = b"k" * 32
ROWS = 40
ALL = os.environ.get("GATEWAY_LONG") == "1"
CALLS = ("write", "pwrite64", "pwritev", "ftruncate", "fallocate", "fsync", "fdatasync", "unlink", "rename", "openat")
OPENS = """
import os, sys
from pathlib import Path
from gateway.catalogue import open_catalogue
from gateway.seal import Seal
print(open_catalogue(Path(sys.argv[1]), Seal(b"k" * 32)).id, flush=True)
os._exit(0)
"""


def make(folder: Path, schema: int, reserved: bool = False) -> None:
    """A catalogue as a gateway that knew ``schema`` steps left it: with rows, in a log that no checkpoint emptied.

    ``reserved``: with room for checksums in its pages, else a VACUUM is to make it.
    """
    folder.mkdir()
    path = folder / FILE
    path.touch(0o600)
    connection = connect(path)
    if reserved:
        reserve(connection)
    use_wal(connection)
    migrate(connection, MIGRATIONS[:schema])
    connection.pragma("wal_autocheckpoint", 0)
    connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
    id_ = "ab" * 16
    connection.execute(
        "INSERT INTO about (one, id, proof, generation, epoch, live, doomed) VALUES (1, ?, ?, 0, 0, 0, 0)",
        (id_, Seal(KEY).close(id_.encode(), b"catalogue")),
    )
    connection.execute("INSERT INTO accounts VALUES ('o', 'owner', 'Owner', NULL, 1)")
    connection.execute("INSERT INTO buckets VALUES (1, 'bucket', 'o', 'storage', '', 1)")
    for number in range(1, ROWS + 1):
        key, blob = b"key %d" % number, f"{number:016x}/000000"
        connection.execute(
            "INSERT INTO versions (id, bucket, key, version_id, owner, location, size, stored, etag, modified, headers,"
            " metadata, storage_class, checksum_type, part_count)"
            " VALUES (?, 1, ?, 'null', 'o', 'storage', 1, 1, 'e', 1, '', '', 'STANDARD', '', 0)",
            (number, key),
        )
        connection.execute("INSERT INTO current_versions VALUES (1, ?, ?)", (key, number))
        connection.execute("INSERT INTO pieces VALUES (?, 0, 0, ?, 0, 1, x'00000000')", (number, blob))
        connection.execute("INSERT INTO blobs (location, name, refs, doomed) VALUES ('storage', ?, 1, NULL)", (blob,))
    connection.close()
    assert room(folder) == (RESERVED if reserved else 0)


def judge(folder: Path) -> None:
    """Opened once more, it is of the newest schema, whole, has every row, and checksums in every page."""
    done = subprocess.run([sys.executable, "-c", OPENS, str(folder)], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout.strip()) == (0, "ab" * 16), done.stderr
    connection = connect(folder / FILE)
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert connection.pragma("user_version") == len(MIGRATIONS)
    joined = "versions v JOIN current_versions c ON c.version = v.id JOIN pieces p ON p.version = v.id"
    assert connection.execute(f"SELECT count(*) FROM {joined} JOIN blobs b ON b.name = p.blob").get == ROWS
    assert connection.execute("SELECT live, doomed FROM about").fetchall() == [(ROWS, 0)]
    connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    connection.close()
    assert room(folder) == RESERVED


def room(folder: Path) -> int:
    """Bytes at the end of each page that are not SQLite's own."""
    return (folder / FILE).read_bytes()[20]


def traced(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Open the catalogue under strace, which sees only the calls that touch its files."""
    files = [folder, *(folder / f"{FILE}{end}" for end in ("", "-wal", "-shm", "-journal")), folder / "witness"]
    paths = [word for file in files for word in ("-P", str(file))]
    command = ["strace", "-f", "-qq", *paths, "-e", f"trace={','.join(CALLS)}", *words]
    return subprocess.run(
        [*command, sys.executable, "-c", OPENS, str(folder)], capture_output=True, text=True, timeout=120
    )


@pytest.fixture(scope="module")
def strace() -> None:
    if shutil.which("strace") is None:
        reason = "no strace: apt-get install strace"
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(reason)


# Every earlier schema as it was; the newest one, which only lacks the room; and one that had the room already.
CASES = [*((schema, False) for schema in range(1, len(MIGRATIONS) + 1)), (len(MIGRATIONS) - 1, True)]


@pytest.mark.parametrize(("schema", "reserved"), CASES)
def test_t155_every_earlier_catalogue_is_brought_up_to_date(tmp_path: Path, schema: int, reserved: bool) -> None:
    make(tmp_path / "data", schema, reserved)
    judge(tmp_path / "data")


@pytest.mark.parametrize(("schema", "reserved"), CASES)
def test_t155_an_upgrade_that_is_killed_anywhere_is_done_or_not_begun(
    tmp_path: Path, schema: int, reserved: bool, strace: None
) -> None:
    """Every call in `make test-long`, a spread of them in `make test`."""
    make(tmp_path / "first", schema, reserved)
    log = tmp_path / "log"
    assert traced(tmp_path / "first", "-o", str(log)).returncode == 0
    seen = Counter(re.findall(rf"^(?:\d+ +)?({'|'.join(CALLS)})\(", log.read_text(), re.MULTILINE))
    points = [(call, number) for call, count in sorted(seen.items()) for number in range(1, count + 1)]
    assert {"fdatasync", "pwrite64"} <= seen.keys() and len(points) > 20, (
        "the upgrade wrote nothing: this proves nothing"
    )
    step = 1 if ALL else max(1, len(points) // 6)
    for call, number in points[::step]:
        folder = tmp_path / f"{call}{number}"
        make(folder, schema, reserved)
        killed = traced(folder, "-o", os.devnull, "-e", f"inject={call}:signal=KILL:when={number}")
        assert killed.returncode in (-signal.SIGKILL, 128 + signal.SIGKILL), (call, number, killed.stderr)
        judge(folder)
        shutil.rmtree(folder)
