"""What the file commands are told: ``bucket/key``, local names, and where each end of a copy lies."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

MOST_OFFERED = 200  # names that a completion shows


@dataclass(frozen=True, slots=True)
class Place:
    """A bucket and a key in it; the key "" is the bucket itself."""

    bucket: str
    key: str = ""

    def __str__(self) -> str:
        return f"{self.bucket}/{self.key}"


class PlaceType(click.ParamType):  # type: ignore[type-arg]  # older clicks have no argument here
    """``bucket/key`` or ``s3://bucket/key``; a shell completes it from what the gateway holds."""

    name = "place"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Place:
        if isinstance(value, Place):
            return value
        bucket, _, key = str(value).removeprefix("s3://").partition("/")
        if not bucket:
            self.fail("BUCKET/KEY is expected", param, ctx)
        return Place(bucket, key)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Buckets and keys that begin so; nothing where the gateway cannot be asked."""
        try:
            return [CompletionItem(name) for name in _offered(ctx.params.get("config"), incomplete)]
        except (click.ClickException, OSError):
            return []


def _offered(config: Path | None, incomplete: str) -> Iterator[str]:
    from itertools import islice

    from gateway.cli.client import Client
    from gateway.cli.objects import Objects
    from gateway.cli.target import find_target

    scheme = "s3://" if incomplete.startswith("s3://") else ""
    bucket, slash, prefix = incomplete.removeprefix(scheme).partition("/")
    objects = Objects(Client(find_target(config)))
    if not slash:
        names = (f"{one.name}/" for one in objects.buckets())
        return (scheme + name for name in names if name.startswith(bucket))
    found = islice(objects.list(bucket, prefix, deep=False), MOST_OFFERED)
    return (f"{scheme}{bucket}/{one.name}" for one in found)


@dataclass(frozen=True, slots=True)
class Source:
    """One local file that shall be stored; ``name`` ends its key. ``why``: it cannot be."""

    path: Path
    name: str
    size: int = 0
    why: str = ""


def sources(names: tuple[str, ...]) -> Iterator[Source]:
    """Every file of local files and folders; a folder that ends in "/" gives what is in it without its own name."""
    for name in names:
        path = Path(name)
        if not path.is_dir():
            yield _source(path, path.name)
            continue
        bare = name.endswith("/") or name in (".", "..")
        yield from _walk(path, "" if bare else f"{path.name}/")


def _walk(folder: Path, start: str) -> Iterator[Source]:
    lost: list[OSError] = []
    for where, folders, files in os.walk(folder, onerror=lost.append):
        folders.sort()
        below = "" if (inner := os.path.relpath(where, folder)) == "." else f"{inner}/"
        for name in sorted(files):
            yield _source(Path(where, name), f"{start}{below}{name}")
        for name in folders:
            if Path(where, name).is_symlink():
                yield Source(Path(where, name), name, why="a link to a folder is not followed")
        for fault in lost:
            yield Source(Path(fault.filename), "", why=fault.strerror or str(fault))
        lost.clear()


def _source(path: Path, name: str) -> Source:
    try:
        if not path.is_file():
            return Source(path, name, why="neither a file nor a folder" if path.exists() else "no such file")
        name.encode()
        return Source(path, name, path.stat().st_size)
    except OSError as fault:
        return Source(path, name, why=fault.strerror or str(fault))
    except UnicodeEncodeError:
        return Source(path, name, why="its name is not UTF-8, as keys have to be")


def local_name(key: str) -> str | None:
    """The relative path where a key of a folder goes; None for one that no file can have or that leaves the folder."""
    parts = key.split("/")
    if any(part in ("", ".", "..") or "\0" in part or len(part.encode()) > 255 for part in parts):
        return None
    return key
