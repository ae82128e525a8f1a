"""`gateway init`: a folder with tahoe.cfg, private/ and a first account."""

from __future__ import annotations

import json
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gateway.cli.exits import Misconfigured, Refused
from gateway.cli.keys import CREDENTIALS, credentials, draw_pair, write_secret
from gateway.cli.offline import as_json, with_catalogue

if TYPE_CHECKING:
    from gateway.catalogue import Catalogue

_CONFIGURATION = """\
# A txgateway: S3 in front, the storage below behind it. All settings: docs/configuration.md
[gateway]
# Where clients connect; several endpoints stand one a line. For TLS:
#   ssl:8443:privateKey=private/key.pem:certKey=cert.pem
listen = {listen}
# Host names below which buckets are sub-domains (BUCKET.s3.example.com)
#domain = s3.example.com
region = us-east-1
# How many processes serve; one per core where it is not said.
#workers = 2
# Relative paths start at this file's folder.
data = data
log = log

# The default location. `gateway plugins --settings` lists the backends and their settings;
# their secrets lie in private/, one file each.
[storage]
backend = {backend}
{settings}"""


@click.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--backend", default="local", show_default=True, help="Where the bytes go, as `gateway plugins` lists it."
)
@click.option("--listen", default="tcp:8000:interface=127.0.0.1", show_default=True, help="A Twisted server endpoint.")
@click.option("--account", "name", default="admin", show_default=True, help="The name of the first account.")
@as_json
def init(folder: Path, backend: str, listen: str, name: str, as_json: bool) -> None:
    """Make a gateway in FOLDER. What is there already stays as it is; only what is missing is made."""
    made = write_files(folder, backend, listen)
    config = folder / "tahoe.cfg"
    try:
        with_catalogue(config, lambda catalogue, settings: first_account(catalogue, folder, name, made))
    except Misconfigured as faults:
        raise Misconfigured(f"{faults.message}\n(mend this and run `gateway init {folder}` again)") from faults
    if as_json:
        keys = {"account": name, "access_key_id": made.access, "secret_access_key": made.secret} if made.access else {}
        click.echo(json.dumps({"config": str(config), "written": list(map(str, made.written)), **keys}))
        return
    for path in made.written:
        click.echo(f"wrote       {path}")
    if made.access:
        click.echo(f"account     {name}\naccess key  {made.access}\nsecret      {made.secret}")
        click.echo(f"            (also in {folder / 'private' / CREDENTIALS}; it is not shown again)")
    click.echo(f"next        gateway check -c {config} && gateway run -c {config}")


class Made:
    """What init did: the files that it wrote, and the key pair of a new account."""

    def __init__(self) -> None:
        self.written: list[Path] = []
        self.access = ""
        self.secret = ""


def write_files(folder: Path, backend: str, listen: str) -> Made:
    """Write what is missing of tahoe.cfg and private/ in ``folder``. Raises Misconfigured and Refused."""
    made = Made()
    config, private = folder / "tahoe.cfg", folder / "private"
    settings = _settings(backend)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        private.mkdir(mode=0o700, exist_ok=True)
        if not config.exists():
            config.write_text(_CONFIGURATION.format(listen=listen, backend=backend, settings=settings))
            made.written.append(config)
        if not (private / "seal").exists():
            if (folder / "data" / "catalogue.sqlite").exists():
                raise Refused(
                    f"{private / 'seal'} is gone, and with it the catalogue's secrets: restore it from a backup"
                )
            write_secret(private / "seal", secrets.token_hex(32) + "\n")
            made.written.append(private / "seal")
    except OSError as fault:
        raise Refused(f"{fault.filename}: {fault.strerror}") from fault
    return made


def _settings(backend: str) -> str:
    """Lines for the backend's own settings: required ones to fill in, the others as they are without a line."""
    from gateway.plugins import loading
    from gateway.plugins.fitness import PluginFault
    from gateway.settings import REQUIRED

    try:
        plugin: Any = loading.find(backend).load()
    except PluginFault as fault:
        raise Misconfigured(f"gateway: {fault}") from fault
    lines = []
    for setting in plugin.settings:
        lines.append(f"# {setting.help}")
        if setting.default is REQUIRED:
            lines.append(f"{setting.key} =")
        else:
            lines.append(f"{'' if setting.kind == 'path' else '#'}{setting.key} = {setting.default or ''}".rstrip())
    return "".join(f"{line}\n" for line in lines)


async def first_account(catalogue: Catalogue, folder: Path, name: str, made: Made) -> None:
    """The first account with a key, where there is no account yet; its key pair is written to private/.

    Raises Refused where a key pair lies there already: it is never overwritten.
    """
    if await catalogue.accounts.all():
        return
    path = folder / "private" / CREDENTIALS
    if path.exists():  # of a catalogue that is gone, as after `gateway rebuild`
        raise Refused(
            f"{path} holds a key pair, but the catalogue has no account: bring back who owned the buckets with"
            " `gateway account add NAME --canonical-id ID` and `gateway key add --account NAME`;"
            f" or move that file away and run `gateway init {folder}` again, for a new account"
        )
    owner = await catalogue.accounts.add(name)
    made.access, made.secret = draw_pair()
    await catalogue.accounts.add_key(owner.id, made.access, made.secret)
    write_secret(path, credentials(made.access, made.secret))
    made.written.append(path)
