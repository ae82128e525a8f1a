"""What a disk may hold after power loss: what was synced, and any part of what was not.

Two recorders write down what goes to the disk: a stand-in for ``os`` in the local backend's rooms, and an SQLite VFS
below the catalogue and the backend's small blobs. ``Disk`` replays their events up to a moment; ``states`` are folders
that a power cut at that moment may leave.
"""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import apsw

TORN = (512, 4096)  # bytes that a disk writes in one go


@dataclass(frozen=True, slots=True)
class Write:
    """Bytes of a file at an offset; ``data`` None: the file was cut to ``at`` bytes."""

    file: Any
    at: int
    data: bytes | None


@dataclass(frozen=True, slots=True)
class Entry:
    """A name in a directory leads to a file from now on, or to nothing."""

    directory: Any
    name: str
    file: Any


@dataclass(frozen=True, slots=True)
class Synced:
    """What was done to a file or directory before event number ``before`` is on the disk."""

    file: Any
    before: int


@dataclass(frozen=True, slots=True)
class Told:
    """Not the disk's: a client asked for (``done`` False) or was told of a change of a key."""

    key: str
    value: str | None
    done: bool


Event = Write | Entry | Synced | Told


class Recording:
    """The events of all threads in their order. ``skips`` says which syncs are left out, for negative controls."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.skips: Callable[[Any], bool] = lambda file: False
        self.lock = threading.RLock()

    def add(self, event: Event) -> None:
        with self.lock:
            self.events.append(event)

    def sync(self, file: Any, work: Callable[[], None]) -> None:
        """Do a sync: it covers what came before it began, and holds when it has ended."""
        if self.skips(file):
            return
        with self.lock:
            before = len(self.events)
        work()
        self.add(Synced(file, before))


class Os:
    """``os`` for the rooms of the local backend. A file is known by a number that is never used again."""

    def __init__(self, recording: Recording, root: Path) -> None:
        self._recording = recording
        self._root = str(root)
        self._names: dict[int, int] = {}  # inode -> number
        self._sizes: dict[int, int] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def _of(self, fd: int, fresh: bool = False) -> int:
        """An inode's number comes again when its file is gone; ours do not."""
        inode = os.fstat(fd).st_ino
        if fresh or inode not in self._names:
            self._names[inode] = len(self._sizes) + 1
            self._sizes[self._names[inode]] = 0
        return self._names[inode]

    def open(self, path: Any, flags: int, *args: Any, **kwargs: Any) -> int:
        with self._recording.lock:
            fd = os.open(path, flags, *args, **kwargs)
            if flags & os.O_TMPFILE == os.O_TMPFILE:
                self._of(fd, fresh=True)
            elif flags & os.O_CREAT:
                self._recording.add(Entry(self._of(kwargs["dir_fd"]), path, self._of(fd, fresh=True)))
            elif str(path) == self._root:
                self._names.setdefault(os.fstat(fd).st_ino, 0)
            return fd

    def mkdir(self, path: Any, *args: Any, **kwargs: Any) -> None:
        with self._recording.lock:
            os.mkdir(path, *args, **kwargs)
            if "dir_fd" not in kwargs:
                return  # the folder itself; its parent is synced, which the backend's own tests prove
            fd = os.open(path, os.O_RDONLY, dir_fd=kwargs["dir_fd"])
            try:
                number = -self._of(fd, fresh=True)
                self._names[os.fstat(fd).st_ino] = number
                self._recording.add(Entry(self._of(kwargs["dir_fd"]), path, number))
            finally:
                os.close(fd)

    def writev(self, fd: int, buffers: Any) -> int:
        with self._recording.lock:
            wrote = os.writev(fd, buffers)
            number = self._of(fd)
            data = b"".join(bytes(each) for each in buffers)[:wrote]
            self._recording.add(Write(number, self._sizes[number], data))
            self._sizes[number] += wrote
            return wrote

    def fsync(self, fd: int) -> None:
        self._recording.sync(self._of(fd), lambda: os.fsync(fd))

    def link(self, source: str, name: str, *, src_dir_fd: int, dst_dir_fd: int, follow_symlinks: bool) -> None:
        with self._recording.lock:
            os.link(source, name, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd, follow_symlinks=follow_symlinks)
            number = self._names[os.stat(name, dir_fd=dst_dir_fd).st_ino]
            self._recording.add(Entry(self._of(dst_dir_fd), name, number))

    def rename(self, source: str, name: str, *, src_dir_fd: int, dst_dir_fd: int) -> None:
        with self._recording.lock:
            number = self._names[os.stat(source, dir_fd=src_dir_fd).st_ino]
            os.rename(source, name, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)
            self._recording.add(Entry(self._of(dst_dir_fd), name, number))
            self._recording.add(Entry(self._of(src_dir_fd), source, None))

    def unlink(self, name: str, *, dir_fd: int) -> None:
        with self._recording.lock:
            os.unlink(name, dir_fd=dir_fd)
            self._recording.add(Entry(self._of(dir_fd), name, None))

    def rmdir(self, name: str, *, dir_fd: int) -> None:
        with self._recording.lock:
            os.rmdir(name, dir_fd=dir_fd)
            self._recording.add(Entry(self._of(dir_fd), name, None))


