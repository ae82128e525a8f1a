"""tahoe.cfg and private/ become one value, or all of their faults at once. Nothing is opened or changed here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gateway.node import declared
from gateway.node.wrappers import Wrapping, read_wrappers
from gateway.plugins import loading
from gateway.plugins.fitness import PluginFault, PluginMissing
from gateway.seal import KEY_SIZE
from gateway.settings import (
    ConfigurationFault,
    ConfigurationFaults,
    Document,
    Private,
    Section,
    Setting,
    Values,
    meant_key,
    nearest,
    read_document,
    read_section,
)

SEAL = "seal"
DEFAULT = "storage"  # the name of the location that [storage] describes
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,40}")
_HOST = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")
_REGION = re.compile(r"[A-Za-z0-9_.-]{1,63}")  # it stands in signatures between slashes, and in reply headers


@dataclass(frozen=True, slots=True)
class Place:
    """One location as the file describes it: its name, its backend's type (``kind``) and class, and the class's values.

    ``concurrency`` bounds the operations that the storage gets at once.
    """

    name: str
    kind: str
    backend: type[Any]
    values: Values
    concurrency: int
    distribution: str
    wrappers: tuple[Wrapping, ...] = ()  # the outermost first


@dataclass(frozen=True, slots=True)
class NodeSettings:
    """All that a gateway is told. ``listen``: (line, endpoint string); ``hosts``: host -> location's name."""

    file: str
    folder: Path
    gateway: Values
    listen: tuple[tuple[int, str], ...]
    places: tuple[Place, ...]
    hosts: Mapping[str, str]
    seal: bytes = field(repr=False)
    notices: tuple[str, ...] = ()
    text: str = field(default="", repr=False)  # of the file, for the other processes of this gateway


@dataclass(slots=True)
class Reading:
    """What could be read, beside what was wrong with the rest."""

    document: Document
    faults: list[ConfigurationFault]
    gateway: Values | None = None
    listen: tuple[tuple[int, str], ...] = ()
    places: list[Place] = field(default_factory=list)
    hosts: dict[str, str] = field(default_factory=dict)
    seal: bytes | None = field(default=None, repr=False)
    notices: list[str] = field(default_factory=list)

    def settings(self) -> NodeSettings:
        """The whole; raises ConfigurationFaults where anything is wrong."""
        if self.faults or self.gateway is None or self.seal is None:
            raise ConfigurationFaults(self.faults)
        return NodeSettings(
            self.document.file,
            self.document.folder,
            self.gateway,
            self.listen,
            tuple(self.places),
            self.hosts,
            self.seal,
            tuple(self.notices),
            self.document.text,
        )


def read_node(path: Path, text: str | None = None) -> NodeSettings:
    """Read tahoe.cfg with everything it refers to. Raises ConfigurationFaults with all faults that were found.

    ``text`` stands in place of what the file holds now.
    """
    return read(path, text).settings()


def read(path: Path, text: str | None = None) -> Reading:
    """Read as far as possible; for `gateway check`, which goes on to try what could be read."""
    faults: list[ConfigurationFault] = []
    document = read_document(path, faults, text)
    reading = Reading(document, faults)
    if faults and not document.sections:
        return reading  # nothing could be read: every other fault would be a consequence
    private = Private(document.folder / "private", document.file)
    for section in document.sections.values():
        _SECTIONS.get(section.name.split(" ")[0], _other)(reading, section, private)
    if "gateway" not in document.sections:
        _gateway(reading, Section("gateway", 0, {}), private)
    if DEFAULT not in document.sections and not any("did you mean [storage]" in fault.fix for fault in faults):
        fix = "add `[storage]` with `backend = local`"
        faults.append(ConfigurationFault(document.file, 0, "no [storage]", "a default location", fix))
    _check_places(reading)
    _private(reading, private)
    return reading


def _gateway(reading: Reading, section: Section, private: Private) -> None:
    if section.name != "gateway":
        _other(reading, section, private)
        return
    values = read_section(reading.document, section, declared.GATEWAY, reading.faults)
    _check_gateway(reading, section)
    if values is None:
        return
    reading.gateway = values
    entry = section.entries.get("listen")
    lines = entry.lines if entry else ()
    reading.listen = tuple((line, text) for line, text in lines if text) or tuple(
        (section.line, text) for text in values["listen"]
    )


