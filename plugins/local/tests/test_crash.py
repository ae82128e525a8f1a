"""Power loss, as a model of what a file system may keep: whatever was not synced may be there or not, in any mixture.

A state after a crash is: of the changes to directories that no fsync of that directory covered, none, all, each one
alone, or all but one; a file that was written after its last fsync is torn.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.defer import ensureDeferred, gatherResults

from gateway.api import DeleteRequest

pytestmark = pytest.mark.usefixtures("as_files")

Entries = dict[tuple[int, str], int]  # (directory, name) -> inode
Change = tuple[int, str, int | None]  # (directory, name, inode; None: removed)


class Disk:
    """Replays recorded steps; ``states`` are what a crash at this moment may leave."""

    def __init__(self) -> None:
        self.kept: Entries = {}
        self.pending: list[Change] = []
        self.torn: set[int] = set()
        self._syncing: dict[str, list[Change]] = {}
        self._made = 0
        self._alias: dict[int, int] = {}  # an inode's number is used again; a file of ours never is

    def step(self, call: str, numbers: tuple[int, ...], names: tuple[str, ...]) -> None:
        if call in ("open", "mkdir"):
            self._made += 1
            self._alias[numbers[-1]] = -self._made
        files = [self._alias.get(number, number) for number in numbers]
        if call == "writev":
            self.torn.add(files[0])
        elif call == "fsync":
            self._syncing[names[0]] = [change for change in self.pending if change[0] == files[0]]
        elif call == "fsynced":
            self.torn.discard(files[0])
            for change in self._syncing.pop(names[0]):  # not what was changed while it ran
                if change in self.pending:  # else another fsync was faster
                    self.pending.remove(change)
                    self._apply(self.kept, change)
        elif call in ("link", "mkdir", "rename"):
            self.pending.append((files[0], names[0], files[1]))
            if call == "rename":
                self.pending.append((files[2], names[1], None))
        elif call in ("unlink", "rmdir"):
            self.pending.append((files[0], names[0], None))

    @staticmethod
    def _apply(entries: Entries, change: Change) -> None:
        directory, name, inode = change
        entries.pop((directory, name), None)
        if inode is not None:
            entries[directory, name] = inode

    def states(self) -> Iterator[Entries]:
        pending = self.pending
        alone = [[change] for change in pending]
        without = [pending[:at] + pending[at + 1 :] for at in range(len(pending))]
        for chosen in ([], pending, *alone, *without):
            entries = dict(self.kept)
            for change in chosen:
                self._apply(entries, change)
            yield entries


def seen(entries: Entries, blobs: int, name: str) -> int | None:
    """The inode that a name leads to."""
    here: int | None = blobs
    for segment in name.split("/"):
        here = entries.get((here, segment)) if here is not None else None
    return here


def violations(steps: list[Any], blobs: int, names: set[str]) -> tuple[int, list[str]]:
    """How many states were looked at, and what is wrong in them."""
    disk, acknowledged, wrong, states = Disk(), dict[str, bool](), list[str](), 0
    for number, (call, files, words) in enumerate(steps):
        if call in ("begin delete", "begin put"):
            acknowledged.pop(words[0], None)
        elif call in ("put", "deleted"):
            acknowledged[words[0]] = call == "put"
        else:
            disk.step(call, files, words)
        for entries in disk.states():
            states += 1
            for name in names:
                inode = seen(entries, blobs, name)
                if inode in disk.torn:
                    wrong.append(f"after step {number}: {name} is torn")
                if name in acknowledged and acknowledged[name] != (inode is not None):
                    wrong.append(f"after step {number}: {name} {'came back' if inode else 'is lost'}")
    return states, wrong


async def story(local: Any, recorder: Any, ways: Any) -> set[str]:
    """Puts and deletes, one after the other and at once, with directories that come, go and come again."""
    names = {"a", "b/1", "b/2", "c/1/1", "c/1/2", "c/2/1", *(f"d/{number}" for number in range(8))}

    async def put(name: str, size: int) -> None:
        recorder.steps.append(("begin put", (), (name,)))
        await ways.put(local, name, bytes(size))
        recorder.steps.append(("put", (), (name,)))

    async def delete(name: str) -> None:
        recorder.steps.append(("begin delete", (), (name,)))
        await local.delete(DeleteRequest(name=name))
        recorder.steps.append(("deleted", (), (name,)))

    for name in ("a", "b/1", "c/1/1"):
        await put(name, 10)
    await put("a", 3_000_000)  # in another's place
    for name in ("b/1", "c/1/1"):
        await delete(name)
    at_once = [put(name, 1000) for name in sorted(names - {"a"})]
    await gatherResults([ensureDeferred(each) for each in at_once])
    at_once = [delete(f"d/{number}") for number in range(7)]
    await gatherResults([ensureDeferred(each) for each in [*at_once, put("b/3", 5)]])
    await delete("d/7")
    await put("d/1", 4)
    return names | {"b/3"}


@pytest.mark.parametrize("unnamed", [True, False])
@pytest_twisted.ensureDeferred
async def test_what_was_acknowledged_survives_every_crash(
    local: Any, recorder: Any, ways: Any, path: Path, unnamed: bool
) -> None:
    local._unnamed = unnamed
    names = await story(local, recorder, ways)
    states, wrong = violations(recorder.steps, os.stat(path / "blobs").st_ino, names)
    assert not wrong
    assert states > 500
    assert {name for name in names if (path / "blobs" / name).exists()} == names - {f"d/{n}" for n in (0, *range(2, 8))}


@pytest.mark.parametrize("kind", ["files", "directories", "new directories"])
@pytest_twisted.ensureDeferred
async def test_a_backend_that_forgets_an_fsync_is_found_out(
    local: Any, recorder: Any, ways: Any, path: Path, kind: str
) -> None:
    above = os.stat(path / "blobs").st_ino

    def skipped(call: str, fd: int) -> bool:
        status = os.fstat(fd)
        directory = status.st_mode & 0o170000 == 0o040000
        return {"files": not directory, "directories": directory, "new directories": status.st_ino == above}[kind]

    recorder.skipped = skipped
    names = await story(local, recorder, ways)
    assert violations(recorder.steps, above, names)[1]


@pytest_twisted.ensureDeferred
async def test_a_small_blob_costs_one_fsync_of_the_file_then_one_of_its_directory(
    local: Any, recorder: Any, ways: Any, path: Path
) -> None:
    await ways.put(local, "lease/0", b"the directory is there now")
    recorder.restart()
    await ways.put(local, "lease/1", b"x" * 1024 * 1024)
    file, lease = (os.stat(path / "blobs" / name).st_ino for name in ("lease/1", "lease"))
    assert [(step.call, step.files) for step in recorder.steps] == [
        ("open", (file,)),
        ("writev", (file,)),
        ("fsync", (file,)),
        ("fsynced", (file,)),
        ("link", (lease, file)),
        ("fsync", (lease,)),
        ("fsynced", (lease,)),
    ]
