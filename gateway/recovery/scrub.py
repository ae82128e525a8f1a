"""Every blob that the catalogue needs is read, slowly if that is wished, and compared with what was written."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from twisted.internet.defer import DeferredSemaphore, gatherResults
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from gateway.bodies import contents
from gateway.catalogue import Catalogue
from gateway.catalogue.inventory import Kept
from gateway.errors import BackendError, BlobMissing
from gateway.model import GetRequest, HeadRequest, ListRequest, Piece
from gateway.operations.manifest import MANIFEST, OWN_BLOB, open_beside, open_blob
from gateway.plugins.location import Location
from gateway.plugins.marker import MARKER
from gateway.recovery.snapshots import FOLDER
from gateway.seal import Seal, SealBroken
from gateway.streams import Measured, Outflow

CURSOR = "verify.json"
DAMAGED, UNREADABLE = "damaged", "unreadable"
_AT_ONCE = 4
_LISTED = 1000


@dataclass(frozen=True, slots=True)
class Fault:
    """``kind``: missing, short, damaged, unreadable, or manifest (the bytes are fine, what lies beside them is not)."""

    kind: str
    location: str
    blob: str
    bucket: str
    key: str
    detail: str


@dataclass(slots=True)
class Findings:
    """How far a pass is, and what it found; kept in a file, so that it goes on where it was ended."""

    after: int = 0
    until: int = 0
    versions: int = 0
    size: int = 0
    faults: list[Fault] = field(default_factory=list)
    strays: dict[str, list[str]] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)

    def save(self, path: Path) -> None:
        """Raises OSError."""
        save(path, asdict(self))

    @staticmethod
    def forget(path: Path) -> None:
        """The pass is over: the next one begins anew."""
        path.unlink(missing_ok=True)

    @classmethod
    def load(cls, path: Path) -> Findings:
        """What an earlier pass left, or nothing."""
        try:
            told: dict[str, Any] = json.loads(path.read_text())
            return cls(**{**told, "faults": [Fault(**row) for row in told["faults"]]})
        except (FileNotFoundError, ValueError, TypeError, KeyError):
            return cls()


def save(path: Path, told: dict[str, Any]) -> None:
    """A file that is whole or not there, also where the process is killed. Raises OSError."""
    draft = path.with_name(path.name + ".partial")
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "w") as file:
        json.dump(told, file)
    os.replace(draft, path)


class Pace:
    """At most ``rate`` bytes a second on average; None: as fast as it goes."""

    def __init__(self, rate: float | None, clock: IReactorTime) -> None:
        self.rate = rate
        self._clock = clock
        self._due = clock.seconds()

    async def take(self, size: int) -> None:
        """Wait until ``size`` more bytes are due, and let others have a turn in any case."""
        if self.rate is None:
            return
        now = self._clock.seconds()
        self._due = max(self._due, now - 1) + size / self.rate  # an idle second at most is made up for
        await deferLater(self._clock, max(self._due - now, 0))


class Scrub:
    """Reads and compares. ``tell(bytes)`` hears of each stretch that was read, before ``pace`` makes it wait."""

    def __init__(
        self,
        catalogue: Catalogue,
        locations: Mapping[str, Location],
        seal: Seal,
        pace: Pace,
        tell: Callable[[int], None],
    ) -> None:
        self._catalogue = catalogue
        self._locations = locations
        self._seal = seal
        self._pace = pace
        self._tell = tell

    async def run(self, findings: Findings, cursor: Path) -> None:
        """One pass, strays too, from where ``findings`` is to the end, noted in the file ``cursor`` until then.

        The reaper of a gateway that serves waits for one page at most.
        """
        catalogue = self._catalogue
        findings.until = findings.until or await catalogue.inventory.newest()
        few = DeferredSemaphore(_AT_ONCE)
        while True:
            await catalogue.blobs.publish()
            reading = catalogue.blobs.reading()  # what this page names stays until the page is through
            try:
                page = await catalogue.inventory.page(findings.after, findings.until)
                found = await gatherResults([few.run(self.version, kept) for kept in page], consumeErrors=True)
            finally:
                reading.close()
            if not page:
                break
            findings.after = page[-1].id
            findings.versions += len(page)
            findings.size += sum(kept.stored for kept in page)
            findings.faults += [fault for faults in found for fault in faults]
            findings.save(cursor)
        await catalogue.blobs.publish()
        findings.strays = {name: [each async for each in self._strays(name)] for name in self._locations}
        findings.forget(cursor)

    # ------------------------------------------------------------ what rows need

    async def version(self, kept: Kept) -> list[Fault]:
        """What is wrong with one version's blobs; those whose bytes are wrong are marked as damaged."""
        location = self._locations.get(kept.location)
        if location is None:
            self._tell(kept.stored)
            return []  # told once, as a location that was skipped
        faults: list[Fault] = []
        for piece in kept.pieces:
            for kind, detail in await self._piece(location, piece):
                key = kept.key.decode(errors="replace")
                faults.append(Fault(kind, kept.location, piece.blob, kept.bucket, key, detail))
        if faults and not await self._catalogue.inventory.is_there(kept.id):
            return []  # removed meanwhile, and its blobs with it
        damaged = {fault.blob for fault in faults if fault.kind == DAMAGED}
        if damaged:
            await self._catalogue.damage.mark(kept.location, damaged)
        return faults

    async def _piece(self, location: Location, piece: Piece) -> list[tuple[str, str]]:
        """What is wrong with the bytes, and what with the manifest beside them."""
        try:
            there = await location.head(HeadRequest(name=piece.blob))
            if there.size < piece.start + piece.size:
                return [("short", f"{there.size} bytes, {piece.start + piece.size} are needed")]
            wrong = await self._bytes(location, piece) if piece.size else []
            return wrong or await self._manifest(location, piece, there.metadata.get(MANIFEST))
        except BlobMissing:
            return [("missing", "the storage has no such blob")]
        except BackendError as fault:
            return [(UNREADABLE, f"{type(fault).__name__}: {fault}")]

    async def _bytes(self, location: Location, piece: Piece) -> list[tuple[str, str]]:
        flow = Outflow(location, [(0, piece)], 0, piece.size, verify=False)
        measured = Measured(flow)
        try:
            async for chunk in measured:
                self._tell(len(chunk))
                await self._pace.take(len(chunk))
        finally:
            measured.close()
        crcs = measured.crcs()
        bad = [at // 4 for at in range(0, len(piece.crcs), 4) if crcs[at : at + 4] != piece.crcs[at : at + 4]]
        return [(DAMAGED, f"MiB {', '.join(map(str, bad))} of the piece at {piece.start}")] if bad else []

    async def _manifest(self, location: Location, piece: Piece, pair: str | None) -> list[tuple[str, str]]:
        try:
            if pair == OWN_BLOB:
                open_blob(self._seal, await contents(await location.get(GetRequest(name=piece.blob))), piece.blob)
            elif pair is not None:
                open_beside(self._seal, pair, piece.blob)
        except SealBroken:
            return [("manifest", "it does not open: without the catalogue the object could not be known")]
        return []

    # ------------------------------------------------------------ what no row needs

    async def _strays(self, name: str) -> AsyncIterator[str]:
        """Blobs of the location that nobody knows and nobody may be writing."""
        location, after = self._locations[name], ""
        while True:
            page = await location.list(ListRequest(after=after, limit=_LISTED))
            names = [each.name for each in page.blobs if each.name != MARKER and not each.name.startswith(f"{FOLDER}/")]
            known = await self._catalogue.blobs.known(name, names) | await self._catalogue.inventory.leased(names)
            for stray in [each for each in names if each not in known]:
                try:
                    await location.head(HeadRequest(name=stray))
                except BlobMissing:
                    continue  # the reaper was here meanwhile
                except BackendError:
                    pass  # it is there, and damaged
                yield stray
            if page.after is None:
                return
            after = page.after