def _check_gateway(reading: Reading, section: Section) -> None:
    """What the kinds of the settings do not say; from the entries, so that another fault does not hide these."""
    file = reading.document.file
    domains, region = (section.entries.get(key) for key in ("domain", "region"))
    if region and region.value and not _REGION.fullmatch(region.value):
        seen, expected = f"region {region.value!r}", "letters, digits, '-', '_' and '.', such as us-east-1"
        reading.faults.append(ConfigurationFault(file, region.line, seen, expected, "change it"))
    for line, domain in domains.lines if domains else ():
        if domain and not _HOST.fullmatch(domain):
            expected = "a host name in lower case, such as s3.example.com"
            reading.faults.append(ConfigurationFault(file, line, f"domain {domain!r}", expected, "change it"))


def _place(reading: Reading, section: Section, private: Private) -> None:
    """[storage] or [location NAME]."""
    document, faults = reading.document, reading.faults
    name = DEFAULT if section.name == DEFAULT else section.name.removeprefix("location ")
    if section.name != DEFAULT and (name == DEFAULT or not _NAME.fullmatch(name)):
        expected = "[location NAME] with a NAME of lower-case letters, digits and '-' (and not 'storage')"
        faults.append(ConfigurationFault(document.file, section.line, f"[{section.name}]", expected, "rename it"))
        return
    shared = {setting.key: setting for setting in declared.PLACE}
    plugin = _plugin(document, section, faults)
    if plugin is None:
        return
    kind, backend, distribution = plugin
    settings: tuple[Setting, ...] = tuple(backend.settings)
    own = {setting.key for setting in settings}
    common = tuple(setting for key, setting in shared.items() if key not in own)
    foreign = declared.TAHOE["storage"] - own
    wrappers = read_wrappers(document, section, (*common, *settings), faults)
    if wrappers is None:
        return  # its settings would be unknown keys
    values = read_section(
        document,
        section,
        (*common, *settings, *(setting for wrapping in wrappers for setting in wrapping.settings)),
        faults,
        foreign=foreign,
        secrets=tuple(getattr(backend, "secrets", ())),
        private=private,
        location=name,
    )
    _note(reading, section, [key for key in section.entries if key in foreign])
    if values is not None:
        reading.places.append(Place(name, kind, backend, values, values["concurrency"], distribution, wrappers))


def _plugin(
    document: Document, section: Section, faults: list[ConfigurationFault]
) -> tuple[str, type[Any], str] | None:
    """The type, the class and the distribution that ``backend`` names."""
    entry = section.entries.get("backend")
    if entry is None or not entry.value:
        meant = (key for key, entry in section.entries.items() if meant_key(entry, ["backend"], cutoff=0.75))
        near = next(meant, None)
        types = ", ".join(plugin.type for plugin in loading.installed())
        line = section.entries[near].line if near else section.line
        seen = f"unknown key {near} in [{section.name}]" if near else f"no backend in [{section.name}]"
        fix = "did you mean backend?" if near else "add `backend = local`"
        faults.append(ConfigurationFault(document.file, line, seen, f"backend = one of {types}", fix))
        return None
    try:
        plugin = loading.find(entry.value)
        return plugin.type, plugin.load(), f"{plugin.distribution} {plugin.version}"
    except PluginFault as fault:
        types = ", ".join(plugin.type for plugin in loading.installed())
        missing = isinstance(fault, PluginMissing)
        seen = f"backend = {entry.value}" + ("" if missing else f" ({fault})")
        expected = f"one of the installed backends: {types}" if missing else "a backend plugin that works"
        faults.append(ConfigurationFault(document.file, entry.line, seen, expected, _fix(str(fault), entry.value)))
        return None


def _fix(told: str, kind: str) -> str:
    """The command or the word that mends a missing or broken plugin."""
    install = re.search(r"pip install [a-z0-9-]+", told)
    meant = re.search(r"[Dd]id you mean '([^']+)'", told)
    if meant:
        return f"did you mean {meant[1]}?"
    if install:
        return install[0]
    if kind in loading.DISTRIBUTIONS:
        return f"pip install --force-reinstall {loading.DISTRIBUTIONS[kind]}"
    return "mend or reinstall that distribution, or name another backend"


