"""`gateway key`: the key pairs that accounts sign with."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gateway.cli.exits import Refused
from gateway.cli.keys import draw_pair
from gateway.cli.offline import as_json, config, with_catalogue

if TYPE_CHECKING:
    from gateway.catalogue import Catalogue
    from gateway.model import AccessKey, Account
    from gateway.node.read import NodeSettings


SHORTEST_SECRET = 16  # shorter ones are guessed from one signed request that somebody overheard


@click.group()
def key() -> None:
    """Add, list and revoke access keys."""


@key.command()
@click.option("--account", "name", help="Whose key; may be left out while there is one account.")
@click.option("--access-key", help="Use this access key instead of a random one (with --secret-file).")
@click.option(
    "--secret-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The file that holds its secret.",
)
@as_json
@config
def add(name: str | None, access_key: str | None, secret_file: Path | None, as_json: bool, config: Path) -> None:
    """Give an account a key pair; the secret is shown this once."""
    if (access_key is None) != (secret_file is None):
        raise click.UsageError("--access-key and --secret-file go together")
    drawn = draw_pair()
    if access_key is not None and secret_file is not None:
        drawn = access_key, secret_file.read_text("utf-8", "replace").strip()
        if not re.fullmatch(r"[A-Za-z0-9_.-]{3,128}", access_key):
            raise click.BadParameter("3 to 128 letters, digits, '.', '_' and '-'", param_hint="--access-key")
        if not drawn[1] or not drawn[1].isprintable() or "\N{REPLACEMENT CHARACTER}" in drawn[1]:
            raise click.BadParameter("one line of text is expected in it", param_hint="--secret-file")
        if len(drawn[1]) < SHORTEST_SECRET:
            raise click.BadParameter(f"a secret has at least {SHORTEST_SECRET} characters", param_hint="--secret-file")

    async def work(catalogue: Catalogue, settings: NodeSettings) -> Account:
        owner = await account_of(catalogue, name)
        await catalogue.accounts.add_key(owner.id, *drawn)
        return owner

    owner = with_catalogue(config, work)
    shown = {
        "access_key_id": drawn[0],
        "secret_access_key": drawn[1],
        "account": owner.name,
        "canonical_id": owner.id,
    }
    if as_json:
        click.echo(json.dumps(shown))
        return
    click.echo(f"account     {owner.name}\naccess key  {drawn[0]}")
    click.echo(f"secret      {drawn[1]}" if access_key is None else f"secret      as in {secret_file}")


@key.command("list")
@click.option("--account", "name", help="Only those of this account.")
@as_json
@config
def list_(name: str | None, as_json: bool, config: Path) -> None:
    """List access keys, never their secrets."""

    async def work(catalogue: Catalogue, settings: NodeSettings) -> tuple[list[AccessKey], dict[str, str]]:
        names = {one.id: one.name for one in await catalogue.accounts.all()}
        owner = (await account_of(catalogue, name)).id if name else None
        return await catalogue.accounts.keys(owner), names

    keys, names = with_catalogue(config, work)
    rows = [
        {
            "access_key_id": one.access_key,
            "account": names.get(one.account, one.account),
            "canonical_id": one.account,
            "created": datetime.fromtimestamp(one.created, UTC).isoformat(timespec="seconds"),
        }
        for one in keys
    ]
    if as_json:
        click.echo(json.dumps(rows))
        return
    for row in rows:
        click.echo(f"{row['access_key_id']}\t{row['account']}\t{row['created']}")


@key.command()
@click.argument("access_key")
@as_json
@config
def revoke(access_key: str, as_json: bool, config: Path) -> None:
    """Revoke ACCESS_KEY; requests signed with it are refused at once."""

    async def work(catalogue: Catalogue, settings: NodeSettings) -> bool:
        return await catalogue.accounts.remove_key(access_key)

    if not with_catalogue(config, work):
        raise Refused(f"there is no access key {access_key}")
    told = {"access_key_id": access_key, "state": "revoked"}
    click.echo(json.dumps(told) if as_json else f"revoked {access_key}")


async def account_of(catalogue: Catalogue, name: str | None) -> Account:
    """The account of that name; without a name the only one there is."""
    if name is not None:
        found = await catalogue.accounts.find(name)
        if found is None:
            raise Refused(f"there is no account {name}; `gateway account add {name}` makes it")
        return found
    accounts = await catalogue.accounts.all()
    if not accounts:
        raise Refused("there is no account yet; `gateway account add NAME` makes one")
    if len(accounts) > 1:
        raise click.UsageError(f"say whose: --account {'|'.join(one.name for one in accounts)}")
    return accounts[0]
