"""Whose storage is this? A blob with the catalogue's id, so that two gateways never share one storage unknowingly.

(The Tahoe-LAFS page on cloud storage: "multiple storage servers cannot share the same bucket".)
"""

from __future__ import annotations

import json

from gateway.bodies import BytesBody, contents
from gateway.errors import BackendUnfit, BlobExists, BlobMissing
from gateway.model import GetRequest, PutRequest
from gateway.plugins.location import Location

MARKER = "gatewayowner"
LARGEST = 4096  # a marker of ours is far smaller; whatever is larger is not read


class ForeignStorage(BackendUnfit):
    """The storage belongs to another gateway, or holds something else under the marker's name."""


async def claim(location: Location, catalogue_id: str) -> None:
    """Mark the location as this catalogue's; fine where it is already. Raises ForeignStorage, and backend errors."""
    text = json.dumps({"catalogue": catalogue_id}).encode()
    try:
        await location.put(PutRequest(name=MARKER, body=BytesBody(text), size=len(text), if_absent=True))
    except BlobExists:
        owner = await peek(location)
        if owner != catalogue_id:
            raise ForeignStorage(
                f"location {location.name!r} belongs to another gateway (catalogue {owner}, ours is {catalogue_id})",
                fix=f"give this gateway a storage of its own, or delete the blob {MARKER!r} if that gateway is gone",
            ) from None


async def peek(location: Location) -> str | None:
    """The id of the catalogue that owns the location, None where nobody does. Raises ForeignStorage on nonsense."""
    try:
        found = await location.get(GetRequest(name=MARKER, length=LARGEST))
    except BlobMissing:
        return None
    text = await contents(found)
    try:
        return str(json.loads(text)["catalogue"])
    except (ValueError, KeyError, TypeError):
        raise ForeignStorage(
            f"location {location.name!r} holds a blob {MARKER!r} that no gateway wrote",
            fix="give this gateway a storage of its own",
        ) from None
