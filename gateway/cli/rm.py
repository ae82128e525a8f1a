"""`gateway rm`: objects are deleted, alone or by the folder."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gateway.cli.exits import Refused
from gateway.cli.offline import as_json
from gateway.cli.places import Place, PlaceType
from gateway.cli.shown import Rows, human, printable
from gateway.cli.target import find_target, target

if TYPE_CHECKING:
    from gateway.cli.objects import Objects


@click.command()
@click.argument("places", nargs=-1, required=True, metavar="BUCKET/KEY...", type=PlaceType())
@click.option("-r", "--recursive", is_flag=True, help="Delete everything below BUCKET/KEY as well.")
@click.option("-y", "--yes", is_flag=True, help="With -r: do not ask.")
@as_json
@target
def rm(places: tuple[Place, ...], recursive: bool, yes: bool, as_json: bool, config: Path | None) -> None:
    """Delete BUCKET/KEY; one that is not there is fine. -r asks first, and keeps the bucket itself."""
    from gateway.cli.client import Client
    from gateway.cli.objects import Objects

    if not recursive:
        for place in places:
            if not place.key:
                raise click.BadParameter(
                    f"a key is needed: BUCKET/KEY; `gateway rm -r {place.bucket}` empties the bucket, "
                    f"`gateway bucket rm {place.bucket}` removes it"
                )
    objects = Objects(Client(find_target(config)))
    if recursive and not yes:
        _ask(objects, places)
    with Rows(as_json) as rows:
        rows.single = len(places) == 1 and not recursive
        for place in places:
            if recursive:
                _below(objects, rows, place)
                continue
            with rows.attempt(str(place)):
                objects.delete(place.bucket, place.key)
                _tell(rows, place)
        rows.end("deleted")


def _ask(objects: Objects, places: tuple[Place, ...]) -> None:
    """What would go, and whether it shall. Raises click.Abort, click.UsageError."""
    if not sys.stdin.isatty():
        raise click.UsageError("nobody is there to be asked: add --yes")
    for place in places:
        count = size = 0
        for found in objects.tree(place.bucket, place.key):
            count, size = count + 1, size + (found.size or 0)
        click.echo(f"{printable(str(place))}: {count} object{'' if count == 1 else 's'}, {human(size)}", err=True)
    click.confirm("Delete them?", abort=True, err=True)


def _below(objects: Objects, rows: Rows, place: Place) -> None:
    """Delete page by page what the listing gives."""
    from gateway.cli.objects import BATCH

    keys: Iterator[str] = (found.name for found in objects.tree(place.bucket, place.key))
    while batch := list(islice(keys, BATCH)):
        odd = [key for key in batch if not _speakable(key)]
        refused = objects.delete_many(place.bucket, [key for key in batch if key not in odd]) if odd != batch else {}
        for key in batch:
            one = Place(place.bucket, key)
            with rows.attempt(str(one)):
                if key in odd:
                    objects.delete(place.bucket, key)
                if key in refused:
                    raise Refused(refused[key])
                _tell(rows, one)


def _speakable(key: str) -> bool:
    """Whether XML 1.0 can hold the key."""
    return all(letter >= " " or letter in "\t\r\n" for letter in key) and not {"\ufffe", "\uffff"} & set(key)


def _tell(rows: Rows, place: Place) -> None:
    row = {"bucket": place.bucket, "key": place.key, "state": "deleted"}
    rows.add(row, f"deleted {printable(str(place))}")
