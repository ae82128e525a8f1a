"""How a setting and a secret are declared, and how the text of a setting becomes a value.

The declarations are the only list of settings: reading, refusing and docs/configuration.md all come from them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Literal, get_args
from urllib.parse import urlsplit

Kind = Literal["text", "path", "integer", "boolean", "choice", "url", "seconds", "size", "lines"]


class _Required:
    def __repr__(self) -> str:
        return "REQUIRED"


REQUIRED: Final = _Required()


class Unreadable(Exception):
    """The text is not a value of this kind; str() says what was expected."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One key of a section.

    ``kind`` decides what a plugin gets: text -> str; path -> absolute pathlib.Path (relative ones start at the
    configuration file's folder); integer -> int; boolean -> bool; choice -> one of ``choices``; url -> str (http or
    https, no trailing slash); seconds -> float (``30``, ``500ms``, ``5m``, ``2h``, ``7d``); size -> int bytes
    (``100``, ``10M``, ``5GiB``); lines -> tuple of str, one per line. ``default`` is the text that would have been
    written; None: not set (the value is None); REQUIRED: it must be written. ``low`` and ``high`` bound numbers
    (inclusive).
    """

    key: str
    kind: Kind
    help: str
    default: str | _Required | None = REQUIRED
    choices: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise ValueError(f"setting {self.key}: kind {self.kind!r} is none of {', '.join(get_args(Kind))}")
        if (self.kind == "choice") != bool(self.choices):
            raise ValueError(f"setting {self.key}: choices go with kind 'choice', and only with it")
        if not re.fullmatch(r"[a-z0-9_.-]+", self.key):
            raise ValueError(f"setting {self.key}: keys are lower-case letters, digits, '.', '_' and '-'")

    def parse(self, text: str, folder: Path) -> Any:
        """The value that ``text`` stands for; raises Unreadable. ``folder`` is where relative paths start."""
        if not text and self.default != "":
            raise Unreadable(self.expected())
        if self.kind == "path":
            if "\n" in text:
                raise Unreadable(self.expected())
            return Path(folder, Path(text).expanduser()).absolute()
        if self.kind == "choice":
            if text not in self.choices:
                raise Unreadable(self.expected())
            return text
        value = _READERS[self.kind](text)
        if value is None or (isinstance(value, int | float) and not self._within(value)):
            raise Unreadable(self.expected())
        return value

    def _within(self, value: float) -> bool:
        return (self.low is None or value >= self.low) and (self.high is None or value <= self.high)

    def expected(self) -> str:
        """What may be written, in words."""
        words = "one of " + ", ".join(self.choices) if self.kind == "choice" else _WORDS[self.kind]
        if self.low is not None and self.high is not None:
            return f"{words} from {self.low:g} to {self.high:g}"
        if self.low is not None:
            return f"{words}, at least {self.low:g}"
        if self.high is not None:
            return f"{words}, at most {self.high:g}"
        return words


@dataclass(frozen=True, slots=True)
class Secret:
    """One file in ``private/``: ``private/FILE`` for [storage], ``private/NAME.FILE`` for [location NAME]."""

    file: str
    help: str
    required: bool = True

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z0-9_]+", self.file):
            raise ValueError(f"secret {self.file}: file names are lower-case letters, digits and '_'")


_BOOLEANS = MappingProxyType(
    {"yes": True, "true": True, "on": True, "1": True, "no": False, "false": False, "off": False, "0": False}
)
_SECONDS = MappingProxyType({"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0})
_POWERS = "kmgt"


def _integer(text: str) -> int | None:
    return int(text) if re.fullmatch(r"[+-]?[0-9]{1,18}", text) else None


def _seconds(text: str) -> float | None:
    match = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,9})?) ?(ms|s|m|h|d|)", text.lower())
    return float(match[1]) * _SECONDS[match[2]] if match else None


def _size(text: str) -> int | None:
    match = re.fullmatch(r"([0-9]{1,15}) ?(?:([kmgt])(i?))?b?", text.lower())
    if not match:
        return None
    base = 1024 if match[3] else 1000  # as a Tahoe node reads reserved_space: 1G is decimal, 1GiB is binary
    return int(match[1]) * (base ** (_POWERS.index(match[2]) + 1) if match[2] else 1)


def _url(text: str) -> str | None:
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return None
    fits = parts.scheme in ("http", "https") and parts.hostname and "@" not in parts.netloc and port != 0
    return text.rstrip("/") if fits and not (parts.query or parts.fragment) and text.isprintable() else None


def _lines(text: str) -> tuple[str, ...] | None:
    return tuple(line.strip() for line in text.splitlines() if line.strip())


_READERS: MappingProxyType[str, Callable[[str], Any]] = MappingProxyType(
    {
        "text": lambda text: text if "\n" not in text else None,
        "integer": _integer,
        "boolean": lambda text: _BOOLEANS.get(text.lower()),
        "url": _url,
        "seconds": _seconds,
        "size": _size,
        "lines": _lines,
    }
)
_WORDS: MappingProxyType[str, str] = MappingProxyType(
    {
        "text": "text on one line",
        "path": "a path on one line",
        "integer": "a whole number",
        "boolean": "yes or no",
        "url": "a URL such as https://host:port, without user or password",
        "seconds": "a time such as 30s, 500ms, 5m, 2h or 7d",
        "size": "a size such as 4096, 10M or 5GiB",
        "lines": "one or more lines of text",
    }
)
