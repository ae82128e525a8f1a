"""Backends are found by entry point; a broken one is one line, and stops nobody who does not use it."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.plugins import loading
from gateway.plugins.fitness import PluginBroken, PluginFault, PluginMissing, PluginUnfit
from gateway.plugins.memory import MemoryBackend

Install = Callable[..., None]

WHOLE = """
    from gateway.plugins.memory import MemoryBackend

    class Backend(MemoryBackend):
        pass
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Lay a distribution out as pip does, its module beside it, in a folder that Python looks into."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def lay(distribution: str, module: str, code: str, type_: str = "odd", target: str = "Backend") -> None:
        monkeypatch.delitem(sys.modules, module, raising=False)
        (tmp_path / f"{module}.py").write_text(textwrap.dedent(code))
        info = tmp_path / f"{distribution.replace('-', '_')}-1.2.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.2\n")
        (info / "entry_points.txt").write_text(f"[gateway.backends]\n{type_} = {module}:{target}\n")

    return lay


def line(fault: pytest.ExceptionInfo[PluginFault]) -> str:
    text = str(fault.value)
    assert "\n" not in text
    return text


def test_the_built_in_backend_is_found_like_any_other() -> None:
    plugin = loading.find("memory")
    assert (plugin.type, plugin.distribution) == ("memory", "txgateway")
    assert plugin.load() is MemoryBackend


def test_a_strangers_backend_is_found_and_loaded(install: Install) -> None:
    install("gateway-odd", "oddly_made", WHOLE)
    plugin = loading.find("odd")
    assert (plugin.type, plugin.distribution, plugin.version) == ("odd", "gateway-odd", "1.2")
    assert plugin.load().__module__ == "oddly_made"


def test_looking_imports_nothing_and_a_broken_neighbour_stops_nobody(install: Install) -> None:
    install("gateway-odd", "oddly_broken", "raise RuntimeError('no')")
    assert {"memory", "odd"} <= {plugin.type for plugin in loading.installed()}
    assert loading.find("memory").load() is MemoryBackend
    assert "oddly_broken" not in sys.modules


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("import no_such_module_anywhere", "ModuleNotFoundError: No module named 'no_such_module_anywhere'"),
        ("raise RuntimeError('two\\nlines')", "RuntimeError: two lines"),
        ("def (", "SyntaxError"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("x = 1", "AttributeError"),
    ],
)
def test_a_broken_import_is_one_line_with_distribution_and_reason(install: Install, code: str, says: str) -> None:
    install("gateway-odd", "oddly_broken", code)
    with pytest.raises(PluginBroken) as fault:
        loading.find("odd").load()
    text = line(fault)
    assert says in text
    assert "backend 'odd' (gateway-odd 1.2, oddly_broken:Backend) cannot be imported" in text


def test_an_interrupt_is_no_fault_of_the_plugin(install: Install) -> None:
    install("gateway-odd", "oddly_broken", "raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        loading.find("odd").load()


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("Backend = 3", "is no class but int"),
        ("class Backend: pass", "lacks the hook put, get, delete, head, list, healthcheck"),
        (
            "from gateway.plugins.memory import MemoryBackend\nclass Backend(MemoryBackend):\n    head = None",
            "lacks the hook head",
        ),
        (
            "from gateway.plugins.memory import MemoryBackend\nclass Backend(MemoryBackend):\n    settings = {'a': 1}",
            "Backend.settings is no tuple of Setting",
        ),
        (
            "from gateway.plugins.memory import MemoryBackend\nclass Backend(MemoryBackend):\n    secrets = ('s3',)",
            "Backend.secrets is no tuple of Secret",
        ),
        (
            "from gateway.plugins.memory import MemoryBackend\nfrom gateway.api import hookimpl\n"
            "class Backend(MemoryBackend):\n    @hookimpl\n    async def createMPU(self, request): ...",
            "only a part of the multipart hooks: add uploadPart, completeMPU, abortMPU",
        ),
        (
            "from gateway.plugins.memory import MemoryBackend\n"
            "class Backend(MemoryBackend):\n    async def put(self, request): ...",
            "lacks the hook put: add it, marked with @hookimpl",
        ),
    ],
)
def test_a_class_that_is_no_backend_is_unfit(install: Install, code: str, says: str) -> None:
    install("gateway-odd", "oddly_unfit", code)
    with pytest.raises(PluginUnfit) as fault:
        loading.find("odd").load()
    assert says in line(fault)
    assert "gateway-odd 1.2" in line(fault)


@pytest.mark.parametrize(
    ("type_", "says"),
    [
        ("cloud.azure", "no backend 'cloud.azure' is installed: pip install txgateway-azure"),
        ("cloud.gpc", "did you mean 'cloud.gcp' (pip install txgateway-gcp)?"),
        ("memroy", "Did you mean 'memory'?"),
        ("tape", "no backend 'tape' is installed; installed are: "),
    ],
)
def test_a_missing_backend_says_how_to_get_it(type_: str, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    only = tuple(plugin for plugin in loading.installed() if plugin.type == "memory")
    monkeypatch.setattr(loading, "installed", lambda kind: only)
    with pytest.raises(PluginMissing) as fault:
        loading.find(type_)
    assert says in line(fault)
    assert "pip install txgateway-tape" not in line(fault), "a guessed name may be registered by anybody"


def test_two_distributions_of_one_type_are_refused(install: Install) -> None:
    install("gateway-odd", "oddly_made", WHOLE)
    install("gateway-even", "evenly_made", WHOLE)
    with pytest.raises(PluginBroken) as fault:
        loading.find("odd")
    assert "gateway-even and gateway-odd" in line(fault)
    assert loading.find("memory").load() is MemoryBackend
