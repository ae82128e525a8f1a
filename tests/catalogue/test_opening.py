"""A catalogue is opened safely: by whom, with which schema, under which key."""

from __future__ import annotations

import os
import resource
import signal
import stat
import subprocess
import sys
from pathlib import Path

import apsw
import pytest
import pytest_twisted

from gateway.catalogue import CatalogueFault, open_catalogue
from gateway.catalogue.database import APPLICATION_ID, FILE, migrate
from gateway.catalogue.schema import MIGRATIONS
from gateway.errors import S3Error
from gateway.seal import Seal

STEPS = ("CREATE TABLE one (n INTEGER) STRICT", "CREATE TABLE two (n INTEGER) STRICT; INSERT INTO two VALUES (2)")


def tables(connection: apsw.Connection) -> set[object]:
    return {name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}


@pytest_twisted.ensureDeferred
async def test_nobody_else_may_read_the_files(world) -> None:
    catalogue = world.open()
    await catalogue.accounts.add("alice")
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in world.folder.rglob("*") if path.is_file()}
    assert FILE in modes and f"{FILE}-wal" in modes
    assert set(modes.values()) == {0o600}
    assert stat.S_IMODE(world.folder.stat().st_mode) == 0o700


@pytest_twisted.ensureDeferred
async def test_a_commit_is_synced_and_the_log_is_write_ahead(world) -> None:
    catalogue = world.open()
    pragmas = await catalogue._database.change(
        lambda connection: [connection.pragma(name) for name in ("journal_mode", "synchronous", "foreign_keys")]
    )
    assert pragmas == ["wal", 2, 1]


@pytest_twisted.ensureDeferred
async def test_the_id_is_born_with_the_database_and_stays(world) -> None:
    first = world.open()
    assert len(bytes.fromhex(first.id)) == 16
    assert world.open().id == first.id
    await world.close(first)
    assert world.open().id == first.id


@pytest_twisted.ensureDeferred
async def test_nothing_is_left_of_a_process_that_closed(world) -> None:
    catalogue = world.open()
    await catalogue.blobs.name("storage")
    name = await catalogue.blobs.name("storage")
    await catalogue.blobs.dispose("storage", [name, f"{name[:-1]}0"])
    await world.close(catalogue)
    assert list((world.folder / "owners").iterdir()) == []
    left = apsw.Connection(str(world.folder / FILE))
    assert left.execute("SELECT (SELECT count(*) FROM owners), (SELECT count(*) FROM leases)").get == (0, 0)
    left.close()
    with pytest.raises(CatalogueFault):
        await catalogue.accounts.add("late")


@pytest_twisted.ensureDeferred
async def test_a_full_disk_does_not_keep_a_catalogue_from_closing(world) -> None:
    catalogue = world.open()
    await catalogue.blobs.name("storage")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, hard))  # no file of ours may grow
    try:
        await world.close(catalogue)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    left = apsw.Connection(str(world.folder / FILE))
    assert left.execute("SELECT count(*) FROM leases").get == 1, "the disk was not full: this proves nothing"
    left.close()
    again = world.open()
    assert [lease.location for lease in await again.blobs.dead_leases()] == ["storage"]


@pytest_twisted.ensureDeferred
async def test_the_read_connection_cannot_write(world) -> None:
    with pytest.raises(S3Error) as caught:
        world.open()._database.rows("DELETE FROM about")
    assert isinstance(caught.value.__cause__, apsw.ReadOnlyError)


def test_another_sealing_key_is_refused(world) -> None:
    world.open()
    with pytest.raises(CatalogueFault, match="another sealing key"):
        open_catalogue(world.folder, Seal(b"x" * 32))


def test_t155_a_newer_schema_is_refused_and_left_alone(world, tmp_path: Path) -> None:
    world.open()
    connection = apsw.Connection(str(world.folder / FILE))
    connection.pragma("user_version", len(MIGRATIONS) + 1)
    connection.close()
    with pytest.raises(CatalogueFault, match="newer gateway"):
        world.open()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda connection: connection.execute("CREATE TABLE theirs (n)"),
        lambda connection: connection.pragma("application_id", 1),
        lambda connection: connection.pragma("user_version", 7),
    ],
)
def test_another_programs_database_is_refused(tmp_path: Path, spoil) -> None:
    connection = apsw.Connection(str(tmp_path / FILE))
    spoil(connection)
    connection.close()
    with pytest.raises(CatalogueFault, match="not a catalogue"):
        open_catalogue(tmp_path, Seal(b"k" * 32))


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"hello, this is not SQLite" * 100)
    with pytest.raises(CatalogueFault, match="NotADB"):
        open_catalogue(tmp_path, Seal(b"k" * 32))


