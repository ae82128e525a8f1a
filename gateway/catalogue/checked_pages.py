"""Every page of the catalogue carries a checksum, which SQLite's cksumvfs compares whenever it reads the page.

Without it a flipped bit in a row is served as if it were true: SQLite's own checks see only what breaks the tree.
A page that fails raises apsw.IOError with SQLITE_IOERR_DATA; frames of the log are covered as well.
"""

from __future__ import annotations

import apsw
import apsw.sqlite_extra

from gateway.catalogue.faults import CatalogueFault

VFS = "cksmvfs"
RESERVED = 8  # bytes at the end of each page
_RESERVED_AT = 20  # in the file's header


def checked_pages() -> str:
    """The name of the VFS to open a catalogue with. CatalogueFault where this apsw has none."""
    if VFS not in apsw.vfs_names():
        connection = apsw.Connection(":memory:")
        try:
            apsw.sqlite_extra.load(connection, "cksumvfs")
        except (LookupError, apsw.sqlite_extra.NotAvailable) as fault:
            raise CatalogueFault(
                "this apsw has no cksumvfs, which checks the catalogue's pages; install it from its wheel"
                " (pip install --force-reinstall --only-binary apsw apsw)"
            ) from fault
        finally:
            connection.close()
    return VFS


def reserve(connection: apsw.Connection) -> None:
    """Room for checksums in every page: from birth on, or by one VACUUM for a catalogue that was made without."""
    connection.reserve_bytes("main", RESERVED)
    if connection.pragma("page_count") and _reserved(connection.filename) != RESERVED:
        connection.execute("VACUUM")


def _reserved(path: str) -> int:
    with open(path, "rb") as file:
        file.seek(_RESERVED_AT)
        return int.from_bytes(file.read(1), "big")
