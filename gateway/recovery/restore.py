"""The newest snapshot that can be read to its end, out of the locations of a gateway whose catalogue is gone."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from twisted.internet.threads import deferToThread

from gateway.catalogue import CatalogueFault
from gateway.catalogue.copying import Copied, judge_copy
from gateway.errors import BackendError
from gateway.plugins.location import Location
from gateway.recovery.snapshots import Index, Snapshot, SnapshotBroken, list_snapshots, read_index, read_snapshot
from gateway.seal import Seal


@dataclass(frozen=True, slots=True)
class Found:
    """The snapshot whose file was fetched."""

    location: str
    snapshot: Snapshot
    index: Index


async def fetch_newest(
    locations: Mapping[str, Location], seal: Seal, draft: Path, catalogue_id: str | None
) -> tuple[Found | None, list[str]]:
    """Write the newest readable snapshot's file to ``draft``, judged. None where there is none; and what was wrong.

    ``catalogue_id``: whose the locations are, where they say so; a snapshot of another catalogue is passed over.
    """
    faults: list[str] = []
    found: list[tuple[Snapshot, str]] = []
    for name, location in locations.items():
        for snapshot in await list_snapshots(location):
            if snapshot.complete:
                found.append((snapshot, name))
            else:
                faults.append(f"{snapshot.stem} in {name} was never finished")
    for snapshot, name in sorted(found, key=lambda each: each[0].number, reverse=True):
        try:
            index = await read_index(locations[name], snapshot, seal)
            if catalogue_id not in (None, index.copied.id):
                raise SnapshotBroken(f"it is of catalogue {index.copied.id}, the storage of {catalogue_id}")
            await _fetch(locations[name], snapshot, seal, draft, index)
        except (SnapshotBroken, BackendError, CatalogueFault) as fault:
            faults.append(f"{snapshot.stem} in {name} cannot be used: {fault}")
            continue
        return Found(name, snapshot, index), faults
    return None, faults


def open_draft(draft: Path) -> BinaryIO:
    """The file that is to become the catalogue, empty, readable by nobody else."""
    draft.unlink(missing_ok=True)
    return open(os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb")


async def _fetch(location: Location, snapshot: Snapshot, seal: Seal, draft: Path, index: Index) -> None:
    with open_draft(draft) as file:
        await read_snapshot(location, snapshot, seal, file.write, index)
    copied: Copied = await deferToThread(judge_copy, draft, seal)
    if copied.id != index.copied.id:
        raise SnapshotBroken(f"{snapshot.stem}: its file is of another catalogue than its index")
