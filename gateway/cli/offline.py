"""Run a command's coroutine in a reactor of its own, with the configuration read and the catalogue open."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from gateway.cli.exits import Misconfigured, Refused

if TYPE_CHECKING:
    from gateway.catalogue import Catalogue
    from gateway.node.read import NodeSettings

T = TypeVar("T")

config = click.option(
    "-c",
    "--config",
    type=click.Path(path_type=Path, readable=False),  # unreadable: a fault of the configuration, not of usage
    default=Path("tahoe.cfg"),
    show_default=True,
    help="The gateway's configuration.",
)
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def in_reactor(work: Callable[[Any], Coroutine[Any, Any, T]]) -> T:
    """The result of ``work(reactor)``; Ctrl-C and SIGTERM end it in the reactor's own way, then click aborts."""
    from twisted.internet import reactor
    from twisted.internet.defer import Deferred
    from twisted.internet.error import ReactorNotRunning
    from twisted.python.failure import Failure

    outcome: list[Any] = []
    running: Any = reactor

    def end(result: Any) -> None:
        outcome.append(result)
        with contextlib.suppress(ReactorNotRunning):  # a signal may have stopped it before
            running.stop()

    def start() -> None:
        Deferred.fromCoroutine(work(reactor)).addBoth(end)

    running.callWhenRunning(start)
    running.run()
    if not outcome:
        raise click.Abort
    if isinstance(outcome[0], Failure):
        outcome[0].raiseException()
    result: T = outcome[0]
    return result


def settings_of(path: Path) -> NodeSettings:
    """The configuration; Misconfigured with all its faults."""
    from gateway.node.read import read_node
    from gateway.settings import ConfigurationFaults

    try:
        return read_node(path)
    except ConfigurationFaults as faults:
        raise Misconfigured(str(faults)) from faults


def with_catalogue(path: Path, work: Callable[[Catalogue, NodeSettings], Awaitable[T]]) -> T:
    """The result of ``work``, with the catalogue open meanwhile (a gateway may be serving from it, too).

    What S3 would refuse, and a name that is taken, ends the command with 1.
    """
    from gateway.catalogue import CatalogueFault, Taken
    from gateway.errors import S3Error
    from gateway.node.rooms import make_folder, open_data, unwritable
    from gateway.settings import ConfigurationFault

    settings = settings_of(path)

    async def run(reactor: Any) -> T:
        folder = settings.gateway["data"]
        try:
            make_folder(folder)
        except OSError as fault:
            raise unwritable(settings.gateway, "data", folder, fault) from fault
        catalogue = open_data(settings.gateway, settings.seal, reactor)
        try:
            return await work(catalogue, settings)
        finally:
            await catalogue.close()

    try:
        return in_reactor(run)
    except ConfigurationFault as fault:
        raise Misconfigured(str(fault)) from fault
    except (Taken, CatalogueFault) as fault:
        raise Refused(str(fault)) from fault
    except S3Error as refusal:
        raise Refused(f"{refusal.code} {refusal.message or ''}".strip()) from refusal
