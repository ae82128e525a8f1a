"""Turn one section of the file into values: types, defaults, unknown keys, secrets."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import Any

from gateway.settings.declare import REQUIRED, Secret, Setting, Unreadable
from gateway.settings.document import Document, Entry, Section
from gateway.settings.faults import ConfigurationFault, nearest
from gateway.settings.private import Private
from gateway.settings.values import Values


def read_section(
    document: Document,
    section: Section,
    settings: Sequence[Setting],
    faults: list[ConfigurationFault],
    *,
    foreign: Collection[str] = (),
    secrets: Sequence[Secret] = (),
    private: Private | None = None,
    location: str = "",
) -> Values | None:
    """The section's values, or None where one of them could not be read; what is wrong is added to ``faults``.

    ``foreign``: keys that belong to someone else in this section and are left alone. ``secrets`` are read from
    ``private``; the [storage] section's lie there by their own name, others behind ``location`` and a dot.
    """
    before = len(faults)
    strayed = _refuse_strayed(document, section, settings, faults, foreign)
    meant = strayed | _refuse_unknown(document, section, settings, faults, foreign, secrets)
    values: dict[str, Any] = {}
    for setting in settings:
        entry = section.entries.get(setting.key)
        if entry and strayed and len(entry.lines) > 1:
            continue  # what is wrong with it is told already
        text = entry.value if entry else setting.default
        if text is REQUIRED:
            if setting.key not in meant:
                seen, fix = f"no {setting.key} in [{section.name}]", f"add `{setting.key} = ...` to [{section.name}]"
                faults.append(ConfigurationFault(document.file, section.line, seen, setting.expected(), fix))
            continue
        try:
            values[setting.key] = None if text is None else setting.parse(str(text), document.folder)
        except Unreadable as fault:
            line = entry.line if entry else section.line
            seen = f"{setting.key} = {_shown(setting, str(text))}"
            fix = f"change {setting.key}" + ("" if setting.default is REQUIRED else " or remove the line")
            faults.append(ConfigurationFault(document.file, line, seen, str(fault), fix))
    found = _read_secrets(section, secrets, private, faults, location)
    if len(faults) > before:
        return None
    lines = {entry.key: entry.line for entry in section.entries.values()}
    return Values(values, secrets=found, location=location, file=document.file, line=section.line, lines=lines)


def _shown(setting: Setting, text: str) -> str:
    if not text:
        return "nothing"
    if setting.kind == "url" and "@" in text:
        return "a URL with a user or password"  # whoever wrote it there does not want it in a log as well
    return repr(text)


def meant_key(entry: Entry, known: Collection[str], *, cutoff: float = 0.6) -> str | None:
    """The known key that an unknown one most likely meant; one of its letters may have been struck as = or :."""
    rest = re.split("[=:]", entry.value, maxsplit=1)
    whole = f"{entry.key}={rest[0].strip()}" if len(rest) > 1 else ""
    as_long = [key for key in known if 0 <= len(whole) - len(key) <= 1]
    return nearest(whole, as_long) or nearest(entry.key, known, cutoff=cutoff)


def _refuse_strayed(
    document: Document,
    section: Section,
    settings: Sequence[Setting],
    faults: list[ConfigurationFault],
    foreign: Collection[str],
) -> set[str]:
    """Add a fault for each indented line that looks like a key of its own; gives the keys that were meant."""
    known = {setting.key for setting in settings} | set(foreign)
    meant: set[str] = set()
    for entry in section.entries.values():
        for line, text in entry.lines[1:]:
            word, equals, _ = text.partition("=")
            near = nearest(word.strip(), known, cutoff=0.8) if equals else None
            if near:
                meant.add(near)
                seen = f"the indented line {word.strip()!r} = ..., which goes on with {entry.key}"
                fix = f"did you mean {near}? begin it where {entry.key} begins"
                faults.append(ConfigurationFault(document.file, line, seen, "a key at the start of its line", fix))
    return meant


def _refuse_unknown(
    document: Document,
    section: Section,
    settings: Sequence[Setting],
    faults: list[ConfigurationFault],
    foreign: Collection[str],
    secrets: Sequence[Secret],
) -> set[str]:
    """Add a fault for each key that nobody declared; gives the keys that were probably meant."""
    known = {setting.key for setting in settings}
    files = {secret.file for secret in secrets}
    meant: set[str] = set()
    for entry in section.entries.values():
        if entry.key in known or entry.key in foreign:
            continue
        absent = known - set(section.entries)
        near = meant_key(entry, absent) or meant_key(entry, known | set(foreign))
        secret = nearest(entry.key, files, cutoff=0.8)
        if secret and (not near or nearest(entry.key, (near, secret)) == secret):
            fix = f"secrets do not stand in this file: move it to private/{secret} and remove the line"
        elif near:
            meant.add(near)
            fix = f"did you mean {near}?"
        else:
            fix = "remove the line"
        expected = f"a key of [{section.name}]"
        if known and not (near or secret):
            expected = "one of " + ", ".join(sorted(known))
        seen = f"unknown key {entry.key} in [{section.name}]"
        faults.append(ConfigurationFault(document.file, entry.line, seen, expected, fix))
    return meant


def _read_secrets(
    section: Section,
    secrets: Sequence[Secret],
    private: Private | None,
    faults: list[ConfigurationFault],
    location: str,
) -> dict[str, str]:
    found: dict[str, str] = {}
    for secret in secrets if private else ():
        assert private is not None
        name = secret.file if section.name == "storage" else f"{location}.{secret.file}"
        try:
            if secret.required:
                found[secret.file] = private.require(name, section.line, secret.help)
            else:
                text = private.read(name, section.line, secret.help)
                if text is not None:
                    found[secret.file] = text
        except ConfigurationFault as fault:
            faults.append(fault)
    return found
