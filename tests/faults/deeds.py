"""The ten hooks as deeds that can be done under a fault and judged afterwards, by who sees clearly.

Each deed has a blob name of its own. ``prepare`` and ``judge`` go through ``calm``, a location that nothing happens to;
``do`` goes through the one that suffers. ``judge`` is told whether ``do`` succeeded, and tells what is wrong.
"""

from __future__ import annotations

import secrets
from typing import Any

from gateway.bodies import contents
from gateway.errors import BackendError, BlobMissing
from gateway.model import (
    AbortMPURequest,
    ChosenPart,
    CompleteMPURequest,
    CreateMPURequest,
    DeleteRequest,
    GetRequest,
    HeadRequest,
    HealthcheckRequest,
    ListRequest,
    PutRequest,
    UploadPartRequest,
)
from gateway.plugins.location import Location
from gateway.testing.pours import KI, Pour, sample

SMALL = 5 * KI
LARGE = 150 * KI  # streams: cannot be sent again


class Deed:
    """``done``: what ``do`` gave."""

    size = SMALL

    def __init__(self, calm: Location) -> None:
        self.calm = calm
        self.name = f"f{secrets.token_hex(6)}/blob"
        self.data = sample(self.size, secrets.randbits(16))
        self.done: Any = None

    async def prepare(self) -> None:
        """What must be there before."""

    async def do(self, location: Location) -> None:
        raise NotImplementedError

    async def judge(self, succeeded: bool) -> str:
        raise NotImplementedError

    async def put(self, location: Location) -> Any:
        request = PutRequest(name=self.name, body=Pour(self.data), size=len(self.data), metadata={"a": "b"})
        return await location.put(request)

    async def stored(self) -> bytes | None:
        try:
            return await contents(await self.calm.get(GetRequest(name=self.name)))
        except BlobMissing:
            return None


class Put(Deed):
    async def do(self, location: Location) -> None:
        await self.put(location)

    async def judge(self, succeeded: bool) -> str:
        found = await self.stored()
        if found == self.data or (found is None and not succeeded):
            return ""
        return "nothing is stored" if found is None else f"{len(found)} other bytes are stored"


class PutLarge(Put):
    size = LARGE


class Get(Deed):
    """In the way the operations do it: a range that is known to be there."""

    size = LARGE
    start = 10

    async def prepare(self) -> None:
        await self.put(self.calm)

    async def do(self, location: Location) -> None:
        wanted = GetRequest(name=self.name, start=self.start, length=len(self.data) - 2 * self.start)
        found = await location.get(wanted)
        self.done = bytearray()
        assert found.body is not None
        try:
            async for chunk in found.body:
                self.done += chunk
        finally:
            found.body.close()

    async def judge(self, succeeded: bool) -> str:
        wanted = self.data[self.start : -self.start]
        if self.done is None or wanted == self.done or (not succeeded and wanted.startswith(bytes(self.done))):
            return ""
        return f"{len(self.done)} bytes came that are not those that were wanted"


class Head(Deed):
    async def prepare(self) -> None:
        await self.put(self.calm)

    async def do(self, location: Location) -> None:
        self.done = await location.head(HeadRequest(name=self.name))

    async def judge(self, succeeded: bool) -> str:
        if not succeeded or (self.done.size, dict(self.done.metadata)) == (len(self.data), {"a": "b"}):
            return ""
        return f"it is told to be {self.done}"


class Delete(Deed):
    async def prepare(self) -> None:
        await self.put(self.calm)

    async def do(self, location: Location) -> None:
        await location.delete(DeleteRequest(name=self.name))

    async def judge(self, succeeded: bool) -> str:
        return "it is still there" if succeeded and await self.stored() is not None else ""


class List(Deed):
    async def prepare(self) -> None:
        await self.put(self.calm)

    async def do(self, location: Location) -> None:
        self.done = await location.list(ListRequest(prefix=self.name[:8]))

    async def judge(self, succeeded: bool) -> str:
        if not succeeded or [(blob.name, blob.size) for blob in self.done.blobs] == [(self.name, len(self.data))]:
            return ""
        return f"the list is {self.done}"


class Healthcheck(Deed):
    async def do(self, location: Location) -> None:
        await location.healthcheck(HealthcheckRequest(probe=self.name))

    async def judge(self, succeeded: bool) -> str:
        return "the probe is still there" if succeeded and await self.stored() is not None else ""


class Upload(Deed):
    """An upload of one part."""

    size = LARGE

    async def create(self, location: Location) -> None:
        self.token = (await location.createMPU(CreateMPURequest(name=self.name, metadata={"a": "b"}))).token

    async def part(self, location: Location) -> None:
        part = UploadPartRequest(name=self.name, token=self.token, number=1, body=Pour(self.data), size=len(self.data))
        self.receipt = (await location.uploadPart(part)).receipt

    async def complete(self, location: Location) -> None:
        chosen = ChosenPart(number=1, size=len(self.data), receipt=self.receipt)
        await location.completeMPU(CompleteMPURequest(name=self.name, token=self.token, parts=(chosen,)))

    async def end(self, location: Location) -> None:
        await location.abortMPU(AbortMPURequest(name=self.name))

    async def ended(self) -> str:
        """Nothing is left of it, so that it cannot be completed."""
        try:
            await self.complete(self.calm)
        except BackendError:
            return ""
        return "it can be completed although it was ended"

    async def completes(self) -> str:
        """All is well: the rest can be done, and done again."""
        for _ in range(2):
            await self.complete(self.calm)
        return "" if await self.stored() == self.data else "other bytes were joined"


class CreateMPU(Upload):
    async def do(self, location: Location) -> None:
        await self.create(location)

    async def judge(self, succeeded: bool) -> str:
        if succeeded:
            await self.part(self.calm)
            return await self.completes()
        await self.end(self.calm)
        return ""


class UploadPart(Upload):
    async def prepare(self) -> None:
        await self.create(self.calm)

    async def do(self, location: Location) -> None:
        await self.part(location)

    async def judge(self, succeeded: bool) -> str:
        if not succeeded:  # what a client does
            await self.part(self.calm)
        return await self.completes()


class CompleteMPU(Upload):
    async def prepare(self) -> None:
        await self.create(self.calm)
        await self.part(self.calm)

    async def do(self, location: Location) -> None:
        await self.complete(location)

    async def judge(self, succeeded: bool) -> str:
        if succeeded and await self.stored() != self.data:
            return "it is said to be complete and is not"
        return await self.completes()


class AbortMPU(CompleteMPU):
    async def do(self, location: Location) -> None:
        await self.end(location)

    async def judge(self, succeeded: bool) -> str:
        if not succeeded:
            await self.end(self.calm)
        return await self.ended()


DEEDS: dict[str, type[Deed]] = {
    "put": Put,
    "put-large": PutLarge,
    "get": Get,
    "head": Head,
    "delete": Delete,
    "list": List,
    "healthcheck": Healthcheck,
    "createMPU": CreateMPU,
    "uploadPart": UploadPart,
    "completeMPU": CompleteMPU,
    "abortMPU": AbortMPU,
}