def _endpoint(reading: Reading, section: Section, private: Private) -> None:
    host = section.name.removeprefix("endpoint ")
    values = read_section(reading.document, section, declared.ENDPOINT, reading.faults)
    if not _HOST.fullmatch(host) or section.name == "endpoint":
        expected = "[endpoint HOST] with a host name in lower case"
        fault = ConfigurationFault(reading.document.file, section.line, f"[{section.name}]", expected, "rename it")
        reading.faults.append(fault)
    elif values is not None:
        names = {DEFAULT} | {
            name.removeprefix("location ") for name in reading.document.sections if name.startswith("location ")
        }
        wanted = values["location"]
        if wanted not in names:
            near = nearest(wanted, names)
            fix = f"did you mean {near}?" if near else f"add [location {wanted}]"
            expected = "one of " + ", ".join(sorted(names))
            reading.faults.append(values.fault("location", f"location = {wanted!r}", expected, fix))
        reading.hosts[host] = wanted


def _other(reading: Reading, section: Section, private: Private) -> None:
    """A section that is not ours: a Tahoe node's, or a mistake."""
    document, faults = reading.document, reading.faults
    if declared.is_open(section.name):
        _note(reading, section, ["*"])
        return
    keys = declared.TAHOE.get(section.name)
    if keys is None:
        ours = ["gateway", DEFAULT, "location", "endpoint"]
        known = [*ours, *declared.TAHOE]
        word, _, rest = section.name.partition(" ")
        second, _, third = rest.partition(" ")
        near = nearest(f"{word} {second}", known, cutoff=0.85) if second else None
        if near:  # a space inside the word
            rest = third
        else:
            near = nearest(word, known)
        named = near in ("location", "endpoint")
        fix = (
            f"did you mean [{near} {rest or 'NAME'}]?" if named else f"did you mean [{near}]?" if near else "remove it"
        )
        expected = "[gateway], [storage], [location NAME], [endpoint HOST] or a Tahoe node's section"
        faults.append(
            ConfigurationFault(document.file, section.line, f"unknown section [{section.name}]", expected, fix)
        )
        return
    read_section(document, section, (), faults, foreign=keys)
    _note(reading, section, [key for key in section.entries if key in keys])


def _note(reading: Reading, section: Section, keys: list[str]) -> None:
    reading.notices += [f"[{section.name}] {key}" for key in keys]


def _check_places(reading: Reading) -> None:
    """Two locations on the same storage would delete each other's blobs."""
    seen: dict[str, Place] = {}
    for place in reading.places:
        values = place.values.part({setting.key for setting in place.backend.settings})
        twin = seen.setdefault(repr((place.kind, sorted(values.items()))), place)
        if twin is not place and place.kind != "memory":
            what = f"{place.name} with the very settings of {twin.name}"
            reading.faults.append(place.values.fault("backend", what, "a storage of its own", "change or remove one"))


def _private(reading: Reading, private: Private) -> None:
    fault = private.check_folder()
    if fault:
        reading.faults.append(fault)
    folder = reading.document.folder
    expected = f"{KEY_SIZE} random bytes as {2 * KEY_SIZE} hex digits"
    path = private.folder / SEAL
    fix = f"restore {path} from your backup; for a new gateway run `gateway init {folder}`"
    try:
        text = private.read(SEAL, 0, expected)
    except ConfigurationFault as wrong:
        reading.faults.append(wrong)
        return
    file = reading.document.file
    if text is None:
        reading.faults.append(ConfigurationFault(file, 0, f"no file {path}", expected, fix))
    elif not re.fullmatch(rf"[0-9a-f]{{{2 * KEY_SIZE}}}", text):
        reading.faults.append(ConfigurationFault(file, 0, f"{path} with other text", expected, fix))
    else:
        reading.seal = bytes.fromhex(text)


_SECTIONS = {"gateway": _gateway, DEFAULT: _place, "location": _place, "endpoint": _endpoint}
