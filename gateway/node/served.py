"""What `gateway run` and twistd start: one process that is the whole gateway, or the supervisor of several."""

from __future__ import annotations

from typing import Any

from twisted.application import service
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from gateway.node import signals
from gateway.node.read import NodeSettings
from gateway.settings import ConfigurationFaults

log = Logger()


class Served(service.Service):
    """``open`` serves, ``close`` stops. Once it is open, ``urls`` says where."""

    name = "gateway"

    def __init__(self, settings: NodeSettings, reactor: Any) -> None:
        self.settings = settings
        self.urls: list[str] = []
        self.failed = False
        self._reactor = reactor

    async def open(self) -> None:
        """Raises ConfigurationFaults, or what else keeps it from serving; then nothing stays open."""
        try:
            await self._open()
        except BaseException:
            await self.close()
            raise

    async def _open(self) -> None:
        raise NotImplementedError

    async def close(self) -> None:
        """Drain, and let go of everything."""
        raise NotImplementedError

    def reload(self) -> None:
        """What SIGHUP asks for."""
        raise NotImplementedError

    def tell_notices(self) -> None:
        """What of the configuration is not ours."""
        if self.settings.notices:
            keys = ", ".join(self.settings.notices)
            log.info("{file}: left alone, for a Tahoe-LAFS node: {keys}", file=self.settings.file, keys=keys)

    def startService(self) -> None:
        """For twistd, whose start does not wait: a start that fails says why, one line each, and ends the process."""
        super().startService()  # type: ignore[no-untyped-call]
        self._reactor.callWhenRunning(signals.on_stop, self._reactor, self._reactor.stop)
        self._reactor.callWhenRunning(self._start)

    def _start(self) -> None:
        Deferred.fromCoroutine(self.open()).addErrback(self._fail)

    def stopService(self) -> Deferred[None]:
        super().stopService()  # type: ignore[no-untyped-call]
        return Deferred.fromCoroutine(self.close())

    def _fail(self, failure: Any) -> None:
        if failure.check(ConfigurationFaults):
            for fault in failure.value.faults:
                log.critical("{fault}", fault=str(fault))
        else:
            log.failure("the gateway cannot start", failure=failure)
        self.failed = True
        self._reactor.callWhenRunning(self._reactor.stop)  # it may have failed before the reactor runs
