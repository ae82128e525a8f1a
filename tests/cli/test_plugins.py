"""`gateway plugins`: where each backend comes from, whether the configuration needs it, and why one is broken."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., "subprocess.CompletedProcess[str]"]
AT = ("-c", "porch/tahoe.cfg")
MODULE = """
from gateway.plugins.memory import MemoryBackend


class Good(MemoryBackend):
    kit_version = 2


class Boasting(MemoryBackend):
    kit_version = "the newest"


class Own(MemoryBackend):
    capabilities = None  # each location has its own


class Unfit:
    settings = ()
"""


@pytest.fixture
def listed(folder: Path, run: Run) -> Callable[..., dict[str, Any]]:
    """Rows by backend, with further distributions installed; ``kind`` is what the configuration needs."""
    site = folder.parent / "site"
    kinds = {
        "good": "odd:Good",
        "boasting": "odd:Boasting",
        "own": "odd:Own",
        "unfit": "odd:Unfit",
        "smoking": "smoke:Any",
    }
    install(site, "odd", kinds)
    (site / "odd.py").write_text(MODULE)
    (site / "smoke.py").write_text("open('imported', 'w').close()\nraise RuntimeError('smoke')\n")

    def rows(kind: str, *more: str) -> dict[str, Any]:
        text = (folder / "tahoe.cfg").read_text().replace("backend = local", f"backend = {kind}")
        (folder / "tahoe.cfg").write_text(text)
        printed = run("plugins", "--json", *more, PYTHONPATH=str(site)).stdout
        return {row["backend"]: row for row in json.loads(printed)}

    return rows


def install(site: Path, name: str, kinds: dict[str, str]) -> None:
    info = site / f"{name}-1.2.dist-info"
    info.mkdir(parents=True)
    points = "\n".join(f"{kind} = {where}" for kind, where in kinds.items())
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text(f"[gateway.backends]\n{points}\n")


def test_what_the_configuration_needs_is_loaded_and_nothing_else_imported(folder: Path, listed: Any) -> None:
    rows = listed("good", *AT)
    good = rows["good"]
    assert (good["distribution"], good["version"], good["state"], good["kit"]) == ("odd", "1.2", "loaded", 2)
    assert good["capabilities"]["shared"] is False and good["capabilities"]["native_multipart"] is False
    assert {row["state"] for kind, row in rows.items() if kind != "good"} == {"not needed"}
    assert rows["memory"]["capabilities"] is None
    assert not (folder.parent / "imported").exists()


@pytest.mark.parametrize(("kind", "why"), [("smoking", "RuntimeError: smoke"), ("unfit", "lacks the hook put")])
def test_what_is_needed_and_broken_says_why(listed: Any, kind: str, why: str) -> None:
    row = listed(kind, *AT)[kind]
    assert row["state"] == "broken" and why in row["fault"]


def test_two_distributions_of_one_backend_are_broken(folder: Path, listed: Any) -> None:
    install(folder.parent / "site", "rival", {"good": "odd:Good"})
    row = listed("good", *AT)["good"]
    assert row["state"] == "broken" and "odd and rival" in row["fault"]


def test_without_a_configuration_all_are_tried(listed: Any) -> None:
    rows = listed("good")  # the configuration is not in this folder
    states = {kind: row["state"] for kind, row in rows.items()}
    assert states["smoking"] == states["unfit"] == "broken" and states["memory"] == states["good"] == "loaded"
    assert rows["boasting"]["kit"] is None and rows["own"]["capabilities"] is None


def test_the_configuration_of_this_folder_counts(folder: Path, run: Run, command: Any) -> None:
    rows = dict(line.split("\t", 1) for line in command.run("gateway", "plugins", cwd=folder).stdout.splitlines())
    assert rows["local"].startswith("txgateway-local ") and rows["local"].endswith("\tloaded: shared")
    assert rows["memory"].endswith("\tkit -\tnot needed")
    (line,) = run("plugins", "-c", "nowhere.cfg", code=3).stderr.splitlines()
    assert line.startswith("nowhere.cfg")


def test_settings_are_shown_for_what_is_not_needed_too(listed: Any) -> None:
    rows = listed("good", "--settings", *AT)
    assert rows["memory"]["state"] == "not needed"
    assert [setting["key"] for setting in rows["memory"]["settings"]] == ["memory.limit"]
    assert rows["smoking"]["state"] == "broken"
