"""Snapshots by themselves: beside serving, at intervals, and only where something changed."""

from __future__ import annotations

import fcntl
import os
import secrets
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from twisted.internet import task
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.threads import deferToThread
from twisted.logger import Logger

from gateway.catalogue import Catalogue, CatalogueFault
from gateway.catalogue.copying import Copied, copy_catalogue
from gateway.errors import BackendError
from gateway.plugins.location import Location
from gateway.recovery.snapshots import Snapshot, SnapshotBroken, write_snapshot
from gateway.seal import Seal

log = Logger()
_FIRST = 10  # the first one comes after this part of the interval, so that restarts do not put it off for ever


async def take_snapshots(
    folder: Path, locations: Mapping[str, Location], seal: Seal
) -> tuple[Copied, dict[str, Snapshot], dict[str, str]]:
    """Copy the catalogue once, and keep the copy in each location. Gives those that were kept, and why others not.

    Raises CatalogueFault where it cannot be copied.
    """
    kept, failed = {}, {}
    async with _room_for_a_copy(folder) as copy:
        copied = await deferToThread(copy_catalogue, folder, copy)
        for name, location in locations.items():
            try:
                kept[name] = await write_snapshot(location, copy, copied, seal, time.time())
            except (BackendError, SnapshotBroken) as fault:
                failed[name] = f"{type(fault).__name__}: {fault}"
    return copied, kept, failed


@asynccontextmanager
async def _room_for_a_copy(folder: Path) -> AsyncIterator[Path]:
    """A name for a copy, which goes in the end. Whoever was killed left one: those go first, if nobody is at work.

    Several processes may be: each holds a shared lock of the folder meanwhile.
    """
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as fault:
        raise CatalogueFault(f"{folder}: {fault.strerror}") from fault
    copy = folder / f"snapshot{secrets.token_hex(4)}.copy"
    try:
        await deferToThread(_sweep, folder, descriptor)
        yield copy
    finally:
        os.close(descriptor)
        await deferToThread(copy.unlink, missing_ok=True)


def _sweep(folder: Path, descriptor: int) -> None:
    with suppress(OSError):  # others are at work (or nobody can lock here)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        for left in folder.glob("snapshot*.copy*"):
            left.unlink(missing_ok=True)
    with suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_SH)


class SnapshotDuty:
    """Takes snapshots every ``interval`` seconds while a gateway serves."""

    def __init__(self, catalogue: Catalogue, folder: Path, locations: Mapping[str, Location], seal: Seal) -> None:
        self._catalogue = catalogue
        self._folder = folder
        self._locations = locations
        self._seal = seal
        self._seen = -1
        self._loop = task.LoopingCall(self._turn)
        self._first: IDelayedCall | None = None
        self._ended: Deferred[task.LoopingCall] | None = None

    def start(self, interval: float, clock: IReactorTime) -> None:
        """None at all where the interval is 0."""
        if not interval:
            return
        self._loop.clock = clock

        def begin() -> None:
            self._ended = self._loop.start(interval, now=True)

        self._first = clock.callLater(interval / _FIRST, begin)

    async def stop(self) -> None:
        """No further snapshot; waits for the one that is being written."""
        if self._first is not None and self._first.active():
            self._first.cancel()
        if self._loop.running:
            self._loop.stop()
        if self._ended is not None:
            await self._ended

    def _turn(self) -> Deferred[None]:
        done = Deferred.fromCoroutine(self._snapshot())
        done.addErrback(lambda failure: log.failure("no snapshot could be taken", failure=failure))
        return done.addCallback(lambda _: None)

    async def _snapshot(self) -> None:
        if self._catalogue.condition.doubt or await self._catalogue.inventory.changes() == self._seen:
            return
        try:
            copied, kept, failed = await take_snapshots(self._folder, self._locations, self._seal)
        except CatalogueFault as fault:
            log.warn("no snapshot of the catalogue: {fault}", fault=fault)
            return
        for name, reason in failed.items():
            log.warn("no snapshot of the catalogue in {name}: {reason}", name=name, reason=reason)
        if not failed:
            self._seen = copied.changes
            log.info("a snapshot with {count} objects lies in {names}", count=copied.objects, names=", ".join(kept))
