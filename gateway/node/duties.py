"""What only one process of a gateway does beside serving: reading the whole catalogue once, reaping, snapshots,
and the scrub of what is stored.

Who does it is the supervisor's choice, and another one's after its death. What every process does for itself is not
here: its probes, and telling what its running GETs still read.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from twisted.internet.defer import Deferred

from gateway.node.read import NodeSettings
from gateway.node.rooms import Rooms
from gateway.reaper import Reaper
from gateway.recovery.duty import SnapshotDuty
from gateway.recovery.scrub_duty import ScrubDuty
from gateway.seal import Seal
from gateway.settings import Values


class Duties:
    """``start`` when they are ours, once; ``stop`` in any case."""

    def __init__(self, settings: NodeSettings, rooms: Rooms, works: Callable[[str], bool], reactor: Any) -> None:
        data, seal = settings.gateway["data"], Seal(settings.seal)
        self.reaper = Reaper(rooms.catalogue, rooms.locations)
        self.scrub = ScrubDuty(rooms.catalogue, data, rooms.locations, seal, works, reactor)
        self._settings = settings
        self._rooms = rooms
        self._reactor = reactor
        self._stops: list[Callable[[], Coroutine[Any, Any, None]]] = []

    def start(self) -> None:
        values, rooms = self._settings.gateway, self._rooms
        self._stops.append(self.reaper.stop)
        # Every page is read first: what a damaged catalogue does not know is not garbage.
        examined = Deferred.fromCoroutine(rooms.catalogue.examine())
        examined.addCallback(lambda _: self.reaper.start(values["reap_interval"], self._reactor))
        snapshots = SnapshotDuty(rooms.catalogue, values["data"], rooms.locations, Seal(self._settings.seal))
        snapshots.start(values["snapshot_interval"], self._reactor)
        self._stops.append(snapshots.stop)
        self.scrub.start(scrub_interval(values))
        self._stops.append(self.scrub.stop)

    async def stop(self) -> None:
        """The last started first; waits for what may not be left half done."""
        while self._stops:
            await self._stops.pop()()


def scrub_interval(values: Values) -> float:
    """Whoever sends files unread has them read beside; else only who asks for it: reading a cloud costs money."""
    told: float | None = values["scrub_interval"]
    if told is not None:
        return told
    return 30 * 86400.0 if values["verify"] == "scrub" else 0.0
