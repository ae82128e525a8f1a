"""The pages of docs/ that show commands are followed; what nobody runs has a reason beside it.

Pages with tests of their own: connect/ (tests/acceptance/clients/test_pages.py), proxies.md (tests/acceptance/proxies),
write-a-backend.md (tests/test_template.py), configuration.md (tests/test_docs.py).
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor, task
from twisted.internet.defer import CancelledError, ensureDeferred

from gateway import api
from gateway.testing import Location, MemoryBackend
from tests.documented import DOCS, RUN, blocks

ELSEWHERE = {"write-a-backend.md", "configuration.md", "proxies.md"}


def install(block: str) -> str:
    """Without the lines that only install: in our environment everything is there."""
    return "".join(line for line in block.splitlines(keepends=True) if not line.startswith("pip install"))


def test_try_it(tmp_path: Path, command: Any) -> None:
    first, second = [block for block in blocks(DOCS / "try-it.md") if block.runs]
    port = command.free_port()
    line = install(first.text).strip()
    assert line == "gateway demo"
    command.start(*line.split(), "--port", str(port), cwd=tmp_path, until="gateway put")
    done = command.run("sh", "-euc", second.text, cwd=tmp_path)
    assert "Greetings from the sea.\n" in done.stdout
    assert "card.txt" in done.stdout


def test_the_commands_of_running_md(tmp_path: Path, command: Any) -> None:
    command.run("gateway", "init", "FOLDER", "--listen", f"tcp:{command.free_port()}:interface=127.0.0.1", cwd=tmp_path)
    command.start("gateway", "run", "-c", "FOLDER/tahoe.cfg", cwd=tmp_path, until="endpoint")
    (accounts,) = [block for block in blocks(DOCS / "running.md") if "key revoke" in block.text]
    add, key, revoke = accounts.text.splitlines()
    command.run("sh", "-euc", add, cwd=tmp_path)
    made = command.run("sh", "-euc", key, cwd=tmp_path).stdout
    (access,) = re.findall(r"\b[A-Z0-9]{20}\b", made)
    command.run("sh", "-euc", revoke.replace("ACCESS_KEY", access), cwd=tmp_path)


@pytest_twisted.ensureDeferred
async def test_the_wrapper_that_is_shown_works() -> None:
    (block,) = [block for block in blocks(DOCS / "write-a-backend.md") if block.language == "py"]
    shown: dict[str, Any] = {"api": api, "Any": Any, "task": task, "reactor": reactor}
    exec(block.text, shown)
    wrapper = shown["Slow"](api.Values.of(shown["Slow"].settings, {"slow.delay": "1ms"}))
    location = Location("storage", MemoryBackend(api.Values.of(MemoryBackend.settings, {})), [wrapper])
    await location.put(api.PutRequest(name="blob", body=api.BytesBody(b"data"), size=4))
    assert (await location.head(api.HeadRequest(name="blob"))).size == 4
    tired = ensureDeferred(location.delete(api.DeleteRequest(name="blob")))
    tired.cancel()
    with pytest.raises(CancelledError):
        await tired
    assert (await location.head(api.HeadRequest(name="blob"))).size == 4, "the storage never heard of it"


def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    (unit,) = [block.text for block in blocks(DOCS / "running.md") if block.text.startswith("[Unit]")]
    assert "ExecStart=/opt/txgateway/.venv/bin/gateway run -c /srv/porch/tahoe.cfg\n" in unit
    file = tmp_path / "gateway.service"
    file.write_text(unit.replace("/opt/txgateway/.venv/bin/gateway", str(Path(sys.executable).parent / "gateway")))
    if shutil.which("systemd-analyze") is None:
        assert os.environ.get("CI") != "true", "systemd-analyze is missing: apt-get install systemd"
        pytest.skip("systemd-analyze is missing: apt-get install systemd")
    done = subprocess.run(
        ["systemd-analyze", "verify", str(file)], capture_output=True, text=True, timeout=60, check=False
    )
    ours = [line for line in done.stderr.splitlines() if "gateway.service" in line]
    assert (done.returncode, ours) == (0, []), done.stderr


@pytest.mark.parametrize("page", sorted(DOCS.glob("*.md")), ids=lambda page: page.name)
def test_every_block_is_run_or_says_why_not(page: Path) -> None:
    """A page with commands has a test that names it."""
    shown = [block for block in blocks(page) if block.language in RUN and not block.why]
    if not shown or page.name in ELSEWHERE:
        return
    tests = [file.read_text() for file in Path(__file__).parent.rglob("test_*.py")]
    assert any(page.name in text for text in tests), f"no test runs the commands of {page.name}"
