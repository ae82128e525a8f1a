"""``twistd gateway -c tahoe.cfg``: the options and the service."""

from __future__ import annotations

import atexit
import gc
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from twisted.application.service import IService
from twisted.logger import Logger
from twisted.python import usage

log = Logger()

PARTLY = 5  # how `gateway check` ends where a start would go on without some of the locations


class Options(usage.Options):
    """twistd's own options come before the word ``gateway``, these after it."""

    optParameters = [["config", "c", "tahoe.cfg", "The gateway's configuration."]]  # noqa: N815, RUF012 - Twisted's
    longdesc = "Serves S3 to clients and keeps the bytes in the storage that the configuration names."

    quiet = False

    def getUsage(self, width: int | None = None) -> str:
        return "" if self.quiet else super().getUsage(width)

    def postOptions(self) -> None:
        """Refuse a configuration with faults while twistd still has a terminal: UsageError, one line each.

        Another process tries it, for trying takes a running reactor, and that of this process starts only after
        twistd went into the background. It has the rights that the service will have.
        """
        parent: Any = self.parent
        command = [sys.executable, "-P", "-m", "gateway", "check", "--quiet", "-c", self["config"]]
        user, group = parent["uid"], parent["gid"]
        found = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, user=user, group=group, check=False
        )
        if found.returncode == PARTLY:  # locations that do not answer: the start goes on without them
            sys.stderr.write(found.stderr)
        elif found.returncode != 0:
            # twistd prints the options' help above a UsageError; the operator's one line would drown in it
            parent.synopsis = ""
            self.quiet = True
            raise usage.UsageError((found.stderr or found.stdout).strip())


def makeService(options: Options) -> IService:
    """The node as a service."""
    from twisted.internet import reactor

    from gateway.node import signals
    from gateway.node.read import read_node
    from gateway.node.secrecy import forbid_core_files
    from gateway.settings import ConfigurationFaults
    from gateway.workers.crew import crew, whole

    try:
        settings = read_node(Path(options["config"]).absolute())
    except ConfigurationFaults as faults:  # changed since the check; beyond the point where twistd takes UsageErrors
        raise SystemExit(str(faults)) from None
    workers, why = crew(settings)
    if why:
        log.info("one worker serves: {why}", why=why)
    node = whole(settings, reactor, workers)
    forbid_core_files()
    signals.on_hangup(reactor, node.reload)
    reactor.callWhenRunning(gc.freeze)  # all this stays: no reply is to wait while the collector passes over it again
    # twistd ends with 0 whatever happened; a start that failed after the check must not look like a clean stop
    atexit.register(lambda: os._exit(1) if node.failed else None)
    return node
