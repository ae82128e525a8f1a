"""The whole gateway as one Twisted service: every room is built once, in order, and closed in the opposite order."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater
from twisted.logger import Logger

import gateway
from gateway.catalogue import Catalogue
from gateway.errors import S3Error
from gateway.gate import Gate
from gateway.http import Front, Limits
from gateway.model import Call, Reply
from gateway.node import doors
from gateway.node.duties import Duties
from gateway.node.figures import connect_doors, connect_front, connect_rooms, connect_scrub, connect_threads
from gateway.node.health import Health
from gateway.node.read import DEFAULT, NodeSettings
from gateway.node.rooms import Rooms, make_folder, open_rooms, unwritable
from gateway.node.seat import ALONE, Seat
from gateway.node.served import Served
from gateway.observe import AccessLog, Metrics, Observer, Stalls
from gateway.operations import Gateway
from gateway.pages import Pages
from gateway.reaper import Readings
from gateway.seal import Seal
from gateway.settings import ConfigurationFault, ConfigurationFaults, Values
from gateway.verifier import Rules

log = Logger()
ACCESS_LOG = "access.log"
STARTING = "starting"

Answer = Callable[[Call], Coroutine[Any, Any, Reply]]


class Node(Served):
    """Serves in this process. Once it is open, ``catalogue`` is there to use. ``metrics`` are those of this process.

    ``hindered``: why /_/ready says no, whatever else there is to say: the gateway starts, or stops.
    """

    def __init__(self, settings: NodeSettings, reactor: Any, seat: Seat = ALONE) -> None:
        super().__init__(settings, reactor)
        self.catalogue: Catalogue | None = None
        self.metrics = Metrics(gateway.__version__)
        self.hindered = ""
        self._seat = seat
        self._alone = seat.lock is None  # else the supervisor tells what is the same in all processes
        self._duties: Duties | None = None
        self._closers: list[Callable[[], Coroutine[Any, Any, None]]] = []  # in the order of opening
        self._doors: list[doors.Door] = []
        self._fronts: list[Front] = []

    async def _open(self) -> None:
        """Open every room, the front door last."""
        settings, values = self.settings, self.settings.gateway
        metrics = self.metrics
        rooms = await open_rooms(settings, self._reactor, metrics.backend_operation, self._seat)
        self._closers.append(rooms.close)
        self.catalogue = rooms.catalogue
        rooms.catalogue.condition.tell = self._seat.doubt
        access_log = _open_log(values, self._reactor)
        self._closers.append(access_log.close)
        health = self._watch(rooms, metrics)
        gate = _gate(settings, rooms)
        pages = self._pages(health, metrics, values, open_metrics=False)
        front = self._front(_either(pages, gate.answer), Observer(metrics, access_log))
        connect_front(metrics, front, access_log)
        connect_doors(metrics, self._doors, self._ready(health))
        faults: list[ConfigurationFault] = []
        opened = await self._listen(settings.listen, front, faults)
        if values["metrics"] is not None:
            figures = self._pages(health, metrics, values, open_metrics=True)
            line = (values.fault("metrics", "", "", "").line, values["metrics"])
            await self._listen([line], self._front(_either(figures, _nothing_here)), faults)
        if faults:
            raise ConfigurationFaults(faults)
        self.urls = doors.urls(opened)
        if self._alone:
            self.tell_notices()
            doors.tell_expiry(self._doors)
            log.info("serving S3 at {urls}", urls=", ".join(self.urls))

    async def _listen(
        self, lines: Sequence[tuple[int, str]], front: Front, faults: list[ConfigurationFault]
    ) -> list[doors.Door]:
        if not self._alone:  # what systemd gave to the supervisor is handed out like any other socket
            lines = [(line, "tcp:0" if text.startswith("systemd:") else text) for line, text in lines]
        opened = await doors.listen(self._seat.doors or self._reactor, self.settings.file, lines, front, faults)
        self._doors += opened
        self._fronts.append(front)
        return opened

    def reload(self) -> None:
        """What SIGHUP asks for: read the certificates again."""
        doors.renew(self._doors, self.settings.file, tell=self._alone)

    def started(self) -> None:
        """The whole gateway has."""
        if self.hindered == STARTING:
            self.hindered = ""

    def take_duties(self) -> None:
        """From now on this process does what only one may do."""
        if self._duties is not None and not self.hindered:
            self._duties.start()

    def doubt(self, why: str) -> None:
        """Another process of the gateway found that the catalogue is not to be believed."""
        if self.catalogue is not None:
            self.catalogue.condition.doubted(why)

    async def _drain(self) -> None:
        """Say that we are not ready, take no new connections, and let running replies end."""
        if self.urls:  # we did serve
            notice = self.settings.gateway["drain_notice"]
            log.info("stopping: {running} requests run", running=sum(front.running for front in self._fronts))
            await deferLater(self._reactor, notice, lambda: None)
        await doors.shut(self._doors)
        patience = self.settings.gateway["drain_timeout"]
        await gatherResults([Deferred.fromCoroutine(front.drain(patience)) for front in self._fronts])

    def _watch(self, rooms: Rooms, metrics: Metrics) -> Health:
        """Start what works beside serving: the probes, what readings hold back, and the duties, if they are ours."""
        values = self.settings.gateway
        health = Health(
            rooms.catalogue, rooms.locations, self._reactor, time.time, metrics.backend_up, down=rooms.waiting
        )
        health.start(values["probe_interval"])
        self._closers.append(health.stop)
        self._duties = Duties(self.settings, rooms, health.works, self._reactor)
        self._closers.append(self._duties.stop)
        if self._seat.duties:
            self._duties.start()
        else:
            readings = Readings(rooms.catalogue)
            readings.start(values["reap_interval"], self._reactor)
            self._closers.append(readings.stop)
        stalls = Stalls(self._reactor, metrics.lagged)
        stalls.start()
        self._closers.append(stalls.stop)
        connect_rooms(metrics, rooms, health, self._duties.reaper)
        connect_scrub(metrics, self._duties.scrub)
        connect_threads(metrics, self._reactor.getThreadPool())
        return health

    def _front(self, answer: Answer, observer: Observer | None = None) -> Front:
        limits = limits_of(self.settings.gateway, self._seat)
        if observer is None:
            return Front(answer, limits, clock=self._reactor)
        return Front(answer, limits, observe=observer, clock=self._reactor)

    def _ready(self, health: Health) -> Callable[[str], tuple[bool, Sequence[str]]]:
        return lambda location: (False, [self.hindered]) if self.hindered else health.ready(location)

    def _pages(self, health: Health, metrics: Metrics, values: Values, *, open_metrics: bool) -> Pages:
        domains = () if open_metrics else values["domain"] or ()
        ready = self._ready(health)

        def figures() -> Awaitable[bytes]:
            return self._seat.figures(metrics)

        return Pages(ready, lambda: health.states, figures, domains=domains, open_metrics=open_metrics)

    async def close(self) -> None:
        """Drain, then close room by room, the last opened first.

        A room that does not close well does not keep the others open; the last such error is raised at the end.
        """
        self.hindered = "stopping"
        self.catalogue = None
        async with AsyncExitStack() as rooms:
            self._closers.append(self._drain)
            for closer in self._closers:
                rooms.push_async_callback(closer)
            self._closers = []


def limits_of(values: Values, seat: Seat = ALONE) -> Limits:
    """The front door's limits: settings where there are some."""
    connections = seat.share(values["connections"])
    shortest = min(values[key] for key in ("head_timeout", "idle_timeout", "body_timeout", "stall_timeout"))
    return Limits(
        head_seconds=values["head_timeout"],
        idle_seconds=values["idle_timeout"],
        body_floor_seconds=values["body_timeout"],
        stall_seconds=values["stall_timeout"],
        connections=connections,
        connections_per_peer=connections,
        sweep_seconds=min(1.0, shortest / 4),
    )


