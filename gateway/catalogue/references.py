"""A blob's counted references, changed only inside a committing transaction: live while counted, then doomed.

A doomed blob never lives again: the reaper may be deleting its bytes right now.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import apsw


class BlobDoomed(Exception):
    """A version wants to refer to a blob that is doomed or gone (the source of a copy was deleted meanwhile)."""


def refer(connection: apsw.Connection, location: str, name: str, is_new: Callable[[str], bool]) -> None:
    """One more reference. Only a name for which ``is_new`` may be without a row: a gone blob has none either.

    Raises BlobDoomed.
    """
    connection.execute(
        "UPDATE blobs SET refs = refs + 1 WHERE location = ? AND name = ? AND doomed IS NULL", (location, name)
    )
    if connection.changes():
        return
    if not is_new(name):
        raise BlobDoomed(f"{location}: {name}")
    connection.execute(
        "INSERT INTO blobs (location, name, refs) VALUES (?, ?, 1) ON CONFLICT DO NOTHING", (location, name)
    )
    if not connection.changes():
        raise BlobDoomed(f"{location}: {name}")


def unrefer(connection: apsw.Connection, location: str, names: Iterable[str]) -> None:
    """One reference less for each name (a name may come twice); what has none left is doomed from this epoch on."""
    epoch = 0
    for name in names:
        if not epoch:
            epoch = _next_epoch(connection)
        connection.execute(
            "UPDATE blobs SET refs = refs - 1, doomed = CASE refs WHEN 1 THEN ? END WHERE location = ? AND name = ?",
            (epoch, location, name),
        )


def _next_epoch(connection: apsw.Connection) -> int:
    ((epoch,),) = connection.execute("UPDATE about SET epoch = epoch + 1 RETURNING epoch").fetchall()
    return int(epoch)  # type: ignore[arg-type]
