"""One worker: a whole node at the supervisor's doors. It lives no longer than the supervisor."""

from __future__ import annotations

import gc
import os
import select
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ReactorNotRunning
from twisted.logger import Logger
from twisted.python.failure import Failure

from gateway.catalogue import Slots
from gateway.errors import S3Error
from gateway.node import signals
from gateway.node.lock import DataLock
from gateway.node.read import read_node
from gateway.node.seat import Seat
from gateway.node.service import STARTING, Node
from gateway.observe import Metrics
from gateway.observe.whole import Report, report_of, text_of
from gateway.settings import ConfigurationFaults
from gateway.workers.balance import Balance, Turn
from gateway.workers.channel import Channel, over
from gateway.workers.faults import sent
from gateway.workers.sockets import Adopting
from gateway.workers.told import log_to_supervisor

log = Logger()

NAME = "gateway-worker"  # the kernel keeps 15 characters
ORPHANED = 70  # the exit code of a worker whose supervisor is gone
_PATIENCE = 10.0  # seconds that the supervisor has for the figures of all


class Worker:
    """Does what the supervisor says. ``number``: which of them; ``descriptor``: of the channel."""

    def __init__(self, reactor: Any, path: Path, number: int, descriptor: int) -> None:
        self._reactor = reactor
        self._path = path
        self._number = number
        self._node: Node | None = None  # once it is open
        self._waiting: dict[int, Deferred[Report]] = {}  # for the figures of all
        self._asked = 0
        self._serves = False
        self._stopping = False
        self._verified: set[str] = set()
        self._ending = threading.Event()
        _die_with_the_supervisor(descriptor, self._ending)
        heard: dict[str, Callable[..., None]] = {
            "open": self._open,
            "serve": self._serve,
            "duties": self._take_duties,
            "reload": self.reload,
            "stop": self.stop,
            "doubt": self._doubt,
            "verified": lambda location: self._verified.add(location),
            "report": self._report,
            "figures": self._figures,
        }
        self._channel = over(reactor, descriptor, Channel(heard, self._stop_reactor))
        self._say = self._channel.say
        log_to_supervisor(reactor, self._say)

    # -- what the supervisor says

    def _open(
        self,
        *,
        text: str,
        workers: int,
        found: int | None,
        verified: Sequence[str],
    ) -> None:
        """``text`` of the configuration; the rest: see Seat. The lock, the slots and the doors were handed to us."""
        lock, slots, balance, *sockets = self._channel.handed
        turn = Turn(Balance(balance), self._number)
        os.close(balance)
        self._verified.update(verified)
        seat = Seat(
            workers=workers,
            lock=DataLock(lock),
            doors=Adopting(self._reactor, sockets, turn),
            slots=Slots(self._number, workers, slots),
            figures=self._figures_of_all,
            duties=False,
            found=found,
            verified=self._verified,
            verify=lambda location: self._say("verified", location=location),
            doubt=lambda why: self._reactor.callFromThread(self._say, "doubt", why=why),
        )
        Deferred.fromCoroutine(self._begin(text, seat)).addErrback(self._failed)

    async def _begin(self, text: str, seat: Seat) -> None:
        node = Node(read_node(self._path, text), self._reactor, seat)
        node.hindered = STARTING
        await node.open()
        gc.freeze()  # all this stays: no reply is to wait while the collector passes over it again
        self._node = node
        if self._serves:
            node.started()
        assert node.catalogue is not None
        self._say("ready", found=node.catalogue.found)

    def _failed(self, failure: Failure) -> None:
        if isinstance(failure.value, ConfigurationFaults):
            self._say("faults", faults=sent(failure.value))
        else:
            log.failure("the worker cannot start", failure=failure)
        self._end()

    def _serve(self) -> None:
        """Every worker is there."""
        self._serves = True
        if self._node is not None:
            self._node.started()

    def _take_duties(self) -> None:
        if self._node is not None:
            self._node.take_duties()

    def reload(self) -> None:
        """Look at the certificates again."""
        if self._node is not None:
            self._node.reload()

    def _doubt(self, why: str) -> None:
        if self._node is not None:
            self._node.doubt(why)

    def stop(self) -> None:
        """Drain, and end: the supervisor says so, or an operator who wants this process replaced. Twice is fine."""
        if self._stopping:
            return
        self._stopping = True
        if self._node is None:  # nothing is served yet; what is half open is as after a crash
            self._end()
            return
        closed = Deferred.fromCoroutine(self._node.close())
        closed.addBoth(self._tell_the_last)
        closed.addErrback(lambda failure: log.failure("the worker did not close well", failure=failure))
        closed.addCallback(lambda _: self._end())

    def _end(self) -> None:
        """When all that we said is on its way."""
        self._ending.set()
        self._channel.end()

    def _stop_reactor(self) -> None:
        with suppress(ReactorNotRunning):
            self._reactor.stop()

    # -- figures

    def _tell_the_last(self, outcome: Any) -> Any:
        """What was counted until the end is not lost, though nobody asked."""
        assert self._node is not None
        self._say("report", question=None, report=report_of(self._node.metrics.registry))
        return outcome

    def _report(self, question: int) -> None:
        """The supervisor gathers the figures of all."""
        self._say("report", question=question, report=report_of(self._node.metrics.registry) if self._node else {})

    async def _figures_of_all(self, metrics: Metrics) -> bytes:
        self._asked += 1
        asked, answer = self._asked, Deferred[Report]()
        self._waiting[asked] = answer
        self._say("figures", question=asked)
        try:
            return text_of(await answer.addTimeout(_PATIENCE, self._reactor))
        except TimeoutError:
            raise S3Error("ServiceUnavailable", cause="the supervisor does not give the figures") from None
        finally:
            del self._waiting[asked]

    def _figures(self, question: int, report: Report) -> None:
        if question in self._waiting:
            self._waiting[question].callback(report)


def _die_with_the_supervisor(descriptor: int, ending: threading.Event) -> None:
    """A thread that ends the process when the other end of the channel is closed, whatever holds up the reactor."""
    watched = os.dup(descriptor)

    def watch() -> None:
        poll = select.poll()
        poll.register(watched, 0)  # a hang-up is always told
        poll.poll()
        if not ending.is_set():  # else it is our end that was closed
            os._exit(ORPHANED)

    threading.Thread(target=watch, name="orphan", daemon=True).start()


def work(path: Path, number: int, descriptor: int) -> None:
    """Be a worker until told to stop."""
    with suppress(OSError):  # a name of its own in `ps` and `top`, where the system lets us
        Path("/proc/self/comm").write_text(NAME)
    from twisted.internet import reactor

    running: Any = reactor
    worker = Worker(running, path, number, descriptor)

    def started() -> None:
        signals.on_hangup(running, worker.reload)
        signals.on_stop(running, worker.stop)

    running.callWhenRunning(started)
    running.run()
