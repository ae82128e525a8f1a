"""T145: a catalogue that forgot or was damaged is noticed when it is opened, however it came to be so."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import apsw
import pytest
import pytest_twisted
from twisted.internet import reactor

from gateway.catalogue import CatalogueFault, CatalogueForgot, open_catalogue
from gateway.catalogue.database import FILE
from gateway.catalogue.schema import MIGRATIONS
from gateway.catalogue.witness import FILE as WITNESS
from gateway.model import NewVersion, Piece
from gateway.seal import Seal
from gateway.sqlitefile import VFS, checked_pages

LONG = os.environ.get("GATEWAY_LONG") == "1"
SEAL = Seal(b"k" * 32)
FRAME = 4096 + 24
HEADER = 32
PUTS = 20


@dataclass
class Past:
    """Copies of a gateway's data folder as a kill would leave it: one after each put, the last one with its rows."""

    copies: list[Path] = field(default_factory=list)
    rows: dict[str, Any] = field(default_factory=dict)

    @property
    def last(self) -> Path:
        return self.copies[-1]


def rows_of(folder: Path) -> dict[str, Any]:
    """What the catalogue says of objects and blobs (not of processes, which change with each start)."""
    connection = apsw.Connection(str(folder / FILE), flags=apsw.SQLITE_OPEN_READWRITE, vfs=checked_pages())
    try:
        return {
            table: connection.execute(f"SELECT * FROM {table}").fetchall()
            for table in ("versions", "current_versions", "pieces", "blobs", "buckets", "accounts")
        }
    finally:
        connection.close()


async def put(catalogue: Any, bucket: int, key: bytes) -> None:
    name = await catalogue.blobs.name("storage")
    new = NewVersion(
        bucket=bucket,
        key=key,
        owner="o",
        location="storage",
        size=1,
        stored=1,
        etag=key.hex(),
        pieces=(Piece(name, 0, 1, b"crcs"),),
    )
    await catalogue.versions.commit(new)


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Past]:
    folder = tmp_path_factory.mktemp("past")
    made = Past()

    async def live() -> None:
        catalogue = open_catalogue(folder / "data", SEAL, reactor=reactor)  # type: ignore[arg-type]
        bucket, _ = await catalogue.buckets.create("bucket", "o", "storage", "")
        for number in range(PUTS):
            await put(catalogue, bucket.id, b"key%02d" % (number % 15))
            if number == PUTS // 2:  # what came before lies in the file, what comes after in the log
                catalogue._database.reader.execute("PRAGMA query_only = off; PRAGMA wal_checkpoint; BEGIN; COMMIT")
            made.copies.append(Path(shutil.copytree(folder / "data", folder / f"copy{number}")))
        await catalogue.close()

    _run(live)
    scratch = shutil.copytree(made.last, folder / "rows")
    made.rows = rows_of(Path(scratch))
    yield made


def _run(work: Callable[[], Any]) -> None:
    from twisted.internet.defer import ensureDeferred

    pytest_twisted.blockon(ensureDeferred(work()))


async def opened(folder: Path) -> str:
    """How opening and reading all of it ends: "" where nothing was noticed."""
    try:
        catalogue = open_catalogue(folder, SEAL, reactor=reactor)  # type: ignore[arg-type]
    except CatalogueFault as fault:
        assert str(folder) in str(fault) and "\n" not in str(fault)
        return f"{type(fault).__name__}: {fault}"
    await catalogue.examine()
    doubt = catalogue.condition.doubt
    await catalogue.close()
    return doubt


def flip(file: Path, at: int, bit: int) -> None:
    with file.open("r+b") as opened_file:
        opened_file.seek(at)
        (byte,) = opened_file.read(1)
        opened_file.seek(at)
        opened_file.write(bytes([byte ^ 1 << bit]))


def used(file: Path) -> int:
    """How many bytes of a file mean something. A log is written from its start again: what follows is old."""
    data = file.read_bytes()
    if not file.name.endswith("-wal"):
        return len(data)
    frames = range(HEADER, len(data), FRAME)
    return HEADER + FRAME * sum(data[at + 8 : at + 16] == data[16:24] for at in frames)