def test_a_folder_that_cannot_be_made_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CatalogueFault):
        open_catalogue(tmp_path / "file" / "data", Seal(b"k" * 32))


def test_migrations_run_in_order_once_each() -> None:
    connection = apsw.Connection("")
    migrate(connection, STEPS[:1])
    assert tables(connection) == {"one"}
    migrate(connection, STEPS)
    migrate(connection, STEPS)
    assert tables(connection) == {"one", "two"}
    assert connection.execute("SELECT n FROM two").fetchall() == [(2,)]
    assert (connection.pragma("user_version"), connection.pragma("application_id")) == (2, APPLICATION_ID)
    connection.close()


def test_a_migration_that_fails_leaves_the_old_schema() -> None:
    connection = apsw.Connection("")
    with pytest.raises(apsw.SQLError):
        migrate(connection, (STEPS[0], STEPS[1] + "; SELECT nonsense"))
    assert tables(connection) == {"one"}
    migrate(connection, STEPS)
    assert tables(connection) == {"one", "two"}
    connection.close()


_KILLED = """
import os, signal, sys, apsw
from gateway.catalogue.database import migrate
connection = apsw.Connection(sys.argv[1])
connection.pragma("journal_mode", "wal")
connection.create_scalar_function("die", lambda: os.kill(os.getpid(), signal.SIGKILL))
migrate(connection, ("CREATE TABLE one (n INTEGER) STRICT",))
migrate(connection, ("CREATE TABLE one (n INTEGER) STRICT", "CREATE TABLE two (n INTEGER) STRICT; SELECT die()"))
"""


def test_a_migration_that_is_killed_leaves_the_old_schema(tmp_path: Path) -> None:
    path = str(tmp_path / "db")
    killed = subprocess.run([sys.executable, "-c", _KILLED, path], timeout=60, check=False)
    assert killed.returncode == -signal.SIGKILL
    connection = apsw.Connection(path)
    assert tables(connection) == {"one"}
    migrate(connection, STEPS)
    assert tables(connection) == {"one", "two"}
    connection.close()


_OPENS = """
import sys
from pathlib import Path
from gateway.catalogue import open_catalogue
from gateway.seal import Seal
print(open_catalogue(Path(sys.argv[1]), Seal(b"k" * 32)).id, flush=True)
"""


def test_processes_that_start_together_make_one_catalogue(tmp_path: Path) -> None:
    commands = [[sys.executable, "-c", _OPENS, str(tmp_path / "data")]] * 4
    starting = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for command in commands]
    ids = {process.communicate(timeout=60)[0] for process in starting}
    assert [process.returncode for process in starting] == [0] * 4
    assert len(ids) == 1


_STAYS = """
import sys, time
from pathlib import Path
from gateway.catalogue import open_catalogue
from gateway.seal import Seal
catalogue = open_catalogue(Path(sys.argv[1]), Seal(b"k" * 32))
print(catalogue._owner.id, flush=True)
time.sleep(600)
"""


def test_a_process_whose_lock_cannot_be_looked_at_may_be_alive(world) -> None:
    catalogue = world.open()
    lock = world.folder / "owners" / f"{'0' * 16}.lock"
    lock.symlink_to(lock)  # whoever opens it goes round in circles
    assert catalogue._owner.alive("0" * 16)
    lock.unlink()
    assert not catalogue._owner.alive("0" * 16)


def test_a_process_is_alive_until_the_kernel_says_otherwise(world) -> None:
    catalogue = world.open()
    other = subprocess.Popen([sys.executable, "-c", _STAYS, str(world.folder)], stdout=subprocess.PIPE, text=True)
    assert other.stdout is not None
    owner = other.stdout.readline().strip()
    alive = catalogue._owner.alive
    assert alive(owner) and alive(catalogue._owner.id) and not alive("0" * 16)
    os.kill(other.pid, signal.SIGSTOP)
    assert alive(owner), "a stopped process may go on at any moment"
    os.kill(other.pid, signal.SIGKILL)
    other.communicate(timeout=60)
    assert not alive(owner)
    third = world.open()
    assert {row[0] for row in third._database.rows("SELECT id FROM owners")} == {catalogue._owner.id, third._owner.id}
    assert not (world.folder / "owners" / f"{owner}.lock").exists()
