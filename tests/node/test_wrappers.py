"""Wrappers of third parties: named by the configuration, told what is wrong with them, put around the storage."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted

from gateway import model
from gateway.bodies import BytesBody
from gateway.errors import BackendDown
from gateway.node.read import read_node
from gateway.node.rooms import build
from gateway.settings import ConfigurationFault, ConfigurationFaults

MODULE = """
from gateway import api

SEEN = []

class Noting(api.Wrapper):
    settings = (api.Setting("noting.word", "text", "What is noted.", default="seen"),)
    def __init__(self, values):
        self.values = values
    async def around(self, hook, request, answer):
        SEEN.append(f"{self.values['noting.word']} {hook}")
        result = await answer
        SEEN.append(f"{self.values['noting.word']} {hook} done")
        return result

class Other(Noting):
    settings = (api.Setting("other.word", "text", "What is noted.", default="other"),)
    def __init__(self, values):
        self.values = {"noting.word": values["other.word"], "all": values}

class Greedy(Noting):
    settings = (api.Setting("memory.limit", "text", "The backend's own."),)

class Breaking(Noting):
    settings = ()
    def __init__(self, values):
        raise RuntimeError("no mood")

class Lying(api.Wrapper):
    settings = ()
    def __init__(self, values):
        pass
    async def around(self, hook, request, answer):
        api.drop(answer)
        return "something else"

class Plain:
    settings = ()
"""
OFFERED = ("noting", "other", "greedy", "breaking", "lying", "plain")


@pytest.fixture
def read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Reads a configuration whose [storage] has these further lines, with a distribution of wrappers installed."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "wrapped_up", raising=False)
    (tmp_path / "wrapped_up.py").write_text(MODULE)
    info = tmp_path / "gateway_wraps-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: gateway-wraps\nVersion: 1.2\n")
    lines = [f"{name} = wrapped_up:{name.capitalize()}" for name in OFFERED]
    (info / "entry_points.txt").write_text("\n".join(["[gateway.wrappers]", *lines, ""]))
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    (private / "seal").touch(mode=0o600)
    (private / "seal").write_text("ab" * 32)

    def settings(*lines: str) -> Any:
        file = tmp_path / "tahoe.cfg"
        file.write_text("\n".join(["[storage]", "backend = memory", *lines, ""]))
        return read_node(file)

    return settings


@pytest_twisted.ensureDeferred
async def test_the_first_one_is_outermost_and_each_has_its_own_settings(read: Callable[..., Any]) -> None:
    (place,) = read("wrappers = noting", "    other", "noting.word = outer", "other.word = inner").places
    location = build(place)
    await location.put(model.PutRequest(name="blob", body=BytesBody(b"data"), size=4))
    seen = sys.modules["wrapped_up"].SEEN
    assert seen == ["outer put", "inner put", "inner put done", "outer put done"]
    (noting, other) = place.wrappers
    assert dict(noting.build(place.values).values) == {"noting.word": "outer"}  # type: ignore[attr-defined]
    assert list(other.build(place.values).values["all"]) == ["other.word"]  # type: ignore[attr-defined]
    assert place.values.part(["noting.word"]).secret("any") is None


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (
            ("wrappers = notin",),
            "tahoe.cfg:3: seen wrappers = notin; expected one of the installed wrappers: .*noting",
        ),
        (("wrappers = notin",), "did you mean noting?"),
        (("wrappers = noting", "  noting"), "tahoe.cfg:4: seen wrappers = noting twice"),
        (("wrappers = plain",), "is no subclass of gateway.api.Wrapper"),
        (("wrappers = greedy",), "whose setting memory.limit is one of the section already"),
        (
            ("wrappers = noting", "noting.wrd = x"),
            ":4: seen unknown key noting.wrd.*did you mean noting.word?",
        ),
        (("noting.word = x",), "tahoe.cfg:3: seen unknown key noting.word"),
    ],
)
def test_what_is_wrong_is_one_line(read: Callable[..., Any], lines: tuple[str, ...], expected: str) -> None:
    with pytest.raises(ConfigurationFaults) as raised:
        read(*lines)
    (fault,) = raised.value.faults
    assert "\n" not in str(fault)
    assert re.search(expected.replace("?", r"\?"), str(fault)), str(fault)


def test_one_that_cannot_be_built_is_a_fault_of_the_configuration(read: Callable[..., Any]) -> None:
    (place,) = read("wrappers = breaking").places
    with pytest.raises(ConfigurationFault, match=r"gateway-wraps 1\.2 fails: RuntimeError: no mood"):
        build(place)


@pytest_twisted.ensureDeferred
async def test_one_that_changes_the_answer_is_caught(read: Callable[..., Any]) -> None:
    (place,) = read("wrappers = lying").places
    with pytest.raises(BackendDown, match="answered str instead of HeadResult"):
        await build(place).head(model.HeadRequest(name="blob"))


def test_two_locations_on_one_storage_are_found_whatever_is_around_them(read: Callable[..., Any]) -> None:
    more = ("[location cold]", "backend = local", "local.path = there", "[location warm]", "backend = local")
    with pytest.raises(ConfigurationFaults, match="the very settings of cold"):
        read(*more, "local.path = there", "wrappers = noting")
