"""From settings to open rooms: the data lock, the catalogue and the locations, and back again."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.logger import Logger

from gateway.catalogue import Catalogue, CatalogueDamaged, CatalogueFault, CatalogueForgot, Slots, open_catalogue
from gateway.errors import BackendBusy, BackendDown, BackendError, BackendUnfit, kind_of
from gateway.node.lock import DataInUse, DataLock
from gateway.node.read import NodeSettings, Place
from gateway.node.seat import ALONE, Seat
from gateway.node.waiting import Waiting
from gateway.plugins.fitness import PluginBroken, PluginFault
from gateway.plugins.limits import Limits
from gateway.plugins.location import Location
from gateway.plugins.marker import FIX_OF_LOSS, Forgotten, advance, claim
from gateway.plugins.metrics import Metrics
from gateway.seal import Seal
from gateway.settings import ConfigurationFault, ConfigurationFaults, Unanswered, Values

log = Logger()

# location, hook, outcome, seconds
Report = Callable[[str, str, str, float], None]


def unreported(location: str, hook: str, outcome: str, seconds: float) -> None:
    """For whoever opens a location without counting what it does."""


def lock_data(gateway: Values) -> DataLock:
    """Make the data folder where it is missing, and lock it. Raises ConfigurationFault."""
    folder: Path = gateway["data"]
    try:
        make_folder(folder)
        return DataLock.take(folder)
    except DataInUse as use:
        who = f"process {use.pid}" if use.pid else "another process"
        fix = f"stop it (kill {use.pid}) or give this gateway a folder of its own" if use.pid else "stop it"
        raise gateway.fault("data", f"{folder} in use by the gateway of {who}", "one gateway per folder", fix) from use
    except OSError as fault:
        raise unwritable(gateway, "data", folder, fault) from fault


def make_folder(folder: Path) -> None:
    """A folder for us alone; its parent must exist, so that a typing slip makes no tree of folders."""
    if not folder.is_dir():
        folder.mkdir(mode=0o700)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(13, "Permission denied", str(folder))


def unwritable(gateway: Values, key: str, folder: Path, fault: OSError) -> ConfigurationFault:
    """A folder that cannot be made or written."""
    missing = isinstance(fault, FileNotFoundError)
    fix = f"mkdir {folder.parent}" if missing else f"make {folder} ours (chown, chmod 700) or change {key}"
    return gateway.fault(key, f"{folder}: {fault.strerror}", "a folder that we can write", fix)


def open_data(
    gateway: Values, seal: bytes, reactor: Any, *, accept_loss: bool = False, slots: Slots | None = None
) -> Catalogue:
    """Open the catalogue, made where it is missing. Raises ConfigurationFault."""
    try:
        return open_catalogue(gateway["data"], Seal(seal), reactor=reactor, accept_loss=accept_loss, slots=slots)
    except CatalogueForgot as fault:
        raise gateway.fault("data", str(fault), "all that this gateway committed", FIX_OF_LOSS) from fault
    except CatalogueDamaged as fault:
        raise damaged(gateway, str(fault)) from fault
    except CatalogueFault as fault:
        fix = "use the gateway's version and private/seal that it was made with, or restore it from a backup"
        raise gateway.fault("data", str(fault), "a catalogue that this version opens", fix) from fault


def damaged(gateway: Values, what: str) -> ConfigurationFault:
    """The catalogue is not what was written."""
    fix = "`gateway restore`, or put the newest copy of the data folder back"
    return gateway.fault("data", what, "a catalogue as it was written", fix)


def build(place: Place, report: Report = unreported) -> Location:
    """The location, not yet open. Raises ConfigurationFault for whatever its plugin does wrong."""

    def count(hook: str, outcome: str, seconds: float) -> None:
        report(place.name, hook, outcome, seconds)

    try:
        # metrics inside the limit: they tell how fast the storage is, not how long the queue before it;
        # around the strangers: what those do to the storage shows
        strangers = [wrapping.build(place.values) for wrapping in reversed(place.wrappers)]
        return Location(place.name, _construct(place), (*strangers, Metrics(count), Limits(place.concurrency)))
    except (BackendUnfit, PluginFault) as fault:
        raise misplaced(place, fault) from fault


def _construct(place: Place) -> Any:
    try:
        return place.backend(place.values)
    except (BackendUnfit, KeyboardInterrupt):
        raise
    except BaseException as reason:  # a stranger's constructor may fail in any way
        raise PluginBroken(f"{place.distribution} fails: {type(reason).__name__}: {reason}") from reason


def misplaced(place: Place, fault: BackendError | PluginFault) -> ConfigurationFault:
    """What is wrong with a location, at the line of the setting to blame."""
    if isinstance(fault, PluginFault):
        expected, fix = "a working backend plugin", f"mend or reinstall {place.distribution}"
        return place.values.fault("backend", f"backend = {place.kind!r} ({fault})", expected, fix)
    if isinstance(fault, BackendUnfit):
        key, fix = fault.key or "backend", fault.fix or "change the settings of this location"
        return place.values.fault(key, str(fault), "a storage that serves this gateway", fix)
    seen = f"location {place.name!r} that fails: {kind_of(fault)}: {fault}"
    fix = "mend the storage or correct this section, then try `gateway check`"
    told = place.values.fault("backend", seen, "a storage that answers", fix)
    if isinstance(fault, BackendDown | BackendBusy):
        return Unanswered(told.file, told.line, told.seen, told.expected, told.fix)
    return told


async def open_place(
    location: Location, catalogue: Catalogue, seat: Seat = ALONE, *, accept_loss: bool = False
) -> None:
    """Open a location, and see that it belongs to our catalogue. Raises BackendError; then it is closed again.

    It must not have seen more changes than the catalogue had when the gateway started. Once a process of the gateway
    found it so, the others meet a marker that may have been moved on since.
    """
    try:
        await location.open()
        if accept_loss:
            await advance(location, catalogue.id, catalogue.changes)
        else:
            await claim(location, catalogue.id, lambda: _known(location.name, catalogue, seat))
    except Forgotten as fault:
        await location.close()
        catalogue.heard(fault.changes)
        raise
    except BaseException:
        await location.close()
        raise
    seat.verify(location.name)


def _known(location: str, catalogue: Catalogue, seat: Seat) -> int:
    if location in seat.verified:
        return catalogue.changes
    return catalogue.found if seat.found is None else min(seat.found, catalogue.found)


@dataclass(slots=True)
class Rooms:
    """What an open gateway holds below its front door. ``waiting``: why some locations are not open yet."""

    lock: DataLock
    catalogue: Catalogue
    seat: Seat = ALONE
    locations: dict[str, Location] = field(default_factory=dict)
    waiting: dict[str, BackendError] = field(default_factory=dict)

    async def add(self, place: Place, report: Report, accept_loss: bool) -> None:
        """Open a location; where its storage does not answer, one that waits for it. Raises ConfigurationFault."""
        location = build(place, report)
        try:
            await open_place(location, self.catalogue, self.seat, accept_loss=accept_loss)
        except (BackendDown, BackendBusy) as fault:
            self.waiting[place.name] = fault
            location = self._wait(place, location, fault, report)
        except BackendError as fault:
            raise misplaced(place, fault) from fault
        self.locations[place.name] = location

    def _wait(self, place: Place, closed: Location, reason: BackendError, report: Report) -> Location:
        async def attempt() -> Location:
            location = build(place, report)
            await open_place(location, self.catalogue, self.seat)
            self.locations[place.name] = location
            self.waiting.pop(place.name, None)
            return location

        def count(hook: str, outcome: str, seconds: float) -> None:
            report(place.name, hook, outcome, seconds)

        return Location(place.name, Waiting(closed.capabilities, reason, attempt), (Metrics(count),))

    async def close(self) -> None:
        """In the opposite order of opening; the lock is given back whatever happens before."""
        try:
            for location in reversed(self.locations.values()):
                await location.close()
            await self.catalogue.close()
        finally:
            self.lock.release()


async def open_rooms(
    settings: NodeSettings,
    reactor: Any,
    report: Report = unreported,
    seat: Seat = ALONE,
    *,
    accept_loss: bool = False,
) -> Rooms:
    """Raises ConfigurationFaults with the faults of all locations; then nothing stays open.

    ``accept_loss``: the catalogue may have forgotten changes; from now on it counts as it is.

    A storage that does not answer is no fault while another location opens.
    """
    gateway = settings.gateway
    try:
        lock = seat.lock or lock_data(gateway)
    except ConfigurationFault as fault:
        raise ConfigurationFaults([fault]) from fault
    try:
        catalogue = open_data(gateway, settings.seal, reactor, accept_loss=accept_loss, slots=seat.slots)
        rooms = Rooms(lock, catalogue, seat)
    except ConfigurationFault as fault:
        lock.release()
        raise ConfigurationFaults([fault]) from fault
    except BaseException:
        lock.release()
        raise
    try:
        places = [replace(place, concurrency=seat.share(place.concurrency)) for place in settings.places]
        await _add_all(rooms, places, report, accept_loss)
    except BaseException:
        await rooms.close()
        raise
    return rooms


async def _add_all(rooms: Rooms, places: Sequence[Place], report: Report, accept_loss: bool) -> None:
    """All at once, so that one that keeps us waiting delays no other; they stay in the order of the file."""
    faults: list[ConfigurationFault] = []

    async def add(place: Place) -> None:
        try:
            await rooms.add(place, report, accept_loss)
        except ConfigurationFault as fault:
            faults.append(fault)

    await gatherResults([Deferred.fromCoroutine(add(place)) for place in places])
    rooms.locations = {place.name: rooms.locations[place.name] for place in places if place.name in rooms.locations}
    if len(rooms.waiting) == len(places):
        faults += [misplaced(place, rooms.waiting[place.name]) for place in places]
    if faults:
        raise ConfigurationFaults(faults)
    for name, reason in rooms.waiting.items():
        told = f"{kind_of(reason)}: {reason}"
        log.error("location {name} is not open, and is tried again and again: {told}", name=name, told=told)
