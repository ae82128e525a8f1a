"""This gateway with many objects: ``make bench-large``.

Ten million keys cannot be put over HTTP in a reasonable time. One object is, and the catalogue's rows of it are copied
in its own file, by SQL, with a name for each; their bytes are never asked for. The filled folders are kept.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any, cast

import apsw

from benchmarks import small
from benchmarks.bench import PAGED, SMALL, Bench, Sizes
from benchmarks.compare import Say, ours
from benchmarks.presign import BUCKET
from benchmarks.processes import memory, processor
from benchmarks.transfers import MIB
from gateway.catalogue.database import Database, connect, connect_reader
from gateway.catalogue.faults import Condition
from gateway.catalogue.listing import Listing
from gateway.model import ListingPage

COUNTS = (10_000, 1_000_000, 10_000_000)
BATCH = 500_000  # rows of a transaction
QUIET = {"snapshot_interval": "0", "reap_interval": "1d"}  # neither copies gigabytes meanwhile
MARK = "filled"


def run(folder: Path, counts: Sequence[int], workers: int, sizes: Sizes, repeats: int, say: Say) -> dict[str, Any]:
    """What the page shows: a column for each of ``counts``."""
    columns = [_measured(folder / str(count), count, workers, sizes, repeats, say) for count in counts]
    rows = [
        {"name": name, "unit": unit, "figures": [column[name, unit] for column in columns]} for name, unit in columns[0]
    ]
    return {"columns": [f"{count:,}" for count in counts], "rows": rows}


def _measured(
    folder: Path, count: int, workers: int, sizes: Sizes, repeats: int, say: Say
) -> dict[tuple[str, str], float]:
    folder.mkdir(parents=True, exist_ok=True)
    fill(folder, count, say)
    (folder / "tahoe.cfg").unlink()  # the settings may be others than when it was filled
    bench = Bench(
        ours(workers=str(workers), **QUIET), folder, Sizes(seconds=sizes.seconds, listed=count, deleted=sizes.deleted)
    )
    bench.open()
    try:
        starts = [bench.restart() for _ in range(repeats)]
        fresh = memory(bench.server.pid)
        _rest(bench.server.pid)
        pages = [small.pages(bench)[0] for _ in range(repeats)]
        puts = [small.puts(16)(bench)[0] for _ in range(repeats)]
        used = memory(bench.server.pid)
    finally:
        bench.close()
    file = folder / "data" / "catalogue.sqlite"
    found = {
        ("start until an object is served", "s"): statistics.median(starts),
        ("page of 1,000 keys", "1/s"): statistics.median(pages),
        ("SQLite's steps for such a page", "steps"): steps(file, count),
        ("4 KiB PUT, 16 connections", "1/s"): statistics.median(puts),
        ("memory, just started", "MiB"): fresh / MIB,
        ("memory, after pages and PUTs", "MiB"): used / MIB,
        ("the catalogue's file", "MiB"): file.stat().st_size / MIB,
    }
    for (name, unit), value in found.items():
        say(f"{count:,} objects: {name} ({unit}): {value:,.2f}")
    return found


def fill(folder: Path, count: int, say: Say) -> None:
    """Objects to read, and ``count`` keys to list, in a folder that has none; nothing where it is filled already."""
    if (folder / MARK).exists():
        return
    begun = time.monotonic()
    bench = Bench(ours(workers="1", **QUIET), folder, Sizes(listed=1))
    bench.open()
    try:
        bench.fill()
        bench.put_all([f"{PAGED}{0:08d}"], SMALL)
    finally:
        bench.close()
    connection = connect(folder / "data" / "catalogue.sqlite")
    try:
        connection.pragma("synchronous", "OFF")
        connection.pragma("cache_size", -512 * 1024)
        for first in range(1, count, BATCH):
            with connection:
                _copy(connection, first, min(first + BATCH, count))
        connection.pragma("wal_checkpoint(TRUNCATE)")
    finally:
        connection.close()
    (folder / MARK).touch()
    say(f"{count:,} objects: filled in {time.monotonic() - begun:.0f} s")


def _copy(connection: apsw.Connection, first: int, last: int) -> None:
    """Rows for the keys of these numbers, each like those of key 0, with a version and a blob of its own."""
    pattern = f"{PAGED}%08d"
    (template,) = (row[0] for row in connection.execute("SELECT max(id) FROM versions"))
    (blob,) = (row[0] for row in connection.execute("SELECT blob FROM pieces WHERE version = ?", (template,)))
    start = connection.execute("SELECT max(seq) FROM sqlite_sequence WHERE name = 'versions'").fetchall()[0][0]
    own = {
        "versions": {"id": "?2 + i", "key": f"CAST(printf('{pattern}', ?3 + i) AS BLOB)"},
        "current_versions": {"version": "?2 + i", "key": f"CAST(printf('{pattern}', ?3 + i) AS BLOB)"},
        "pieces": {"version": "?2 + i", "blob": f"printf('{_lease(blob)}/f%x', ?3 + i)"},
        "blobs": {"name": f"printf('{_lease(blob)}/f%x', ?3 + i)"},
    }
    which = {"versions": "id = ?1", "current_versions": "version = ?1", "pieces": "version = ?1"}
    for table, changed in own.items():
        names = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
        values = ", ".join(changed.get(name, f"t.{name}") for name in names)
        where = which.get(table, "name = (SELECT blob FROM pieces WHERE version = ?1)")
        connection.execute(
            f"WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?4)"
            f" INSERT INTO {table} ({', '.join(names)}) SELECT {values} FROM n, {table} t WHERE t.{where}",
            (template, start, first - 1, last - first),
        )


def _lease(blob: str) -> str:
    return blob.rpartition("/")[0]


def _rest(pid: int, patience: float = 300.0) -> None:
    """Wait until the processes have done what they do after a start: every page of the catalogue is read."""
    until = time.monotonic() + patience
    while time.monotonic() < until:
        before = processor(pid)
        time.sleep(1)
        if processor(pid) - before < 0.1:
            return


def steps(file: Path, count: int) -> float:
    """Steps of SQLite's virtual machine for one page from the middle, as the gateway itself reads it."""
    reader = connect_reader(file)
    ticks = [0]

    def tick() -> bool:
        ticks[0] += 1
        return False

    try:
        ((bucket,),) = reader.execute("SELECT id FROM buckets WHERE name = ?", (BUCKET,))
        listing = Listing(Database(reader, cast(Any, None), time.time, Condition()))
        reader.set_progress_handler(tick, 1)
        page = _answer(listing.page(bucket, prefix=PAGED.encode(), after=_middle(count)))
        assert len(page.objects) == min(1000, count - count // 2 - 1), "the page is not as long as it should be"
    finally:
        reader.close()
    return float(ticks[0])


def _answer(work: Coroutine[Any, Any, ListingPage]) -> ListingPage:
    """What a coroutine gives that only reads, and so never waits."""
    try:
        work.send(None)
    except StopIteration as done:
        return cast(ListingPage, done.value)
    raise AssertionError("a read waited")


def _middle(count: int) -> bytes:
    return f"{PAGED}{count // 2:08d}".encode()
