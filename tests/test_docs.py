"""The pages that are made from the code agree with it."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

from gateway.cli.program import COMMANDS
from gateway.node import declared

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def test_configuration_md_is_what_the_code_declares() -> None:
    script = ROOT / "docs" / "configuration.py"
    spec = importlib.util.spec_from_file_location("configuration_page", script)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert (ROOT / "docs" / "configuration.md").read_text() == module.page(), "run `make docs`"


def test_every_setting_has_help_that_ends_like_a_sentence() -> None:
    for setting in (*declared.GATEWAY, *declared.PLACE, *declared.ENDPOINT):
        assert setting.help.endswith("."), setting.key


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
        if "made/" in target:  # written for each build of the site, by docs/pages.py
            assert f'"{Path(target).stem}": ' in (ROOT / "docs" / "pages.py").read_text(), target
        else:
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_pages_name_only_commands_that_exist(page: Path) -> None:
    for word in re.findall(r"(?:^|[`/])gateway ([a-z-]+)", page.read_text(), re.MULTILINE):
        assert word in COMMANDS, word
