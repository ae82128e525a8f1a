"""The `gateway` command in a temporary folder."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def run(tmp_path: Path, command: Any) -> Run:
    """Run `gateway ARGS` in ``tmp_path``."""

    def call(*args: str, code: int = 0, **extra: str) -> subprocess.CompletedProcess[str]:
        done: subprocess.CompletedProcess[str] = command.run("gateway", *args, cwd=tmp_path, code=code, **extra)
        return done

    return call


@pytest.fixture
def folder(tmp_path: Path, run: Run, command: Any) -> Path:
    """A gateway that `gateway init` made, on a free port."""
    run("init", "porch", "--listen", f"tcp:{command.free_port()}:interface=127.0.0.1")
    return tmp_path / "porch"


@pytest.fixture
def serving(folder: Path, command: Any) -> Path:
    """The folder of a gateway that serves."""
    command.start("gateway", "run", "-c", "porch/tahoe.cfg", cwd=folder.parent, until="log  ")
    return folder
