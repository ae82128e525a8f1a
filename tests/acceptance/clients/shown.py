"""A page of docs/connect as data: its settings, with a gateway of the tests in place of the page's.

test_pages.py follows the pages word for word; the tests of the clients take from here how each client is connected, so
that what a page shows is what all these tests have tried.
"""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.documented import DOCS, Block, blocks

BUCKET = "holiday"


class Shown:
    """``page``: its stem; ``live`` has endpoint, access_key, secret_key and region; ``bucket``: for the page's own."""

    def __init__(self, page: str, live: Any, *, secret: str = "", bucket: str = BUCKET) -> None:
        self.blocks: list[Block] = blocks(DOCS / "connect" / f"{page}.md")
        self._words = {
            "http://127.0.0.1:8000": live.endpoint,
            "127.0.0.1:8000": live.endpoint.partition("://")[2],
            "ACCESS_KEY": live.access_key,
            "SECRET_KEY": secret or live.secret_key,
            "us-east-1": live.region,
            BUCKET: bucket,
        }

    def text(self, block: Block) -> str:
        """A block for our gateway."""
        words = "|".join(map(re.escape, self._words))
        return re.sub(rf"(?<![A-Z_])(?:{words})(?![A-Z_])", lambda found: self._words[found[0]], block.text)

    def file(self, name: str) -> str:
        """What the page puts into ~/``name``."""
        (found,) = [block for block in self.blocks if block.file == name]
        return self.text(found)

    def write(self, home: Path) -> None:
        """Every file that the page shows, into a home."""
        for block in self.blocks:
            if block.file:
                path = home / block.file
                path.parent.mkdir(parents=True, exist_ok=True)
                path.touch(mode=0o600)
                path.write_text(self.text(block))

    def part(self, pattern: str) -> str:
        """The only place of the page's blocks that matches; its group, where the pattern has one."""
        text = "\n".join(self.text(block) for block in self.blocks)
        (found,) = re.finditer(pattern, text, re.MULTILINE | re.DOTALL)
        return found[found.re.groups]

    def environment(self) -> Mapping[str, str]:
        """What the page exports."""
        text = "\n".join(self.text(block) for block in self.blocks)
        words = [word for line in re.findall(r"^export (.+)$", text, re.MULTILINE) for word in shlex.split(line)]
        assert words, "the page exports nothing"
        return {name: value for name, _, value in (word.partition("=") for word in words)}

    def call(self, name: str) -> tuple[list[Any], dict[str, Any]]:
        """The arguments with which the page's Python calls ``name``, after all that stands before that call."""
        (block,) = [block for block in self.blocks if block.language == "python"]
        before: list[ast.stmt] = []
        names: dict[str, Any] = {}
        for statement in ast.parse(self.text(block)).body:
            calls = [
                node for node in ast.walk(statement) if isinstance(node, ast.Call) and ast.unparse(node.func) == name
            ]
            if calls:
                exec(compile(ast.Module(before, []), name, "exec"), names)
                value = {each.arg or "": _value(each.value, names) for each in calls[0].keywords}
                return [_value(each, names) for each in calls[0].args], value
            before.append(statement)
        raise AssertionError(f"the page does not call {name}")


def _value(expression: ast.expr, names: dict[str, Any]) -> Any:
    return eval(compile(ast.Expression(expression), "page", "eval"), names)