def _gate(settings: NodeSettings, rooms: Rooms) -> Gate:
    values = settings.gateway
    below = Gateway(
        rooms.catalogue,
        rooms.locations,
        DEFAULT,
        Seal(settings.seal),
        region=values["region"],
        hosts=settings.hosts,
        verify_reads=values["verify"] == "always",
    )
    rules = Rules(
        region=values["region"] if values["strict_region"] else None,
        unsigned_over_http=values["unsigned_over_http"],
        signature_v2=values["signature_v2"],
    )
    return Gate(below, rules, (*(values["domain"] or ()), *settings.hosts))


def _open_log(values: Values, reactor: Any) -> AccessLog:
    folder = values["log"]
    access_log = AccessLog(folder / ACCESS_LOG, clock=reactor)
    try:
        make_folder(folder)
        access_log.open()
    except OSError as fault:
        raise ConfigurationFaults([unwritable(values, "log", folder, fault)]) from fault
    return access_log


def _either(pages: Pages, then: Answer) -> Answer:
    """The gateway's own pages stand in front of S3."""

    async def answer(call: Call) -> Reply:
        if call.path == "/" or call.path.startswith("/_/"):
            page = await pages.answer(call)
            if page is not None:
                return page
        return await then(call)

    return answer


async def _nothing_here(call: Call) -> Reply:
    raise S3Error("AccessDenied", "Only the pages under /_/ are here.")
