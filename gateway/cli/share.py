"""`gateway share`: a link that fetches one object, for people who have no keys."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import click

from gateway.cli.offline import as_json
from gateway.cli.places import Place, PlaceType
from gateway.cli.target import find_target, target

LONGEST = 7 * 86400  # S3's


class _Duration(click.ParamType):  # type: ignore[type-arg]
    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        from gateway.settings.declare import Setting, Unreadable

        if isinstance(value, int):
            return value
        try:
            seconds: float = Setting("expires", "seconds", "", low=1, high=LONGEST).parse(str(value), Path())
        except Unreadable:
            self.fail("a time such as 90s, 30m, 12h or 7d is expected, from one second to seven days", param, ctx)
        return round(seconds)


@click.command()
@click.argument("place", metavar="BUCKET/KEY", type=PlaceType())
@click.option(
    "-e", "--expires", type=_Duration(), default="1h", show_default=True, help="How long it works: 30m, 12h, 7d."
)
@as_json
@target
def share(place: Place, expires: int, as_json: bool, config: Path | None) -> None:
    """Print a link to BUCKET/KEY; whoever has it can fetch the object until it expires.

    \b
      curl -O "$(gateway share attic/photo.jpg --expires 12h)"
    """
    from gateway.cli.client import Client, path_of
    from gateway.cli.objects import Objects
    from gateway.wire.canonical import iso_extended

    if not place.key:
        raise click.BadParameter("a key is needed: BUCKET/KEY", param_hint="BUCKET/KEY")
    client = Client(find_target(config))
    Objects(client).exists(place.bucket, place.key)
    now = time.time()
    url = client.presign("GET", path_of(place.bucket, place.key), expires, now)
    if as_json:
        row = {"bucket": place.bucket, "key": place.key, "url": url, "expires": iso_extended(int(now) + expires)}
        click.echo(json.dumps(row))
    else:
        click.echo(url)
