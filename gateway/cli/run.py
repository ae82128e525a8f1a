"""`gateway run`: serve in the foreground."""

from __future__ import annotations

import gc
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import gateway
from gateway.cli.exits import Misconfigured, Refused, misconfigured
from gateway.cli.offline import config, in_reactor, settings_of

if TYPE_CHECKING:
    from gateway.node.read import NodeSettings
    from gateway.node.served import Served
    from gateway.workers.birth import Born


@click.command()
@config
def run(config: Path) -> None:
    """Serve in the foreground until Ctrl-C or SIGTERM."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until there is something to look at again
    settings = settings_of(config)

    from gateway.workers.crew import crew

    workers, why = crew(settings)
    told = f"\n  workers   {workers}" + (f" ({why})" if why else "")
    serve(settings, lambda served: banner(served) + told, workers=workers)


def banner(node: Served) -> str:
    """What an operator wants to see first."""
    settings = node.settings
    lines = [
        f"txgateway {gateway.__version__} serves S3; Ctrl-C stops it",
        *(f"  endpoint  {url}" for url in node.urls),
        f"  region    {settings.gateway['region']}",
        f"  data      {settings.gateway['data']}",
    ]
    for place in settings.places:
        where = ", ".join(
            str(value) for key, value in place.values.items() if key.startswith(("local.path", "s3.bucket"))
        )
        lines.append(f"  location  {place.name}: {place.kind} {where}".rstrip())
    lines.append(f"  log       {settings.gateway['log'] / 'access.log'}")
    return "\n".join(lines)


async def nothing_to_prepare(node: Served) -> None:
    """A gateway that serves what it has."""


def serve(
    settings: NodeSettings,
    banner: Callable[[Served], str],
    prepare: Callable[[Any], Awaitable[None]] = nothing_to_prepare,
    *,
    workers: int = 1,
) -> None:
    """Open the node, prepare it, print the banner, stay until a signal, close in order.

    With several ``workers`` it is the supervisor of their processes.
    Raises Misconfigured, Refused.
    """
    from twisted.internet.defer import Deferred

    from gateway.node import signals
    from gateway.node.secrecy import forbid_core_files
    from gateway.settings import ConfigurationFaults
    from gateway.workers.crew import whole
    from gateway.workers.faults import WorkerLost

    async def work(reactor: Any) -> None:
        node = whole(settings, reactor, workers, born)
        closed: Deferred[None] = Deferred()

        def stop() -> Deferred[None]:
            done = Deferred.fromCoroutine(node.close())
            done.addBoth(closed.callback)
            return closed

        def look_again() -> None:
            log_file.reopen()
            node.reload()

        signals.on_hangup(reactor, look_again)
        await node.open()
        gc.freeze()  # all this stays: no reply is to wait while the collector passes over it again
        signals.on_stop(reactor, reactor.stop)
        reactor.addSystemEventTrigger("before", "shutdown", stop)
        await prepare(node)
        click.echo(banner(node))
        sys.stdout.flush()
        await closed

    forbid_core_files()
    born: Sequence[Born] = ()
    if workers > 1:
        from gateway.workers.birth import copies

        born = copies(Path(settings.file), workers)
    log_file = _log_to(settings)
    try:
        in_reactor(work)
    except ConfigurationFaults as faults:
        raise misconfigured(faults) from faults
    except WorkerLost as fault:
        raise Refused(f"{fault}; see {settings.gateway['log'] / 'gateway.log'}") from fault


class _Lines:
    """log/gateway.log. On a full disk lines are lost, and how many is told as soon as there is room."""

    def __init__(self, folder: Path) -> None:
        from twisted.python.logfile import LogFile

        self._file: Any = LogFile(  # type: ignore[no-untyped-call]
            "gateway.log", str(folder), rotateLength=10_000_000, maxRotatedFiles=5, defaultMode=0o600
        )
        self._lost = 0

    def write(self, text: str) -> None:
        try:
            if self._lost:
                self._file.write(f"({self._lost} lines could not be written)\n")
                self._lost = 0
            self._file.write(text)
        except (OSError, ValueError):  # ValueError: it could not be opened again
            self._lost += 1

    def reopen(self) -> None:
        """Follow a file that was moved away; where none can be made, the lines are lost until the next time."""
        with suppress(OSError, ValueError):
            self._file.reopen()

    def flush(self) -> None:
        """LogFile writes through; what fails is counted above."""


def _log_to(settings: NodeSettings) -> Any:
    """Everything into log/gateway.log (10 MB, five old ones), warnings in one line to the terminal as well.

    Gives the file, whose ``reopen`` follows one that was moved away.
    """
    from twisted.logger import (
        FilteringLogObserver,
        ILogObserver,
        LogLevel,
        LogLevelFilterPredicate,
        formatEvent,
        globalLogBeginner,
        textFileLogObserver,
    )
    from zope.interface import provider

    from gateway.node.rooms import make_folder, unwritable

    folder = settings.gateway["log"]
    try:
        make_folder(folder)
        file: Any = _Lines(folder)
    except OSError as fault:
        raise Misconfigured(str(unwritable(settings.gateway, "log", folder, fault))) from fault

    @provider(ILogObserver)
    def to_terminal(event: Any) -> None:
        click.echo(f"gateway: {event['log_level'].name}: {' '.join(formatEvent(event).split())}", err=True)

    worth = LogLevelFilterPredicate(defaultLogLevel=LogLevel.warn)
    info = LogLevelFilterPredicate(defaultLogLevel=LogLevel.info)
    globalLogBeginner.beginLoggingTo(
        [
            FilteringLogObserver(textFileLogObserver(file), [info]),
            FilteringLogObserver(to_terminal, [worth]),
        ],
        redirectStandardIO=False,
    )
    return file
