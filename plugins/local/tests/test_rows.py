"""Small blobs as rows: both kinds under one name, groups, faults of the disk, damage, what a start finds."""

from __future__ import annotations

import errno
import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import apsw
import gateway_local
import pytest
import pytest_twisted
from gateway_local import LocalBackend, rowfile, rows
from gateway_local.turns import Turn
from twisted.internet.defer import DeferredList, ensureDeferred, gatherResults
from twisted.internet.threads import deferToThread

from gateway import sqlitefile
from gateway.api import (
    BackendDown,
    BackendFull,
    BackendUnfit,
    BlobChanged,
    BlobExists,
    BlobMissing,
    BytesBody,
    DeleteRequest,
    GetRequest,
    HeadRequest,
    HealthcheckRequest,
    ListRequest,
    PutRequest,
    Values,
)

SMALL, LARGE = b"small" * 100, b"large" * 20_000
PAGE = 4096


def database(path: Path) -> Path:
    return path / "small.sqlite"


def ask(path: Path, sql: str) -> list[Any]:
    """What another process would see."""
    connection = sqlitefile.connect(database(path))
    try:
        return connection.execute(sql).fetchall()
    finally:
        connection.close()


def kinds(path: Path, name: str) -> str:
    """Where the bytes under a name lie."""
    row = ask(path, f"SELECT 1 FROM blobs WHERE name = {name!r}")
    return "row" * bool(row) + "file" * (path / "blobs" / name).exists()


@pytest_twisted.ensureDeferred
async def test_the_largest_row_and_the_smallest_file(local: Any, ways: Any, path: Path) -> None:
    for size, kind in ((0, "row"), (rowfile.LARGEST, "row"), (rowfile.LARGEST + 1, "file")):
        await ways.put(local, f"a/{size}", bytes(size), metadata={"k": "v"})
        assert kinds(path, f"a/{size}") == kind
        assert await ways.get(local, f"a/{size}") == bytes(size)
        assert (await local.head(HeadRequest(name=f"a/{size}"))).metadata == {"k": "v"}


@pytest.mark.parametrize(("first", "second"), [(SMALL, LARGE), (LARGE, SMALL), (SMALL, b""), (LARGE, LARGE[1:])])
@pytest_twisted.ensureDeferred
async def test_a_name_is_a_row_or_a_file_and_never_both(
    local: Any, ways: Any, path: Path, first: bytes, second: bytes
) -> None:
    before = await ways.put(local, "a/b", first)
    with pytest.raises(BlobExists):
        await ways.put(local, "a/b", second, if_absent=True)
    assert await ways.get(local, "a/b", expect=before) == first
    after = await ways.put(local, "a/b", second)
    assert kinds(path, "a/b") in ("row", "file")
    assert await ways.get(local, "a/b", expect=after) == second
    with pytest.raises(BlobChanged):
        await ways.get(local, "a/b", expect=before)
    with pytest.raises(BlobChanged):
        await local.delete(DeleteRequest(name="a/b", expect=before))
    await local.delete(DeleteRequest(name="a/b", expect=after))
    assert kinds(path, "a/b") == ""
    assert ways.files(path) == []
    with pytest.raises(BlobMissing):
        await ways.get(local, "a/b")


