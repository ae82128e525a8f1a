"""`gateway check-backend`: the conformance kit on a location of a configuration, live and without a trace."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gateway.cli.exits import Misconfigured, PartlyDone, Refused, Unreachable
from gateway.cli.offline import as_json, config, settings_of

if TYPE_CHECKING:
    from gateway.node.read import NodeSettings, Place
    from gateway.testing.live import Outcome, Promise


@click.command("check-backend")
@click.argument("name")
@config
@click.option(
    "--patience", default=60.0, show_default=True, metavar="SECONDS", help="How long one case of a promise may take."
)
@as_json
def check_backend(name: str, config: Path, patience: float, as_json: bool) -> None:
    """Try every promise of a backend on a configured location: one line each, exit code 1 where one is broken.

    NAME is a location ("storage" is that of [storage]), or a backend that just one location has. Blobs are written
    under names that nobody else has, and deleted. A gateway may go on serving from the location if it is shared.
    """
    missing = [module for module in ("pytest", "pytest_twisted") if find_spec(module) is None]
    if missing:
        raise Misconfigured(f"gateway: check-backend needs {' and '.join(missing)}: pip install 'txgateway[testing]'")
    settings = settings_of(config)
    place = _find(name, settings)
    with _alone(settings, place):
        outcome = _try(place, patience, quiet=as_json)
    if as_json:
        click.echo(json.dumps(_row(place, outcome)))
    _judge(place, outcome)


def _find(name: str, settings: NodeSettings) -> Place:
    by_name = [place for place in settings.places if place.name == name]
    found = by_name or [place for place in settings.places if place.kind == name]
    if len(found) != 1:
        places = ", ".join(f"{place.name} ({place.kind})" for place in settings.places)
        what = "several locations have the backend" if found else "there is no location"
        raise click.BadParameter(f"{what} {name!r}; the locations are: {places}", param_hint="NAME")
    return found[0]


@contextlib.contextmanager
def _alone(settings: NodeSettings, place: Place) -> Iterator[None]:
    """No gateway serves meanwhile, where its storage is for one process only. Raises Misconfigured."""
    from gateway.node.rooms import build, lock_data
    from gateway.settings import ConfigurationFault

    try:
        shared = build(place).capabilities.shared
        lock = None if shared or not settings.gateway["data"].exists() else lock_data(settings.gateway)
    except ConfigurationFault as fault:
        raise Misconfigured(str(fault)) from fault
    try:
        yield
    finally:
        if lock is not None:
            lock.release()


def _try(place: Place, patience: float, quiet: bool) -> Outcome:
    from gateway.errors import BackendBusy, BackendDown, BackendError
    from gateway.node.rooms import misplaced
    from gateway.testing.live import try_promises

    def tell(promise: Promise) -> None:
        if not quiet:
            click.echo("\n".join(_lines(promise)))

    try:
        outcome = try_promises(place, patience, tell)
    except (BackendDown, BackendBusy) as fault:
        raise Unreachable(str(misplaced(place, fault))) from fault
    except BackendError as fault:
        raise Misconfigured(str(misplaced(place, fault))) from fault
    if outcome is None:
        raise click.Abort
    return outcome


def _lines(promise: Promise) -> list[str]:
    """``kept  a range is exact (24)``; below a broken one what its cases said."""
    cases = f" ({promise.tried})" if promise.tried > 1 else ""
    why = f": {promise.skipped}" if promise.state == "skipped" else ""
    first = f"{promise.state:7}  {promise.name.replace('_', ' ')}{cases}{why}"
    return [first, *(f"         {fault}" for fault in promise.faults)]


def _row(place: Place, outcome: Outcome) -> dict[str, Any]:
    from gateway.testing import KIT_VERSION

    return {
        "location": place.name,
        "backend": place.kind,
        "distribution": place.distribution,
        "kit": KIT_VERSION,
        "left": outcome.left,
        "promises": [
            {"promise": each.name, "state": each.state, "tried": each.tried, "faults": each.faults}
            for each in outcome.promises
        ],
    }


def _judge(place: Place, outcome: Outcome) -> None:
    """The last line, and the exit code: 1 for a broken promise, 5 where only the sweeping up failed."""
    from gateway.testing import KIT_VERSION

    broken = [promise for promise in outcome.promises if promise.state == "broken"]
    who = f"location {place.name!r} ({place.kind}, {place.distribution})"
    left = f"; left behind, delete it by hand: {outcome.left}" if outcome.left else ""
    if broken:
        raise Refused(f"{who} breaks {len(broken)} of {len(outcome.promises)} promises of kit {KIT_VERSION}{left}")
    kept = f"{who} keeps the promises of kit {KIT_VERSION}"
    if left:
        raise PartlyDone(f"{kept}{left}")
    told = getattr(place.backend, "kit_version", None)
    click.echo(f"{kept}, nothing is left behind", err=True)
    if told != KIT_VERSION:
        click.echo(f"its author may write it into the class: kit_version = {KIT_VERSION}", err=True)
