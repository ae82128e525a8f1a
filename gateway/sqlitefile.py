"""An SQLite file that several processes may write: commits survive power loss, and every page carries a checksum.

WAL with ``synchronous=FULL``: a commit that returned is on the disk. SQLite before 3.51.3 is refused, because it can
corrupt a log that several connections write (sqlite.org/wal.html, "the WAL-reset bug"). SQLite's cksumvfs compares a
page's checksum whenever it reads the page: without it a flipped bit in a row is served as if it were true, for
SQLite's own checks see only what breaks the tree. A page that fails raises apsw.IOError with SQLITE_IOERR_DATA. Pages
that lie in the log have no such checksum yet: they get it on their way into the file, and the log's own are compared
only when a start recovers it.

All calls block. They raise apsw.Error, OSError, and SqliteUnfit, whose text tells the operator what is wrong.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import apsw
import apsw.sqlite_extra

OLDEST_SQLITE = (3, 51, 3)
VFS = "cksmvfs"
RESERVED = 8  # bytes at the end of each page
PATIENCE = 30.0  # seconds: other processes write too; theirs are groups of a few milliseconds
MOUNTS = Path("/proc/self/mountinfo")
# Whose locks and shared memory SQLite cannot rely on (sqlite.org/wal.html, sqlite.org/lockingv3.html).
NETWORK = frozenset(
    "9p afs beegfs ceph cifs coda fuse gfs2 glusterfs gpfs lustre ncpfs nfs nfs4 ocfs2 orangefs smb3 smbfs".split()
)
_FIRST_WAIT, _LONGEST_WAIT = 0.0005, 0.02


class SqliteUnfit(Exception):
    """The file cannot be used: this SQLite, this file system or the file itself is not fit for it."""


def create(path: Path) -> None:
    """Make an empty file, readable by nobody else, that survives power loss; fine where there is one already.

    One that exists is not opened: closing it again would drop the locks of this process's other connections.
    """
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def connect(path: Path, *, patience: float = PATIENCE, flags: int = 0) -> apsw.Connection:
    """A connection that may write; it waits up to ``patience`` seconds for others. ``flags``: more of SQLITE_OPEN."""
    version = apsw.sqlite_lib_version()
    if tuple(map(int, version.split("."))) < OLDEST_SQLITE:
        oldest = ".".join(map(str, OLDEST_SQLITE))
        raise SqliteUnfit(f"SQLite {version} may corrupt {path.name}; {oldest} or newer is needed")
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE | flags, vfs=checked_pages())
    connection.set_busy_handler(_waiting(patience))
    connection.pragma("synchronous", "full")
    # Without it SQLite looks at the bound values and plans joins anew with every call: 21 us instead of 4 for a find.
    connection.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)
    return connection


def _waiting(patience: float) -> Callable[[int], bool]:
    """A busy handler. SQLite's own waits longer each time, up to 0.1 s: a process that always comes a moment too late
    was seen to wait for 2 s behind one that commits group after group; so, 0.1 s."""
    began = 0.0

    def wait(turn: int) -> bool:
        nonlocal began
        now = time.monotonic()
        if turn == 0:
            began = now
        if now - began >= patience:
            return False
        time.sleep(min(_FIRST_WAIT * (1 + turn // 50), _LONGEST_WAIT))
        return True

    return wait


def use_wal(connection: apsw.Connection, *, patience: float = PATIENCE) -> None:
    """Switch to write-ahead logging. SQLite does not wait for a lock here, and other processes start at the same
    time: so wait ourselves, up to ``patience`` seconds."""
    end = time.monotonic() + patience
    while True:
        try:
            mode = connection.pragma("journal_mode", "wal")
        except apsw.BusyError:
            if time.monotonic() > end:
                raise
            time.sleep(0.01)
            continue
        if mode != "wal":
            raise SqliteUnfit(f"{connection.filename}: this file system has no write-ahead log (got {mode!r})")
        return


def migrate(connection: apsw.Connection, steps: Sequence[str], *, mark: int, what: str) -> None:
    """Run the steps that the file has not seen, each in one transaction with its number (``user_version``), so that
    an interruption leaves the old schema or the new one. ``mark`` (``application_id``) tells our file from another
    program's; ``what`` it is, for the text of SqliteUnfit."""
    while True:
        if (connection.pragma("application_id"), connection.pragma("user_version")) == (mark, len(steps)):
            return  # without a lock, for which a process that was stopped would let us wait
        with Exclusive(connection):  # inside, so that two processes that start together do not run a step twice
            seen = connection.pragma("user_version")
            found = connection.pragma("application_id")
            if found != mark and (found or seen or connection.pragma("schema_version")):
                raise SqliteUnfit(f"{connection.filename}: not {what} of this gateway")
            if seen > len(steps):
                known = f"schema {seen}, this one knows {len(steps)}"
                raise SqliteUnfit(f"{connection.filename}: written by a newer gateway ({known})")
            if seen == len(steps):
                return
            connection.execute(steps[seen]).fetchall()
            connection.pragma("application_id", mark)
            connection.pragma("user_version", seen + 1)


