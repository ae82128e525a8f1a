"""The kit finds what is broken: each backend of broken/ fails the test of the promise that it breaks, and no other.

Its author reads what to do. `make test` tries the whole kit on every eighth of them and the named test on the others,
`make test-long` the whole kit on all.
"""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from gateway.plugins import loading
from gateway.plugins.loading import Plugin
from gateway.testing import KIT_VERSION

ALL = os.environ.get("GATEWAY_LONG") == "1"
BROKEN = Path(__file__).with_name("broken")
ROOT = BROKEN.parent.parent.parent


@dataclass(frozen=True, slots=True)
class Fault:
    """One class of broken/: the test that must fail, a piece of what its author must read, whether others may fail."""

    name: str
    file: Path
    fails: str
    says: str
    broad: bool


def declared() -> list[Fault]:
    """What the classes say of themselves, without importing them."""
    found = []
    for file in sorted(BROKEN.glob("*.py")):
        for node in ast.parse(file.read_text()).body:
            if isinstance(node, ast.ClassDef) and node.name.startswith("Test"):
                given = {ast.unparse(each.targets[0]): each.value for each in node.body if isinstance(each, ast.Assign)}
                fails, says = ast.literal_eval(given["(fails, says)"])
                found.append(Fault(node.name, file, fails, says, "broad" in given))
    return found


def promises() -> dict[str, str]:
    """Test of the kit -> what it tells the author to do."""
    return {
        node.name: " ".join((ast.get_docstring(node) or "").split())
        for file in (ROOT / "gateway" / "testing").glob("promises_*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
    }


FAULTS = declared()
PROMISES = promises()
WHOLE = FAULTS if ALL else [fault for fault in FAULTS if not fault.broad][::8]
OURS = [plugin for plugin in loading.installed() if plugin.distribution.startswith("txgateway")]


@pytest.fixture(scope="module")
def failures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, list[str]]]:
    """Class -> test that failed -> what its author reads, from one run of pytest."""
    report = tmp_path_factory.mktemp("kit") / "report.xml"
    chosen = [f"{fault.file}::{fault.name}" + ("" if fault in WHOLE else f"::{fault.fails}") for fault in FAULTS]
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={report}", "--tb=short"]
    # Most of a kit's time is waiting: three of them at once.
    words += ["--numprocesses=3", "--dist=loadscope"]
    # With CI set, pytest compares what differs line by line to its end: minutes for bodies of megabytes.
    quick = {name: value for name, value in os.environ.items() if name not in ("CI", "BUILD_NUMBER")}
    quick = {name: value for name, value in quick.items() if not name.startswith("PYTEST_")}
    done = subprocess.run([*words, *chosen], cwd=ROOT, capture_output=True, text=True, timeout=900, env=quick)
    assert done.returncode == 1, done.stdout[-5000:] + done.stderr
    found: dict[str, dict[str, list[str]]] = {fault.name: {} for fault in FAULTS}
    for case in ElementTree.parse(report).iter("testcase"):
        tests = found[case.attrib["classname"].rpartition(".")[2]]
        test = re.sub(r"\[.*", "", case.attrib["name"], flags=re.DOTALL)
        for failure in case.iter("failure"):
            tests.setdefault(test, []).append(f"{failure.attrib['message']}\n{failure.text}")
        if case.find("error") is not None:  # what a test left could not be swept up
            tests.setdefault(test, [])
    return found


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_broken_backend_fails_the_test_of_its_promise(
    fault: Fault, failures: dict[str, dict[str, list[str]]]
) -> None:
    failed = failures[fault.name]
    assert fault.fails in failed, f"{fault.name} passes {fault.fails}, fails {sorted(failed)}"
    if not fault.broad:
        assert set(failed) == {fault.fails}, "no other test fails"
    told = failed[fault.fails]
    assert any(fault.says in text for text in told), f"nobody told {fault.says!r}:\n{told[0][:1500]}"
    advice = f"What to do: {PROMISES[fault.fails]}"
    assert all(advice in " ".join(text.split()) for text in told), f"nobody told {advice!r}:\n{told[0][:1500]}"


def test_every_promise_is_broken_by_somebody_alone() -> None:
    """A test of the kit that nobody fails proves nothing; two that fail together only are one promise."""
    assert set(PROMISES) == {fault.fails for fault in FAULTS if not fault.broad}
    assert len({fault.name for fault in FAULTS}) == len(FAULTS)


def test_every_promise_tells_what_to_do() -> None:
    """In a sentence that says it, as an order: it stands under every failure."""
    for name, advice in PROMISES.items():
        assert re.fullmatch(r"[A-Z].{25,}\.", advice), f"{name}: {advice!r}"
    assert len(set(PROMISES.values())) == len(PROMISES)


@pytest.mark.parametrize("plugin", OURS, ids=lambda plugin: plugin.type)
def test_our_own_backends_say_which_kit_they_passed(plugin: Plugin) -> None:
    """Their test_contract.py runs this very kit; `gateway plugins` shows the number."""
    backend: Any = plugin.load()
    assert backend.kit_version == KIT_VERSION, "run its contract with the new kit, then raise its kit_version"
    homes = [ROOT / "tests" / "plugins" / "test_memory.py", *(ROOT / "plugins").glob("*/tests/test_contract.py")]
    tests = [file.read_text() for file in homes]
    assert any(backend.__name__ in text and "BackendContract" in text for text in tests), "nobody runs its contract"
