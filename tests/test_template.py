"""A stranger's backend, and a stranger's program that is tested with ours: docs/write-a-backend.md and
docs/testing-with-gateway.md are followed to the letter, in a fresh environment with nothing but the core's wheel."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import time
import urllib.request
import venv
from pathlib import Path
from shutil import copy, copytree, ignore_patterns
from typing import Any

import pytest
import yaml

from gateway.cli.new_backend import KIT, write
from gateway.testing import KIT_VERSION
from tests.documented import DOCS
from tests.documented import blocks as shown

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "write-a-backend.md").read_text()
# words of a command -> what it must print
EXPECTED = {
    "pytest": r"\d{3} passed, 2 skipped",
    "gateway plugins": rf"(?m)^duck\tgateway-duck 0\.1\.0\tkit {KIT_VERSION}\tloaded$[\s\S]*^memory\t.*\tnot needed$",
    "gateway check -c": "no faults; locations: storage \\(duck\\)",
    "gateway get": "# gateway-duck",
    "gateway check-backend": r"kept +if absent has one winner \(2\)",
}


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


class Stranger:
    """Somebody with an environment of their own, in which the core is installed, and a shell in a folder."""

    def __init__(self, folder: Path, command: Any) -> None:
        self.environment, self.home = folder / "environment", folder / "home"
        self.here = self.home
        self._command = command
        self._folder = folder
        self._port = command.free_port()
        ours = command.environment()["PATH"].partition(":")[2]
        # The packages that a build needs are in the environment: pip need not fetch them for each build.
        self._extra = {"PATH": f"{self.environment / 'bin'}:{ours}", "PIP_NO_BUILD_ISOLATION": "0"}
        self.home.mkdir()

    def settle(self) -> None:
        """The core from its wheel, with what it needs and what `txgateway[testing]` asks for."""
        venv.create(self.environment, with_pip=True)
        pins = ROOT / "requirements"
        needed = ("-r", str(pins / "runtime.txt"), "pytest", "pytest-twisted", "-c", str(pins / "test.txt"))
        self._pip("install", "--no-compile", *needed)  # what is imported is compiled then
        self._pip("install", "--no-deps", str(self._wheel()))

    def _wheel(self) -> Path:
        source, built = self._folder / "source", self._folder / "built"
        source.mkdir()
        for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
            copy(ROOT / name, source)
        for name in ("gateway", "twisted"):
            copytree(ROOT / name, source / name, ignore=ignore_patterns("__pycache__", "dropin.cache"))
        self._pip("wheel", "--no-deps", "--no-index", "-w", str(built), str(source))
        (wheel,) = built.iterdir()
        return wheel

    def _pip(self, *words: str) -> None:
        pip = (str(self.environment / "bin" / "python"), "-m", "pip", "--quiet", "--disable-pip-version-check")
        self._command.run(*pip, *words, cwd=self._folder, **self._extra)

    def files(self) -> dict[str, str]:
        """Every installed file with its digest; without what Python and Twisted write when they first read one."""
        return {
            str(path.relative_to(self.environment)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(self.environment.rglob("*"))
            if path.is_file() and "__pycache__" not in path.parts and path.name != "dropin.cache"
        }

    def type(self, block: str, **more: str) -> str:
        """What a block of the page prints; the next one goes on in the folder where this one ended."""
        where = self._folder / "where"
        script = f"{block.replace('tcp:8043', f'tcp:{self._port}')}\npwd > {where}"
        done = self._command.run("sh", "-ec", script, cwd=self.here, **self._extra, **more)
        self.here = Path(where.read_text().strip())
        if "twistd gateway" in block:
            self._wait(lambda: urllib.request.urlopen(f"http://127.0.0.1:{self._port}/_/ready", timeout=10).close())
        if "kill" in block:
            self._wait(lambda: (self.here / "twistd.pid").exists() and 1 / 0)
        return str(done.stdout)

    def _wait(self, act: Any) -> None:
        """twistd comes back before its gateway serves, kill before it is gone; a person is slower than that."""
        end = time.monotonic() + 60
        while True:
            try:
                act()
                return
            except (OSError, ZeroDivisionError):
                assert time.monotonic() < end, "it took too long"
                time.sleep(0.05)


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory, commands: Any) -> Stranger:
    made = Stranger(tmp_path_factory.mktemp("stranger"), commands)
    made.settle()
    return made


def test_a_stranger_follows_the_page_and_no_file_of_the_core_is_touched(stranger: Stranger) -> None:
    before = stranger.files()
    assert any(name.endswith("gateway/testing/template/backend.py.in") for name in before)
    seen = set()
    for block in blocks("sh"):
        printed = stranger.type(block)
        for words, expected in EXPECTED.items():
            if re.search(rf"^{words}", block, re.MULTILINE):
                assert re.search(expected, printed), (block, printed)
                seen.add(words)
    assert seen == set(EXPECTED), "the page does not show a command any more"
    assert stranger.files() == before, "the core was changed, or something of the stranger's is left"
    assert "Traceback" not in (stranger.here / "twistd.log").read_text()


def test_a_stranger_tests_a_program_with_ours(stranger: Stranger) -> None:
    install, code = shown(DOCS / "testing-with-gateway.md")
    assert install.text.startswith("pip install 'txgateway[testing]' ")
    stranger.here = stranger.home / "notes"
    stranger.here.mkdir()
    stranger.type(install.text, PIP_CONSTRAINT=str(ROOT / "requirements" / "test.txt"))
    (stranger.here / "test_notes.py").write_text(code.text)
    printed = stranger.type("pytest -W error -q; python -m pip list --format=freeze", PYTHONSAFEPATH="1")
    assert "3 passed" in printed, printed
    assert "txgateway==" in printed and "txgateway-" not in printed and "moto" not in printed


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """gateway-duck, as the command writes it."""
    folder = tmp_path / "gateway-duck"
    folder.mkdir()
    write("duck", folder)
    return folder


def judged(package: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """What the package's tests say."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    environment["PYTHONPATH"] = str(package)
    call = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=line", *words]
    return subprocess.run(call, cwd=package, env=environment, capture_output=True, text=True, timeout=300, check=False)


