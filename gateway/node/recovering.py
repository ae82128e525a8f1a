"""A gateway whose data folder is gone comes back: from a snapshot in its locations, a backup's file, or manifests."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from twisted.internet.threads import deferToThread

from gateway.catalogue.copying import draw_number, id_of, install, is_unused, judge_copy
from gateway.catalogue.rebuilding import Draft
from gateway.errors import BackendError
from gateway.node.read import NodeSettings
from gateway.node.rooms import build, lock_data, misplaced, open_place, unreported
from gateway.plugins.location import Location
from gateway.plugins.marker import ForeignStorage, claim, peek
from gateway.recovery.duty import take_snapshots
from gateway.recovery.rebuild import DELETES, NO_SNAPSHOT, Rebuild, Tell
from gateway.recovery.report import Report
from gateway.recovery.restore import fetch_newest, open_draft
from gateway.recovery.snapshots import list_snapshots
from gateway.seal import Seal

DRAFT = "restored.draft"


class NotRestored(Exception):
    """Nothing was changed; str() says why."""


@asynccontextmanager
async def open_locations(settings: NodeSettings, catalogue_id: str | None = None) -> AsyncIterator[dict[str, Location]]:
    """The locations, claimed for ``catalogue_id`` where it is given. Raises ConfigurationFault."""
    locations: dict[str, Location] = {}
    try:
        for place in settings.places:
            if catalogue_id is not None:
                locations[place.name] = await open_place(place, catalogue_id, unreported)
                continue
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


async def owner_of(settings: NodeSettings, locations: dict[str, Location]) -> str | None:
    """The one catalogue whose the locations are; None where they do not say. Raises ConfigurationFault."""
    owner: str | None = None
    for place in settings.places:
        try:
            found = await peek(locations[place.name])
            if None not in (found, owner) and found != owner:
                raise ForeignStorage(
                    f"location {place.name!r} belongs to catalogue {found}, another one to {owner}",
                    fix="name only the locations of one gateway",
                )
        except BackendError as fault:
            raise misplaced(place, fault) from fault
        owner = owner or found
    return owner


async def snapshot(settings: NodeSettings) -> tuple[int, dict[str, str], dict[str, str]]:
    """One snapshot now, also beside a gateway that serves: objects in it, where it lies, and where it could not.

    A location that lives in the serving process alone is left to that process. Raises ConfigurationFault,
    CatalogueFault.
    """
    folder = settings.gateway["data"]
    async with open_locations(settings, id_of(folder)) as locations:
        shared = {name: location for name, location in locations.items() if location.capabilities.shared}
        number = await deferToThread(draw_number, folder)
        copied, kept, failed = await take_snapshots(folder, shared, Seal(settings.seal), number)
    return copied.objects, {name: each.stem for name, each in kept.items()}, failed


async def restore(
    settings: NodeSettings, *, file: Path | None, manifests_only: bool, snapshot_needed: bool, dry_run: bool, tell: Tell
) -> Report:
    """Bring the catalogue back and tell what came. Raises NotRestored, ConfigurationFault, CatalogueFault."""
    folder: Path = settings.gateway["data"]
    lock = lock_data(settings.gateway)
    draft_file = folder / DRAFT
    try:
        if not is_unused(folder):
            raise NotRestored(f"{folder} holds a catalogue, and none is ever replaced: move it away first")
        async with open_locations(settings) as locations:
            seal, report = Seal(settings.seal), Report()
            owner = await owner_of(settings, locations)
            draft = await _begin(locations, seal, draft_file, owner, report, file, manifests_only, snapshot_needed)
            try:
                await Rebuild(draft, locations, seal, report, tell).run()
                report.catalogue = draft.id
                if not dry_run:
                    await _finish(settings, locations, draft, folder)
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
    owner: str | None,
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
        if owner not in (None, copied.id):
            raise NotRestored(f"{file} is of catalogue {copied.id}, the storage belongs to {owner}")
        report.source = f"the backup {file}"
    elif not manifests_only:
        found, faults = await fetch_newest(locations, seal, path, owner)
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
    return Draft.empty(path, owner, seal)


async def _finish(settings: NodeSettings, locations: dict[str, Location], draft: Draft, folder: Path) -> None:
    """The draft becomes the catalogue; the locations are its own from then on."""
    numbers = [each.number for location in locations.values() for each in await list_snapshots(location)]
    catalogue_id = draft.id
    draft.finish(max(numbers, default=0))
    install(draft.path, folder)
    for place in settings.places:
        try:
            await claim(locations[place.name], catalogue_id)
        except BackendError as fault:
            raise misplaced(place, fault) from fault
