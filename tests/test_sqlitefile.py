"""SQLite files that several processes write: who waits is served soon, and nobody's locks are dropped."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from gateway import sqlitefile
from gateway.sqlitefile import SqliteFile, SqliteUnfit

STEPS = ("CREATE TABLE t (x)",)


@pytest.fixture
def file(tmp_path: Path) -> Iterator[SqliteFile]:
    file = SqliteFile(tmp_path / "a.sqlite", mark=7, steps=STEPS, what="a test's file")
    file.prepare()
    yield file


def test_who_waits_gives_up_after_its_patience_and_not_before(file: SqliteFile) -> None:
    writer, other = file.connect(), file.connect(patience=0.1)
    writer.execute("BEGIN IMMEDIATE")
    with pytest.raises(apsw.BusyError):
        other.execute("BEGIN IMMEDIATE")
    other.set_busy_handler(None)
    patient = file.connect(patience=60)
    threading.Timer(0.2, lambda: writer.execute("COMMIT")).start()
    patient.execute("BEGIN IMMEDIATE; INSERT INTO t VALUES (1); COMMIT")
    for connection in (writer, other, patient):
        connection.close()


def test_a_start_does_not_wait_for_a_process_that_stands_still(file: SqliteFile) -> None:
    writer = file.connect()
    writer.execute("BEGIN IMMEDIATE")
    again = SqliteFile(file.path, mark=7, steps=STEPS, what="a test's file")
    again.prepare()
    writer.execute("COMMIT")
    writer.close()


def test_making_a_file_that_is_there_drops_no_lock(file: SqliteFile) -> None:
    """POSIX locks of a process go when it closes any descriptor of the file."""
    writer = file.connect()
    writer.execute("PRAGMA locking_mode = exclusive")
    writer.execute("BEGIN EXCLUSIVE; INSERT INTO t VALUES (1); COMMIT")
    sqlitefile.create(file.path)
    probe = (
        "import sys; from pathlib import Path; from gateway import sqlitefile;"
        "sqlitefile.connect(Path(sys.argv[1]), patience=0.1).execute('SELECT * FROM t').fetchall()"
    )
    done = subprocess.run([sys.executable, "-c", probe, str(file.path)], capture_output=True, text=True)
    assert "BusyError" in done.stderr
    writer.close()


def test_foreign_and_newer_files_are_refused(file: SqliteFile) -> None:
    with pytest.raises(SqliteUnfit, match="not another's file of this gateway"):
        SqliteFile(file.path, mark=8, steps=STEPS, what="another's file").prepare()
    SqliteFile(file.path, mark=7, steps=(*STEPS, "CREATE TABLE u (x)"), what="a test's file").prepare()
    with pytest.raises(SqliteUnfit, match="newer gateway"):
        file.prepare()


@pytest.mark.parametrize(
    ("kind", "told"), [("nfs4", "nfs4 at {}"), ("fuse.sshfs", "fuse.sshfs at {}"), ("ext4", ""), ("fuseblk", "")]
)
def test_network_disks_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, told: str) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(f"1 2 0:1 / / rw - ext4 /dev/a rw\n3 1 0:2 / {tmp_path} rw - {kind} there rw\n")
    monkeypatch.setattr(sqlitefile, "MOUNTS", mounts)
    assert sqlitefile.network_disk(tmp_path / "storage") == told.format(tmp_path)
    assert sqlitefile.network_disk(Path("/")) == ""
