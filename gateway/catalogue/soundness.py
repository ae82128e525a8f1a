"""Is the catalogue whole, and is it ours? Only read, beside a gateway that may be serving from it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import apsw

from gateway.catalogue.database import APPLICATION_ID, FILE, first_row
from gateway.catalogue.faults import CatalogueFault
from gateway.catalogue.schema import MIGRATIONS
from gateway.seal import Seal, SealBroken
from gateway.sqlitefile import OLDEST_SQLITE

PROOF = b"catalogue"
_STEPS = 100_000  # of SQLite's machine, between two looks at the clock


@dataclass(frozen=True, slots=True)
class Soundness:
    """``problems``: what SQLite says is wrong, empty where it is whole; ``complete``: all of it was looked at.

    ``newest``: when something was stored last, in seconds since the epoch, None where nothing was. ``sealed``: whether
    the sealing key is the one that it was made with.
    """

    problems: tuple[str, ...]
    complete: bool
    newest: float | None
    sealed: bool


def look(folder: Path, seal: Seal | None, patience: float = 30.0) -> Soundness | None:
    """None where there is no catalogue yet. Raises CatalogueFault for a file that cannot be read as one of ours."""
    path = folder / FILE
    if not path.exists():
        return None
    try:
        connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
        try:
            return _look(connection, seal, patience)
        finally:
            connection.close()
    except apsw.Error as fault:
        raise CatalogueFault(f"{path}: {type(fault).__name__}: {fault}") from fault


def _look(connection: apsw.Connection, seal: Seal | None, patience: float) -> Soundness:
    connection.set_busy_timeout(5000)
    seen = connection.pragma("user_version")
    if connection.pragma("application_id") != APPLICATION_ID:
        raise CatalogueFault(f"{connection.filename}: not a catalogue of this gateway")
    if seen > len(MIGRATIONS):
        raise CatalogueFault(f"{connection.filename}: written by a newer gateway (schema {seen})")
    end = time.monotonic() + patience
    connection.set_progress_handler(lambda: time.monotonic() > end, _STEPS)
    try:
        rows = [str(row[0]) for row in connection.execute("PRAGMA quick_check(5)")]
        complete = True
    except apsw.InterruptError:
        rows, complete = [], False
    connection.set_progress_handler(None)
    newest = first_row(
        connection, "SELECT MAX(modified) FROM (SELECT modified FROM versions ORDER BY id DESC LIMIT 100)"
    )
    about = first_row(connection, "SELECT id, proof FROM about")
    sealed = True
    if seal is not None and about is not None:
        try:
            seal.open(about[1], PROOF)
        except SealBroken:
            sealed = False
    problems = tuple(row for row in rows if row != "ok")
    return Soundness(problems, complete, newest[0] / 1000 if newest and newest[0] else None, sealed)


def identity(folder: Path) -> tuple[str, int] | None:
    """The id of the catalogue and how many changes it knows; None where there is none, or none that can be read."""
    path = folder / FILE
    if not path.exists():
        return None
    try:
        connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
        try:
            row = first_row(connection, "SELECT id, changes FROM about")
        finally:
            connection.close()
    except apsw.Error:
        return None
    return None if row is None else (str(row[0]), int(row[1]))


def sqlite_version() -> tuple[str, bool]:
    """SQLite's version, and whether it is one that never corrupts a log that several connections write."""
    version = apsw.sqlite_lib_version()
    return version, tuple(int(digits) for digits in version.split(".")) >= OLDEST_SQLITE
