"""Forgets what nobody refers to any more: doomed blobs, uploads that ended or were left, names of dead processes.

It deletes only names that this gateway's own catalogue issued, never below a running GET, and never before the process
that took a name is known to be dead. What it does not know it leaves alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from twisted.internet import task
from twisted.internet.defer import Deferred, DeferredSemaphore, gatherResults
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from gateway.catalogue import Catalogue
from gateway.errors import BackendDown, BackendError
from gateway.model import DeleteRequest, ListRequest
from gateway.operations.store import end_upload
from gateway.plugins.location import Location
from gateway.plugins.marker import advance

log = Logger()
_BATCH = 1000
_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Reaped:
    """What one pass did. ``failed`` counts what a storage refused; the next pass tries again."""

    blobs: int = 0
    uploads: int = 0
    leases: int = 0
    failed: int = 0


class Reaper:
    """Makes passes over the catalogue. Passes run beside serving; only one process of a gateway does it."""

    def __init__(self, catalogue: Catalogue, locations: Mapping[str, Location]) -> None:
        self._catalogue = catalogue
        self._locations = locations
        self._loop = task.LoopingCall(self._pass)
        self._ended: Deferred[task.LoopingCall] | None = None
        self._stopped = False
        self._marked = -1

    def start(self, interval: float, clock: IReactorTime) -> None:
        """A pass now and one every ``interval`` seconds; a pass that takes longer is not overtaken."""
        if self._stopped:
            return
        self._loop.clock = clock
        self._ended = self._loop.start(interval, now=True)

    async def stop(self) -> None:
        """No further pass; waits for the running one."""
        self._stopped = True
        if self._loop.running:
            self._loop.stop()
        if self._ended is not None:
            await self._ended
            await self._mark()

    def _pass(self) -> Deferred[None]:
        done = Deferred.fromCoroutine(self.reap())
        done.addErrback(lambda failure: log.failure("the reaper's pass failed", failure=failure))
        return done.addCallback(lambda _: None)

    async def reap(self) -> Reaped:
        """One pass over everything that is due; nothing at all where the catalogue is doubted."""
        if self._catalogue.condition.doubt:
            return Reaped()
        await self._mark()
        await self._catalogue.blobs.publish()
        uploads, failed_uploads = await self._uploads()
        leases, failed_leases = await self._leases()
        blobs, failed_blobs = await self._doomed()
        return Reaped(blobs, uploads, leases, failed_uploads + failed_leases + failed_blobs)

    async def _mark(self) -> None:
        """Tell each location how far the catalogue is, before what it does not know is taken for garbage."""
        changes = self._catalogue.changes
        if changes == self._marked or self._catalogue.condition.doubt:
            return
        for location in self._locations.values():
            try:
                await advance(location, self._catalogue.id, changes)
            except BackendError as fault:
                log.warn("{name} is not told how far the catalogue is: {fault}", name=location.name, fault=fault)
        self._marked = changes

    async def _uploads(self) -> tuple[int, int]:
        ended = failed = 0
        for upload in await self._catalogue.uploads.stale():
            location = self._locations.get(upload.location)
            if location is None:
                continue
            try:
                await end_upload(location, upload.blob)
            except BackendError as fault:
                failed += 1
                log.warn("upload {id} could not be ended: {fault}", id=upload.id, fault=fault)
                continue
            await self._catalogue.uploads.forget(upload.id)
            ended += 1
        return ended, failed

    async def _leases(self) -> tuple[int, int]:
        """Names that a dead process took and may have written, but never committed."""
        ended = failed = 0
        for lease in await self._catalogue.blobs.dead_leases():
            location = self._locations.get(lease.location)
            if location is None:
                continue
            try:
                await self._sweep(location, lease.id)
            except BackendError as fault:
                failed += 1
                log.warn("blobs of a dead process stay in {name}: {fault}", name=location.name, fault=fault)
                continue
            await self._catalogue.blobs.close_lease(lease.id)
            ended += 1
        return ended, failed

    async def _sweep(self, location: Location, lease: str) -> None:
        prefix, after = f"{lease}/", ""
        while True:
            page = await location.list(ListRequest(prefix=prefix, after=after, limit=_BATCH))
            names = [blob.name for blob in page.blobs]
            known = await self._catalogue.blobs.known(location.name, names)
            unknown = [name for name in names if name not in known]
            if len(await self._delete(location, unknown)) < len(unknown):
                raise BackendDown("not every name of a dead process could be deleted")
            if page.after is None:
                return
            after = page.after

    async def _doomed(self) -> tuple[int, int]:
        """Each location on its own, so that one that refuses holds up no other."""
        gone = failed = 0
        for location in self._locations.values():
            while due := await self._catalogue.blobs.doomed(location.name, _BATCH):
                deleted = await self._delete(location, due)
                await self._catalogue.blobs.gone(location.name, deleted)
                gone += len(deleted)
                if len(deleted) < len(due):
                    failed += len(due) - len(deleted)
                    break  # try again with the next pass instead of turning in circles
        return gone, failed

    async def _delete(self, location: Location, names: list[str]) -> list[str]:
        """Delete a few at a time; those that are gone."""
        deleted: list[str] = []
        faults: list[BackendError] = []

        async def delete(name: str) -> None:
            try:
                await location.delete(DeleteRequest(name=name))
            except BackendError as fault:
                faults.append(fault)
            else:
                deleted.append(name)

        few = DeferredSemaphore(_AT_ONCE)
        await gatherResults([few.run(delete, name) for name in names])
        if faults:
            log.warn(
                "{count} blobs stay in {where}, the first because of {fault}",
                count=len(faults),
                where=location.name,
                fault=faults[0],
            )
        return deleted
