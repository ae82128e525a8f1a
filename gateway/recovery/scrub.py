"""Every blob that the catalogue needs is read, slowly if that is wished, and compared with what was written."""

from __future__ import annotations

import json
import os
import time
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
        """Whole or not at all."""
        draft = path.with_name(path.name + ".partial")
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "w") as file:
            json.dump(asdict(self), file)
        os.replace(draft, path)

    @classmethod
    def load(cls, path: Path) -> Findings:
        """What an earlier pass left, or nothing."""
        try:
            told: dict[str, Any] = json.loads(path.read_text())
            return cls(**{**told, "faults": [Fault(**row) for row in told["faults"]]})
        except (FileNotFoundError, ValueError, TypeError, KeyError):
            return cls()


class Pace:
    """At most ``rate`` bytes a second on average; None: as fast as it goes."""

    def __init__(self, rate: int | None, clock: IReactorTime) -> None:
        self._rate = rate
        self._clock = clock
        self._due = time.monotonic()

    async def take(self, size: int) -> None:
        """Wait until ``size`` more bytes are due."""
        if self._rate is None:
            return
        now = time.monotonic()
        self._due = max(self._due, now - 1) + size / self._rate  # an idle second at most is made up for
        if self._due > now:
            await deferLater(self._clock, self._due - now)


class Scrub:
    """One pass over everything. ``tell(bytes)`` hears of each stretch that was read."""

    def __init__(
        self,
        catalogue: Catalogue,
        locations: Mapping[str, Location],
        seal: Seal,
        cursor: Path,
        pace: Pace,
        tell: Callable[[int], None],
    ) -> None:
        self._catalogue = catalogue
        self._locations = locations
        self._seal = seal
        self._cursor = cursor
        self._pace = pace
        self._tell = tell

    async def run(self, findings: Findings) -> None:
        """From where ``findings`` is to the end. The reaper of a gateway that serves waits for one page at most."""
        catalogue = self._catalogue
        findings.until = findings.until or await catalogue.inventory.newest()
        few = DeferredSemaphore(_AT_ONCE)
        while True:
            await catalogue.blobs.publish()
            reading = catalogue.blobs.reading()  # what this page names stays until the page is through
            try:
                page = await catalogue.inventory.page(findings.after, findings.until)
                found = await gatherResults([few.run(self._version, kept) for kept in page], consumeErrors=True)
            finally:
                reading.close()
            if not page:
                break
            findings.after = page[-1].id
            findings.versions += len(page)
            findings.size += sum(kept.stored for kept in page)
            findings.faults += [fault for faults in found for fault in faults]
            findings.save(self._cursor)
        await catalogue.blobs.publish()
        findings.strays = {name: [each async for each in self._strays(name)] for name in self._locations}
        self._cursor.unlink(missing_ok=True)

    # ------------------------------------------------------------ what rows need

    async def _version(self, kept: Kept) -> list[Fault]:
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
            return [("unreadable", f"{type(fault).__name__}: {fault}")]

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
        return [("damaged", f"MiB {', '.join(map(str, bad))} of the piece at {piece.start}")] if bad else []

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
