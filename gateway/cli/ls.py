"""`gateway ls` and `gateway du`: what there is, and how much of it."""

from __future__ import annotations

import json
from pathlib import Path

import click

from gateway.cli.offline import as_json
from gateway.cli.places import Place, PlaceType
from gateway.cli.shown import Rows, human, printable
from gateway.cli.target import find_target, target


@click.command()
@click.argument("place", metavar="[BUCKET[/PREFIX]]", required=False, type=PlaceType())
@click.option("-r", "--recursive", is_flag=True, help="All levels, not only the one below PREFIX.")
@as_json
@target
def ls(place: Place | None, recursive: bool, as_json: bool, config: Path | None) -> None:
    """List the buckets, or what in BUCKET begins with PREFIX: time, size, key; folders end in "/"."""
    from gateway.cli.client import Client
    from gateway.cli.objects import Objects

    objects = Objects(Client(find_target(config)))
    seen = False
    with Rows(as_json) as rows:
        found = objects.list(place.bucket, place.key, deep=recursive) if place else objects.buckets()
        for one in found:
            seen = True
            row = {"name" if place is None else "key": one.name, "size": one.size, "modified": one.modified or None}
            size = "-" if one.size is None else human(one.size)
            modified = one.modified.replace(".000Z", "Z") or "-"
            rows.add(row, f"{modified:20}  {size:>10}  {printable(one.name)}")
    if not seen and not as_json:
        click.echo(f"gateway: nothing at {place}" if place else "gateway: no buckets yet", err=True)


@click.command()
@click.argument("place", metavar="BUCKET[/KEY]", type=PlaceType())
@as_json
@target
def du(place: Place, as_json: bool, config: Path | None) -> None:
    """Count and sum the objects of BUCKET, or those at and below KEY."""
    from gateway.cli.client import Client
    from gateway.cli.objects import Objects

    count = size = 0
    for found in Objects(Client(find_target(config))).tree(place.bucket, place.key):
        count += 1
        size += found.size or 0
    if as_json:
        click.echo(json.dumps({"bucket": place.bucket, "key": place.key, "objects": count, "size": size}))
    else:
        click.echo(f"{count} object{'' if count == 1 else 's'}\t{human(size)}\t{printable(str(place))}")
