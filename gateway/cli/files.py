"""`gateway put`, `get`, `ls` and `rm`: files for people who have no S3 client at hand."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable
from configparser import Error as IniError
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gateway.cli.exits import Misconfigured
from gateway.cli.keys import read_credentials

if TYPE_CHECKING:
    from gateway.cli.client import Client

CREDENTIALS = "admin.credentials"

target = click.option(
    "-c",
    "--config",
    type=click.Path(path_type=Path, readable=False),
    help="A gateway's tahoe.cfg; without it the AWS environment, then ./tahoe.cfg.",
)


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("place", metavar="BUCKET[/KEY]")
@target
def put(file: Path, place: str, config: Path | None) -> None:
    """Store FILE as BUCKET/KEY; the key is the file's name where it is not given."""
    bucket, key = _place(place)
    if not key or key.endswith("/"):
        key += file.name
    with file.open("rb") as body:
        size = _client(config).put(bucket, key, body)
    click.echo(f"{bucket}/{key}\t{size} bytes")


@click.command()
@click.argument("place", metavar="BUCKET/KEY")
@click.argument("file", required=False, type=click.Path(dir_okay=True, path_type=Path, allow_dash=True))
@target
def get(place: str, file: Path | None, config: Path | None) -> None:
    """Fetch BUCKET/KEY into FILE ("-": standard output); an unfinished file is never left behind."""
    bucket, key = _place(place)
    name = key.rpartition("/")[2]
    if not name:
        raise click.BadParameter("a key is needed: BUCKET/KEY", param_hint="BUCKET/KEY")
    if str(file) == "-":
        _client(config).get(bucket, key, sys.stdout.buffer)
        return
    wanted = file or Path(name)
    wanted = wanted / name if wanted.is_dir() else wanted
    with tempfile.NamedTemporaryFile(dir=wanted.parent, prefix=f".{wanted.name}.", delete=False) as part:
        try:
            size = _client(config).get(bucket, key, part)
            os.replace(part.name, wanted)
        except BaseException:
            os.unlink(part.name)
            raise
    click.echo(f"{wanted}\t{size} bytes")


@click.command()
@click.argument("place", metavar="[BUCKET[/PREFIX]]", required=False)
@target
def ls(place: str | None, config: Path | None) -> None:
    """List the buckets, or what lies in BUCKET one level below PREFIX."""
    client = _client(config)
    bucket, prefix = _place(place) if place else ("", "")
    for found in client.list(bucket, prefix) if bucket else client.buckets():
        size = "-" if found.size is None else str(found.size)
        click.echo(f"{found.modified or '-'}\t{size}\t{found.name}")


@click.command()
@click.argument("place", metavar="BUCKET/KEY")
@target
def rm(place: str, config: Path | None) -> None:
    """Delete BUCKET/KEY; one that is not there is fine."""
    bucket, key = _place(place)
    if not key:
        raise click.BadParameter("a key is needed: BUCKET/KEY (`gateway bucket rm` removes buckets)")
    _client(config).delete(bucket, key)


def _place(text: str) -> tuple[str, str]:
    """Bucket and key of ``bucket/key`` or ``s3://bucket/key``."""
    bucket, _, key = text.removeprefix("s3://").partition("/")
    if not bucket:
        raise click.BadParameter("BUCKET/KEY is expected")
    return bucket, key


def _client(config: Path | None) -> Client:
    from gateway.cli.client import Client, Target

    environment = os.environ
    if config is None and "AWS_ACCESS_KEY_ID" in environment:
        url = environment.get("AWS_ENDPOINT_URL_S3") or environment.get("AWS_ENDPOINT_URL")
        if not url:
            raise click.UsageError("AWS_ACCESS_KEY_ID is set, AWS_ENDPOINT_URL is not: where is the gateway?")
        region = environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION") or "us-east-1"
        secret = environment.get("AWS_SECRET_ACCESS_KEY", "")
        return Client(Target(url, region, environment["AWS_ACCESS_KEY_ID"], secret))
    if config is None and not Path("tahoe.cfg").exists():
        raise click.UsageError("which gateway? Give -c tahoe.cfg, or set AWS_ACCESS_KEY_ID and AWS_ENDPOINT_URL")
    return Client(_target(config or Path("tahoe.cfg"), Target))


def _target(config: Path, make: Callable[..., Any]) -> Any:
    """The gateway of a configuration, as the account that `gateway init` made."""
    from gateway.cli.offline import settings_of

    settings = settings_of(config)
    path = settings.folder / "private" / CREDENTIALS
    try:
        access, secret = read_credentials(path)
    except (OSError, KeyError, IniError) as fault:
        fix = "make a key with `gateway key add` and set AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_ENDPOINT_URL"
        raise Misconfigured(
            f"{path}: seen no key pair ({fault}); expected that of `gateway init`; fix: {fix}"
        ) from fault
    return make(_url(settings.listen), settings.gateway["region"], access, secret)


def _url(listen: tuple[tuple[int, str], ...]) -> str:
    """Where the first TCP endpoint is reached from this host."""
    for _, text in listen:
        kind, _, rest = text.partition(":")
        if kind in ("tcp", "tcp6", "ssl"):
            words = dict(word.partition("=")[::2] for word in rest.split(":") if "=" in word)
            port = words.get("port") or rest.split(":")[0]
            host = words.get("interface", "127.0.0.1").replace("\\", "")
            host = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1"}.get(host, host)
            return f"{'https' if kind == 'ssl' else 'http'}://{host}:{port}"
    raise click.UsageError("the gateway listens on no TCP port: set AWS_ENDPOINT_URL and the keys instead")
