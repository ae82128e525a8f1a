"""The catalogue's file copied while a gateway serves from it, judged, and put where a gateway finds it.

Everything here blocks: call it in a thread, or in a command that has nothing else to do.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import apsw

from gateway.catalogue.database import APPLICATION_ID, FILE, connect, connect_reader, first_row
from gateway.catalogue.faults import CatalogueFault
from gateway.catalogue.schema import MIGRATIONS
from gateway.catalogue.witness import FILE as WITNESS
from gateway.catalogue.witness import committed
from gateway.seal import Seal, SealBroken
from gateway.sqlitefile import reserve

PROOF = b"catalogue"  # what the id in the table ``about`` is sealed for
_WITH_CHANGES = 2  # the first schema that counts them
_PAGES = 256  # at once: the writer waits for nobody meanwhile, but progress should be seen


@dataclass(frozen=True, slots=True)
class Copied:
    """What a copy holds. ``changes``: how many were ever committed to it, so that of two copies the newer one shows."""

    id: str
    schema: int
    changes: int
    objects: int
    size: int


def copy_catalogue(folder: Path, target: Path, tell: Callable[[int, int], None] = lambda done, total: None) -> Copied:
    """Copy ``folder/catalogue.sqlite`` as it is at one moment; durable and whole under ``target``, or not there at all.

    ``tell(done, total)`` hears of pages. An earlier file of the name is replaced. Raises CatalogueFault.
    """
    source = folder / FILE
    if not source.exists():
        raise CatalogueFault(f"{source}: there is no catalogue")
    draft = target.with_name(target.name + ".partial")
    try:
        draft.unlink(missing_ok=True)
        os.close(os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        try:
            _copy_pages(source, draft, tell)
            found = judge_copy(draft)
            place(draft, target)
        except BaseException:
            draft.unlink(missing_ok=True)
            raise
    except (apsw.Error, OSError) as fault:
        raise CatalogueFault(f"{target}: {type(fault).__name__}: {fault}") from fault
    return found


def id_of(folder: Path) -> str:
    """The id of the folder's catalogue. Raises CatalogueFault."""
    try:
        connection = connect_reader(folder / FILE)
        try:
            row = first_row(connection, "SELECT id FROM about")
        finally:
            connection.close()
    except apsw.Error as fault:
        raise CatalogueFault(f"{folder / FILE}: {type(fault).__name__}: {fault}") from fault
    if row is None:
        raise CatalogueFault(f"{folder / FILE}: a catalogue that was never opened")
    return str(row[0])


def _copy_pages(source: Path, draft: Path, tell: Callable[[int, int], None]) -> None:
    reading, writing = connect_reader(source), connect(draft)
    try:
        # A page that lies in the log has no checksum yet, and gets one as it is written into a file that is known to
        # carry them: known by its first page, which the copy would write last, after those that the cache cannot hold.
        reserve(writing)
        writing.pragma("user_version", 1)
        reading.execute("BEGIN")  # one moment for all pages: without it each foreign commit begins the copy anew
        reading.execute("SELECT one FROM about").fetchall()
        with writing.backup("main", reading, "main") as copying:
            while not copying.done:
                copying.step(_PAGES)
                tell(copying.page_count - copying.remaining, copying.page_count)
        writing.pragma("journal_mode", "delete")  # one file, whose whole truth is in it
    finally:
        writing.close()
        reading.close()


def judge_copy(path: Path, seal: Seal | None = None) -> Copied:
    """What lies in the file, every page of it looked at. ``seal``: must be the one that it was made under.

    Raises CatalogueFault where it is damaged, no catalogue, newer than this gateway, or sealed by another key.
    """
    try:
        connection = connect(path)
        try:
            schema = _judge_kind(path, connection)
            wrong = connection.execute("PRAGMA integrity_check(1)").fetchall()
            if wrong != [("ok",)]:
                raise CatalogueFault(f"{path}: damaged ({wrong[0][0]})")
            found = first_row(connection, "SELECT id, proof FROM about")
            if found is None:
                raise CatalogueFault(f"{path}: a catalogue that was never opened")
            if seal is not None:
                seal.open(found[1], PROOF)
            return Copied(
                id=str(found[0]),
                schema=schema,
                changes=committed(connection) if schema >= _WITH_CHANGES else 0,
                objects=_count(connection, "current_versions"),
                size=path.stat().st_size,
            )
        finally:
            connection.close()
    except SealBroken as fault:
        raise CatalogueFault(f"{path}: made under another sealing key") from fault
    except (apsw.Error, OSError) as fault:
        raise CatalogueFault(f"{path}: {type(fault).__name__}: {fault}") from fault


def _judge_kind(path: Path, connection: apsw.Connection) -> int:
    if connection.pragma("application_id") != APPLICATION_ID:
        raise CatalogueFault(f"{path}: not a catalogue of this gateway")
    schema = connection.pragma("user_version")
    if schema > len(MIGRATIONS):
        raise CatalogueFault(f"{path}: written by a newer gateway (schema {schema}, this one knows {len(MIGRATIONS)})")
    return int(schema)


def _count(connection: apsw.Connection, table: str) -> int:
    ((count,),) = connection.execute(f"SELECT count(*) FROM {table}").fetchall()
    return int(count)  # type: ignore[arg-type]


def place(draft: Path, target: Path) -> None:
    """Give a finished file its name, durably. Raises OSError."""
    _sync(draft, os.O_RDONLY)
    os.replace(draft, target)
    _sync(target.parent, os.O_RDONLY | os.O_DIRECTORY)


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def is_unused(folder: Path) -> bool:
    """Whether a gateway that is put into ``folder`` takes nothing from anybody: there is no catalogue, or one that
    knows nothing yet (as a start leaves it that failed because its storage belongs to a catalogue that is gone).

    A file that cannot be read is somebody's.
    """
    path = folder / FILE
    if not path.exists():
        return True
    try:
        connection = connect_reader(path)
        try:
            if connection.pragma("application_id") != APPLICATION_ID:
                return connection.pragma("schema_version") == 0 and path.stat().st_size == 0
            return not any(_count(connection, table) for table in ("accounts", "buckets", "versions", "uploads"))
        finally:
            connection.close()
    except (apsw.Error, OSError):
        return False


def install(draft: Path, folder: Path) -> None:
    """Make ``draft`` the folder's catalogue; whatever an unused one left there goes first. Raises CatalogueFault."""
    try:
        # Before the file itself: the log of another file must never be applied to it, nor another one's witness heard.
        for name in (WITNESS, f"{FILE}-wal", f"{FILE}-shm"):
            (folder / name).unlink(missing_ok=True)
        place(draft, folder / FILE)
    except OSError as fault:
        raise CatalogueFault(f"{folder / FILE}: {fault.strerror}") from fault
