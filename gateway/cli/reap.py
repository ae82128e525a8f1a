"""`gateway reap`: what nobody refers to is deleted while the gateway is stopped; a running one does it by itself."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gateway.cli.exits import Misconfigured, PartlyDone
from gateway.cli.offline import config, in_reactor, settings_of, with_catalogue

if TYPE_CHECKING:
    from gateway.catalogue import Catalogue
    from gateway.node.read import NodeSettings
    from gateway.reaper import Reaped


@click.command()
@click.option("--now", is_flag=True, help="Delete it. The gateway must be stopped.")
@config
def reap(now: bool, config: Path) -> None:
    """Tell how many blobs wait to be deleted; with --now delete them, and what dead processes left."""
    if not now:
        count = with_catalogue(config, _waiting)
        click.echo(f"{count} blobs wait to be deleted")
        return
    done = _reap(settings_of(config))
    told = f"{done.blobs} blobs deleted, {done.uploads} uploads ended, {done.leases} leases of dead processes closed"
    if done.failed:
        raise PartlyDone(f"{told}; {done.failed} refused by their storage, try again when it answers")
    click.echo(told)


async def _waiting(catalogue: Catalogue, settings: NodeSettings) -> int:
    return (await catalogue.blobs.counts())["doomed"]


def _reap(settings: NodeSettings) -> Reaped:
    """One pass under the data lock. Raises Misconfigured, also where a gateway serves this data."""
    from gateway.node.rooms import open_rooms
    from gateway.reaper import Reaper
    from gateway.settings import ConfigurationFaults

    async def work(reactor: Any) -> Reaped:
        rooms = await open_rooms(settings, reactor)
        try:
            return await Reaper(rooms.catalogue, rooms.locations).reap()
        finally:
            await rooms.close()

    try:
        return in_reactor(work)
    except ConfigurationFaults as faults:
        raise Misconfigured(str(faults)) from faults
