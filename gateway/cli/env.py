"""`gateway env`: the variables that make every S3 client of a shell talk to the gateway."""

from __future__ import annotations

import json
import os
import shlex
import sys
from pathlib import Path

import click

from gateway.cli.offline import as_json
from gateway.cli.target import find_target, target


@click.command()
@click.option(
    "--shell", type=click.Choice(["sh", "fish"]), help="Whose words to print; fish where $SHELL is fish, else sh."
)
@as_json
@target
def env(shell: str | None, as_json: bool, config: Path | None) -> None:
    """Print the AWS variables of a gateway, the secret among them, for a shell to read.

    \b
      eval "$(gateway env -c porch/tahoe.cfg)"        # bash, zsh
      gateway env -c porch/tahoe.cfg | source         # fish
    """
    found = find_target(config)
    variables = {
        "AWS_ACCESS_KEY_ID": found.access_key,
        "AWS_SECRET_ACCESS_KEY": found.secret,
        "AWS_ENDPOINT_URL": found.url,
        "AWS_REGION": found.region,
        "AWS_DEFAULT_REGION": found.region,
    }
    if found.token:
        variables["AWS_SESSION_TOKEN"] = found.token
    if found.bundle:
        variables["AWS_CA_BUNDLE"] = str(Path(found.bundle).absolute())
    if as_json:
        click.echo(json.dumps(variables))
        return
    fish = shell == "fish" or (shell is None and Path(os.environ.get("SHELL", "")).name == "fish")
    for name, value in variables.items():
        click.echo(f"set -gx {name} {_fish(value)}" if fish else f"export {name}={shlex.quote(value)}")
    if sys.stdout.isatty():
        at = f" -c {shlex.quote(str(config))}" if config else ""
        call = f"gateway env{at} | source" if fish else f'eval "$(gateway env{at})"'
        click.echo(f"# to use them in this shell:  {call}")


def _fish(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