class Exclusive:
    """One transaction, for the few changes made before the writer thread runs."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection

    def __enter__(self) -> None:
        self._connection.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._connection.in_transaction:
            self._connection.execute("COMMIT" if kind is None else "ROLLBACK")


# ---------------------------------------------------------------- pages with checksums


def checked_pages() -> str:
    """The name of the VFS to open a file with."""
    if VFS not in apsw.vfs_names():
        connection = apsw.Connection(":memory:")
        try:
            apsw.sqlite_extra.load(connection, "cksumvfs")
        except (LookupError, apsw.sqlite_extra.NotAvailable) as fault:
            raise SqliteUnfit(
                "this apsw has no cksumvfs, which checks the pages of databases; install it from its wheel"
                " (pip install --force-reinstall --only-binary apsw apsw)"
            ) from fault
        finally:
            connection.close()
    return VFS


def reserve(connection: apsw.Connection) -> None:
    """Room for checksums in every page: from birth on, or by one VACUUM for a file that was made without."""
    pages = connection.pragma("page_count")
    found = connection.reserve_bytes("main", -1)  # before ours is asked for: the header's
    connection.reserve_bytes("main", RESERVED)
    if pages and found != RESERVED:
        connection.execute("VACUUM")


# ---------------------------------------------------------------- what kind of disk


def kind_of_disk(path: Path, mounts: str) -> tuple[str, str]:
    """The type of the file system that holds a path, and where it is mounted; from the text of a mountinfo file."""
    real = os.path.realpath(path)
    best = ("?", "/")
    for line in mounts.splitlines():
        left, _, right = line.partition(" - ")
        fields = left.split(" ")
        if len(fields) < 5 or not right:
            continue
        point = re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), fields[4])
        inside = point == "/" or real == point or real.startswith(f"{point}/")
        if inside and len(point) >= len(best[1]):  # a later mount lies over an earlier one
            best = (right.split(" ")[0], point)
    return best


def is_network(kind: str) -> bool:
    """Whether a file system of this type is shared by machines: SQLite's locks do not hold there."""
    return kind in NETWORK or kind.startswith("fuse.")


def network_disk(path: Path) -> str:
    """Which network disk a path lies on, as in "nfs4 at /mnt", or ""."""
    try:
        kind, point = kind_of_disk(path, MOUNTS.read_text(errors="surrogateescape"))
    except OSError:  # no Linux, or no /proc: nobody tells
        return ""
    return f"{kind} at {point}" if is_network(kind) else ""


# ---------------------------------------------------------------- for plugins


class SqliteFile:
    """A file of a backend's own, which several processes and several connections of each may have open.

    ``mark``, ``steps``, ``what``: see ``migrate``. No link is followed to it. Below its folder nothing is followed
    either, so ``path`` is resolved beforehand.
    """

    def __init__(self, path: Path, *, mark: int, steps: Sequence[str], what: str) -> None:
        self.path = path
        self._mark = mark
        self._steps = steps
        self._what = what

    def prepare(self) -> None:
        """Make it where it is missing, and bring it up to date. Power loss at any moment leaves nothing in between."""
        create(self.path)
        connection = self.connect()
        try:
            reserve(connection)
            use_wal(connection)
            migrate(connection, self._steps, mark=self._mark, what=self._what)
        finally:
            connection.close()

    def connect(self, *, patience: float = PATIENCE) -> apsw.Connection:
        """See ``connect``."""
        return connect(self.path, patience=patience, flags=apsw.SQLITE_OPEN_NOFOLLOW)
