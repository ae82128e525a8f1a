"""Whether what a service keeps is what was sent to it: digests of a body on its way, and what the service tells."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import AsyncIterator, Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread

from gateway.errors import BackendDown
from gateway.model import Body
from gateway.wire import checksums

_INLINE = 64 * 1024  # MD5 of more takes longer than a thread's hop


class Sent:
    """A body that passes through unchanged; ``md5()`` after its end is that of all its bytes, in hex.

    Most bodies of the gateway take their MD5 anyway, for an ETag: these have an attribute ``md5`` to be called after
    the end, and it costs nothing. Of the others it is taken here. ``crc``: take a CRC-64/NVME as well.
    """

    def __init__(self, body: Body, crc: bool = False) -> None:
        self.size = body.size
        self._body = body
        self._told: Callable[[], str] | None = getattr(body, "md5", None)
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._crc = checksums.new("CRC64NVME") if crc else None

    async def __aiter__(self) -> AsyncIterator[bytes]:
        hashing: Deferred[Any] | None = None
        async for chunk in self._body:
            if self._crc is not None:
                self._crc.update(chunk)
            if hashing is not None:
                await hashing
                hashing = None
            if self._told is None and len(chunk) > _INLINE:
                hashing = deferToThread(self._md5.update, chunk)
            elif self._told is None:
                self._md5.update(chunk)
            yield chunk
        if hashing is not None:
            await hashing

    def md5(self) -> str:
        return self._md5.hexdigest() if self._told is None else self._told()

    def crc64(self) -> str:
        """In base64 with the lowest byte first, as Azure writes it."""
        assert self._crc is not None
        return base64.b64encode(self._crc.digest()[::-1]).decode()

    def close(self) -> None:
        self._body.close()


class Arrivals:
    """One service's word on what arrived, believed as soon as it was right once.

    For some services' digests are those of other bytes (an ETag of S3 where a key of KMS encrypts): these never match,
    and say nothing.
    """

    def __init__(self) -> None:
        self.believed = False

    def check(self, name: str, told: str, sent: str) -> None:
        """Raises BackendDown where the service keeps other bytes than were sent."""
        if told == sent:
            self.believed = True
        elif self.believed:
            raise damaged(name, told, sent)


def damaged(name: str, told: str, sent: str) -> BackendDown:
    return BackendDown(f"{name} was damaged on the way: the service keeps {told[:100]}, {sent} was sent")
