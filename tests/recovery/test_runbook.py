"""docs/recovery.md is followed, word for word, by an operator whose disk died."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from tests.documented import DOCS, blocks
from tests.localfolder import names


def test_the_commands_of_recovery_md(tmp_path: Path, command: Any) -> None:
    shown = [block.text for block in blocks(DOCS / "recovery.md") if block.runs]
    before, after = shown[:4], shown[4:]
    assert "verify" in before[-1] and "restore --dry-run" in after[0] and "rebuild" in after[-1]
    command.run("gateway", "init", "porch", "--listen", f"tcp:{command.free_port()}:interface=127.0.0.1", cwd=tmp_path)
    command.start("gateway", "run", "-c", "porch/tahoe.cfg", cwd=tmp_path, until="log  ")
    command.run("gateway", "bucket", "add", "attic", "-c", "porch/tahoe.cfg", cwd=tmp_path)
    command.run("gateway", "put", "porch/tahoe.cfg", "attic/first", "-c", "porch/tahoe.cfg", cwd=tmp_path)
    for text in before:
        command.run("sh", "-euc", text, cwd=tmp_path)
    assert {"gatewayowner"} < names(tmp_path / "kept") <= names(tmp_path / "porch" / "storage")
    command.run("gateway", "put", "porch/tahoe.cfg", "attic/second", "-c", "porch/tahoe.cfg", cwd=tmp_path)
    command.stop()
    shutil.rmtree(tmp_path / "porch" / "data")
    started = command.run("gateway", "check", "-c", "porch/tahoe.cfg", cwd=tmp_path, code=3).stderr
    assert "gateway restore" in started
    for text in after[:-1]:
        told = command.run("sh", "-euc", text, cwd=tmp_path).stdout
        if "restore" in text:
            assert "2 objects" in told and "attic/second" in told
    command.start("gateway", "run", "-c", "porch/tahoe.cfg", cwd=tmp_path, until="log  ")
    for key in ("first", "second"):
        got = command.run("gateway", "get", f"attic/{key}", "-", "-c", "porch/tahoe.cfg", cwd=tmp_path).stdout
        assert got == (tmp_path / "porch" / "tahoe.cfg").read_text()
    command.stop()
    shutil.rmtree(tmp_path / "porch" / "data")
    assert "2 objects" in command.run("sh", "-euc", after[-1], cwd=tmp_path).stdout
