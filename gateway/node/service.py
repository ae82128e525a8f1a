"""The whole gateway as one Twisted service: every room is built once, in order, and closed in the opposite order."""

from __future__ import annotations

import time
from typing import Any

from twisted.application import service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IListeningPort
from twisted.logger import Logger

from gateway.gate import Gate
from gateway.http import Front, Limits
from gateway.node import doors
from gateway.node.health import Health
from gateway.node.read import DEFAULT, NodeSettings
from gateway.node.rooms import Rooms, open_rooms
from gateway.operations import Gateway
from gateway.reaper import Reaper
from gateway.seal import Seal
from gateway.settings import ConfigurationFault, ConfigurationFaults, Values
from gateway.verifier import Rules

log = Logger()


class Node(service.Service):
    """``open`` serves, ``close`` stops; as a service both are called by twistd.

    ``urls`` says where clients reach it once it is open.
    """

    name = "gateway"

    def __init__(self, settings: NodeSettings, reactor: Any) -> None:
        self.settings = settings
        self.urls: list[str] = []
        self._reactor = reactor
        self._rooms: Rooms | None = None
        self._front: Front | None = None
        self._health: Health | None = None
        self._reaper: Reaper | None = None
        self._ports: list[IListeningPort] = []

    async def open(self) -> None:
        """Open every room, the front door last. Raises ConfigurationFaults; then nothing stays open."""
        settings = self.settings
        for notice in _tell(settings):
            log.info("{notice}", notice=notice)
        rooms = self._rooms = await open_rooms(settings, self._reactor)
        try:
            await self._serve(settings.gateway, rooms)
        except BaseException:
            await self.close()
            raise

    async def _serve(self, gateway: Values, rooms: Rooms) -> None:
        settings = self.settings
        gate = Gate(
            Gateway(rooms.catalogue, rooms.locations, DEFAULT, Seal(settings.seal), region=gateway["region"]),
            Rules(
                region=gateway["region"] if gateway["strict_region"] else None,
                unsigned_over_http=gateway["unsigned_over_http"],
                signature_v2=gateway["signature_v2"],
            ),
            gateway["domain"] or (),
        )
        self._health = Health(rooms.catalogue, rooms.locations, self._reactor, time.time, lambda name, working: None)
        self._health.start(gateway["probe_interval"])
        self._reaper = Reaper(rooms.catalogue, rooms.locations)
        self._reaper.start(gateway["reap_interval"], self._reactor)
        self._front = Front(gate.answer, limits_of(gateway), clock=self._reactor)
        faults: list[ConfigurationFault] = []
        self._ports = await doors.listen(self._reactor, settings.file, settings.listen, self._front, faults)
        if faults:
            raise ConfigurationFaults(faults)
        self.urls = doors.urls(self._ports, settings.listen)
        log.info("serving S3 at {urls}", urls=", ".join(self.urls))

    async def close(self) -> None:
        """Take no new connections, let running replies end, then close room by room."""
        await doors.shut(self._ports)
        self._ports = []
        if self._front is not None:
            await self._front.drain(self.settings.gateway["drain_timeout"])
        for worker in (self._health, self._reaper):
            if worker is not None:
                await worker.stop()
        if self._rooms is not None:
            rooms, self._rooms = self._rooms, None
            await rooms.close()

    def startService(self) -> None:
        """For twistd, whose start does not wait: a start that fails says why in one line each and stops the process."""
        super().startService()  # type: ignore[no-untyped-call]
        opening = Deferred.fromCoroutine(self.open())
        opening.addErrback(self._failed)

    def stopService(self) -> Deferred[None]:
        super().stopService()  # type: ignore[no-untyped-call]
        return Deferred.fromCoroutine(self.close())

    def _failed(self, failure: Any) -> None:
        if failure.check(ConfigurationFaults):
            for fault in failure.value.faults:
                log.critical("{fault}", fault=str(fault))
        else:
            log.failure("the gateway cannot start", failure=failure)
        self.failed = True
        self._reactor.stop()


def limits_of(gateway: Values) -> Limits:
    """The front door's limits: settings where there are some."""
    shortest = min(gateway[key] for key in ("head_timeout", "idle_timeout", "body_timeout", "stall_timeout"))
    return Limits(
        head_seconds=gateway["head_timeout"],
        idle_seconds=gateway["idle_timeout"],
        body_floor_seconds=gateway["body_timeout"],
        stall_seconds=gateway["stall_timeout"],
        connections=gateway["connections"],
        connections_per_peer=gateway["connections"],
        sweep_seconds=min(1.0, shortest / 4),
    )


def _tell(settings: NodeSettings) -> list[str]:
    """What an operator should know about a file that is fine."""
    if not settings.notices:
        return []
    return [f"{settings.file}: left alone, for a Tahoe-LAFS node: {', '.join(settings.notices)}"]
