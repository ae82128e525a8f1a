"""`gateway check`: every fault of a configuration, without starting."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from gateway.cli.exits import PartlyDone, misconfigured
from gateway.cli.offline import config, in_reactor


@click.command()
@config
@click.option("-q", "--quiet", is_flag=True, help="Print faults only.")
def check(config: Path, quiet: bool) -> None:
    """Find every fault of a configuration without starting: one line each, exit code 3.

    5: locations that do not answer, without which a start goes on; 4: none answers.
    """
    from gateway.node.inspect import inspect
    from gateway.settings import ConfigurationFaults

    async def work(reactor: Any) -> Any:
        return await inspect(config, reactor, thorough=not quiet)

    try:
        reading = in_reactor(work)
    except ConfigurationFaults as faults:
        raise misconfigured(faults) from faults
    if reading.faults:
        raise PartlyDone("\n".join(map(str, reading.faults)))
    if quiet:
        return
    if reading.notices:
        click.echo(f"{config}: left alone, for a Tahoe-LAFS node: {', '.join(reading.notices)}")
    places = ", ".join(f"{place.name} ({place.kind})" for place in reading.places)
    click.echo(f"{config}: no faults; locations: {places}")
