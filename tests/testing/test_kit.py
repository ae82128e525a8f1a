"""The kit finds what is broken: each backend of broken.py fails the test of the promise that it breaks."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest

from gateway.plugins import loading
from gateway.plugins.loading import Plugin
from gateway.testing import KIT_VERSION

BROKEN = Path(__file__).with_name("broken.py")
ROOT = BROKEN.parent.parent.parent


def declared() -> dict[str, tuple[str, str]]:
    """Class -> (the test that must fail, what its author must read), without importing the file."""
    found = {}
    for node in ast.parse(BROKEN.read_text()).body:
        if isinstance(node, ast.ClassDef) and node.name.startswith("Test"):
            pairs = [each.value for each in node.body if isinstance(each, ast.Assign) and _assigns_both(each)]
            fails, says = ast.literal_eval(pairs[0])
            found[node.name] = (fails, says)
    return found


def _assigns_both(statement: ast.Assign) -> bool:
    target = statement.targets[0]
    return isinstance(target, ast.Tuple) and [ast.unparse(name) for name in target.elts] == ["fails", "says"]


DECLARED = declared()
OURS = [plugin for plugin in loading.installed() if plugin.distribution.startswith("txgateway")]


@pytest.fixture(scope="module")
def failures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """Class -> what its author reads, from one run of pytest over the tests that must fail."""
    report = tmp_path_factory.mktemp("kit") / "report.xml"
    chosen = [f"{BROKEN}::{name}::{fails}" for name, (fails, _) in DECLARED.items()]
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={report}", "--tb=short"]
    # With CI set, pytest compares what differs line by line to its end: minutes for bodies of megabytes.
    quick = {name: value for name, value in os.environ.items() if name not in ("CI", "BUILD_NUMBER")}
    done = subprocess.run([*words, *chosen], cwd=ROOT, capture_output=True, text=True, timeout=300, env=quick)
    assert done.returncode == 1, done.stdout[-5000:] + done.stderr
    found: dict[str, list[str]] = {name: [] for name in DECLARED}
    for case in ElementTree.parse(report).iter("testcase"):
        name = case.attrib["classname"].rpartition(".")[2]
        for failure in case.iter("failure"):
            found[name].append(f"{failure.attrib['message']}\n{failure.text}")
        for error in case.iter("error"):
            found[name].append(f"error: {error.attrib['message']}")
    return found


@pytest.mark.parametrize("name", DECLARED)
def test_a_broken_backend_fails_and_its_author_learns_why(name: str, failures: dict[str, list[str]]) -> None:
    fails, says = DECLARED[name]
    assert failures[name], f"{name} passes {fails}"
    assert any(says in told for told in failures[name]), f"nobody told {says!r}:\n{failures[name][0][:1500]}"


@pytest.mark.parametrize("plugin", OURS, ids=lambda plugin: plugin.type)
def test_our_own_backends_say_which_kit_they_passed(plugin: Plugin) -> None:
    """Their test_contract.py runs this very kit; `gateway plugins` shows the number."""
    backend: Any = plugin.load()
    assert backend.kit_version == KIT_VERSION, "run its contract with the new kit, then raise its kit_version"
    homes = [ROOT / "tests" / "plugins" / "test_memory.py", *(ROOT / "plugins").glob("*/tests/test_contract.py")]
    tests = [file.read_text() for file in homes]
    assert any(backend.__name__ in text and "BackendContract" in text for text in tests), "nobody runs its contract"


def test_every_promise_is_broken_by_somebody() -> None:
    """A test of the kit that nobody fails proves nothing."""
    promises = {
        node.name
        for file in (ROOT / "gateway" / "testing").glob("promises_*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
    }
    assert promises == {fails for fails, _ in DECLARED.values()}
