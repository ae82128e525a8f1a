"""Try each location step by step, as a gateway would use it; also beside one that serves.

Nothing is claimed, no catalogue is made, no port is taken. A location is opened once more, in this process; what only
the process that serves can see (a backend in its memory) is left out, and said so.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gateway.bodies import BytesBody, contents
from gateway.errors import BackendBusy, BackendDenied, BackendDown, BackendError, BlobMissing
from gateway.model import DeleteRequest, GetRequest, HeadRequest, ListRequest, PutRequest
from gateway.node.inspect import UNKNOWN, catalogue_mark
from gateway.node.lock import DataInUse, DataLock
from gateway.node.read import Place, read
from gateway.node.rooms import build, misplaced
from gateway.plugins.location import Location
from gateway.plugins.marker import ForeignStorage, Mark, peek
from gateway.settings import ConfigurationFault, ConfigurationFaults

PROBE = 64 * 1024  # bytes
RANGE = (1000, 3000)  # start and length


@dataclass(slots=True)
class Trial:
    """What was tried of one location. ``steps``: (name, seconds); ``refused``: the steps for which we lack the right.

    ``fault``: what ended it. ``silent``: the service did not answer. ``left_out``: why nothing was tried.
    """

    place: Place
    steps: list[tuple[str, float]] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    fault: ConfigurationFault | None = None
    silent: bool = False
    left_out: str = ""

    @property
    def done(self) -> str:
        return ", ".join(f"{name} {seconds * 1000:.0f} ms" for name, seconds in self.steps)


async def try_online(path: Path, reactor: Any) -> list[Trial]:
    """One trial for each location, in the order of the file. Raises ConfigurationFaults where it cannot be read."""
    reading = read(path)
    if reading.faults or reading.gateway is None or reading.seal is None:
        raise ConfigurationFaults(reading.faults)
    ours = await catalogue_mark(reading.gateway, reading.seal, reactor, reading.faults, False)
    if reading.faults:
        raise ConfigurationFaults(reading.faults)
    served = _is_served(reading.gateway["data"])
    return [await try_place(place, ours, served, reactor.seconds) for place in reading.places]


def _is_served(data: Path) -> bool:
    if not data.is_dir():
        return False
    try:
        DataLock.take(data).release()
    except (DataInUse, OSError):
        return True
    return False


async def try_place(place: Place, ours: Mark | None, served: bool, clock: Callable[[], float]) -> Trial:
    """Each step on one location. ``ours``: None where there is no catalogue yet, UNKNOWN where it cannot be read."""
    trial = Trial(place)
    try:
        location = build(place)
    except ConfigurationFault as fault:
        trial.fault = fault
        return trial
    if served and not location.capabilities.shared:
        trial.left_out = "only the gateway that serves can try it: see /_/healthcheck"
        return trial
    try:
        await _Walk(trial, location, clock).walk(ours)
    except BackendError as fault:
        trial.fault = misplaced(place, fault)
        trial.silent = isinstance(fault, BackendDown | BackendBusy)
    finally:
        await location.close()
    return trial


class _Walk:
    """Each step once. One that is refused is noted, and the others are tried all the same."""

    def __init__(self, trial: Trial, location: Location, clock: Callable[[], float]) -> None:
        self._trial = trial
        self._location = location
        self._clock = clock
        self._name = f"check{secrets.token_hex(6)}"
        self._data = secrets.token_bytes(PROBE)

    async def walk(self, ours: Mark | None) -> None:
        """Raises BackendError where it makes no sense to go on; then the probe is deleted, if that can be."""
        await self._step("open", self._location.open, demanded=True)
        await self._step("owner", lambda: self._owner(ours))
        await self._step("list", lambda: self._location.list(ListRequest(limit=1)))
        try:
            await self._step("put", self._put)
            await self._step("head", lambda: self._location.head(HeadRequest(name=self._name)))
            await self._step("get", lambda: self._get(0, PROBE))
            await self._step("range", lambda: self._get(*RANGE))
        except BaseException:
            with suppress(BackendError):  # what went wrong first is what counts
                await self._location.delete(DeleteRequest(name=self._name))
            raise
        await self._step("delete", lambda: self._location.delete(DeleteRequest(name=self._name)))

    async def _step(self, name: str, do: Callable[[], Awaitable[object]], *, demanded: bool = False) -> None:
        began = self._clock()
        try:
            await do()
        except BackendDenied as fault:
            if demanded:
                raise BackendDenied(f"opening it, which lists it, is refused: {fault}") from fault
            self._trial.refused[name] = str(fault)
        except BlobMissing:
            if "put" not in self._trial.refused:
                raise BackendDown(f"{name}: what was written is not there") from None
        else:
            self._trial.steps.append((name, self._clock() - began))

    async def _owner(self, ours: Mark | None) -> None:
        owner = await peek(self._location)
        if owner is not None and ours != UNKNOWN and (ours is None or owner.catalogue != ours.catalogue):
            raise ForeignStorage(
                f"location {self._location.name!r} belongs to another gateway (catalogue {owner.catalogue})",
                fix="give this gateway a storage of its own, or restore the catalogue that it belongs to",
            )

    async def _put(self) -> None:
        await self._location.put(PutRequest(name=self._name, body=BytesBody(self._data), size=PROBE))

    async def _get(self, start: int, length: int) -> None:
        found = await contents(await self._location.get(GetRequest(name=self._name, start=start, length=length)))
        if found != self._data[start : start + length]:
            raise BackendDown("what was written does not come back")
