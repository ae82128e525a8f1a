"""`gateway reap`: what nobody refers to is deleted while the gateway is stopped; a running one does it by itself."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from gateway.cli.exits import PartlyDone, Refused, misconfigured
from gateway.cli.offline import as_json, config, in_reactor, settings_of, with_catalogue

if TYPE_CHECKING:
    from gateway.catalogue import Catalogue
    from gateway.node.read import NodeSettings
    from gateway.reaper import Reaped

T = TypeVar("T")


@click.command()
@click.option("--now", is_flag=True, help="Delete it. The gateway must be stopped.")
@click.option(
    "--accept-loss",
    is_flag=True,
    help="Go on with a catalogue that forgot changes. What it does not know stays in its location.",
)
@as_json
@config
def reap(now: bool, accept_loss: bool, as_json: bool, config: Path) -> None:
    """Tell how many blobs wait to be deleted; with --now delete them, and what dead processes left."""
    if accept_loss:
        changes = _accept_loss(settings_of(config))
        told = f"the catalogue goes on after change {changes}; blobs that it does not know are kept"
        click.echo(json.dumps({"changes": changes}) if as_json else told)
        return
    if not now:
        count = with_catalogue(config, _waiting)
        click.echo(json.dumps({"waiting": count}) if as_json else f"{count} blobs wait to be deleted")
        return
    done = _reap(settings_of(config))
    told = f"{done.blobs} blobs deleted, {done.uploads} uploads ended, {done.leases} leases of dead processes closed"
    if as_json:
        click.echo(json.dumps(asdict(done)))
    if done.failed:
        raise PartlyDone(f"{told}; {done.failed} refused by their storage, try again when it answers")
    if not as_json:
        click.echo(told)


async def _waiting(catalogue: Catalogue, settings: NodeSettings) -> int:
    return (await catalogue.blobs.counts())["doomed"]


def _reap(settings: NodeSettings) -> Reaped:
    """One pass under the data lock. Raises Misconfigured, also where a gateway serves this data."""
    from gateway.node.rooms import damaged, open_rooms
    from gateway.reaper import Reaper
    from gateway.settings import ConfigurationFaults

    async def work(reactor: Any) -> Reaped:
        rooms = await open_rooms(settings, reactor)
        try:
            await rooms.catalogue.examine()
            if doubt := rooms.catalogue.condition.doubt:
                raise ConfigurationFaults([damaged(settings.gateway, doubt)])
            return await Reaper(rooms.catalogue, rooms.locations).reap()
        finally:
            await rooms.close()

    return _told(work)


def _accept_loss(settings: NodeSettings) -> int:
    """From now on the catalogue and what it knows count. Raises Misconfigured."""
    from gateway.node.rooms import open_rooms

    async def work(reactor: Any) -> int:
        rooms = await open_rooms(settings, reactor, accept_loss=True)
        try:
            return rooms.catalogue.changes
        finally:
            await rooms.close()

    return _told(work)


def _told(work: Callable[[Any], Coroutine[Any, Any, T]]) -> T:
    from gateway.errors import S3Error
    from gateway.settings import ConfigurationFaults

    try:
        return in_reactor(work)
    except ConfigurationFaults as faults:
        raise misconfigured(faults) from faults
    except S3Error as fault:  # the catalogue could not be changed: a full disk, one that fails
        raise Refused(f"{fault.cause or fault.code}; try again when the disk is well") from fault
