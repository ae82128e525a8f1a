"""A gateway whose data folder is gone comes back: from a snapshot in its locations, a backup's file, or manifests."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from twisted.internet.threads import deferToThread

from gateway.catalogue.copying import id_of, install, is_unused, judge_copy
from gateway.catalogue.rebuilding import Draft
from gateway.errors import BackendError
from gateway.node.read import NodeSettings
from gateway.node.rooms import build, lock_data, misplaced, open_data
from gateway.plugins.location import Location
from gateway.plugins.marker import ForeignStorage, Mark, claim, peek
from gateway.recovery.duty import take_snapshots
from gateway.recovery.rebuild import DELETES, NO_SNAPSHOT, Rebuild, Tell
from gateway.recovery.report import Report
from gateway.recovery.restore import fetch_newest, open_draft
from gateway.recovery.scrub import CURSOR, Findings, Pace, Scrub
from gateway.recovery.snapshots import list_snapshots
from gateway.seal import Seal

DRAFT = "restored.draft"


class NotRestored(Exception):
    """Nothing was changed; str() says why."""


@asynccontextmanager
async def open_locations(settings: NodeSettings) -> AsyncIterator[dict[str, Location]]:
    """The locations, whoever owns them. Raises ConfigurationFault."""
    locations: dict[str, Location] = {}
    try:
        for place in settings.places:
            location = build(place)
            try:
                await location.open()
            except BackendError as fault:
                raise misplaced(place, fault) from fault
            locations[place.name] = location
        yield locations
    finally:
        for location in locations.values():
            await location.close()


async def owner_of(settings: NodeSettings, locations: dict[str, Location], ours: str | None = None) -> Mark | None:
    """The one catalogue whose the locations are (``ours``, if that is given), with the most changes that one of them
    has heard of; None where they do not say. Raises ConfigurationFault."""
    owner, changes = ours, 0
    for place in settings.places:
        try:
            found = await peek(locations[place.name])
            if found is not None and owner is not None and found.catalogue != owner:
                raise ForeignStorage(
                    f"location {place.name!r} belongs to catalogue {found.catalogue}, not to {owner}",
                    fix="name only the locations of one gateway",
                )
        except BackendError as fault:
            raise misplaced(place, fault) from fault
        if found is not None:
            owner, changes = found.catalogue, max(changes, found.changes)
    return None if owner is None else Mark(owner, changes)


async def snapshot(settings: NodeSettings) -> tuple[int, dict[str, str], dict[str, str]]:
    """One snapshot now, also beside a gateway that serves: objects in it, where it lies, and where it could not.

    A location that lives in the serving process alone is left to that process. Raises ConfigurationFault,
    CatalogueFault.
    """
    folder = settings.gateway["data"]
    catalogue_id = id_of(folder)
    async with open_locations(settings) as locations:
        await owner_of(settings, locations, catalogue_id)
        shared = {name: location for name, location in locations.items() if location.capabilities.shared}
        copied, kept, failed = await take_snapshots(folder, shared, Seal(settings.seal))
    return copied.objects, {name: each.stem for name, each in kept.items()}, failed


async def verify(
    settings: NodeSettings, reactor: Any, *, rate: int | None, anew: bool, tell: Callable[[int, int], None]
) -> Findings:
    """Read everything and compare, also beside a gateway that serves; goes on where an earlier pass was ended.

    ``tell(done, total)`` hears of bytes. A location that lives in the serving process alone is skipped. Raises
    ConfigurationFault, CatalogueFault.
    """
    folder: Path = settings.gateway["data"]
    seal, cursor = Seal(settings.seal), folder / CURSOR
    catalogue = open_data(settings.gateway, settings.seal, reactor)
    try:
        findings = Findings() if anew else Findings.load(cursor)
        findings.until = findings.until or await catalogue.inventory.newest()
        total = await catalogue.inventory.stored(findings.after, findings.until)
        done = 0

        def count(size: int) -> None:
            nonlocal done
            done += size
            tell(done, total)

        async with open_locations(settings) as locations:
            await owner_of(settings, locations, catalogue.id)
            shared = {name: location for name, location in locations.items() if location.capabilities.shared}
            findings.skipped = sorted(locations.keys() - shared.keys())
            await Scrub(catalogue, shared, seal, Pace(rate, reactor), count).run(findings, cursor)
        return findings
    finally:
        await catalogue.close()


async def restore(
    settings: NodeSettings, *, file: Path | None, manifests_only: bool, snapshot_needed: bool, dry_run: bool, tell: Tell
) -> Report:
    """Bring the catalogue back and tell what came. Raises NotRestored, ConfigurationFault, CatalogueFault."""
    folder: Path = settings.gateway["data"]
    lock = lock_data(settings.gateway)
    draft_file = folder / DRAFT
    try:
        if not is_unused(folder):
            raise NotRestored(f"{folder} holds a catalogue, and none is ever replaced: move the folder away first")
        async with open_locations(settings) as locations:
            seal, report = Seal(settings.seal), Report()
            owner = await owner_of(settings, locations)
            draft = await _begin(locations, seal, draft_file, owner, report, file, manifests_only, snapshot_needed)
            try:
                await Rebuild(draft, locations, seal, report, tell).run()
                report.catalogue = draft.id
                if not dry_run:
                    await _finish(settings, locations, draft, folder, owner.changes if owner else 0)
            finally:
                draft.close()
        return report
    except BackendError as fault:
        raise NotRestored(f"a storage does not answer as it should: {type(fault).__name__}: {fault}") from fault
    finally:
        draft_file.unlink(missing_ok=True)
        lock.release()


async def _begin(
    locations: dict[str, Location],
    seal: Seal,
    path: Path,
    owner: Mark | None,
    report: Report,
    file: Path | None,
    manifests_only: bool,
    snapshot_needed: bool,
) -> Draft:
    """The draft as the backup or the newest snapshot has it, or an empty one."""
    if file is not None:
        with open_draft(path) as target, file.open("rb") as source:
            await deferToThread(shutil.copyfileobj, source, target)
        copied = await deferToThread(judge_copy, path, seal)
        if owner is not None and owner.catalogue != copied.id:
            raise NotRestored(f"{file} is of catalogue {copied.id}, the storage belongs to {owner.catalogue}")
        report.source = f"the backup {file}"
    elif not manifests_only:
        found, faults = await fetch_newest(locations, seal, path, owner.catalogue if owner else None)
        report.faults += faults
        if found is not None:
            report.source = f"{found.snapshot.stem} in {found.location}"
        elif snapshot_needed:
            told = "".join(f"\n{fault}" for fault in faults)
            raise NotRestored(f"no location holds a snapshot that can be used: try `gateway rebuild`{told}")
    if report.source:
        report.notes.append(DELETES)
        return Draft(path)
    report.source = "manifests alone"
    report.notes.append(NO_SNAPSHOT)
    open_draft(path).close()
    return Draft.empty(path, owner.catalogue if owner else None, seal)


async def _finish(
    settings: NodeSettings, locations: dict[str, Location], draft: Draft, folder: Path, changes: int
) -> None:
    """The draft becomes the catalogue; the locations are its own from then on."""
    numbers = [each.number for location in locations.values() for each in await list_snapshots(location)]
    catalogue_id, changes = draft.id, max(changes, *numbers, 0)
    draft.finish(changes)
    install(draft.path, folder)
    for place in settings.places:
        try:
            await claim(locations[place.name], catalogue_id, lambda: changes)
        except BackendError as fault:
            raise misplaced(place, fault) from fault
