"""`gateway check-backend`: the kit on a configured location, live; whatever comes of it, nothing is left behind."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests import localfolder

Run = Callable[..., "subprocess.CompletedProcess[str]"]
AT = ("-c", "porch/tahoe.cfg")
FLAWED = '''
from gateway.api import BackendDenied, BackendDown, BackendUnfit, DeleteResult, UploadPartResult, hookimpl
from gateway.testing.native import NativeMemory
from gateway_local import LocalBackend

class Forgetful(LocalBackend):
    """Keeps no metadata."""

    kit_version = 7

    @hookimpl
    async def put(self, request):
        from dataclasses import replace

        return await super().put(replace(request, metadata={}))


class Hoarding(LocalBackend):
    @hookimpl
    async def delete(self, request):
        return DeleteResult()


class Vanishing(LocalBackend):
    """Fails when the whole run is swept up: a prefix of 9 characters."""

    @hookimpl
    async def list(self, request):
        if len(request.prefix) == 9:
            raise BackendDown("gone away")
        return await super().list(request)


class Silent(LocalBackend):
    @hookimpl
    async def healthcheck(self, request):
        raise BackendDown("nobody there")


class Unfit(LocalBackend):
    async def open(self):
        raise BackendUnfit("no such shelf", key="local.path", fix="build it")


class Dropping(NativeMemory):
    """Loses every part; tells at its close how many uploads are open still."""

    @hookimpl
    async def uploadPart(self, request):
        raise BackendDown("dropped")

    async def close(self):
        with open("open-uploads", "a") as told:
            told.write(f"{len(self._open)} ")
'''


@pytest.fixture
def flawed(folder: Path, run: Run) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Check the location with one of the backends above."""
    site = folder.parent / "site"
    info = site / "flawed-1.2.dist-info"
    info.mkdir(parents=True)
    names = ("Forgetful", "Hoarding", "Vanishing", "Silent", "Unfit", "Dropping")
    points = "\n".join(f"{name.lower()} = flawed:{name}" for name in names)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: flawed\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text(f"[gateway.backends]\n{points}\n")
    (site / "flawed.py").write_text(FLAWED)

    def check(kind: str, *more: str, code: int) -> subprocess.CompletedProcess[str]:
        text = (folder / "tahoe.cfg").read_text()
        keep = "#" if kind == "dropping" else ""
        text = text.replace("backend = local", f"backend = {kind}").replace("local.path", f"{keep}local.path")
        (folder / "tahoe.cfg").write_text(text)
        return run("check-backend", kind, *AT, *more, code=code, PYTHONPATH=str(site))

    return check


def blobs(folder: Path) -> set[str]:
    return localfolder.names(folder / "storage")


def test_a_location_in_use_is_tried_and_left_as_it_was(serving: Path, run: Run) -> None:
    (serving.parent / "conftest.py").write_text("raise RuntimeError('somebody else's tests')\n")
    before = blobs(serving)
    assert before  # the marker
    done = run("check-backend", "storage", *AT, PYTEST_ADDOPTS="--no-such-option", PYTEST_PLUGINS="no_such_plugin")
    lines = done.stdout.splitlines()
    assert len(lines) > 50 and all(line.startswith("kept  ") for line in lines), done.stdout
    assert "kept     a range is exact (24)" in lines and "nothing is left behind" in done.stderr
    assert blobs(serving) == before
    assert not (serving.parent / ".pytest_cache").exists()


def test_json_tells_the_same(folder: Path, run: Run) -> None:
    text = (folder / "tahoe.cfg").read_text().replace("backend = local", "backend = memory")
    (folder / "tahoe.cfg").write_text(text.replace("local.path", "#local.path"))
    told = json.loads(run("check-backend", "memory", "--json", *AT).stdout)
    assert (told["location"], told["backend"], told["kit"], told["left"]) == ("storage", "memory", 2, "")
    states = {row["promise"]: row["state"] for row in told["promises"]}
    assert states["shared_is_true"] == "skipped" and states["many_at_once"] == "kept"
    assert "broken" not in states.values()