@pytest_twisted.ensureDeferred
async def test_the_state_that_a_kill_leaves_is_whole(past: Past, tmp_path: Path) -> None:
    for copy in past.copies[-2:]:
        folder = Path(shutil.copytree(copy, tmp_path / copy.name))
        assert await opened(folder) == ""
    assert rows_of(folder) == past.rows
    assert (past.last / f"{FILE}-wal").stat().st_size > 5 * FRAME


@pytest_twisted.ensureDeferred
async def test_a_log_that_lost_its_end_is_noticed(past: Past, tmp_path: Path) -> None:
    draw = random.Random(1)
    size = used(past.last / f"{FILE}-wal")
    assert size > 5 * FRAME
    for number in range(1000 if LONG else 12):
        folder = Path(shutil.copytree(past.last, tmp_path / str(number)))
        os.truncate(folder / f"{FILE}-wal", draw.randrange(size))
        assert "has forgotten the last" in await opened(folder), number


@pytest.mark.parametrize("file", [FILE, f"{FILE}-wal", f"{FILE}-shm", WITNESS])
@pytest_twisted.ensureDeferred
async def test_a_flipped_bit_is_noticed_or_harms_nothing(past: Past, tmp_path: Path, file: str) -> None:
    draw = random.Random(2)
    size = used(past.last / file)
    noticed, trials = 0, 500 if LONG else 12
    for number in range(trials):
        folder = Path(shutil.copytree(past.last, tmp_path / str(number)))
        flip(folder / file, draw.randrange(size), draw.randrange(8))
        if await opened(folder):
            noticed += 1
        else:
            assert rows_of(folder) == past.rows, number
    if file == f"{FILE}-wal":
        assert noticed == trials
    elif file != FILE:
        assert not noticed, "a start never stops for what can be made anew"
    else:  # what the log holds a newer page of is not read any more
        assert noticed >= trials / 4


@pytest_twisted.ensureDeferred
async def test_every_page_of_a_closed_catalogue_is_looked_at(past: Past, tmp_path: Path) -> None:
    closed = Path(shutil.copytree(past.last, tmp_path / "closed"))
    assert await opened(closed) == ""
    assert not (closed / f"{FILE}-wal").exists()
    size = (closed / FILE).stat().st_size
    draw = random.Random(3)
    for number in range(500 if LONG else 25):
        folder = Path(shutil.copytree(closed, tmp_path / str(number)))
        flip(folder / FILE, draw.randrange(size), draw.randrange(8))
        assert await opened(folder), number


@pytest.mark.parametrize("whole", [True, False])
@pytest_twisted.ensureDeferred
async def test_an_old_copy_in_the_place_of_the_new_one_is_noticed(past: Past, tmp_path: Path, whole: bool) -> None:
    """``whole``: with its log; otherwise only the database, as a careless copy of a running gateway has it."""
    for number in range(0, PUTS - 1, 1 if LONG else 6):
        folder = Path(shutil.copytree(past.last, tmp_path / str(number)))
        for name in (FILE, f"{FILE}-wal", f"{FILE}-shm"):
            (folder / name).unlink()
            if whole or name == FILE:
                shutil.copy(past.copies[number] / name, folder / name)
        assert (await opened(folder)).startswith("CatalogueForgot"), number


@pytest_twisted.ensureDeferred
async def test_without_the_witness_nobody_would_notice(past: Past, tmp_path: Path) -> None:
    """The control: SQLite finds an old copy, and a log without its end, in the best of health."""
    folder = Path(shutil.copytree(past.last, tmp_path / "cut"))
    os.truncate(folder / f"{FILE}-wal", HEADER + 3 * FRAME)
    (folder / WITNESS).unlink()
    assert await opened(folder) == ""
    assert rows_of(folder) != past.rows


@pytest_twisted.ensureDeferred
async def test_a_catalogue_that_is_gone_is_not_made_anew(past: Past, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(past.last, tmp_path / "gone"))
    for name in (FILE, f"{FILE}-wal", f"{FILE}-shm"):
        (folder / name).unlink()
    with pytest.raises(CatalogueForgot, match="is gone"):
        open_catalogue(folder, SEAL, reactor=reactor)  # type: ignore[arg-type]
    assert not (folder / FILE).exists()
    (folder / FILE).touch()
    with pytest.raises(CatalogueForgot, match="is empty"):
        open_catalogue(folder, SEAL, reactor=reactor)  # type: ignore[arg-type]


