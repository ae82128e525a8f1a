"""`gateway plugins`: which backends and wrappers are installed, which the configuration needs, what they can do."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gateway.cli.exits import Misconfigured
from gateway.cli.offline import as_json

if TYPE_CHECKING:
    from gateway.plugins.loading import Plugin

DEFAULT = Path("tahoe.cfg")
REQUIRED_WORD = "(required)"


@click.command()
@click.option(
    "-c",
    "--config",
    type=click.Path(path_type=Path, readable=False),
    help="Import what this configuration names, as a start does; without it ./tahoe.cfg, else all are imported.",
)
@click.option("--settings", "details", is_flag=True, help="With their settings and secrets (imports each plugin).")
@as_json
def plugins(config: Path | None, details: bool, as_json: bool) -> None:
    """List the installed backends and wrappers: distribution, version, the kit they say they passed, their state.

    loaded: needed and fit. not needed: no location names it, so that it is not imported. broken: it says why.
    """
    from gateway.plugins import loading

    needed = _named(config or DEFAULT) if config or DEFAULT.exists() else None
    rows = [_row(plugin, needed, details) for kind in loading.GROUPS for plugin in loading.installed(kind)]
    if as_json:
        click.echo(json.dumps(rows))
        return
    for row in rows:
        kit = f"kit {row['kit']}" if row["kit"] is not None else "kit -"
        name = row["backend"] if "backend" in row else f"wrapper {row['wrapper']}"
        click.echo(f"{name}\t{row['distribution']} {row['version']}\t{kit}\t{_state(row)}")
        for line in row.get("settings", ()):
            default = line["default"]
            absent = default if default == REQUIRED_WORD else f"default {default}" if default else "optional"
            click.echo(f"    {line['key']}  {line['kind']}, {absent}: {line['help']}")
        for secret in row.get("secrets", ()):
            click.echo(f"    private/{secret['file']}  {secret['help']}")


def _named(config: Path) -> set[tuple[str, str]]:
    """The kinds and types that the locations of a configuration name. Raises Misconfigured where it cannot be read."""
    from gateway.settings import ConfigurationFault, read_document

    faults: list[ConfigurationFault] = []
    document = read_document(config, faults)
    if faults:
        raise Misconfigured("\n".join(map(str, faults)))
    places = [each for each in document.sections.values() if each.name.split(" ")[0] in ("storage", "location")]
    backends = {("backend", place.entries["backend"].value) for place in places if "backend" in place.entries}
    lines = [line for place in places if "wrappers" in place.entries for _, line in place.entries["wrappers"].lines]
    return backends | {("wrapper", line) for line in lines}


def _row(plugin: Plugin, needed: set[tuple[str, str]] | None, details: bool) -> dict[str, Any]:
    from gateway.plugins import loading
    from gateway.plugins.fitness import PluginFault

    row: dict[str, Any] = {
        plugin.kind: plugin.type,
        "distribution": plugin.distribution,
        "version": plugin.version,
        "state": "not needed",
        "kit": None,
        "capabilities": None,
    }
    wanted = needed is None or (plugin.kind, plugin.type) in needed
    if not wanted and not details:
        return row
    try:
        backend: Any = loading.find(plugin.type, plugin.kind).load() if wanted else plugin.load()
    except PluginFault as fault:
        return {**row, "state": "broken", "fault": str(fault)}
    kit = getattr(backend, "kit_version", None)
    row |= {"kit": kit if type(kit) is int else None, "capabilities": _capabilities(backend)}
    if wanted:
        row["state"] = "loaded"
    return row | _declared(backend) if details else row


def _capabilities(backend: Any) -> dict[str, Any] | None:
    """Those that the class declares; None where each location has its own."""
    from gateway.model import Capabilities
    from gateway.plugins.fitness import implemented
    from gateway.plugins.hookspecs import MPU_HOOKS

    declared = getattr(backend, "capabilities", None)
    if not isinstance(declared, Capabilities):
        return None
    limits = {each.name: getattr(declared, each.name) for each in fields(declared) if each.name != "refuses"}
    return {**limits, "native_multipart": set(MPU_HOOKS) <= implemented(backend)}


def _declared(backend: Any) -> dict[str, Any]:
    from gateway.settings import REQUIRED

    settings = [
        {
            "key": setting.key,
            "kind": setting.kind,
            "default": REQUIRED_WORD if setting.default is REQUIRED else setting.default,
            "help": setting.help,
        }
        for setting in backend.settings
    ]
    secrets = [
        {"file": secret.file, "help": secret.help, "required": secret.required}
        for secret in getattr(backend, "secrets", ())
    ]
    return {"settings": settings, "secrets": secrets}


def _state(row: dict[str, Any]) -> str:
    """``loaded: shared, smallest_part 5242880``; what is not limited is not mentioned."""
    if "fault" in row:
        return f"broken: {row['fault']}"
    told = row["capabilities"] or {}
    flags = [name for name, value in told.items() if value is True]
    limits = [f"{name} {value}" for name, value in told.items() if type(value) is int and (name, value) != _ANY_PART]
    return f"{row['state']}: {', '.join(flags + limits)}" if flags + limits else str(row["state"])


_ANY_PART = ("smallest_part", 1)
