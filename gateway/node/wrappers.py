"""The wrappers that a location names: found, checked and built, each with its own settings and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gateway.plugins import loading
from gateway.plugins.fitness import PluginBroken, PluginFault, PluginMissing
from gateway.plugins.wrapping import Wrapper
from gateway.settings import ConfigurationFault, Document, Section, Setting, Values, nearest

KEY = "wrappers"


@dataclass(frozen=True, slots=True)
class Wrapping:
    """One wrapper of a location: its name, its class and who offers it."""

    name: str
    wrapper: type[Any]
    distribution: str

    @property
    def settings(self) -> tuple[Setting, ...]:
        return tuple(self.wrapper.settings)

    def build(self, values: Values) -> Wrapper:
        """The wrapper with its part of a location's values. Raises PluginBroken."""
        try:
            built: Wrapper = self.wrapper(values.part({setting.key for setting in self.settings}))
        except KeyboardInterrupt:
            raise
        except BaseException as reason:  # a stranger's constructor may fail in any way
            raise PluginBroken(f"{self.distribution} fails: {type(reason).__name__}: {reason}") from reason
        return built


def read_wrappers(
    document: Document, section: Section, taken: Sequence[Setting], faults: list[ConfigurationFault]
) -> tuple[Wrapping, ...] | None:
    """Those that a section names, the outermost first; None where one cannot be had. ``taken``: the section's keys."""
    entry = section.entries.get(KEY)
    found: dict[str, Wrapping] = {}
    owners = {setting.key: "the section" for setting in taken}
    before = len(faults)
    for line, name in entry.lines if entry else ():
        if not name:
            continue
        fault = _fault(name, found, owners)
        if fault is not None:
            seen, expected, fix = fault
            faults.append(ConfigurationFault(document.file, line, f"{KEY} = {name}{seen}", expected, fix))
    return tuple(found.values()) if len(faults) == before else None


def _fault(name: str, found: dict[str, Wrapping], owners: dict[str, str]) -> tuple[str, str, str] | None:
    """Add a wrapper to ``found``, or say what was seen, what was expected and what to do."""
    installed = [plugin.type for plugin in loading.installed("wrapper")]
    if name in found:
        return " twice", "each wrapper once", "remove one line"
    try:
        plugin = loading.find(name, "wrapper")
        wrapping = Wrapping(name, plugin.load(), f"{plugin.distribution} {plugin.version}")
    except PluginMissing:
        near = nearest(name, installed)
        fix = f"did you mean {near}?" if near else "install the distribution that offers it, or remove the line"
        return "", f"one of the installed wrappers: {', '.join(installed) or 'there is none'}", fix
    except PluginFault as reason:
        return f" ({reason})", "a wrapper plugin that works", "mend or reinstall that distribution, or remove the line"
    for setting in wrapping.settings:
        if setting.key in owners:
            seen = f", whose setting {setting.key} is one of {owners[setting.key]} already"
            return seen, f"settings of its own, such as {name}.limit", "remove the line, and tell its author"
        owners[setting.key] = name
    found[name] = wrapping
    return None
