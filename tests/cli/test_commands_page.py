"""Every block of docs/commands.md runs as it stands, and every command has one."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

from gateway.cli.program import COMMANDS

PAGE = Path(__file__).parents[2] / "docs" / "commands.md"


def script() -> str:
    return "".join(re.findall(r"```sh\n(.*?)```", PAGE.read_text(), re.DOTALL))


def test_every_command_has_an_example() -> None:
    assert set(re.findall(r"\bgateway ([a-z-]+)", script())) == set(COMMANDS)


def test_the_page_runs_from_its_first_line_to_its_last(command: Any, tmp_path: Path) -> None:
    assert shutil.which("bash") and shutil.which("curl")
    port = str(command.free_port())
    text = "set -e -m\ntrap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n" + script().replace("8000", port)
    done = command.run("bash", "-c", text, cwd=tmp_path)
    for word in ("no faults", "attic/2026/photos/2.jpg", "from a pipe", "signatures pass", "nothing is left behind"):
        assert word in done.stdout + done.stderr, (word, done.stdout, done.stderr)
    assert (tmp_path / "back" / "photos" / "2.jpg").read_text() == "two\n"
