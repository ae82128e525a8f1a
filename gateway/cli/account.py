"""`gateway account`: who may own buckets."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gateway.cli.offline import as_json, config, with_catalogue

if TYPE_CHECKING:
    from gateway.catalogue import Catalogue
    from gateway.model import Account
    from gateway.node.read import NodeSettings


@click.group()
def account() -> None:
    """Add and list accounts."""


@account.command()
@click.argument("name")
@click.option("--canonical-id", help="S3's canonical user id: 64 hex digits. Random where it is not given.")
@click.option("--display-name", help="The name that S3 replies show. The account's name where it is not given.")
@click.option("--email", help="An address for ACLs that name accounts by it.")
@as_json
@config
def add(
    name: str, canonical_id: str | None, display_name: str | None, email: str | None, as_json: bool, config: Path
) -> None:
    """Add the account NAME; `gateway key add` gives it a key."""
    if not re.fullmatch(r"[A-Za-z0-9+=,.@_-]{1,64}", name):
        raise click.BadParameter("1 to 64 letters, digits and +=,.@_-", param_hint="NAME")
    if canonical_id is not None and not re.fullmatch(r"[0-9a-f]{64}", canonical_id):
        raise click.BadParameter("64 lower-case hex digits", param_hint="--canonical-id")

    async def work(catalogue: Catalogue, settings: NodeSettings) -> Account:
        return await catalogue.accounts.add(name, canonical_id=canonical_id, display_name=display_name, email=email)

    added = with_catalogue(config, work)
    click.echo(json.dumps(_shown(added)) if as_json else f"account {added.name}, canonical id {added.id}")


@account.command("list")
@as_json
@config
def list_(as_json: bool, config: Path) -> None:
    """List all accounts."""

    async def work(catalogue: Catalogue, settings: NodeSettings) -> list[Account]:
        return await catalogue.accounts.all()

    accounts = with_catalogue(config, work)
    if as_json:
        click.echo(json.dumps([_shown(one) for one in accounts]))
        return
    for one in accounts:
        click.echo(f"{one.name}\t{one.id}\t{one.display_name}\t{one.email or '-'}")


def _shown(one: Account) -> dict[str, Any]:
    return {"account": one.name, "canonical_id": one.id, "display_name": one.display_name, "email": one.email}
