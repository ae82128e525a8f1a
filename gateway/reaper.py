"""Forgets what nobody refers to any more: doomed blobs, uploads that ended or were left, names of dead processes.

It deletes only names that this gateway's own catalogue issued, never below a running GET, and never before the process
that took a name is known to be dead. What it does not know it leaves alone.
"""

from __future__ import annotations

import random
import time
from collections.abc import Mapping
from dataclasses import astuple, dataclass

from twisted.internet import task
from twisted.internet.defer import (
    CancelledError,
    Deferred,
    DeferredList,
    DeferredSemaphore,
    FirstError,
    gatherResults,
)
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from gateway.catalogue import Catalogue
from gateway.errors import BackendDown, BackendError, S3Error
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


class Count:
    """The passes over a location that reached their end: how many, what they did, and when (epoch) the last ended."""

    __slots__ = ("blobs", "ended_at", "failed", "passes")

    def __init__(self) -> None:
        self.passes = self.blobs = self.failed = 0
        self.ended_at = 0.0

    def add(self, done: Reaped) -> Reaped:
        self.passes += 1
        self.blobs += done.blobs
        self.failed += done.failed
        self.ended_at = time.time()
        return done


def _is_cancelled(failure: Failure) -> bool:
    """The process stops; also where several deletions were waited for together."""
    fault = failure.value
    return isinstance(fault.subFailure.value if isinstance(fault, FirstError) else fault, CancelledError)


def _failed(failure: Failure) -> None:
    """The next pass tries again."""
    if isinstance(failure.value, S3Error):
        log.warn("the reaper's pass failed: {cause}", cause=failure.value.cause or failure.value.code)
    else:
        log.failure("the reaper's pass failed", failure=failure)


