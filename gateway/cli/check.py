"""`gateway check`: every fault of a configuration, without starting."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gateway.cli.exits import Misconfigured, PartlyDone, Refused, Silent, misconfigured
from gateway.cli.offline import config, in_reactor

if TYPE_CHECKING:
    from gateway.node.online import Trial


@click.command()
@config
@click.option("-q", "--quiet", is_flag=True, help="Print faults only.")
@click.option("--online", is_flag=True, help="Try every step on each location; a gateway may serve meanwhile.")
def check(config: Path, quiet: bool, online: bool) -> None:
    """Find every fault of a configuration without starting: one line each, exit code 3.

    5: locations that do not answer, without which a start goes on; 4: none answers.

    With --online nothing but the locations is tried, each with list, put, get, range and delete, and one line tells
    how long each took. 3: settings, keys; 1: a right is missing; 4: a service does not answer.
    """
    if online:
        _online(config, quiet)
        return
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


def _online(config: Path, quiet: bool) -> None:
    from gateway.node.online import try_online
    from gateway.settings import ConfigurationFaults

    async def work(reactor: Any) -> Any:
        return await try_online(config, reactor)

    try:
        trials: list[Trial] = in_reactor(work)
    except ConfigurationFaults as faults:
        raise misconfigured(faults) from faults
    wrong = []
    for trial in trials:
        if trial.fault or trial.refused:
            wrong.append(_complaint(trial))
        elif not quiet:
            click.echo(f"{trial.place.name} ({trial.place.kind}): {trial.left_out or trial.done}")
    if not wrong:
        return
    if any(trial.fault and not trial.silent for trial in trials):
        raise Misconfigured("\n".join(wrong))
    raise (_Lacking if any(trial.refused for trial in trials) else Silent)("\n".join(wrong))


class _Lacking(Refused):
    """The message holds one line per location."""

    def show(self, file: object = None) -> None:
        click.echo(self.message, err=True)


def _complaint(trial: Trial) -> str:
    """One line: the fault or the missing rights, and what was fine."""
    fine = f" (fine: {trial.done})" if trial.steps else ""
    if trial.fault is not None:
        return f"{trial.fault}{fine}"
    place = trial.place
    rights, why = ", ".join(trial.refused), next(iter(trial.refused.values()))
    fault = place.values.fault(
        "backend",
        f"location {place.name!r} that refuses {rights}: {why}",
        "a storage that lets us list, put, get and delete",
        f"give these credentials the right to {rights}",
    )
    return f"{fault}{fine}"
