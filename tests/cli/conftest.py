"""The `gateway` command in a temporary folder."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.cli.client import Client, path_of
from gateway.cli.target import Target

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
    """A gateway that `gateway init` made, on a free port, of one process."""
    run("init", "porch", "--listen", f"tcp:{command.free_port()}:interface=127.0.0.1")
    config = tmp_path / "porch" / "tahoe.cfg"
    config.write_text(config.read_text().replace("#workers = 2", "workers = 1"))
    return config.parent


@pytest.fixture
def serving(folder: Path, command: Any) -> Path:
    """The folder of a gateway that serves."""
    command.start("gateway", "run", "-c", "porch/tahoe.cfg", cwd=folder.parent, until="log  ")
    return folder


class Porch:
    """A gateway that serves, for a whole file of tests; ``run`` is `gateway ARGS` in the words of its `gateway env`."""

    def __init__(self, commands: Any, here: Path) -> None:
        self.commands = commands
        self.here = here
        self.config = here / "porch" / "tahoe.cfg"
        self.port = commands.free_port()
        listen = f"tcp:{self.port}:interface=127.0.0.1"
        commands.run("gateway", "init", "porch", "--listen", listen, cwd=here)
        commands.start("gateway", "run", "-c", str(self.config), cwd=here, until="log  ")
        env = commands.run("gateway", "env", "--json", "-c", str(self.config), cwd=here)
        self.keys: dict[str, str] = json.loads(env.stdout)

    @contextmanager
    def client(self) -> Iterator[Client]:
        """A connection of our own, for what need not be a command."""
        keys = self.keys
        pair = (keys["AWS_ACCESS_KEY_ID"], keys["AWS_SECRET_ACCESS_KEY"])
        made = Client(Target(keys["AWS_ENDPOINT_URL"], keys["AWS_REGION"], *pair))
        try:
            yield made
        finally:
            made.close()

    def environment(self, **extra: str) -> dict[str, str]:
        found: dict[str, str] = self.commands.environment(**{**self.keys, **extra})
        return found

    def run(self, *args: str, cwd: Path, code: int = 0, **extra: str) -> subprocess.CompletedProcess[str]:
        done: subprocess.CompletedProcess[str] = self.commands.run(
            "gateway", *args, cwd=cwd, code=code, **{**self.keys, **extra}
        )
        return done


@pytest.fixture(scope="module")
def porch(commands: Any, tmp_path_factory: pytest.TempPathFactory) -> Porch:
    return Porch(commands, tmp_path_factory.mktemp("porch"))


@pytest.fixture
def bucket(porch: Porch, request: pytest.FixtureRequest) -> str:
    """A bucket of the test's own."""
    name = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower())[:50].strip("-") + "-b"
    with porch.client() as client:
        client.ask("PUT", path_of(name)).read()
    return name
