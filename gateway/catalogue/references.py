"""A blob's counted references, changed only inside a committing transaction: live while counted, then doomed.

They are counted down by a trigger, with the pieces of a version that ends (``schema``). A doomed blob never lives
again: the reaper may be deleting its bytes right now.
"""

from __future__ import annotations

from collections.abc import Callable

import apsw

_REFER = "UPDATE blobs SET refs = refs + 1 WHERE location = ? AND name = ? AND doomed IS NULL"
_REFER_NEW = (
    "INSERT INTO blobs (location, name, refs) VALUES (?, ?, 1)"
    " ON CONFLICT DO UPDATE SET refs = refs + 1 WHERE doomed IS NULL"
)


class BlobDoomed(Exception):
    """A version wants to refer to a blob that is doomed or gone (the source of a copy was deleted meanwhile)."""


def refer(connection: apsw.Connection, location: str, name: str, is_new: Callable[[str], bool]) -> None:
    """One more reference. Only a name for which ``is_new`` may be without a row: a gone blob has none either.

    Raises BlobDoomed.
    """
    connection.execute(_REFER_NEW if is_new(name) else _REFER, (location, name))
    if not connection.changes():
        raise BlobDoomed(f"{location}: {name}")
