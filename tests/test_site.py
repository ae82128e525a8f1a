"""The documentation as a site: drawn without a warning, every page is reached, and what is made is true."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
from pathlib import Path
from shutil import copytree, ignore_patterns
from typing import Any

import pytest

from gateway.cli.program import COMMANDS
from gateway.operations import OPERATIONS
from gateway.testing import BackendContract
from gateway.wire.codes import CODES
from tests.documented import DOCS, ROOT

SPHINX = ROOT / ".venv-docs" / "bin" / "sphinx-build"


@pytest.fixture(scope="module")
def pages() -> Any:
    """docs/pages.py."""
    spec = importlib.util.spec_from_file_location("made_pages", DOCS / "pages.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def site(pages: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of docs/ with what is made; its links to the rest of the tree still lead there."""
    folder = tmp_path_factory.mktemp("site") / "docs"
    for path in ROOT.iterdir():
        if path.name != "docs":
            (folder.parent / path.name).symlink_to(path)
    copytree(DOCS, folder, ignore=ignore_patterns("_build", "made", "__pycache__"))
    pages.write(folder / "made")
    return folder


def drawn(site: Path, builder: str) -> Path:
    """What Sphinx makes of it, warnings as errors."""
    if not SPHINX.exists():
        reason = f"{SPHINX} is missing: make .make/docs"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    made = site.parent / f"{builder}.drawn"
    words = [str(SPHINX), "-q", "-W", "--keep-going", "-n", "-b", builder, str(site), str(made)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return made


def test_the_site_is_drawn_without_a_warning(site: Path) -> None:
    """A page that no menu names, a link to nowhere and a heading that is left out are warnings."""
    made = drawn(site, "html")
    shown = {path.relative_to(made).with_suffix(".md") for path in made.rglob("*.html")}
    assert {path.relative_to(site) for path in site.rglob("*.md")} <= shown
    menu = (made / "index.html").read_text()
    for page in ("try-it", "connect/index", "made/s3-support", "made/errors", "running", "proxies", "write-a-backend"):
        assert f'href="{page}.html"' in menu
    text = (made / "made" / "errors.html").read_text()
    for name in CODES:
        assert f'id="error-{name.lower()}"' in text


def test_man_finds_the_commands_and_the_configuration(site: Path) -> None:
    made = drawn(site, "man")
    for page, words in (("gateway.1", COMMANDS), ("tahoe.cfg.5", ("listen", "backend", "local.path"))):
        shown = subprocess.run(
            ["man", "-l", str(made / page)], capture_output=True, text=True, env={**os.environ, "MANWIDTH": "200"}
        )
        text = shown.stdout if shown.returncode == 0 else (made / page).read_text()  # a machine without man
        for word in words:
            assert word.replace("-", "\u2010") in text or word in text or word.replace("-", "\\-") in text, (page, word)


def test_every_promise_of_the_kit_is_listed(pages: Any) -> None:
    promises = [name for name in dir(BackendContract) if name.startswith("test_")]
    listed = re.findall(r"^\| ([\w ]+) \| [A-Z].*\. \|$", pages.promises(), re.MULTILINE)
    assert sorted(listed) == sorted(name.removeprefix("test_").replace("_", " ") for name in promises)


def test_what_is_supported_is_what_the_gate_answers(pages: Any) -> None:
    rows = dict(re.findall(r"^\| \[(\w+)\].*\| ([^|]+) \|$", pages.s3_support(), re.MULTILINE))
    assert {name for name, answer in rows.items() if answer != "501"} == set(OPERATIONS)
    assert rows["PutObject"] == "yes"


def test_each_kind_of_fault_is_told_by_the_code_itself(pages: Any) -> None:
    told = list(pages.faults())
    assert len({anchor for anchor, _, _ in told}) == len(told) > 15
    for anchor, _, line in told:
        assert line.count("\n") == 0, (anchor, line)
        assert re.fullmatch(r"tahoe\.cfg(:\d+)?: seen .+; expected .+; fix: .+", line), (anchor, line)