class _File(apsw.VFSFile):
    def __init__(self, vfs: RecordingVFS, recording: Recording, name: Any, flags: list[int]) -> None:
        path = name if isinstance(name, str) or name is None else name.filename()
        self._name = Path(path).name if path else ""
        self._vfs = vfs
        self._recording = recording
        # SQLite's first sync of a new log or journal syncs the directory as well (unixSync in os_unix.c).
        self._new = self._name.endswith(("-wal", "-journal"))
        super().__init__("unix", name, flags)

    def xWrite(self, data: bytes, offset: int) -> None:
        with self._recording.lock:
            super().xWrite(data, offset)
            if self._name:  # what has none is gone with its process
                self._recording.add(Write(self._name, offset, bytes(data)))

    def xTruncate(self, size: int) -> None:
        with self._recording.lock:
            super().xTruncate(size)
            if self._name:
                self._recording.add(Write(self._name, size, None))

    def xSync(self, flags: int) -> None:
        self._recording.sync(self._name, lambda: super(_File, self).xSync(flags))
        if self._new:
            self._new = False
            self._vfs.sync_deleted()


class RecordingVFS(apsw.VFS):
    """SQLite's own files, with every write and sync told. In use from its making until ``unregister``."""

    def __init__(self, recording: Recording) -> None:
        self._recording = recording
        self._deleted: list[str] = []
        super().__init__("recording", "unix", makedefault=True)

    def xOpen(self, name: Any, flags: list[int]) -> _File:
        return _File(self, self._recording, name, flags)

    def xDelete(self, name: str, syncdir: bool) -> None:
        """A file without bytes is no file, as far as SQLite's are concerned."""
        with self._recording.lock:
            super().xDelete(name, syncdir)
            self._recording.add(Write(Path(name).name, 0, None))
            self._deleted.append(Path(name).name)
            if syncdir:
                self.sync_deleted()

    def sync_deleted(self) -> None:
        """Their directory is synced: deleted files stay so."""
        with self._recording.lock:
            for name in self._deleted:
                self._recording.add(Synced(name, len(self._recording.events)))
            self._deleted.clear()


@dataclass(slots=True)
class Disk:
    """What is certain after the events so far (``kept``), and what may or may not be (``pending``, by number)."""

    kept: list[Write | Entry] = field(default_factory=list)
    pending: dict[int, Write | Entry] = field(default_factory=dict)

    def step(self, number: int, event: Event) -> None:
        if isinstance(event, Write | Entry):
            self.pending[number] = event
        elif isinstance(event, Synced):
            for at in [at for at, each in self.pending.items() if at < event.before and _place(each) == event.file]:
                self.kept.append(self.pending.pop(at))

    def states(self, draw: random.Random) -> Iterator[tuple[Write | Entry, ...]]:
        """What of the pending may have reached the disk, each choice once."""
        seen, known = set(), {id(each) for each in self.pending.values()}
        for chosen in self._choices(draw):
            mark = tuple((id(each) if id(each) in known else hash(each)) for each in chosen)
            if mark not in seen:
                seen.add(mark)
                yield chosen

    def _choices(self, draw: random.Random) -> Iterator[tuple[Write | Entry, ...]]:
        """Nothing, all, each alone, all but each (at most sixteen of these), four random ones, the last write torn."""
        left = list(self.pending.values())
        yield ()
        yield tuple(left)
        for at in sorted(draw.sample(range(len(left)), min(16, len(left)))):
            yield (left[at],)
            yield (*left[:at], *left[at + 1 :])
        for _ in range(4):
            yield tuple(each for each in left if draw.random() < 0.5)
        last = max((at for at, each in enumerate(left) if isinstance(each, Write) and each.data), default=-1)
        if last >= 0:
            whole = left[last]
            assert isinstance(whole, Write) and whole.data is not None
            for unit in TORN:
                if len(whole.data) > unit:
                    part = Write(whole.file, whole.at, whole.data[: len(whole.data) // 2 // unit * unit or unit])
                    yield (*left[:last], part)

    def lay_out(self, chosen: tuple[Write | Entry, ...], data: Path, storage: Path) -> None:
        """Make the folders that this state is."""
        files: dict[Any, bytearray] = {}
        entries: dict[tuple[Any, str], Any] = {}
        for event in (*self.kept, *chosen):
            if isinstance(event, Entry):
                entries[event.directory, event.name] = event.file
            else:
                _apply(files.setdefault(event.file, bytearray()), event)
        data.mkdir(parents=True)
        (data / "catalogue.sqlite").write_bytes(b"")
        _tree(0, storage, files, entries)
        for name, content in files.items():
            if isinstance(name, str) and content:
                ((storage if is_of_rows(name) else data) / name).write_bytes(content)


def is_of_rows(file: Any) -> bool:
    """The database of small blobs, or its log."""
    return isinstance(file, str) and file.startswith("small.sqlite")


def _place(event: Write | Entry) -> Any:
    return event.file if isinstance(event, Write) else event.directory


def _apply(content: bytearray, event: Write) -> None:
    if event.data is None:
        del content[event.at :]
        return
    if len(content) < event.at:
        content.extend(bytes(event.at - len(content)))
    content[event.at : event.at + len(event.data)] = event.data


def _tree(directory: Any, path: Path, files: dict[Any, bytearray], entries: dict[tuple[Any, str], Any]) -> None:
    path.mkdir()
    for (where, name), file in entries.items():
        if where != directory or file is None:
            continue
        if file < 0:
            _tree(file, path / name, files, entries)
        else:
            (path / name).write_bytes(files.get(file, b""))
