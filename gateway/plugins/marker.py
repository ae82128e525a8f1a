"""Whose storage is this? A blob with the catalogue's id, so that two gateways never share one storage unknowingly.

(The Tahoe-LAFS page on cloud storage: "multiple storage servers cannot share the same bucket".) It also tells how many
changes the catalogue had committed some while ago: one that knows fewer is an old copy, and would take what was written
since for garbage.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

from gateway.bodies import BytesBody, contents
from gateway.errors import BackendUnfit, BlobExists, BlobMissing
from gateway.model import GetRequest, PutRequest
from gateway.plugins.location import Location

MARKER = "gatewayowner"
FIX_OF_LOSS = (
    "put the newest copy of the data folder back, or `gateway restore`; to go on without what is missing:"
    " `gateway reap --accept-loss`"
)
LARGEST = 4096  # a marker of ours is far smaller; whatever is larger is not read


class ForeignStorage(BackendUnfit):
    """The storage belongs to another gateway, or holds something else under the marker's name."""


class Forgotten(BackendUnfit):
    """The storage has seen ``changes`` of our catalogue, of which our catalogue does not know all."""

    changes = 0


@dataclass(frozen=True, slots=True)
class Mark:
    """``catalogue``: the id of the owner; ``changes``: how many it had committed when it last said so."""

    catalogue: str
    changes: int


async def claim(location: Location, catalogue_id: str, changes: Callable[[], int] = lambda: 0) -> None:
    """Mark the location as this catalogue's; fine where it is already. Raises ForeignStorage, Forgotten, and backend
    errors.

    ``changes`` is asked after the marker was read, which another process of this gateway may have moved on just before.
    It looks before it writes, so that a storage that is full or read-only still serves what it has.
    """
    found = await peek(location)
    if found is None:
        try:
            await _write(location, Mark(catalogue_id, changes()), if_absent=True)
            return
        except BlobExists:
            found = await peek(location)
    compare(location, found, catalogue_id, changes())


def compare(location: Location, found: Mark | None, catalogue_id: str, changes: int) -> None:
    """Raises ForeignStorage, Forgotten."""
    if found is None or found.catalogue != catalogue_id:
        owner = found and found.catalogue
        raise ForeignStorage(
            f"location {location.name!r} belongs to another gateway (catalogue {owner}, ours is {catalogue_id})",
            fix="give this gateway a storage of its own, or bring back the catalogue it had with `gateway restore`",
        )
    if found.changes > changes:
        forgotten = Forgotten(
            f"location {location.name!r} has seen {found.changes} changes, of which the catalogue knows {changes}",
            fix=FIX_OF_LOSS,
        )
        forgotten.changes = found.changes
        raise forgotten


async def advance(location: Location, catalogue_id: str, changes: int) -> None:
    """Say how far the catalogue is. ForeignStorage where the location is another's meanwhile, and backend errors."""
    found = await peek(location)
    compare(location, found, catalogue_id, max(changes, found.changes if found else 0))
    await _write(location, Mark(catalogue_id, changes))


async def _write(location: Location, mark: Mark, *, if_absent: bool = False) -> None:
    text = json.dumps({"catalogue": mark.catalogue, "changes": mark.changes}).encode()
    await location.put(PutRequest(name=MARKER, body=BytesBody(text), size=len(text), if_absent=if_absent))


async def peek(location: Location) -> Mark | None:
    """Who owns the location, None where nobody does. Raises ForeignStorage on nonsense."""
    try:
        found = await location.get(GetRequest(name=MARKER, length=LARGEST))
    except BlobMissing:
        return None
    text = await contents(found)
    try:
        told = json.loads(text)
        return Mark(str(told["catalogue"]), int(told.get("changes", 0)))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ForeignStorage(
            f"location {location.name!r} holds a blob {MARKER!r} that no gateway wrote",
            fix="give this gateway a storage of its own",
        ) from None