def changed(package: Path, old: str, new: str) -> None:
    module = package / "gateway_duck" / "__init__.py"
    text = module.read_text()
    assert text.count(old) == 1, old
    module.write_text(text.replace(old, new))


def test_a_method_that_is_replaced_as_the_page_shows_keeps_every_promise(package: Path) -> None:
    thread, put = blocks("python")
    module = package / "gateway_duck" / "__init__.py"
    method = r"    @api\.hookimpl\n    async def put.*?(?=    @api\.hookimpl)"
    (before,) = re.findall(method, module.read_text(), re.DOTALL)
    changed(package, before, put + "\n")
    changed(package, "from gateway import api\n", f"from gateway import api\n{thread}")
    done = judged(package)
    assert done.returncode == 0, done.stdout[-3000:]
    changed(package, "    def cancel(self) -> None:\n        pass\n", "")  # what the page warns of
    assert judged(package, "-k", "cancelled_put_tells").returncode == 1


@pytest.mark.parametrize(
    ("old", "new", "fails"),
    [
        ("if request.if_absent and", "if False and", "if_absent_has_one_winner"),
        ("dict(request.metadata)", "request.metadata", "metadata_belongs_to_the_blob"),
        ("> request.after", ">= request.after", "lists_start_after_any_text"),
    ],
)
def test_a_slip_of_the_author_is_named(package: Path, old: str, new: str, fails: str) -> None:
    changed(package, old, new)
    done = judged(package, "-k", fails)
    assert done.returncode == 1 and fails in done.stdout, done.stdout[-2000:]


def test_the_template_says_which_kit_it_passed() -> None:
    assert KIT == KIT_VERSION, "run the template's tests with the new kit, then raise KIT"


def test_the_package_is_whole_and_clean(package: Path) -> None:
    texts = {path: path.read_text() for path in package.rglob("*") if path.is_file()}
    assert not [path for path, text in texts.items() if re.search(r"@[a-z]+@", text)]
    jobs = yaml.safe_load((package / ".github" / "workflows" / "test.yml").read_text())["jobs"]
    commands = [step["run"] for step in jobs["test"]["steps"] if "run" in step]
    assert blocks("sh")[0].splitlines()[-2:] == commands, "the CI file and the page say the same"
    assert len((package / "gateway_duck" / "__init__.py").read_text().splitlines()) < 100
    ruff = [sys.executable, "-m", "ruff", "check", "--no-cache", "--isolated", "--line-length", "120"]
    done = subprocess.run([*ruff, "--select", "E,F,W,I,UP,B", "."], cwd=package, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
