"""Find every fault of a configuration without serving: read it, then try whatever could be read.

Nothing is claimed and no catalogue is made; a location's ``open`` may prepare its storage, as a start would.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from twisted.internet.protocol import Factory

from gateway.errors import BackendError
from gateway.model import DeleteRequest, HealthcheckRequest
from gateway.node import doors
from gateway.node.read import Reading, read
from gateway.node.rooms import build, damaged, lock_data, misplaced, open_data, unwritable
from gateway.plugins.location import Location
from gateway.plugins.marker import ForeignStorage, Mark, compare, peek
from gateway.settings import ConfigurationFault, ConfigurationFaults, Unanswered, Values

# In place of the id of a catalogue that cannot be opened: nobody can tell then whose a storage is.
UNKNOWN = Mark("unknown", 0)


async def inspect(path: Path, reactor: Any, *, thorough: bool = True) -> Reading:
    """What was read; raises ConfigurationFaults with every fault that a start would meet, and more than its first.

    ``thorough``: read every page of the catalogue, too, which takes a second for each half GiB.
    Where nothing is wrong but some locations that do not answer, a start goes on without them, and ``faults`` of what
    was read tell which.
    """
    reading = read(path)
    ours: Mark | None = UNKNOWN
    if reading.gateway is not None:
        served = _check_folders(reading.gateway, reading.faults)
        if reading.seal is not None:
            ours = await catalogue_mark(reading.gateway, reading.seal, reactor, reading.faults, thorough)
        if not served:  # a gateway that runs holds these very ports
            await _check_ports(reading, reading.gateway, reactor)
    for place in reading.places:
        try:
            await _check_place(place, ours)
        except ConfigurationFault as fault:
            reading.faults.append(fault)
    silent = [fault for fault in reading.faults if isinstance(fault, Unanswered)]
    if len(silent) < len(reading.faults) or (silent and len(silent) == len(reading.places)):
        raise ConfigurationFaults(reading.faults)
    return reading


def _check_folders(values: Values, faults: list[ConfigurationFault]) -> bool:
    """Whether another gateway serves this data; folders that cannot be written are added to ``faults``."""
    served = False
    for key in ("data", "log"):
        folder: Path = values[key]
        there = folder if folder.exists() else folder.parent
        try:
            if not there.is_dir():
                raise (
                    FileNotFoundError(2, "no such folder", str(there))
                    if there != folder
                    else NotADirectoryError(20, "not a folder", str(there))
                )
            if not os.access(there, os.W_OK | os.X_OK):
                raise PermissionError(13, "not writable for us", str(there))
        except OSError as fault:
            faults.append(unwritable(values, key, folder, fault))
            continue
        if key == "data" and folder.exists():
            try:
                lock_data(values).release()
            except ConfigurationFault as fault:
                faults.append(fault)
                served = True
    return served


async def catalogue_mark(
    values: Values, seal: bytes, reactor: Any, faults: list[ConfigurationFault], thorough: bool
) -> Mark | None:
    """The catalogue and how far it is, None where there is none yet."""
    if not any((values["data"] / name).exists() for name in ("catalogue.sqlite", "witness")):
        return None
    if not os.access(values["data"], os.W_OK | os.X_OK):
        return UNKNOWN  # told already
    try:
        catalogue = open_data(values, seal, reactor)
    except ConfigurationFault as fault:
        faults.append(fault)
        return UNKNOWN
    if thorough:
        await catalogue.examine()
        if catalogue.condition.doubt:
            faults.append(damaged(values, catalogue.condition.doubt))
    await catalogue.close()
    return Mark(catalogue.id, catalogue.found)


async def _check_ports(reading: Reading, values: Values, reactor: Any) -> None:
    lines = list(reading.listen)
    if values["metrics"] is not None:
        lines.append((values.fault("metrics", "", "", "").line, values["metrics"]))
    nobody = Factory()
    nobody.noisy = False
    await doors.shut(await doors.listen(reactor, reading.document.file, lines, nobody, reading.faults))


async def _check_place(place: Any, ours: Mark | None) -> None:
    """Open a location, look whose it is, and try it. Raises ConfigurationFault."""
    location = build(place)
    try:
        await location.open()
        owner = await peek(location)
        if owner is not None and ours is None:
            raise ForeignStorage(
                f"location {place.name!r} belongs to another gateway (catalogue {owner.catalogue})",
                fix="give this gateway a storage of its own, or bring back its catalogue with `gateway restore`",
            )
        if owner is not None and ours is not None and ours != UNKNOWN:
            compare(location, owner, ours.catalogue, ours.changes)
        await _probe(location)
    except BackendError as fault:
        raise misplaced(place, fault) from fault
    finally:
        await location.close()


async def _probe(location: Location) -> None:
    """Try it, and leave nothing behind. Raises BackendError."""
    probe = f"check{os.getpid()}"
    try:
        await location.healthcheck(HealthcheckRequest(probe=probe))
    except BackendError:
        with suppress(BackendError):  # what went wrong first is what counts
            await location.delete(DeleteRequest(name=probe))
        raise
