"""`gateway run`: serve in the foreground."""

from __future__ import annotations

import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import gateway
from gateway.cli.exits import Misconfigured
from gateway.cli.offline import config, in_reactor, settings_of

if TYPE_CHECKING:
    from gateway.catalogue import Catalogue
    from gateway.node.read import NodeSettings
    from gateway.node.service import Node


@click.command()
@config
def run(config: Path) -> None:
    """Serve in the foreground until Ctrl-C or SIGTERM."""
    serve(settings_of(config), banner)


def banner(node: Node) -> str:
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


async def nothing_to_prepare(catalogue: Catalogue) -> None:
    """A gateway that serves what it has."""


def serve(
    settings: NodeSettings,
    banner: Callable[[Node], str],
    prepare: Callable[[Catalogue], Awaitable[None]] = nothing_to_prepare,
) -> None:
    """Open the node, prepare its catalogue, print the banner, stay until a signal, close in order.

    Raises Misconfigured.
    """
    from twisted.internet.defer import Deferred

    from gateway.node.service import Node
    from gateway.settings import ConfigurationFaults

    async def work(reactor: Any) -> None:
        node = Node(settings, reactor)
        closed: Deferred[None] = Deferred()

        def stop() -> Deferred[None]:
            done = Deferred.fromCoroutine(node.close())
            done.addBoth(closed.callback)
            return closed

        await node.open()
        _stop_on_signals(reactor)
        reactor.addSystemEventTrigger("before", "shutdown", stop)
        assert node.catalogue is not None
        await prepare(node.catalogue)
        click.echo(banner(node))
        sys.stdout.flush()
        await closed

    _log_to(settings)
    try:
        in_reactor(work)
    except ConfigurationFaults as faults:
        raise Misconfigured(str(faults)) from faults


def _stop_on_signals(reactor: Any) -> None:
    """One stop however often it is asked for (make hands on a SIGTERM that its group had already).

    A second Ctrl-C does not wait for running replies.
    """
    asked = False

    def stop() -> None:
        nonlocal asked
        if not asked:
            asked = True
            reactor.stop()

    def ask(number: int, frame: Any) -> None:
        if number == signal.SIGINT:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
        reactor.callFromThread(stop)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, ask)


def _log_to(settings: NodeSettings) -> None:
    """Everything into log/gateway.log (10 MB, five old ones), warnings in one line to the terminal as well."""
    from twisted.logger import (
        FilteringLogObserver,
        ILogObserver,
        LogLevel,
        LogLevelFilterPredicate,
        formatEvent,
        globalLogBeginner,
        textFileLogObserver,
    )
    from twisted.python.logfile import LogFile
    from zope.interface import provider

    from gateway.node.rooms import make_folder, unwritable

    folder = settings.gateway["log"]
    try:
        make_folder(folder)
        file: Any = LogFile(  # type: ignore[no-untyped-call]
            "gateway.log", str(folder), rotateLength=10_000_000, maxRotatedFiles=5, defaultMode=0o600
        )
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
