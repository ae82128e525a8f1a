"""`gateway verify`: everything that is stored is read and compared with what was written."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gateway.cli.exits import PartlyDone
from gateway.cli.offline import as_json, config, settings_of
from gateway.cli.recovery import bar, run

if TYPE_CHECKING:
    from gateway.recovery.scrub import Findings


class _Rate(click.ParamType):  # type: ignore[type-arg]
    """``20MiB``: the sizes of tahoe.cfg."""

    name = "size"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> int:
        from gateway.settings import Setting
        from gateway.settings.declare import Unreadable

        try:
            size: int = Setting("rate", "size", "", low=1).parse(value, Path())
        except Unreadable as fault:
            self.fail(f"{value!r}: {fault} is expected", param, ctx)
        return size


@click.command()
@click.option(
    "--rate", type=_Rate(), help="At most so many bytes a second, such as 20MiB; without it, as fast as it goes."
)
@click.option("--anew", is_flag=True, help="From the beginning, also where an earlier run was ended before its end.")
@as_json
@config
def verify(rate: int | None, anew: bool, as_json: bool, config: Path) -> None:
    """Read every blob that the catalogue needs and compare it with what was written, also while the gateway serves.

    What is missing, short or damaged is named with its bucket and key, and ends the command with 5. Blobs that nobody
    knows are named and left alone. A run that was ended goes on where it was.
    """
    from gateway.node.recovering import verify as scrub

    settings = settings_of(config)
    with bar("verify") as tell:
        found: Findings = run(lambda reactor: scrub(settings, reactor, rate=rate, anew=anew, tell=tell))
    click.echo(json.dumps(asdict(found)) if as_json else "\n".join(_lines(found)))
    if found.faults:
        raise PartlyDone(f"{len(found.faults)} of the blobs that the catalogue needs are not as they were written")


def _lines(found: Findings) -> list[str]:
    out = [
        f"{each.kind}: {each.bucket}/{each.key}: {each.location} {each.blob}: {each.detail}" for each in found.faults
    ]
    out += [f"unknown: {location} {name}" for location, names in found.strays.items() for name in names]
    out += [f"skipped: location {name} is in the memory of the gateway that serves" for name in found.skipped]
    return [*out, f"{found.versions} objects, {found.size} bytes read, {len(found.faults)} faults"]
