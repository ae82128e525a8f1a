"""`gateway get`: objects become files, or go to standard output."""

from __future__ import annotations

import errno
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gateway.cli.exits import Refused, interruptible
from gateway.cli.offline import as_json
from gateway.cli.places import Place, PlaceType, local_name
from gateway.cli.shown import Bar, Rows, human, printable
from gateway.cli.target import find_target, target

if TYPE_CHECKING:
    from gateway.cli.objects import Objects

PIPE = "-"


class _Word(PlaceType):
    """A place, or a local path where it is the last: completed as a place, taken as it is."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return value


@click.command()
@click.argument("words", nargs=-1, required=True, metavar="BUCKET/KEY... [FILE]", type=_Word())
@click.option("-r", "--recursive", is_flag=True, help="Fetch everything below BUCKET/KEY as a folder.")
@click.option("-n", "--no-clobber", "keep", is_flag=True, help="Leave files that are there already as they are.")
@as_json
@target
def get(words: tuple[str, ...], recursive: bool, keep: bool, as_json: bool, config: Path | None) -> None:
    """Fetch BUCKET/KEY into FILE, a file or a folder; "-" is standard output.

    Without FILE an object goes into this folder under its own name. With -r, FOLDER arrives under its own name and
    "FOLDER/" without it. A file is there whole or not at all, and what arrives is checked against the checksum that
    it was stored with.

    \b
      gateway get attic/photo.jpg
      gateway get attic/shop.sql - | psql shop
      gateway get -r attic/2026 back/
    """
    from gateway.cli.client import Client
    from gateway.cli.objects import Objects

    last = words[-1] if len(words) > 1 else "."
    places = [PlaceType().convert(word, None, None) for word in (words[:-1] if len(words) > 1 else words)]
    _check(places, last, recursive)
    objects = Objects(Client(find_target(config)))
    with interruptible():
        if last == PIPE:
            _print(objects, places[0], as_json)
            return
        bar = Bar(_total(objects, places) if recursive and sys.stderr.isatty() else None, "get")
        with Rows(as_json, bar) as rows:
            rows.single = len(places) == 1 and not recursive
            for place, file in _pairs(objects, places, last, recursive):
                _one(objects, rows, place, file, keep=keep, folders=recursive or last.endswith("/"))
            rows.end("fetched")


def _check(places: list[Place], last: str, recursive: bool) -> None:
    """Raises click.UsageError for what cannot be meant."""
    for place in places:
        if not recursive and not place.key.rpartition("/")[2]:
            raise click.BadParameter(
                f"a key is needed: BUCKET/KEY, or -r for everything below {place}", param_hint="BUCKET/KEY"
            )
    if last == PIPE and (recursive or len(places) > 1):
        raise click.UsageError("standard output takes one object")
    if len(places) > 1 and not Path(last).is_dir() and not last.endswith("/"):
        raise click.UsageError(f"several objects need a folder: there is none named {printable(last)}")


def _total(objects: Objects, places: list[Place]) -> int:
    return sum(found.size or 0 for place in places for found in objects.tree(place.bucket, place.key))


def _pairs(objects: Objects, places: list[Place], last: str, recursive: bool) -> Iterator[tuple[Place, Path | None]]:
    """Each object and the file that it becomes; None where its key is no name that a file can have."""
    into = Path(last)
    if not recursive:
        for place in places:
            name = place.key.rpartition("/")[2]
            yield place, into / name if into.is_dir() or last.endswith("/") else into
        return
    for place in places:
        # as with put: "folder" keeps its name, "folder/" does not; a bucket is a folder, too
        above = "" if place.key.endswith("/") else place.key.rpartition("/")[2]
        none = True
        for found in objects.tree(place.bucket, place.key):
            none = False
            if found.name.endswith("/") and not found.size:
                continue  # how other tools mark a folder
            if found.name == place.key:
                rest = local_name(above)
            else:
                below = found.name[len(place.key) :].removeprefix("/") if place.key else found.name
                rest = local_name(f"{above}/{below}" if above else below)
            yield Place(place.bucket, found.name), None if rest is None else into / rest
        if none and place.key:
            raise Refused(f"there is nothing at {place}")


def _one(objects: Objects, rows: Rows, place: Place, file: Path | None, *, keep: bool, folders: bool) -> None:
    from gateway.cli.download import fetch

    row = {"bucket": place.bucket, "key": place.key, "file": str(file)}
    with rows.attempt(str(place)):
        if file is None:
            raise Refused("its key is no path below a folder: fetch it alone, with a FILE")
        if keep and file.exists():
            rows.add({**row, "state": "kept"}, f"{printable(str(file))}\tis there already")
            return
        try:
            if folders:
                file.parent.mkdir(parents=True, exist_ok=True)
        except OSError as fault:
            raise Refused(f"{file.parent}: {fault.strerror or fault}") from fault
        size = fetch(objects, place, file, rows.moved)
        rows.add({**row, "state": "fetched", "size": size}, f"{printable(str(file))}\t{human(size)}")


def _print(objects: Objects, place: Place, as_json: bool) -> None:
    from gateway.cli.download import pour

    if as_json:
        raise click.UsageError("--json and the object cannot both go to standard output")
    bar = Bar(None, "" if sys.stdout.isatty() else "get")
    try:
        pour(objects, place, sys.stdout.buffer, bar.moved)
    except OSError as fault:
        if fault.errno == errno.EPIPE:
            raise  # who reads has enough: click ends quietly
        raise Refused(f"standard output: {fault.strerror or fault}") from fault
    finally:
        bar.close()
