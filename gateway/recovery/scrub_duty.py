"""Everything that is stored is read and compared, slowly, beside serving, again and again."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from gateway.catalogue import Catalogue
from gateway.catalogue.inventory import Kept
from gateway.errors import S3Error
from gateway.plugins.location import Location
from gateway.recovery.scrub import UNREADABLE, Fault, Pace, Scrub, save
from gateway.seal import Seal

log = Logger()

STATE = "scrub.json"
_PART = 0.9  # of the interval is planned for reading
_LEAST = 1024 * 1024  # bytes a second: a pass over little is soon over, and rests for the rest of the interval
_EACH = 16 * 1024  # bytes that a version counts as, however small it is: it is opened, and its manifest is read
_PAGE = 100
_TOLD = 100  # faults of one pass that have a line each in the log
_SAVED = 10.0  # seconds
_PATIENCE = 60.0  # seconds until a storage that does not answer is asked again
_TRIES = 3


@dataclass(slots=True)
class Progress:
    """How far a pass is: versions up to the id ``after`` of those up to ``until``.

    ``found``: faults of this pass; ``before``: of the one before, which ended at ``last``. Times are seconds since
    the epoch, 0: not yet.
    """

    begun: float = 0.0
    ended: float = 0.0
    after: int = 0
    until: int = 0
    found: int = 0
    before: int = 0
    last: float = 0.0

    @classmethod
    def load(cls, path: Path) -> Progress:
        """What an earlier process left, or nothing."""
        try:
            return cls(**json.loads(path.read_text()))
        except (OSError, ValueError, TypeError):
            return cls()


class ScrubDuty:
    """Reads all of ``locations`` once every ``interval`` seconds; goes on after a restart where it was.

    ``works`` tells whether a location answers: one that does not is waited for. What is damaged is logged and marked,
    so that no GET gives a block of it that is not as it was written. ``size``: bytes read by this process.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        folder: Path,
        locations: Mapping[str, Location],
        seal: Seal,
        works: Callable[[str], bool],
        clock: IReactorTime,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._catalogue = catalogue
        self._path = folder / STATE
        self._works = works
        self._clock = clock
        self._wall = wall
        self._interval = 0.0
        self._pace = Pace(None, clock)
        self._scrub = Scrub(catalogue, locations, seal, self._pace, self._tell)
        self._running: Deferred[None] | None = None
        self._stopping = False
        self._saved = 0.0
        self.progress = Progress()
        self.size = 0

    @property
    def faults(self) -> int:
        """How many faults the pass under way found, or the one before if that were more."""
        return max(self.progress.found, self.progress.before if not self.progress.ended else 0)

    @property
    def last(self) -> float:
        """When the last pass ended; 0: none did."""
        return self.progress.ended or self.progress.last

    def start(self, interval: float) -> None:
        """None at all where the interval is 0."""
        if not interval:
            return
        self._interval = interval
        self.progress = Progress.load(self._path)
        self._running = Deferred.fromCoroutine(self._run())
        self._running.addErrback(self._failed)

    async def stop(self) -> None:
        """Ends at the block that is being read; the next start goes on there."""
        running, self._running = self._running, None
        if running is not None:
            self._stopping = True  # a storage's call that cannot be called back ends as if nobody had cancelled it
            running.cancel()
            await running
            self._save()

    def _failed(self, failure: Failure) -> None:
        if not isinstance(failure.value, CancelledError):
            log.failure("the scrub ended; the next start goes on with it", failure=failure)

    async def _run(self) -> None:
        while not self._stopping:
            rest = self.progress.begun + self._interval - self._wall()
            if self.progress.ended and rest > 0:
                await deferLater(self._clock, rest)
                continue
            if self.progress.ended or not self.progress.begun:
                self.progress = Progress(self._wall(), before=self.progress.found, last=self.progress.ended)
                self.progress.until = await self._catalogue.inventory.newest()
            try:
                await self._go_through()
            except S3Error as fault:  # the catalogue takes no mark
                log.warn("the scrub waits: {cause}", cause=fault.cause or fault.code)
                await self._wait()

    async def _go_through(self) -> None:
        """The pass, from where it is to its end."""
        progress, inventory = self.progress, self._catalogue.inventory
        left = await inventory.stored(progress.after, progress.until) + _EACH * (progress.until - progress.after)
        seconds = progress.begun + _PART * self._interval - self._wall()
        self._pace.rate = max(left / max(seconds, self._interval / 10), _LEAST)
        while page := await inventory.page(progress.after, progress.until, _PAGE):
            for kept in page:
                self._go_on()
                await self._pace.take(_EACH)
                self._report(await self._check(kept))
                progress.after = kept.id
                if self._clock.seconds() - self._saved > _SAVED:
                    self._save()
        progress.ended = self._wall()
        self._save()
        log.info("the scrub has read everything that is stored; faults: {found}", found=progress.found)

    async def _check(self, kept: Kept) -> list[Fault]:
        """What is wrong with a version; where its storage only does not answer, that is waited for."""
        tries = 0
        while True:
            self._go_on()
            faults = await self._scrub.version(kept)
            works = self._works(kept.location)
            tries += works
            if works and (tries == _TRIES or not any(fault.kind == UNREADABLE for fault in faults)):
                return faults
            await self._wait()

    def _wait(self) -> Deferred[None]:
        return deferLater(self._clock, min(_PATIENCE, self._interval / 10))

    def _report(self, faults: list[Fault]) -> None:
        for fault in faults:
            self.progress.found += 1
            if self.progress.found <= _TOLD:
                log.error(
                    "{kind}: {bucket}/{key!r} is not as it was written: {location} {blob}: {detail}", **asdict(fault)
                )
            if self.progress.found == _TOLD:
                log.error("further faults of this pass are only counted; `gateway verify` names all")

    def _tell(self, size: int) -> None:
        self._go_on()
        self.size += size

    def _go_on(self) -> None:
        if self._stopping:
            raise CancelledError()

    def _save(self) -> None:
        self._saved = self._clock.seconds()
        with suppress(OSError):  # a full disk: a restart reads some of it again
            save(self._path, asdict(self.progress))
