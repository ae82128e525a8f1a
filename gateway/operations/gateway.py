"""What every operation is given: the rooms below it."""

from __future__ import annotations

import base64
import binascii
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from gateway.catalogue import BlobDoomed, Catalogue, VersionGone
from gateway.errors import S3Error
from gateway.model import Bucket, Reply
from gateway.plugins.location import Location
from gateway.seal import Seal, SealBroken
from gateway.verifier import VerifiedCall


@dataclass(frozen=True, slots=True)
class Gateway:
    """The rooms below the operations. ``locations`` by name; ``default`` names the one for new buckets.

    ``hosts``: the location of new buckets by the host name that the client calls, where tahoe.cfg has such a section.
    """

    catalogue: Catalogue
    locations: Mapping[str, Location]
    default: str
    seal: Seal
    region: str = "us-east-1"
    hosts: Mapping[str, str] = field(default_factory=dict)
    verify_reads: bool = True  # a block's CRC is checked before the block is sent
    clock: Callable[[], float] = time.time

    def location(self, name: str) -> Location:
        """The configured location of that name; a row may name one that the operator took out of tahoe.cfg."""
        found = self.locations.get(name)
        if found is None:
            raise S3Error("ServiceUnavailable", cause=f"location {name!r} is not in tahoe.cfg any more")
        return found

    def location_for(self, constraint: str, host: str) -> str:
        """Where a new bucket lives: where its LocationConstraint says, else where the host does, else the default.

        With one location any constraint is only remembered, as clients expect of any region's name.
        """
        if constraint in self.locations:
            return constraint
        if constraint not in ("", self.region) and len(self.locations) > 1:
            raise S3Error("InvalidLocationConstraint", fields={"LocationConstraint": constraint})
        name, colon, port = host.lower().rpartition(":")
        return self.hosts.get(name if colon and port.isdigit() else host.lower(), self.default)

    def seal_token(self, purpose: bytes, place: bytes) -> str:
        """A continuation token: where the next page starts, readable and forgeable by nobody but us."""
        return base64.urlsafe_b64encode(self.seal.close(place, purpose)).decode()

    def open_token(self, purpose: bytes, token: str) -> bytes:
        """The place that a token of ours names; InvalidArgument for anything else."""
        try:
            return self.seal.open(base64.b64decode(token, altchars=b"-_", validate=True), purpose)
        except (binascii.Error, ValueError, SealBroken):
            raise S3Error("InvalidArgument", "The continuation token provided is incorrect") from None


_TRIES = 10

Operation = Callable[[Gateway, VerifiedCall, Bucket | None], Awaitable[Reply]]


def found_again(operation: Operation) -> Operation:
    """The operation, begun anew where what it found was replaced before it could be read or referred to."""

    async def again(gateway: Gateway, call: VerifiedCall, bucket: Bucket | None) -> Reply:
        for _ in range(_TRIES):
            try:
                return await operation(gateway, call, bucket)
            except (VersionGone, BlobDoomed):
                continue
        raise S3Error("SlowDown", cause=f"the object was replaced {_TRIES} times while it was being read")

    return again


def the(bucket: Bucket | None) -> Bucket:
    """The bucket of an operation that cannot run without one (the gate has looked it up)."""
    assert bucket is not None, "the gate authorises a bucket before a bucket's operation runs"
    return bucket


def key_of(call: VerifiedCall) -> bytes:
    """The key of an operation that cannot run without one (the route has read it)."""
    key = call.route.key
    assert key is not None, "the route of an object's operation has a key"
    return key


def owner_of(call: VerifiedCall) -> str:
    """The id of the account that signed (the gate lets nobody else this far)."""
    assert call.account is not None, "the gate lets no anonymous call write"
    return call.account.id