def test_a_broken_promise_is_named_and_nothing_is_left(folder: Path, flawed: Any) -> None:
    done = flawed("forgetful", code=1)
    broken = [line for line in done.stdout.splitlines() if line.startswith("broken")]
    assert "broken   metadata comes back (6)" in broken and len(broken) < 8
    assert "metadata came back changed: encode what the storage cannot take" in done.stdout
    (line,) = done.stderr.splitlines()
    assert f"breaks {len(broken)} of " in line and "flawed 1.2" in line
    assert not blobs(folder)


def test_what_cannot_be_deleted_is_told(folder: Path, flawed: Any) -> None:
    (line,) = flawed("hoarding", code=1).stderr.splitlines()
    assert "left behind, delete it by hand: kit" in line


def test_promises_kept_and_blobs_perhaps_left_is_partly_done(flawed: Any) -> None:
    (line,) = flawed("vanishing", code=5).stderr.splitlines()
    assert "keeps the promises" in line and "BackendDown: gone away" in line


def test_a_storage_that_does_not_answer_is_one_line(flawed: Any) -> None:
    done = flawed("silent", code=4)
    (line,) = done.stderr.splitlines()
    assert line.startswith("gateway: porch/tahoe.cfg:") and "nobody there" in line and not done.stdout


def test_a_storage_that_is_unfit_is_a_fault_of_the_configuration(flawed: Any) -> None:
    (line,) = flawed("unfit", code=3).stderr.splitlines()
    assert "no such shelf" in line and "build it" in line


def test_uploads_that_a_failure_left_open_are_ended(folder: Path, flawed: Any) -> None:
    flawed("dropping", "--patience", "4", code=1)
    told = (folder.parent / "open-uploads").read_text().split()
    assert len(told) > 10 and set(told) == {"0"}, told


def test_a_storage_of_one_process_is_not_tried_while_a_gateway_serves(folder: Path, run: Run, command: Any) -> None:
    text = (folder / "tahoe.cfg").read_text().replace("backend = local", "backend = memory")
    (folder / "tahoe.cfg").write_text(text.replace("local.path", "#local.path"))
    command.start("gateway", "run", *AT, cwd=folder.parent, until="log  ")
    (line,) = run("check-backend", "storage", *AT, code=3).stderr.splitlines()
    assert "in use by the gateway of process" in line


def test_a_name_that_fits_no_location_is_a_question_of_usage(folder: Path, run: Run) -> None:
    with (folder / "tahoe.cfg").open("a") as config:
        config.write("\n[location cold]\nbackend = local\nlocal.path = cold\n")
    told = " ".join(run("check-backend", "colt", *AT, code=2).stderr.split())
    assert "no location 'colt'; the locations are: storage (local), cold (local)" in told
    assert "several locations have the backend 'local'" in " ".join(
        run("check-backend", "local", *AT, code=2).stderr.split()
    )


def test_without_pytest_it_says_what_to_install(folder: Path) -> None:
    code = (
        "import sys; sys.modules['pytest_twisted'] = None; from gateway.cli.program import program;"
        "program(['check-backend', 'storage', '-c', 'porch/tahoe.cfg'])"
    )
    call = [sys.executable, "-c", code]
    done = subprocess.run(call, cwd=folder.parent, capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert done.stderr == "gateway: check-backend needs pytest_twisted: pip install 'txgateway[testing]'\n"


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_who_is_tired_of_waiting_leaves_nothing(folder: Path, command: Any, how: signal.Signals) -> None:
    running = subprocess.Popen(
        ["gateway", "check-backend", "storage", *AT],
        cwd=folder.parent,
        env=command.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert running.stdout is not None
    while "parts join" not in running.stdout.readline():
        assert running.poll() is None
    running.send_signal(how)
    rest, told = running.communicate(timeout=60)
    assert running.returncode == 1 and told == "Aborted!\n", told
    assert "many at once" not in rest, "it went on to the end"
    assert not blobs(folder)
