"""`gateway put`: files, folders and pipes become objects."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gateway.cli.exits import Refused, interruptible
from gateway.cli.offline import as_json
from gateway.cli.places import Place, PlaceType, Source, sources
from gateway.cli.shown import Bar, Rows, human, printable
from gateway.cli.target import find_target, target

if TYPE_CHECKING:
    from gateway.cli.objects import Objects

PIPE = "-"


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=click.Path())
@click.argument("place", metavar="BUCKET[/KEY]", type=PlaceType())
@click.option("-r", "--recursive", is_flag=True, help="Store folders with everything in them.")
@click.option("-n", "--no-clobber", "keep", is_flag=True, help="Leave objects that are there already as they are.")
@as_json
@target
def put(files: tuple[str, ...], place: Place, recursive: bool, keep: bool, as_json: bool, config: Path | None) -> None:
    """Store FILE as BUCKET/KEY; "-" is standard input.

    A KEY that ends in "/", or none, keeps the file's own name below it; several files and folders need such a KEY. A
    FOLDER is stored under its own name, "FOLDER/" without it. An object of the same key is replaced. Large files go
    in parts; what is interrupted leaves nothing behind.

    \b
      gateway put photo.jpg attic/
      gateway put -r photos attic/2026/
      pg_dump shop | gateway put - attic/shop.sql
    """
    from gateway.cli.client import Client
    from gateway.cli.objects import Objects

    _check(files, place, recursive)
    objects = Objects(Client(find_target(config)))
    with interruptible():
        if files == (PIPE,):
            _pipe(objects, place, keep, as_json)
            return
        total = sum(source.size for source in sources(files)) if sys.stderr.isatty() else None
        with Rows(as_json, Bar(total, "put")) as rows:
            rows.single = len(files) == 1 and not Path(files[0]).is_dir()
            for source in sources(files):
                _one(objects, rows, source, _aim(place, source.name), keep)
            rows.end("stored")


def _check(files: tuple[str, ...], place: Place, recursive: bool) -> None:
    """Raises click.UsageError for what cannot be meant."""
    for name in files:
        if name == PIPE:
            if len(files) > 1 or not place.key or place.key.endswith("/"):
                raise click.UsageError("standard input needs a place of its own: put - BUCKET/KEY")
            continue
        path = Path(name)
        if path.is_dir() and not recursive:
            raise click.UsageError(f"{printable(name)} is a folder: put -r stores it with everything in it")
        if not path.exists() and not path.is_symlink():
            raise click.BadParameter(f"there is no {printable(name)}", param_hint="FILE")
    many = len(files) > 1 or (files[0] != PIPE and Path(files[0]).is_dir())
    if many and place.key and not place.key.endswith("/"):
        raise click.UsageError(f"several files cannot all become {place}: end it with a slash, {place}/")


def _aim(place: Place, name: str) -> Place:
    return Place(place.bucket, place.key + name) if not place.key or place.key.endswith("/") else place


def _one(objects: Objects, rows: Rows, source: Source, aim: Place, keep: bool) -> None:
    from gateway.cli.upload import store

    with rows.attempt(str(source.path)):
        if source.why:
            raise Refused(source.why)
        size = store(objects, aim, source.path, rows.moved, keep=keep)
        _tell(rows, aim, size, str(source.path))


def _pipe(objects: Objects, place: Place, keep: bool, as_json: bool) -> None:
    from gateway.cli.upload import store_pipe

    with Rows(as_json, Bar(None, "put")) as rows:
        rows.single = True
        with rows.attempt(PIPE):
            try:
                size = store_pipe(objects, place, sys.stdin.buffer, rows.moved, keep=keep)
            except OSError as fault:
                raise Refused(f"standard input: {fault.strerror or fault}") from fault
            _tell(rows, place, size, PIPE)


def _tell(rows: Rows, place: Place, size: int | None, name: str) -> None:
    row = {"bucket": place.bucket, "key": place.key, "file": name}
    if size is None:
        rows.add({**row, "state": "kept"}, f"{printable(str(place))}\tis there already")
    else:
        rows.add({**row, "state": "stored", "size": size}, f"{printable(str(place))}\t{human(size)}")
