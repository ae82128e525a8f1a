"""Find backends among the installed distributions, and import only the one that is asked for.

A distribution offers a backend with an entry point of the group ``gateway.backends``
(packaging.python.org, "Entry points specification"); the entry point's name is the backend's type.
"""

from __future__ import annotations

import builtins
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points

from gateway.plugins.fitness import PluginBroken, PluginMissing, check_class
from gateway.settings import nearest

GROUP = "gateway.backends"

# Where our own types come from. For others no name is guessed: whoever registers a guessed name would be installed.
DISTRIBUTIONS = {
    "local": "txgateway-local",
    "cloud.s3": "txgateway-s3",
    "cloud.openstack": "txgateway-openstack",
    "cloud.azure": "txgateway-azure",
    "cloud.gcp": "txgateway-gcp",
}


@dataclass(frozen=True, slots=True)
class Plugin:
    """An installed backend, not yet imported."""

    type: str
    distribution: str
    version: str
    entry: EntryPoint = field(repr=False)

    def load(self) -> builtins.type:
        """Import the backend's class. Raises PluginBroken (import) and PluginUnfit (no backend), one line each."""
        who = f"backend {self.type!r} ({self.distribution} {self.version}, {self.entry.value})"
        try:
            found = self.entry.load()
        except KeyboardInterrupt:
            raise
        except BaseException as reason:  # a stranger's module may fail in any way, SystemExit among them
            raise PluginBroken(f"{who} cannot be imported: {type(reason).__name__}: {reason}") from reason
        return check_class(who, found)


def installed() -> tuple[Plugin, ...]:
    """Every backend that is installed, by type; nothing is imported."""
    found = {(plugin.type, plugin.distribution): plugin for plugin in map(_plugin, entry_points(group=GROUP))}
    return tuple(plugin for _, plugin in sorted(found.items()))


def find(type_: str) -> Plugin:
    """The plugin that offers a backend type. Raises PluginMissing, and PluginBroken where two offer it."""
    everything = installed()
    offers = [plugin for plugin in everything if plugin.type == type_]
    if not offers:
        raise PluginMissing(_how_to_get(type_, [plugin.type for plugin in everything]))
    if len(offers) > 1:
        owners = " and ".join(plugin.distribution for plugin in offers)
        raise PluginBroken(f"backend {type_!r} is offered by {owners}: pip uninstall one of them")
    return offers[0]


def _plugin(entry: EntryPoint) -> Plugin:
    if entry.dist is None:
        return Plugin(entry.name, "unknown distribution", "?", entry)
    return Plugin(entry.name, entry.dist.name, entry.dist.version, entry)


def _how_to_get(type_: str, types: list[str]) -> str:
    if type_ in DISTRIBUTIONS:
        return f"no backend {type_!r} is installed: pip install {DISTRIBUTIONS[type_]}"
    near = nearest(type_, {*types, *DISTRIBUTIONS})
    if near and near not in types:
        return f"no backend {type_!r} is known: did you mean {near!r} (pip install {DISTRIBUTIONS[near]})?"
    meant = f" Did you mean {near!r}?" if near else ""
    return f"no backend {type_!r} is installed; installed are: {', '.join(sorted(set(types))) or 'none'}.{meant}"
