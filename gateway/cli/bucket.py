"""`gateway bucket`: buckets without an S3 client."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gateway.cli.exits import Refused
from gateway.cli.key import account_of
from gateway.cli.offline import as_json, config, with_catalogue

if TYPE_CHECKING:
    from gateway.catalogue import Catalogue
    from gateway.model import Bucket
    from gateway.node.read import NodeSettings


@click.group()
def bucket() -> None:
    """Add, list and remove buckets."""


@bucket.command()
@click.argument("name")
@click.option("--account", "owner_name", help="The owner; may be left out while there is one account.")
@click.option("--location", default="storage", show_default=True, help="Where its objects are kept.")
@as_json
@config
def add(name: str, owner_name: str | None, location: str, as_json: bool, config: Path) -> None:
    """Add the bucket NAME; one that the same account owns already is fine."""
    from gateway.wire.names import is_bucket_name

    if not is_bucket_name(name):
        raise click.BadParameter("3 to 63 lower-case letters, digits, '-' and '.'", param_hint="NAME")

    async def work(catalogue: Catalogue, settings: NodeSettings) -> tuple[dict[str, Any], bool]:
        if location not in {place.name for place in settings.places}:
            raise click.BadParameter(f"{settings.file} has no such location", param_hint="--location")
        owner = await account_of(catalogue, owner_name)
        made, new = await catalogue.buckets.create(name, owner.id, location, "")
        if not new and made.owner != owner.id:
            raise Refused(f"bucket {name} belongs to another account")
        return _shown(made, owner.name), new

    row, new = with_catalogue(config, work)
    told = f"bucket {name}" if new else f"bucket {name} is there already"
    click.echo(json.dumps({**row, "new": new}) if as_json else told)


@bucket.command("list")
@as_json
@config
def list_(as_json: bool, config: Path) -> None:
    """List all buckets of all accounts."""

    async def work(catalogue: Catalogue, settings: NodeSettings) -> list[dict[str, Any]]:
        rows = []
        for owner in await catalogue.accounts.all():
            after = ""
            while page := await catalogue.buckets.owned_by(owner.id, after=after):
                rows += [_shown(one, owner.name) for one in page]
                after = page[-1].name
        return sorted(rows, key=lambda row: str(row["bucket"]))

    rows = with_catalogue(config, work)
    if as_json:
        click.echo(json.dumps(rows))
        return
    for row in rows:
        click.echo(f"{row['bucket']}\t{row['account']}\t{row['location']}\t{row['created']}")


@bucket.command()
@click.argument("name")
@as_json
@config
def rm(name: str, as_json: bool, config: Path) -> None:
    """Remove the bucket NAME; it must be empty."""

    async def work(catalogue: Catalogue, settings: NodeSettings) -> None:
        found = await catalogue.buckets.find(name)
        if found is None:
            raise Refused(f"there is no bucket {name}")
        await catalogue.buckets.delete(found.id)

    with_catalogue(config, work)
    click.echo(json.dumps({"bucket": name, "state": "removed"}) if as_json else f"removed bucket {name}")


def _shown(one: Bucket, owner: str) -> dict[str, Any]:
    created = datetime.fromtimestamp(one.created, UTC).isoformat(timespec="seconds")
    return {"bucket": one.name, "account": owner, "location": one.location, "created": created}
