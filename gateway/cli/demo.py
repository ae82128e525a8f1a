"""`gateway demo`: from nothing to a stored object, in one folder of its own."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import socket
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gateway.cli.init import first_account, write_files
from gateway.cli.keys import CREDENTIALS, read_credentials
from gateway.cli.offline import settings_of
from gateway.cli.run import banner, serve

if TYPE_CHECKING:
    from gateway.node.served import Served
    from gateway.node.service import Node

FOLDER = Path("gateway-demo")
BUCKET = "demo"
PORT = 8000


@click.command()
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=FOLDER,
    show_default=True,
    help="Where it lives; made where it is not there.",
)
@click.option("--port", type=click.IntRange(1, 65535), help=f"The port; {PORT} or a free one where it is not given.")
def demo(folder: Path, port: int | None) -> None:
    """Serve from FOLDER with a random key pair and a bucket; print lines to paste. Ctrl-C stops it.

    The folder, its keys and what was stored stay for the next time.
    """
    listen = f"tcp:{port or _free_port()}:interface=127.0.0.1"
    made = write_files(folder, "local", listen)
    config, credentials = folder / "tahoe.cfg", folder / "private" / CREDENTIALS
    settings = settings_of(config)
    settings = replace(settings, listen=((settings.listen[0][0], listen),))

    async def prepare(node: Node) -> None:
        catalogue = node.catalogue
        assert catalogue is not None
        # only now is it certain that no other demo serves from this folder, whose port its tahoe.cfg has to keep
        config.write_text(re.sub(r"(?m)^listen = .*$", f"listen = {listen}", config.read_text(), count=1))
        (folder / "hello.txt").write_text("Hello from the gateway.\n")
        await first_account(catalogue, folder, "demo", made)
        owner = (await catalogue.accounts.all())[0]
        await catalogue.buckets.create(BUCKET, owner.id, "storage", "")

    def shown(node: Served) -> str:
        access, secret = read_credentials(credentials)
        lines = paste(node.urls[0], node.settings.gateway["region"], access, secret, folder)
        keys = f"  keys      {access}  {secret}\n  bucket    {BUCKET}"
        ask = "Paste one of these into another terminal, in this folder:"
        return "\n\n".join([f"{banner(node)}\n{keys}", ask, *lines])

    serve(settings, shown, prepare)


def paste(url: str, region: str, access: str, secret: str, folder: Path) -> list[str]:
    """One line per client that stores ``hello.txt``; each works as it stands."""
    file = shlex.quote(str(folder / "hello.txt"))
    keys = f"AWS_ACCESS_KEY_ID={access} AWS_SECRET_ACCESS_KEY={secret}"
    remote = f":s3,provider=Other,access_key_id={access},secret_access_key={secret},endpoint='{url}':{BUCKET}"
    python = (
        f"import boto3; boto3.client('s3', endpoint_url='{url}', region_name='{region}', "
        f"aws_access_key_id='{access}', aws_secret_access_key='{secret}')"
        f".upload_file('{folder / 'hello.txt'}', '{BUCKET}', 'boto3.txt')"
    )
    return [
        f"{keys} aws --endpoint-url {url} --region {region} s3 cp {file} s3://{BUCKET}/aws.txt",
        f'rclone copyto {file} "{remote}/rclone.txt"',
        f'python3 -c "{python}"',
        f"{_own_command()} put -c {shlex.quote(str(folder / 'tahoe.cfg'))} {file} {BUCKET}/gateway.txt",
    ]


def _own_command() -> str:
    """How this very command is called: by name where the shell finds it, else by its path."""
    path = Path(sys.argv[0])
    if path.name != "gateway":
        return f"{sys.executable} -m gateway"
    found = shutil.which("gateway")
    if found and os.path.samefile(found, path):
        return "gateway"
    path = path.absolute()
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def _free_port() -> int:
    """8000, or whatever the kernel gives where somebody has it."""
    for port in (PORT, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    return PORT
