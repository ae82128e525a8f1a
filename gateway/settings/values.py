"""What a backend, or a room of the gateway, is given: its settings as typed values, and its secrets."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from gateway.settings.declare import REQUIRED, Setting, Unreadable
from gateway.settings.faults import ConfigurationFault


class Values(Mapping[str, Any]):
    """Read-only mapping of setting keys to values; every declared key is there.

    ``location`` is the location's name. ``secret(file)`` gives the text of a secret, None where it is not set.
    ``fault`` makes the fault that blames a key, with the file and line where it was written.
    """

    __slots__ = ("_file", "_line", "_lines", "_secrets", "_values", "location")

    def __init__(
        self,
        values: Mapping[str, Any],
        *,
        secrets: Mapping[str, str] = MappingProxyType({}),
        location: str = "",
        file: str = "",
        line: int = 0,
        lines: Mapping[str, int] = MappingProxyType({}),
    ) -> None:
        self.location = location
        self._values = dict(values)
        self._secrets = dict(secrets)
        self._file = file
        self._line = line
        self._lines = dict(lines)

    @classmethod
    def of(
        cls,
        settings: Sequence[Setting],
        written: Mapping[str, object],
        *,
        secrets: Mapping[str, str] = MappingProxyType({}),
        location: str = "storage",
        folder: Path | None = None,
    ) -> Values:
        """Values without a file, for tests: ``written`` holds what would stand in the file, as text or as values."""
        start = folder or Path.cwd()
        unknown = set(written) - {setting.key for setting in settings}
        if unknown:
            raise ConfigurationFault(location, 0, f"unknown keys {sorted(unknown)}", "declared keys", "remove them")
        parsed: dict[str, Any] = {}
        for setting in settings:
            text = written.get(setting.key, setting.default)
            if text is REQUIRED:
                raise ConfigurationFault(location, 0, f"no {setting.key}", setting.expected(), f"set {setting.key}")
            try:
                parsed[setting.key] = None if text is None else setting.parse(_as_text(text), start)
            except Unreadable as fault:
                seen = f"{setting.key} = {text}"
                raise ConfigurationFault(location, 0, seen, str(fault), f"change {setting.key}") from fault
        return cls(parsed, secrets=secrets, location=location)

    def __getitem__(self, key: str) -> Any:
        return self._values[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"<Values of {self.location or 'a section'}: {self._values}>"  # never the secrets

    def part(self, keys: Collection[str]) -> Values:
        """Those of some keys alone, and no secret."""
        values = {key: value for key, value in self._values.items() if key in keys}
        return Values(values, location=self.location, file=self._file, line=self._line, lines=self._lines)

    def secret(self, file: str) -> str | None:
        return self._secrets.get(file)

    def fault(self, key: str, seen: str, expected: str, fix: str) -> ConfigurationFault:
        """A fault at the line of ``key``, or at the section's header where the key was not written."""
        return ConfigurationFault(self._file, self._lines.get(key, self._line), seen, expected, fix)


def _as_text(value: object) -> str:
    if isinstance(value, list | tuple):
        return "\n".join(str(line) for line in value)
    return str(value)
