"""A copy of a catalogue that is in use: whole, whatever of it lies in the log, and however large it is."""

from __future__ import annotations

from pathlib import Path

import apsw

from gateway.catalogue import Catalogue
from gateway.catalogue.copying import copy_catalogue, judge_copy
from gateway.catalogue.database import FILE, connect
from tests.catalogue.conftest import World

CACHE = 500  # pages that SQLite keeps before it writes some of them early


def fill(connection: apsw.Connection, text: str) -> None:
    """More pages than the cache holds, each with that text."""
    connection.execute("BEGIN; CREATE TABLE IF NOT EXISTS filler (id INTEGER PRIMARY KEY, text TEXT)")
    for number in range(2 * CACHE):
        connection.execute("INSERT OR REPLACE INTO filler VALUES (?, ?)", (number, text * 3000))
    connection.execute("COMMIT")


def test_pages_that_lie_in_the_log_get_their_checksums(world: World, catalogue: Catalogue, tmp_path: Path) -> None:
    """The first of them are written before the copy's first page, which says that it has checksums."""
    serving = connect(world.folder / FILE)
    try:
        serving.pragma("wal_autocheckpoint", 0)
        fill(serving, "a")
        serving.pragma("wal_checkpoint(truncate)")
        fill(serving, "b")
        copied = copy_catalogue(world.folder, tmp_path / "copy")
    finally:
        serving.close()
    assert copied == judge_copy(tmp_path / "copy")
    assert copied.size > 2 * CACHE * 4096