class Readings:
    """Tells the process that reaps, again and again, what the GETs of this one may still be reading."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._loop = task.LoopingCall(self._tell)
        self._ended: Deferred[task.LoopingCall] | None = None

    def start(self, interval: float, clock: IReactorTime) -> None:
        """Now and every ``interval`` seconds; it costs a change only where something was doomed since."""
        self._loop.clock = clock
        self._ended = self._loop.start(interval, now=True)

    async def stop(self) -> None:
        if self._loop.running:
            self._loop.stop()
        if self._ended is not None:
            await self._ended

    def _tell(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self._catalogue.blobs.publish()).addErrback(_failed)


class Reaper:
    """Makes passes over the catalogue, for each location on its own: one that hangs holds up no other.

    Passes run beside serving; only one process of a gateway does it. It reaps what no process reads any more, as far
    as the others told in their Readings.
    """

    def __init__(self, catalogue: Catalogue, locations: Mapping[str, Location]) -> None:
        self._catalogue = catalogue
        self._locations = locations
        self._loops: dict[str, task.LoopingCall] = {}
        self._ended: list[Deferred[task.LoopingCall]] = []
        self._running: dict[str, Deferred[Reaped]] = {}
        self.counts = {name: Count() for name in locations}
        self._stopped = False
        self._marked: dict[str, int] = {}

    def start(self, interval: float, clock: IReactorTime) -> None:
        """A pass now and one every ``interval`` seconds; a pass that takes longer is not overtaken."""
        if self._stopped:
            return
        for name in self._locations:
            loop = self._loops[name] = task.LoopingCall(self._pass, name)
            loop.clock = clock
            self._ended.append(loop.start(interval, now=True))

    async def stop(self) -> None:
        """No further pass; ends those that run, which may wait for a storage that hangs."""
        self._stopped = True
        for loop in self._loops.values():
            if loop.running:
                loop.stop()
        busy = dict(self._running)
        for running in busy.values():
            running.cancel()
        for ended in self._ended:
            await ended
        for name in self._loops.keys() - busy.keys():  # who keeps a pass waiting would keep the stop waiting
            await self._mark(self._locations[name])

    def _pass(self, name: str) -> Deferred[None]:
        running = self._running[name] = Deferred.fromCoroutine(self._reap(name))

        def over(outcome: object) -> None:
            del self._running[name]
            if isinstance(outcome, Failure) and not _is_cancelled(outcome):
                _failed(outcome)

        return running.addBoth(over)

    async def reap(self) -> Reaped:
        """One pass over everything that is due; nothing at all where the catalogue is doubted."""
        passes = [Deferred.fromCoroutine(self._reap(name)) for name in self._locations]
        outcomes = await DeferredList(passes, consumeErrors=True)  # whatever one says, the others end first
        for _, outcome in outcomes:
            if isinstance(outcome, Failure):
                outcome.raiseException()
        done = [astuple(outcome) for _, outcome in outcomes]
        return Reaped(*map(sum, zip(*done, strict=True)))

    async def _reap(self, name: str) -> Reaped:
        if self._catalogue.condition.doubt:
            return Reaped()
        location = self._locations[name]
        await self._mark(location)
        await self._catalogue.blobs.publish()
        uploads, failed_uploads = await self._uploads(location)
        leases, failed_leases = await self._leases(location)
        blobs, failed_blobs = await self._doomed(location)
        return self.counts[name].add(Reaped(blobs, uploads, leases, failed_uploads + failed_leases + failed_blobs))

    async def _mark(self, location: Location) -> None:
        """Tell the location how far the catalogue is, before what it does not know is taken for garbage."""
        changes = self._catalogue.changes  # whatever process made them
        if changes == self._marked.get(location.name) or self._catalogue.condition.doubt:
            return
        try:
            await advance(location, self._catalogue.id, changes)
        except BackendError as fault:
            log.warn("{name} is not told how far the catalogue is: {fault}", name=location.name, fault=fault)
        else:
            self._marked[location.name] = changes

    async def _uploads(self, location: Location) -> tuple[int, int]:
        ended = failed = 0
        for upload in await self._catalogue.uploads.stale():
            if upload.location != location.name or _hopeless(ended, failed):
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

    async def _leases(self, location: Location) -> tuple[int, int]:
        """Names that a dead process took and may have written, but never committed."""
        ended = failed = 0
        for lease in await self._catalogue.blobs.dead_leases():
            if lease.location != location.name or _hopeless(ended, failed):
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

    async def _doomed(self, location: Location) -> tuple[int, int]:
        gone = failed = 0
        while due := await self._catalogue.blobs.doomed(location.name, _BATCH):
            deleted = await self._delete(location, due)
            await self._catalogue.blobs.gone(location.name, deleted)
            gone += len(deleted)
            if len(deleted) < len(due):
                failed += len(due) - len(deleted)
                break  # try again with the next pass instead of turning in circles
        return gone, failed

    async def _delete(self, location: Location, names: list[str]) -> list[str]:
        """Delete a few at a time; those that are gone. Where none of the first goes, the rest is not tried."""
        deleted: list[str] = []
        faults: list[BackendError] = []

        async def delete(name: str) -> None:
            if _hopeless(len(deleted), len(faults)):
                return
            try:
                await location.delete(DeleteRequest(name=name))
            except BackendError as fault:
                faults.append(fault)
            else:
                deleted.append(name)

        few = DeferredSemaphore(_AT_ONCE)
        shuffled = random.sample(names, len(names))  # so that a few that are stuck do not keep the others for ever
        await gatherResults([few.run(delete, name) for name in shuffled], consumeErrors=True)  # when it is cancelled
        if faults:
            log.warn(
                "{count} blobs stay in {where}, the first because of {fault}",
                count=len(names) - len(deleted),
                where=location.name,
                fault=faults[0],
            )
        return deleted


def _hopeless(done: int, failed: int) -> bool:
    """A storage that did nothing of what was asked is left alone until the next pass."""
    return failed >= _AT_ONCE and not done
