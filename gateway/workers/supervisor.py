"""The process that an operator starts, where several serve: it has the data lock and the doors, and serves nothing.

Its workers hold both with it. One that dies is started again, and takes only its own connections along; all of them
end with the supervisor, however that ends.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import Factory
from twisted.internet.task import deferLater
from twisted.logger import Logger

from gateway.catalogue import slots_memory
from gateway.node import doors
from gateway.node.lock import DataLock
from gateway.node.read import NodeSettings
from gateway.node.rooms import lock_data
from gateway.node.served import Served
from gateway.settings import ConfigurationFault, ConfigurationFaults
from gateway.workers.balance import Balance, balance_memory
from gateway.workers.birth import Born, program
from gateway.workers.child import Child
from gateway.workers.faults import WorkerLost, received
from gateway.workers.figures import Figures
from gateway.workers.sockets import Binding
from gateway.workers.told import logged

log = Logger()

_SHORTEST, _LONGEST = 0.1, 30.0  # seconds before a dead worker is started again
_REFUSED = 1.0  # seconds until the system is asked again for a process
_LONG_LIFE = 60.0  # seconds after which a death is no sign of a fault that stays


class Supervisor(Served):
    """``workers``: how many processes are to serve. ``born``: those that are there already, by number."""

    def __init__(self, settings: NodeSettings, reactor: Any, workers: int, born: Sequence[Born] = ()) -> None:
        super().__init__(settings, reactor)
        self.workers = workers
        self._lock: DataLock | None = None
        self._shared: list[int] = []  # memory that all workers see
        self._balance: Balance | None = None
        self._binding = Binding(reactor)
        self._doors: list[doors.Door] = []
        self._children: dict[int, Child] = {}  # by number; those that live
        self._started: Deferred[None] | None = None  # fires when all are ready for the first time
        self._ended: Deferred[None] | None = None  # fires when the last one is gone
        self._serving = self._stopping = False
        self._pauses = dict.fromkeys(range(workers), _SHORTEST)
        self._restarts: dict[int, IDelayedCall] = {}
        self._duties: Child | None = None
        self._figures = Figures(reactor, self._children)
        self._born = born
        # what a later worker must know of the gateway's life
        self._found: int | None = None
        self._verified: set[str] = set()
        self._doubt = ""

    # -- the whole

    async def _open(self) -> None:
        """Raises WorkerLost as well."""
        try:
            self._lock = lock_data(self.settings.gateway)
        except ConfigurationFault as fault:
            raise ConfigurationFaults([fault]) from fault
        opened = await self._listen()
        self._shared = [slots_memory(self.workers), balance_memory(self.workers)]
        self._balance = Balance(self._shared[1])
        self._started = Deferred()
        for number, born in enumerate(self._born):
            self._take_on(number, born)
        for number in range(len(self._born), self.workers):
            self._start_worker(number)
        self._let_open(0)  # alone at first: it makes what is missing, and tells what is wrong once
        await self._started
        self.tell_notices()
        doors.tell_expiry(self._doors)
        self.urls = doors.urls(opened)
        log.info("{workers} workers are ready", workers=self.workers)
        log.info("serving S3 at {urls}", urls=", ".join(self.urls))

    async def _listen(self) -> list[doors.Door]:
        """Bind every door. Gives those that S3 is spoken at."""
        nobody = Factory()
        nobody.noisy = False
        faults: list[ConfigurationFault] = []
        settings, values = self.settings, self.settings.gateway
        opened = await doors.listen(self._binding, settings.file, settings.listen, nobody, faults)
        self._doors += opened
        if values["metrics"] is not None:
            line = (values.fault("metrics", "", "", "").line, values["metrics"])
            self._doors += await doors.listen(self._binding, settings.file, [line], nobody, faults)
        if faults:
            raise ConfigurationFaults(faults)
        return opened

    async def close(self) -> None:
        """All drain at the same time; the doors close when theirs do."""
        self._stopping = True
        for restart in self._restarts.values():
            restart.cancel()
        self._restarts.clear()
        for child in self._children.values():
            child.say("stop")
        if self._children:
            self._ended = Deferred()
            if self._serving:
                log.info("stopping: {workers} workers", workers=len(self._children))
                await deferLater(self._reactor, self.settings.gateway["drain_notice"], lambda: None)
        await doors.shut(self._doors)
        if self._ended is not None and self._children:
            await self._ended
        while self._shared:
            os.close(self._shared.pop())
        if self._lock is not None:
            self._lock.release()

    def reload(self) -> None:
        """All look at their certificates again; what is wrong with one is told by us."""
        doors.renew(self._doors, self.settings.file)
        for child in self._children.values():
            child.say("reload")

    # -- a worker's life

    def _start_worker(self, number: int) -> None:
        self._restarts.pop(number, None)
        self._take_on(number, program(Path(self.settings.file), number))

    def _take_on(self, number: int, born: Born) -> None:
        heard: dict[str, Callable[..., None]] = {
            "ready": self._ready,
            "faults": self._faulty,
            "verified": self._tell_verified,
            "doubt": self._doubted,
            "log": lambda child, level, text: logged(child.pid, level, text),
            "figures": self._figures.asked,
            "report": self._figures.reported,
        }
        self._children[number] = Child(self._reactor, number, born, heard, self._gone)

    def _let_open(self, number: int) -> None:
        assert self._lock is not None
        child = self._children[number]
        child.hand([self._lock.descriptor, *self._shared, *(bound.fileno() for bound in self._binding.sockets)])
        verified = sorted(self._verified)
        child.say("open", text=self.settings.text, workers=self.workers, found=self._found, verified=verified)

    def _ready(self, child: Child, found: int) -> None:
        first = self._found is None
        if first:
            self._found = found
        child.ready = True
        if self._doubt:
            child.say("doubt", why=self._doubt)
        if self._serving:
            child.say("serve")
            log.info("worker {pid} serves in the place of the one that ended", pid=child.pid)
        elif first:
            for number in self._children.keys() - {child.number}:
                self._let_open(number)
        if not self._serving and all(each.ready for each in self._children.values()):
            self._serving = True
            for each in self._children.values():
                each.say("serve")
            if self._started is not None and not self._started.called:
                self._started.callback(None)
        self._give_duties()

    def _give_duties(self) -> None:
        """To one that is ready, unless one has them. Nobody reaps before all could open."""
        if self._duties is None and self._serving and not self._stopping:
            self._duties = next((child for child in self._children.values() if child.ready), None)
            if self._duties is not None:
                self._duties.say("duties")

    def _faulty(self, child: Child, faults: Sequence[Sequence[Any]]) -> None:
        """Something keeps it from opening. At the start that is everybody's end."""
        found = received(faults)
        if self._started is not None and not self._started.called:
            self._started.errback(found)
            return
        for fault in found.faults:
            log.error("worker {pid} cannot start: {fault}", pid=child.pid, fault=str(fault))

    def _gone(self, child: Child) -> None:
        del self._children[child.number]
        if self._balance is not None:
            self._balance.away(child.number)
        self._figures.gone(child)
        if self._duties is child:
            self._duties = None
            self._give_duties()
        if self._stopping:
            if not self._children and self._ended is not None:
                self._ended.callback(None)
            return
        if self._started is not None and not self._started.called:
            self._started.errback(WorkerLost(f"worker {child.pid} ended with {child.how} before it was ready"))
            return
        if self._serving:
            self._start_again(child)

    def _start_again(self, child: Child) -> None:
        """After a pause that grows while it dies young."""
        lived = self._reactor.seconds() - child.started
        pause = _SHORTEST if lived > _LONG_LIFE else self._pauses[child.number]
        self._pauses[child.number] = min(2 * pause, _LONGEST)
        told = "worker {pid} ended with {how} after {lived:.1f} s; another one starts in {pause:.1f} s"
        log.warn(told, pid=child.pid, how=child.how, lived=lived, pause=pause)
        self._restarts[child.number] = self._reactor.callLater(pause, self._restart, child.number)

    def _restart(self, number: int) -> None:
        """Again and again, where the system has no process or descriptor to give."""
        try:
            self._start_worker(number)
        except OSError as fault:
            log.error("no worker can be started: {fault}; it is tried again", fault=fault)
            self._restarts[number] = self._reactor.callLater(_REFUSED, self._restart, number)
        else:
            self._let_open(number)

    # -- what one worker tells all

    def _tell_verified(self, child: Child, location: str) -> None:
        if location not in self._verified:
            self._verified.add(location)
            for each in self._children.values():
                each.say("verified", location=location)

    def _doubted(self, child: Child, why: str) -> None:
        if not self._doubt:
            self._doubt = why
            for each in self._children.values():
                each.say("doubt", why=why)