@pytest_twisted.ensureDeferred
async def test_another_catalogue_in_its_place_is_noticed(past: Past, tmp_path: Path) -> None:
    other = open_catalogue(tmp_path / "other", SEAL, reactor=reactor)  # type: ignore[arg-type]
    await other.close()
    folder = Path(shutil.copytree(past.last, tmp_path / "mixed"))
    for name in (f"{FILE}-wal", f"{FILE}-shm"):
        (folder / name).unlink()
    shutil.copy(tmp_path / "other" / FILE, folder / FILE)
    with pytest.raises(CatalogueForgot, match="belongs here"):
        open_catalogue(folder, SEAL, reactor=reactor)  # type: ignore[arg-type]


@pytest_twisted.ensureDeferred
async def test_a_loss_that_is_accepted_sweeps_nothing(past: Past, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(past.last, tmp_path / "accepted"))
    os.truncate(folder / f"{FILE}-wal", HEADER + 3 * FRAME)
    catalogue = open_catalogue(folder, SEAL, reactor=reactor, accept_loss=True)  # type: ignore[arg-type]
    assert await catalogue.blobs.dead_leases() == []
    assert await catalogue.uploads.stale() == []
    changes = catalogue.changes
    await catalogue.close()
    again = open_catalogue(folder, SEAL, reactor=reactor)  # type: ignore[arg-type]
    assert again.changes == changes
    await again.close()


@pytest_twisted.ensureDeferred
async def test_reading_a_damaged_page_is_a_fault_of_ours_and_ends_all_changes(past: Past, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(past.last, tmp_path / "read"))
    assert await opened(folder) == ""
    size = (folder / FILE).stat().st_size
    connection = apsw.Connection(str(folder / FILE), vfs=checked_pages())
    ((root,),) = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'pieces'").fetchall()
    connection.close()
    flip(folder / FILE, (root - 1) * 4096 + 3000, 3)
    assert size > root * 4096
    catalogue = open_catalogue(folder, SEAL, reactor=reactor)  # type: ignore[arg-type]
    bucket = await catalogue.buckets.find("bucket")
    assert bucket is not None
    version = await catalogue.versions.find(bucket.id, b"key03")
    assert version is not None, "what is not damaged can be read"
    with pytest.raises(Exception, match="ServiceUnavailable"):
        await catalogue.versions.pieces(version.id, 0, 1)
    assert catalogue.condition.suspected and not catalogue.condition.works
    with pytest.raises(Exception, match="ServiceUnavailable"):
        await catalogue.accounts.add("late")
    assert "damaged" in catalogue.condition.doubt
    await catalogue.close()


@pytest_twisted.ensureDeferred
async def test_a_catalogue_from_before_there_were_checksums_gets_them(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    connection = apsw.Connection(str(tmp_path / FILE), vfs="unix")
    connection.execute(MIGRATIONS[0])
    connection.pragma("application_id", 0x74784757)
    connection.pragma("user_version", 1)
    connection.execute("INSERT INTO accounts VALUES ('i', 'alice', 'Alice', NULL, 1)")
    connection.close()
    assert (tmp_path / FILE).read_bytes()[20] == 0

    catalogue = open_catalogue(tmp_path, SEAL, reactor=reactor)  # type: ignore[arg-type]
    assert [account.name for account in await catalogue.accounts.all()] == ["alice"]
    await catalogue.examine()
    assert not catalogue.condition.doubt
    await catalogue.close()
    assert (tmp_path / FILE).read_bytes()[20] == 8
    assert VFS in apsw.vfs_names()


def test_an_apsw_without_checksums_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("apsw.vfs_names", lambda: ["unix"])

    def missing(connection: object, name: str) -> None:
        raise LookupError(name)

    monkeypatch.setattr("apsw.sqlite_extra.load", missing)
    with pytest.raises(CatalogueFault, match="wheel"):
        open_catalogue(tmp_path, SEAL, reactor=reactor)  # type: ignore[arg-type]
