"""Every command that the README shows is run, in its order, in a fresh clone."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
FOREGROUND = {"make demo": "gateway put"}  # commands that stay, and what they print once they are ready
CHECKS = {"get": "# txgateway", "ls": "README.md", "check": "no faults"}


def commands() -> list[str]:
    blocks = re.findall(r"```sh\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line]


def clone(folder: Path) -> Path:
    """What a stranger would get of the tree as it is now: the files that git knows or would take."""
    place = folder / "clone"
    names = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split("\0")
    for name in filter(None, names):
        source = ROOT / name
        if source.is_file():
            target = place / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(source.read_bytes())
            target.chmod(source.stat().st_mode)
    return place


def lend(place: Path) -> None:
    """What `make test` fetches for tests that are not run there, where this tree has it already."""
    (place / ".make").mkdir()
    if (ROOT / ".make" / "debian" / ".packages").exists():
        (place / ".make" / "debian").symlink_to(ROOT / ".make" / "debian")
    if (ROOT / ".venv-docs" / "bin" / "sphinx-build").exists():
        (place / ".venv-docs").symlink_to(ROOT / ".venv-docs")
        (place / ".make" / "docs").touch()


def test_every_command_of_the_readme_works(tmp_path: Path, command: Any) -> None:
    here = clone(tmp_path)
    lend(here)
    lines = commands()
    assert lines[:2] == ["make demo", "make test"]
    path = command.environment()["PATH"].partition(":")[2]  # as a stranger has it: without our own environment
    # `make test` in `make test` would have no end: there it runs one file
    narrow = {"PATH": path, "TESTS": "tests/wire/test_names.py", "CI": ""}
    for line in lines:
        if line in FOREGROUND:
            command.start("sh", "-c", f"exec {line}", cwd=here, until=FOREGROUND[line], **narrow)
            continue
        if line.startswith(".venv/bin/gateway bucket"):
            wait_for_ready(here)
        done = command.run("sh", "-c", line, cwd=here, **narrow)
        for word, expected in CHECKS.items():
            if f"gateway {word} " in line:
                assert expected in done.stdout, (line, done.stdout)


def wait_for_ready(here: Path) -> None:
    """twistd comes back before its gateway serves; a person is slower than that."""
    import time
    import urllib.error
    import urllib.request

    port = (here / "porch" / "tahoe.cfg").read_text().partition("tcp:")[2].partition(":")[0]
    end = time.monotonic() + 60
    while time.monotonic() < end:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/_/ready", timeout=10)
            return
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.05)
    raise AssertionError("twistd's gateway never got ready")
