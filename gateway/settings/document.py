"""Read an INI file as ``ConfigParser(interpolation=None, strict=True, inline_comment_prefixes=(";",))`` does, but keep
line numbers and go on after a fault, so that an operator sees all of them at once.

Values may go on in lines that are indented deeper than their key. A comment is a line that starts with ``#`` or
``;``, or the rest of a line after white space and ``;``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from gateway.settings.faults import ConfigurationFault

_HEADER = re.compile(r"\[(.+)\]")
_UNCLOSED = re.compile(r"\[([^\[\]=:]+)")
_PAIR = re.compile(r"([=:\[]?[^=:]*?)\s*[=:]\s*(.*)", re.DOTALL)  # a mark before the key is for whoever knows the keys
_INLINE_COMMENT = re.compile(r"(?:^|\s);.*", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Entry:
    """A key and its value. ``lines`` holds (line number, text) of each line of the value."""

    key: str
    line: int
    lines: tuple[tuple[int, str], ...]

    @property
    def value(self) -> str:
        return "\n".join(text for _, text in self.lines).rstrip()


@dataclass(frozen=True, slots=True)
class Section:
    name: str
    line: int
    entries: Mapping[str, Entry]


@dataclass(frozen=True, slots=True)
class Document:
    """``file``: the path as the operator wrote it; ``folder``: absolute, where relative paths start; ``text``: all."""

    file: str
    folder: Path
    sections: Mapping[str, Section]
    text: str = field(default="", repr=False)


def read_document(path: Path, faults: list[ConfigurationFault], text: str | None = None) -> Document:
    """Read a file; whatever is wrong with its form is added to ``faults`` and left out of the document.

    ``text``: what it held when the gateway started, whatever it holds now.
    """
    file = str(path)
    try:
        text = path.read_text("utf-8-sig") if text is None else text
    except UnicodeDecodeError as fault:
        line = fault.object.count(b"\n", 0, fault.start) + 1
        faults.append(ConfigurationFault(file, line, "bytes that are not UTF-8", "UTF-8 text", "save it as UTF-8"))
        text = ""
    except OSError as fault:
        fix = "write one with `gateway init DIR`" if isinstance(fault, FileNotFoundError) else "make it readable for us"
        seen = f"no way to read it ({fault.strerror})"
        faults.append(ConfigurationFault(file, 0, seen, "a configuration file", fix))
        text = ""
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        faults.append(ConfigurationFault(file, line, "a NUL byte", "UTF-8 text", "remove it"))
        text = ""
    return Document(file, path.absolute().parent, MappingProxyType(_Lines(file, faults).read(text)), text)


class _Lines:
    """The state while going through the lines."""

    def __init__(self, file: str, faults: list[ConfigurationFault]) -> None:
        self._file = file
        self._faults = faults
        self._sections: dict[str, Section] = {}
        self._entries: dict[str, Entry] | None = None
        self._open: list[tuple[int, str]] | None = None  # the value that an indented line would continue
        self._indent = 0

    def read(self, text: str) -> dict[str, Section]:
        values: list[tuple[dict[str, Entry], str, int, list[tuple[int, str]]]] = []
        for number, raw in enumerate(text.split("\n"), 1):
            line = "" if raw.lstrip().startswith(("#", ";")) else _INLINE_COMMENT.sub("", raw)
            stripped = line.strip()
            if not stripped:
                if self._open is not None and not raw.strip():
                    self._open.append((number, ""))
                continue
            indent = len(line) - len(line.lstrip())
            if self._open is not None and indent > self._indent and not self._strayed(number, stripped):
                self._open.append((number, stripped))
                continue
            self._indent = indent
            pair = self._line(number, stripped)
            if pair is not None:
                values.append(pair)
        for entries, key, number, lines in values:
            entries[key] = Entry(key, number, tuple(lines))
        return self._sections

    def _strayed(self, number: int, text: str) -> bool:
        """A header that is indented would vanish into the value above it; it is told, and taken for what it is."""
        if _HEADER.fullmatch(text):
            seen, expected = f"the indented line {text!r}", "[section] at the start of its line"
            self._fault(number, seen, expected, f"did you mean {text} without the space before it?")
            return True
        return False

    def _line(self, number: int, text: str) -> tuple[dict[str, Entry], str, int, list[tuple[int, str]]] | None:
        """A section header or the first line of a key; the latter is given back while its value is still growing."""
        self._open = None
        header = _HEADER.fullmatch(text)
        unclosed = _UNCLOSED.fullmatch(text)
        if unclosed and not header:  # go on as if it were closed, for its keys belong to no other section
            self._fault(number, f"the line {text!r}", "[section] or key = value", f"close it: {text}]")
            header = unclosed
        if header:
            self._section(number, header[1].strip())
            return None
        pair = _PAIR.fullmatch(text)
        if self._entries is None or pair is None or not pair[1]:
            self._fault(number, f"the line {text!r}", "[section] or key = value", _mend(text))
            self._open = []  # what is indented below belongs to the line that was not understood
            return None
        key = pair[1].rstrip().lower()
        self._open = [(number, pair[2].strip())]
        if key in self._keys:
            self._fault(number, f"{key} for the second time", "each key once in a section", "remove one of the two")
            return None
        self._keys.add(key)
        if pair[2][:1] in ("=", ":"):
            fix = f"did you mean `{key} = {pair[2][1:].strip()}`?"
            self._fault(number, f"the line {text!r}", "key = value with one mark between them", fix)
        return self._entries, key, number, self._open

    def _section(self, number: int, name: str) -> None:
        name = " ".join(name.split())
        self._entries = {}
        self._keys: set[str] = set()
        if name in self._sections:
            first = self._sections[name].line
            fix = f"move its keys to line {first}"
            self._fault(number, f"[{name}] for the second time", "each section once", fix)
            return  # its keys are still read for their form, but belong to no section
        self._sections[name] = Section(name, number, self._entries)

    def _fault(self, number: int, seen: str, expected: str, fix: str) -> None:
        self._faults.append(ConfigurationFault(self._file, number, seen, expected, fix))


def _mend(text: str) -> str:
    """What a line that is neither a header nor a pair was most likely to be."""
    if text.endswith("]"):
        return f"open it: [{text.lstrip('[')}"
    return "mend or remove the line"
