"""What an operator reads when the configuration does not lead to a running gateway."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence


class ConfigurationFault(Exception):
    """One fault, one line: where, what was seen, what was expected, and what mends it.

    ``line`` is 0 where the fault belongs to the whole file. Several faults travel as ConfigurationFaults.
    """

    def __init__(self, file: str, line: int, seen: str, expected: str, fix: str) -> None:
        super().__init__(file, line, seen, expected, fix)
        self.file = file
        self.line = line
        self.seen = seen
        self.expected = expected
        self.fix = fix

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        text = f"{place}: seen {self.seen}; expected {self.expected}; fix: {self.fix}"
        return " ".join(text.split())  # whatever a path or a value holds, an operator reads one line


class Unanswered(ConfigurationFault):
    """A location's storage does not answer: perhaps nothing is wrong with the configuration, and it passes."""


class ConfigurationFaults(Exception):
    """All faults that were found, in the order of the file."""

    def __init__(self, faults: Sequence[ConfigurationFault]) -> None:
        self.faults = tuple(sorted(faults, key=lambda fault: fault.line))
        super().__init__(*self.faults)

    @property
    def unanswered(self) -> bool:
        """Whether the storage's silence is all that is wrong."""
        return all(isinstance(fault, Unanswered) for fault in self.faults)

    def __str__(self) -> str:
        return "\n".join(str(fault) for fault in self.faults)


def nearest(word: str, known: Iterable[str], *, cutoff: float = 0.6) -> str | None:
    """The known word that a typing slip most likely meant, or None where none is alike by at least ``cutoff``."""
    found = difflib.get_close_matches(word.lower(), sorted(known), n=1, cutoff=cutoff)
    return found[0] if found else None
