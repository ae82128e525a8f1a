"""`gateway check`: every fault of a configuration, without starting."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gateway.cli.exits import Misconfigured, PartlyDone, Refused, Silent, misconfigured
from gateway.cli.offline import as_json, config, in_reactor

if TYPE_CHECKING:
    from gateway.node.online import Trial
    from gateway.settings import ConfigurationFault


@click.command()
@config
@click.option("-q", "--quiet", is_flag=True, help="Print faults only.")
@click.option("--online", is_flag=True, help="Try every step on each location; a gateway may serve meanwhile.")
@as_json
def check(config: Path, quiet: bool, online: bool, as_json: bool) -> None:
    """Find every fault of a configuration without starting: one line each.

    Exit code 3 where there are faults; 5 where the only ones are locations that do not answer, without which a start
    goes on; 4 where none answers.

    With --online nothing but the locations is tried, each with list, put, get, range and delete, and one line tells
    how long each took. Exit code 3: settings or keys are wrong; 1: a right is missing; 4: a service does not answer.

    --json prints the faults and the locations; exit codes and the lines of faults are the same.
    """
    if online:
        _online(config, quiet, as_json)
        return
    from gateway.node.inspect import inspect
    from gateway.settings import ConfigurationFaults

    async def work(reactor: Any) -> Any:
        return await inspect(config, reactor, thorough=not quiet)

    try:
        reading = in_reactor(work)
    except ConfigurationFaults as faults:
        if as_json:
            _print_json(faults.faults)
        raise misconfigured(faults) from faults
    if as_json:
        places = [{"name": place.name, "backend": place.kind} for place in reading.places]
        _print_json(reading.faults, places, left_alone=list(reading.notices))
    if reading.faults:
        raise PartlyDone("\n".join(map(str, reading.faults)))
    if quiet or as_json:
        return
    if reading.notices:
        click.echo(f"{config}: left alone, for a Tahoe-LAFS node: {', '.join(reading.notices)}")
    named = ", ".join(f"{place.name} ({place.kind})" for place in reading.places)
    click.echo(f"{config}: no faults; locations: {named}")


def _print_json(faults: Iterable[ConfigurationFault], locations: Iterable[object] = (), **more: object) -> None:
    click.echo(json.dumps({"faults": list(map(_fields, faults)), "locations": list(locations), **more}))


def _fields(fault: ConfigurationFault) -> dict[str, object]:
    return {name: getattr(fault, name) for name in ("file", "line", "seen", "expected", "fix")}


def _online(config: Path, quiet: bool, as_json: bool) -> None:
    from gateway.node.online import try_online
    from gateway.settings import ConfigurationFaults

    async def work(reactor: Any) -> Any:
        return await try_online(config, reactor)

    try:
        trials: list[Trial] = in_reactor(work)
    except ConfigurationFaults as faults:
        if as_json:
            _print_json(faults.faults)
        raise misconfigured(faults) from faults
    if as_json:
        _print_json((), map(_tried, trials))
    wrong = []
    for trial in trials:
        if trial.fault or trial.refused:
            wrong.append(_complaint(trial))
        elif not quiet and not as_json:
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


def _tried(trial: Trial) -> dict[str, object]:
    return {
        "name": trial.place.name,
        "backend": trial.place.kind,
        "seconds": dict(trial.steps),
        "refused": trial.refused,
        "fault": _fields(trial.fault) if trial.fault else None,
        "left_out": trial.left_out,
    }


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