@pytest_twisted.ensureDeferred
async def test_one_wins_a_name_that_rows_and_files_of_two_processes_want(
    make: Any, local: Any, ways: Any, path: Path
) -> None:
    other = await make(path)
    winning = set()
    for turn in range(20):
        name = f"a/{turn}"
        bodies = [(SMALL, LARGE)[number % 2] + str(number).encode() for number in range(12)]
        puts = [
            ensureDeferred(ways.put((local, other)[number // 2 % 2], name, body, if_absent=True))
            for number, body in enumerate(bodies)
        ]
        results = await DeferredList(puts, consumeErrors=True)
        winners = [bodies[number] for number, (success, _) in enumerate(results) if success]
        assert winners == [await ways.get(local, name)] == [await ways.get(other, name)]
        assert all(failure.check(BlobExists) for success, failure in results if not success)
        winning.add(kinds(path, name))
    assert winning <= {"row", "file"}


@pytest_twisted.ensureDeferred
async def test_many_puts_of_both_kinds_and_deletes_at_one_name_leave_one_blob_or_none(
    make: Any, local: Any, ways: Any, path: Path
) -> None:
    other, chance = await make(path), random.Random(5)
    for turn in range(15):
        name = f"a/{turn}"

        def one(number: int, name: str = name) -> Any:
            backend = (local, other)[number % 2]
            if chance.random() < 0.2:
                return backend.delete(DeleteRequest(name=name))
            return ways.put(backend, name, chance.choice((SMALL, LARGE)))

        await gatherResults([ensureDeferred(one(number)) for number in range(12)])
        assert kinds(path, name) in ("", "row", "file")
        last = await ways.put(local, name, LARGE)
        assert await ways.get(other, name, expect=last) == LARGE


@pytest_twisted.ensureDeferred
async def test_a_listing_merges_both_kinds_in_byte_order(local: Any, ways: Any) -> None:
    chance = random.Random(7)
    names = [f"{chance.choice('ab0')}{number % 7}/{number:03}" for number in range(60)]
    sizes = {name: chance.choice((10, 100_000)) for name in names}
    prints = {name: await ways.put(local, name, bytes(size)) for name, size in sizes.items()}
    for prefix in ("", "a", "a1/", "b3/0", "c"):
        found: list[Any] = []
        after: str | None = ""
        while after is not None:
            page = await local.list(ListRequest(prefix=prefix, after=after, limit=7))
            found += page.blobs
            after = page.after
        wanted = sorted(name for name in names if name.startswith(prefix))
        assert [(each.name, each.size, each.fingerprint) for each in found] == [
            (name, sizes[name], prints[name]) for name in wanted
        ]


@pytest_twisted.ensureDeferred
async def test_rows_deleted_while_they_are_listed_do_not_end_the_listing(
    local: Any, ways: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await gatherResults([ensureDeferred(ways.put(local, f"a/{number:02}", b"x")) for number in range(20)])
    real = rows.Rows.look

    def look(self: rows.Rows, name: str) -> Any:
        return None if name < "a/10" else real(self, name)

    monkeypatch.setattr(rows.Rows, "look", look)
    page = await local.list(ListRequest(limit=3))
    assert [blob.name for blob in page.blobs] == ["a/10", "a/11", "a/12"]
    assert page.after == "a/12"


# ---------------------------------------------------------------- crashes between the two steps


@pytest.mark.parametrize("new", [SMALL + b"new", LARGE + b"new"])
@pytest_twisted.ensureDeferred
async def test_a_put_that_ended_half_way_shows_one_blob_that_is_not_an_old_one_later(
    local: Any, ways: Any, path: Path, new: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The row counts. What lies behind it comes out neither by a delete nor by the next put."""
    old = LARGE if len(new) < len(LARGE) else SMALL
    for after in ("delete", "put small", "put large"):
        await ways.put(local, "a/b", old)
        with monkeypatch.context() as crash:
            crash.setattr(rows.Rows, "_uncover", lambda self, name, turn: None)
            crash.setattr(rows, "_is_there", lambda turn, name: False)
            await ways.put(local, "a/b", new)
        assert kinds(path, "a/b") == "rowfile"
        assert await ways.get(local, "a/b") == (new if old == LARGE else old)
        assert [blob.name for blob in (await local.list(ListRequest())).blobs] == ["a/b"]
        if after == "delete":
            await local.delete(DeleteRequest(name="a/b"))
            assert kinds(path, "a/b") == ""
        else:
            last = SMALL * 2 if after == "put small" else LARGE * 2
            await ways.put(local, "a/b", last)
            assert kinds(path, "a/b") in ("row", "file")
            assert await ways.get(local, "a/b") == last


# ---------------------------------------------------------------- faults


class Faulty:
    """A connection whose ``nth`` statement of a kind fails."""

    def __init__(self, real: apsw.Connection, breaks: Callable[[str], None]) -> None:
        self._real = real
        self._breaks = breaks

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def execute(self, sql: str, *values: Any) -> Any:
        self._breaks(sql)
        return self._real.execute(sql, *values)


@pytest.mark.parametrize(
    ("fault", "told"),
    [(apsw.FullError("full"), BackendFull), (apsw.IOError("fsync"), BackendDown), (apsw.BusyError("busy"), Exception)],
)
@pytest_twisted.ensureDeferred
async def test_a_commit_that_fails_fails_its_whole_group_and_no_other(
    local: Any, ways: Any, path: Path, monkeypatch: pytest.MonkeyPatch, fault: Exception, told: type[Exception]
) -> None:
    opened = []
    left = [1]
    real = rows.Rows._connect

    def breaks(sql: str) -> None:
        if sql == "COMMIT" and left[0]:
            left[0] -= 1
            raise fault

    def connect(self: rows.Rows, patience: float = 30.0) -> Any:
        opened.append(Faulty(real(self, patience), breaks))
        return opened[-1]

    monkeypatch.setattr(local._rows._writer, "_connect", lambda: connect(local._rows))
    puts = [ensureDeferred(ways.put(local, f"a/{number}", SMALL)) for number in range(200)]
    results = await DeferredList(puts, consumeErrors=True)
    failed = [number for number, (success, _) in enumerate(results) if not success]
    assert 1 <= len(failed) <= 64
    assert all(results[number][1].check(told) for number in failed)
    assert len(opened) == 2, "the connection is thrown away"
    names = {blob.name for blob in (await local.list(ListRequest())).blobs}
    assert names == {f"a/{number}" for number in range(200) if number not in failed}


@pytest_twisted.ensureDeferred
async def test_nothing_is_told_before_the_commit_returned(
    local: Any, ways: Any, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    committed = [0]
    real = rows.Rows._connect

    def count(sql: str) -> None:
        committed[0] += sql == "COMMIT"

    monkeypatch.setattr(local._rows._writer, "_connect", lambda: Faulty(real(local._rows), count))
    for number in range(5):
        await ways.put(local, f"a/{number}", SMALL)
        assert (committed[0], kinds(path, f"a/{number}")) == (number + 1, "row")
    await gatherResults([ensureDeferred(ways.put(local, f"b/{number}", SMALL)) for number in range(100)])
    assert committed[0] == 5 + 2, "what comes in one turn of the reactor is committed together, up to 64 at once"


@pytest_twisted.ensureDeferred
async def test_a_change_that_raises_hurts_no_other_of_its_group(local: Any, ways: Any) -> None:
    def broken(turn: Turn) -> None:
        raise ZeroDivisionError("a mistake of ours")

    await ways.put(local, "a/taken", SMALL)
    puts = [ensureDeferred(ways.put(local, f"a/{number}", SMALL)) for number in range(10)]
    puts.append(ensureDeferred(ways.put(local, "a/taken", SMALL, if_absent=True)))
    wrong = local._rows._writer.submit(broken)
    results = await DeferredList([*puts, wrong], consumeErrors=True)
    assert [success for success, _ in results] == [True] * 10 + [False, False]
    assert results[-2][1].check(BlobExists) and results[-1][1].check(ZeroDivisionError)


@pytest_twisted.ensureDeferred
async def test_a_cancelled_put_of_a_row_tells_the_truth(local: Any, ways: Any) -> None:
    puts = [ensureDeferred(ways.put(local, f"a/{number}", SMALL)) for number in range(50)]
    for work in puts:
        work.cancel()
    for number, fingerprint in enumerate([await work for work in puts]):
        assert (await local.head(HeadRequest(name=f"a/{number}"))).fingerprint == fingerprint


@pytest_twisted.ensureDeferred
async def test_a_close_waits_for_rows_that_are_under_way(make: Any, local: Any, ways: Any, path: Path) -> None:
    puts = [ensureDeferred(ways.put(local, f"a/{number}", SMALL)) for number in range(150)]
    await local.close()
    assert all(work.called for work in puts)
    again = await make(path)
    assert len((await again.list(ListRequest())).blobs) == 150


@pytest_twisted.ensureDeferred
async def test_the_reserve_holds_for_rows_too(path: Path, ways: Any) -> None:
    free = os.statvfs(path.parent).f_bavail * os.statvfs(path.parent).f_frsize
    values = Values.of(LocalBackend.settings, {"local.path": path, "local.reserve": str(2 * free)})
    backend = LocalBackend(values)
    await backend.open()
    for body in (SMALL, LARGE):
        with pytest.raises(BackendFull):
            await ways.put(backend, "a", body)
    await backend.delete(DeleteRequest(name="a"))
    await backend.close()


@pytest_twisted.ensureDeferred
async def test_the_healthcheck_sees_rows_that_cannot_be_written(
    local: Any, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    probe = HealthcheckRequest(probe="probe/1")
    await local.healthcheck(probe)
    assert ask(path, "SELECT count(*) FROM blobs") == [(0,)]

    def full(self: rows.Rows, row: Any, if_absent: bool, turn: Turn) -> None:
        raise OSError(errno.ENOSPC, "full")

    with monkeypatch.context() as broken:
        broken.setattr(rows.Rows, "_put", full)
        with pytest.raises(BackendFull):
            await local.healthcheck(probe)
    await local.healthcheck(probe)


@pytest_twisted.ensureDeferred
async def test_deleted_rows_leave_room_for_others(local: Any, ways: Any, path: Path) -> None:
    async def life(turn: int) -> int:
        names = [f"a{turn}/{number}" for number in range(300)]
        await gatherResults([ensureDeferred(ways.put(local, name, bytes(4096))) for name in names])
        await gatherResults([ensureDeferred(local.delete(DeleteRequest(name=name))) for name in names])
        return sum(each.stat().st_size for each in path.glob("small.sqlite*"))

    sizes = [await life(turn) for turn in range(8)]
    assert max(sizes[6:]) <= 1.2 * max(sizes[3:5]), "the log has its full size by then"


# ---------------------------------------------------------------- damage


@pytest.fixture
def flipping() -> Iterator[Callable[[Path, int], None]]:
    def flip(file: Path, at: int) -> None:
        with file.open("r+b") as opened:
            opened.seek(at)
            byte = opened.read(1)[0]
            opened.seek(at)
            opened.write(bytes([byte ^ 4]))

    yield flip


async def filled(make: Any, ways: Any, path: Path, count: int = 40) -> dict[str, bytes]:
    """Rows in the database's own file, nothing in its log."""
    backend = await make(path)
    chance = random.Random(3)
    blobs = {f"a/{number:02}": chance.randbytes(chance.choice((10, 4096, 20_000))) for number in range(count)}
    for name, data in blobs.items():
        await ways.put(backend, name, data, metadata={"name": name})
    await backend.close()
    assert not Path(f"{database(path)}-wal").exists()
    return blobs


@pytest_twisted.ensureDeferred
async def test_every_flipped_bit_is_noticed_and_hurts_only_what_it_touches(
    make: Any, ways: Any, path: Path, flipping: Any
) -> None:
    blobs = await filled(make, ways, path)
    chance = random.Random(11)
    size = database(path).stat().st_size
    noticed = 0
    for turn in range(60):
        at = turn * PAGE + chance.randrange(PAGE) if (turn + 1) * PAGE <= size and turn else chance.randrange(size)
        flipping(database(path), at)
        try:
            backend = LocalBackend(Values.of(LocalBackend.settings, {"local.path": path, "local.reserve": "0"}))
            try:
                await backend.open()
            except BackendDown as fault:
                assert "damaged" in str(fault)
                noticed += 1
                continue
            lost = 0
            for name, data in blobs.items():
                try:
                    assert await ways.get(backend, name) == data
                except BackendDown as fault:
                    assert "damaged" in str(fault)
                    lost += 1
            noticed += lost > 0
            assert lost <= 12 or at // PAGE <= 4, "a page holds few rows; the first ones are roots"
            await backend.close()
        finally:
            flipping(database(path), at)
    assert noticed >= 40, "free space of a page is not read by everybody"


@pytest_twisted.ensureDeferred
async def test_a_damaged_row_is_listed_and_can_be_deleted_and_replaced(
    make: Any, ways: Any, path: Path, flipping: Any
) -> None:
    blobs = await filled(make, ways, path)
    whole = database(path).read_bytes()
    name = "a/07"
    flipping(database(path), whole.index(b'{"name":"a/07"}') + 3)
    backend = await make(path)
    with pytest.raises(BackendDown, match="damaged"):
        await ways.get(backend, name)
    with pytest.raises(BackendDown, match="damaged"):
        await backend.head(HeadRequest(name=name))
    page = await backend.list(ListRequest())
    assert [blob.name for blob in page.blobs] == sorted(blobs)
    assert {blob.name: blob.fingerprint for blob in page.blobs}[name] == "damaged"
    with pytest.raises(BlobChanged):
        await backend.delete(DeleteRequest(name=name, expect="what it was"))
    await backend.delete(DeleteRequest(name=name))
    rest = [blob.name for blob in (await backend.list(ListRequest())).blobs]
    assert rest == sorted(set(blobs) - {name})
    for each in rest:
        assert await ways.get(backend, each) == blobs[each]
    await ways.put(backend, name, b"anew")
    assert await ways.get(backend, name) == b"anew"


@pytest_twisted.ensureDeferred
async def test_a_row_that_another_program_changed_is_damaged(make: Any, ways: Any, path: Path) -> None:
    await filled(make, ways, path, count=1)
    connection = sqlitefile.connect(database(path))
    connection.execute("UPDATE blobs SET data = x'00'")
    connection.close()
    backend = await make(path)
    with pytest.raises(BackendDown, match="not what was written"):
        await backend.get(GetRequest(name="a/00"))


# ---------------------------------------------------------------- what a start finds


@pytest_twisted.ensureDeferred
async def test_a_folder_of_files_opens_unchanged(
    make: Any, ways: Any, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it was before there were rows."""
    monkeypatch.setattr(gateway_local, "LARGEST", -1)
    old = await make(path)
    prints = {name: await ways.put(old, name, SMALL) for name in ("a/1", "a/2", "b")}
    await old.close()
    for each in path.glob("small.sqlite*"):
        each.unlink()
    monkeypatch.undo()
    backend = await make(path)
    assert {blob.name: blob.fingerprint for blob in (await backend.list(ListRequest())).blobs} == prints
    for name, fingerprint in prints.items():
        assert await ways.get(backend, name, expect=fingerprint) == SMALL
        assert kinds(path, name) == "file"
    with pytest.raises(BlobExists):
        await ways.put(backend, "a/1", SMALL, if_absent=True)
    await ways.put(backend, "a/1", SMALL)
    assert kinds(path, "a/1") == "row"


@pytest.mark.parametrize(
    ("sql", "told"),
    [
        ("PRAGMA user_version = 9", "newer gateway"),
        ("PRAGMA application_id = 7", "not a store of small blobs"),
        (None, "damaged"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_what_is_no_database_of_ours_is_refused_in_a_line(
    make: Any, ways: Any, path: Path, sql: str | None, told: str
) -> None:
    await filled(make, ways, path, count=1)
    if sql is None:
        database(path).write_bytes(b"something else entirely" * 1000)
    else:
        connection = sqlitefile.connect(database(path))
        connection.execute(sql)
        connection.close()
    with pytest.raises((BackendUnfit, BackendDown)) as caught:
        await make(path)
    assert told in str(caught.value) and "\n" not in str(caught.value)
    assert str(path) in str(caught.value) or sql is None


@pytest_twisted.ensureDeferred
async def test_a_link_in_place_of_the_database_is_not_followed(make: Any, path: Path) -> None:
    path.mkdir()
    elsewhere = path.parent / "elsewhere.sqlite"
    elsewhere.touch()
    database(path).symlink_to(elsewhere)
    with pytest.raises((BackendUnfit, BackendDown)):
        await make(path)
    assert elsewhere.read_bytes() == b""


@pytest_twisted.ensureDeferred
async def test_only_the_owner_may_read_rows(local: Any, ways: Any, path: Path) -> None:
    await ways.put(local, "a", SMALL)
    found = list(path.glob("small.sqlite*"))
    assert len(found) == 3
    assert {each.stat().st_mode & 0o777 for each in found} == {0o600}


@pytest_twisted.ensureDeferred
async def test_on_a_network_disk_every_blob_is_a_file(
    make: Any, ways: Any, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite's locks do not hold there. Rows that came there with a copied folder are read, and can go."""
    mounts = tmp_path / "mountinfo"
    mounts.write_text(f"1 2 0:1 / {tmp_path} rw - nfs4 host:/there rw\n")
    ours = await make(path)
    await ways.put(ours, "a/row", SMALL)
    await ours.close()
    monkeypatch.setattr(sqlitefile, "MOUNTS", mounts)
    network = await make(path)
    assert await ways.get(network, "a/row") == SMALL
    await ways.put(network, "a/b", SMALL)
    assert kinds(path, "a/b") == "file"
    await ways.put(network, "a/row", b"")
    assert kinds(path, "a/row") == "file"
    await network.healthcheck(HealthcheckRequest(probe="probe/1"))
    empty = await make(tmp_path / "other")
    await ways.put(empty, "a/b", b"")
    assert not database(tmp_path / "other").exists()


@pytest_twisted.ensureDeferred
async def test_a_folder_that_moved_away_gets_no_new_rows(local: Any, ways: Any, path: Path) -> None:
    os.rename(path, path.with_name("moved"))
    with pytest.raises(BackendDown, match="unmounted or replaced"):
        await local.put(PutRequest(name="a", body=BytesBody(SMALL), size=len(SMALL)))


@pytest_twisted.ensureDeferred
async def test_a_copy_made_while_it_is_written_is_whole(make: Any, local: Any, ways: Any, path: Path) -> None:
    blobs = {f"a/{number:03}": bytes([number]) * (10 + number % 3 * 20_000) for number in range(60)}
    prints = {name: await ways.put(local, name, data) for name, data in blobs.items()}
    copy = path.parent / "copy"
    writing = [ensureDeferred(ways.put(local, f"b/{number:03}", SMALL)) for number in range(300)]
    done = await deferToThread(subprocess.run, [sys.executable, "-m", "gateway_local", path, copy], capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")
    await gatherResults(writing)
    copied = await make(copy)
    for name, data in blobs.items():
        assert await ways.get(copied, name, expect=prints[name]) == data
    for blob in (await copied.list(ListRequest(prefix="b/"))).blobs:
        assert await ways.get(copied, blob.name) == SMALL
    again = await deferToThread(
        subprocess.run, [sys.executable, "-m", "gateway_local", path, copy], capture_output=True
    )
    assert again.returncode == 4 and b"exists" in again.stderr and again.stderr.count(b"\n") == 1
