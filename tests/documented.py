"""The pages of docs/ as tests see them: their blocks in order, with the file that a block is to be written to.

A block of `sh`, `python` or `js` is run, word for word. "In `~/NAME`:" before a block of another language says which
file it is. `<!-- not run: REASON -->` before a block says why nobody runs it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
RUN = ("sh", "python", "js")
_BLOCK = re.compile(
    r"(?P<before>(?:[^\n]+\n)*)\n?```(?P<language>[a-z]*)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE
)
_FILE = re.compile(r"\b[Ii]n `~/([^`]+)`[^`]*:?\s*$|\b[Ii]n `~/([^`]+)`", re.DOTALL)
_NOT_RUN = re.compile(r"<!-- not run: (.+?) -->")


@dataclass(frozen=True, slots=True)
class Block:
    """``file``: where it goes in the reader's home, empty for what is run; ``why``: why it is not run."""

    language: str
    text: str
    file: str = ""
    why: str = ""

    @property
    def runs(self) -> bool:
        return self.language in RUN and not self.why


def blocks(page: Path) -> list[Block]:
    """Every fenced block of a page."""
    found = []
    for match in _BLOCK.finditer(page.read_text()):
        why = _NOT_RUN.search(match["before"])
        file = _FILE.search(match["before"])
        name = (file[1] or file[2]) if file and match["language"] not in RUN else ""
        found.append(Block(match["language"], match["text"], name, why[1] if why else ""))
    return found
