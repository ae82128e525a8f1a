"""`gateway plugins`: which backends are installed, and what they want to know."""

from __future__ import annotations

import json
from typing import Any

import click

from gateway.cli.offline import as_json


@click.command()
@click.option("--settings", "details", is_flag=True, help="With their settings and secrets (imports each plugin).")
@as_json
def plugins(details: bool, as_json: bool) -> None:
    """List the installed backends."""
    from gateway.plugins import loading

    rows = [_row(plugin, details) for plugin in loading.installed()]
    if as_json:
        click.echo(json.dumps(rows))
        return
    for row in rows:
        click.echo(f"{row['backend']}\t{row['distribution']} {row['version']}")
        for line in row.get("settings", ()):
            click.echo(f"    {line['key']}  {line['kind']}, default {line['default']}: {line['help']}")
        for secret in row.get("secrets", ()):
            click.echo(f"    private/{secret['file']}  {secret['help']}")
        if "fault" in row:
            click.echo(f"    {row['fault']}")


def _row(plugin: Any, details: bool) -> dict[str, Any]:
    from gateway.plugins.fitness import PluginFault
    from gateway.settings import REQUIRED

    row: dict[str, Any] = {
        "backend": plugin.type,
        "distribution": plugin.distribution,
        "version": plugin.version,
    }
    if not details:
        return row
    try:
        backend = plugin.load()
    except PluginFault as fault:
        return {**row, "fault": str(fault)}
    row["settings"] = [
        {
            "key": setting.key,
            "kind": setting.kind,
            "default": "(required)" if setting.default is REQUIRED else setting.default,
            "help": setting.help,
        }
        for setting in backend.settings
    ]
    row["secrets"] = [
        {"file": secret.file, "help": secret.help, "required": secret.required}
        for secret in getattr(backend, "secrets", ())
    ]
    return row
