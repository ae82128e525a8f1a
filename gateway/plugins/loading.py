"""Find backends and wrappers among the installed distributions, and import only the one that is asked for.

A distribution offers a backend with an entry point of the group ``gateway.backends``
(packaging.python.org, "Entry points specification"); the entry point's name is the backend's type. Wrappers are
offered in the group ``gateway.wrappers`` in the same way.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from types import MappingProxyType
from typing import Literal

from gateway.plugins.fitness import PluginBroken, PluginMissing, check_class, check_wrapper
from gateway.settings import nearest

Kind = Literal["backend", "wrapper"]
GROUPS: Mapping[Kind, str] = MappingProxyType({"backend": "gateway.backends", "wrapper": "gateway.wrappers"})
CHECKS: Mapping[Kind, Callable[[str, object], builtins.type]] = MappingProxyType(
    {"backend": check_class, "wrapper": check_wrapper}
)

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
    """An installed backend or wrapper, not yet imported."""

    type: str
    distribution: str
    version: str
    entry: EntryPoint = field(repr=False)
    kind: Kind = "backend"

    def load(self) -> builtins.type:
        """Import the class. Raises PluginBroken (import) and PluginUnfit (no backend, no wrapper), one line each."""
        who = f"{self.kind} {self.type!r} ({self.distribution} {self.version}, {self.entry.value})"
        try:
            found = self.entry.load()
        except KeyboardInterrupt:
            raise
        except BaseException as reason:  # a stranger's module may fail in any way, SystemExit among them
            raise PluginBroken(f"{who} cannot be imported: {type(reason).__name__}: {reason}") from reason
        return CHECKS[self.kind](who, found)


def installed(kind: Kind = "backend") -> tuple[Plugin, ...]:
    """Every backend (or wrapper) that is installed, by type; nothing is imported."""
    offers = (_plugin(entry, kind) for entry in entry_points(group=GROUPS[kind]))
    found = {(plugin.type, plugin.distribution): plugin for plugin in offers}
    return tuple(plugin for _, plugin in sorted(found.items()))


def find(type_: str, kind: Kind = "backend") -> Plugin:
    """The plugin that offers a type. Raises PluginMissing, and PluginBroken where two offer it."""
    everything = installed(kind)
    offers = [plugin for plugin in everything if plugin.type == type_]
    if not offers:
        raise PluginMissing(_how_to_get(type_, kind, [plugin.type for plugin in everything]))
    if len(offers) > 1:
        owners = " and ".join(plugin.distribution for plugin in offers)
        raise PluginBroken(f"{kind} {type_!r} is offered by {owners}: pip uninstall one of them")
    return offers[0]


def _plugin(entry: EntryPoint, kind: Kind) -> Plugin:
    if entry.dist is None:
        return Plugin(entry.name, "unknown distribution", "?", entry, kind)
    return Plugin(entry.name, entry.dist.name, entry.dist.version, entry, kind)


def _how_to_get(type_: str, kind: Kind, types: list[str]) -> str:
    ours = DISTRIBUTIONS if kind == "backend" else {}
    if type_ in ours:
        return f"no backend {type_!r} is installed: pip install {DISTRIBUTIONS[type_]}"
    near = nearest(type_, {*types, *ours})
    if near and near not in types:
        return f"no backend {type_!r} is known: did you mean {near!r} (pip install {DISTRIBUTIONS[near]})?"
    meant = f" Did you mean {near!r}?" if near else ""
    return f"no {kind} {type_!r} is installed; installed are: {', '.join(sorted(set(types))) or 'none'}.{meant}"
