"""From wheels in a fresh environment: twistd serves from another directory, stores an object, and all of it goes."""

from __future__ import annotations

import os
import signal
import sys
import time
import venv
import zipfile
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
DISTRIBUTIONS = (ROOT, ROOT / "plugins" / "local")


@pytest.fixture
def wheels(tmp_path: Path, command: Any) -> list[Path]:
    """The wheels, built from copies so that no build folder is left in the tree."""
    from shutil import copytree, ignore_patterns

    built = tmp_path / "wheels"
    for number, source in enumerate(DISTRIBUTIONS):
        copy = tmp_path / f"source{number}"
        names = (".git", ".venv", ".make", "node_modules", "*.egg-info", "build", "gateway-demo", ".*_cache", "tests")
        copytree(source, copy, ignore=ignore_patterns(*names))
        pip = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check")
        command.run(*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", str(built), str(copy), cwd=tmp_path)
    return sorted(built.iterdir())


def test_wheels_hold_the_packages_and_nothing_else(wheels: list[Path]) -> None:
    for wheel in wheels:
        tops = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
        tops = {top for top in tops if not top.endswith(".dist-info")}
        assert tops in ({"gateway", "twisted"}, {"gateway_local"}), tops
    core = zipfile.ZipFile(next(wheel for wheel in wheels if wheel.name.startswith("txgateway-"))).namelist()
    assert [name for name in core if name.startswith("twisted/")] == ["twisted/plugins/gateway_dropin.py"]
    assert "gateway/py.typed" in core and "gateway/wire/__init__.py" in core


def test_installed_from_wheels_it_serves_and_uninstalls_cleanly(
    wheels: list[Path], tmp_path: Path, command: Any
) -> None:
    place, here = tmp_path / "fresh", tmp_path / "elsewhere"
    here.mkdir()
    venv.create(place, with_pip=True)
    bin_ = place / "bin"
    pip = (str(bin_ / "python"), "-m", "pip", "--quiet", "--disable-pip-version-check")
    path = f"{bin_}:{os.environ['PATH']}"
    command.run(*pip, "install", "-r", str(ROOT / "requirements" / "runtime.txt"), cwd=here)
    before = set(place.rglob("*"))
    command.run(*pip, "install", "--no-deps", *map(str, wheels), cwd=here)
    command.run(*pip, "check", cwd=here)

    port = command.free_port()
    gateway = str(bin_ / "gateway")
    command.run(gateway, "init", "porch", "--listen", f"tcp:{port}:interface=127.0.0.1", cwd=here, PATH=path)
    command.run(str(bin_ / "twistd"), "gateway", "-c", "porch/tahoe.cfg", cwd=here, PATH=path)
    try:
        command.run(gateway, "bucket", "add", "attic", "-c", "porch/tahoe.cfg", cwd=here, PATH=path)
        (here / "letter.txt").write_text("Dear reader")
        _retry(
            lambda code: command.run(
                gateway, "put", "letter.txt", "attic/", "-c", "porch/tahoe.cfg", cwd=here, PATH=path, code=code
            )
        )
        got = command.run(gateway, "get", "attic/letter.txt", "-", "-c", "porch/tahoe.cfg", cwd=here, PATH=path)
        assert got.stdout == "Dear reader"
    finally:
        _stop(here / "twistd.pid")
    assert "Traceback" not in (here / "twistd.log").read_text()

    command.run(*pip, "uninstall", "-y", "txgateway", "txgateway-local", cwd=here)
    left = {name for name in set(place.rglob("*")) - before if "__pycache__" not in name.parts}
    assert {name.name for name in left} <= {"dropin.cache"}, left  # Twisted's list of plugins, which it writes itself


def _retry(act: Any) -> None:
    """Until the gateway listens: 4 means that nobody answers yet."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        try:
            act(4)
        except AssertionError:
            return act(0)  # it was not 4 any more
        time.sleep(0.1)
    raise AssertionError("twistd's gateway never answered")


def _stop(pid_file: Path) -> None:
    end = time.monotonic() + 60
    while not pid_file.exists() and time.monotonic() < end:
        time.sleep(0.05)
    os.kill(int(pid_file.read_text()), signal.SIGTERM)
    while pid_file.exists() and time.monotonic() < end:
        time.sleep(0.05)
    assert not pid_file.exists(), "it did not stop"
