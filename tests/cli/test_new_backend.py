"""`gateway new-backend` refuses what would not work, and never overwrites. What it writes: tests/test_template.py."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.cli.new_backend import FILES, words

Run = Callable[..., "subprocess.CompletedProcess[str]"]


def test_it_writes_a_package_and_says_how_to_go_on(tmp_path: Path, run: Run) -> None:
    (tmp_path / "shelf").mkdir()
    printed = run("new-backend", "blue-duck2", "--folder", "shelf").stdout
    target = tmp_path / "shelf" / "gateway-blue-duck2"
    files = {str(path.relative_to(target)) for path in target.rglob("*") if path.is_file()}
    assert "gateway_blue_duck2/__init__.py" in files and len(files) == len(FILES) == printed.count("wrote ")
    assert "class BlueDuck2Backend:" in (target / "gateway_blue_duck2" / "__init__.py").read_text()
    assert "blue-duck2 = gateway_blue_duck2:BlueDuck2Backend" in (target / "setup.cfg").read_text()
    assert printed.splitlines()[-1].startswith("next   cd shelf/gateway-blue-duck2 && ")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("Duck", "did you mean 'duck'?"),
        ("my_duck", "did you mean 'my-duck'?"),
        ("../duck", "did you mean 'duck'?"),
        ("2ducks", "did you mean 'ducks'?"),
        ("a--b", "did you mean 'a-b'?"),
        ("duck-", "did you mean 'duck'?"),
        ("duck\n", "did you mean 'duck'?"),
        ("", "is no name"),
        ("ž", "is no name"),
        ("a" * 41, "at most 40"),
        ("gateway-duck", "just 'duck'?"),
        ("memory", "is taken by txgateway"),
        ("s3", "is taken by txgateway-s3"),
        ("gcp", "is taken by txgateway-gcp"),
    ],
)
def test_a_name_that_would_not_work_is_refused(tmp_path: Path, run: Run, name: str, says: str) -> None:
    told = run("new-backend", name, code=2).stderr
    assert says in told and "NAME" in told
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", ["folder", "file", "link to nowhere"])
def test_nothing_is_overwritten(tmp_path: Path, run: Run, kind: str) -> None:
    target = tmp_path / "gateway-duck"
    if kind == "folder":
        target.mkdir()
        (target / "setup.cfg").write_text("mine")
    elif kind == "file":
        target.write_text("mine")
    else:
        target.symlink_to(tmp_path / "nowhere")
    (line,) = run("new-backend", "duck", code=1).stderr.splitlines()
    assert "is there already" in line
    assert [path.name for path in tmp_path.iterdir()] == ["gateway-duck"]
    assert kind != "folder" or [path.read_text() for path in target.iterdir()] == ["mine"]


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path, run: Run) -> None:
    run("new-backend", "duck", "--folder", "nowhere", code=2)
    (line,) = run("new-backend", "duck", "--folder", "/proc", code=1).stderr.splitlines()
    assert line.startswith("gateway: /proc/gateway-duck: ")


def test_half_a_package_is_taken_away_again(tmp_path: Path, command: object) -> None:
    """A disk that is full after a few files: here, a limit on how large a file may grow."""
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    script = (
        "trap '' XFSZ; ulimit -f 3; exec gateway new-backend duck"  # blocks of 512 or 1024 bytes; larger: backend.py
    )
    environment["PATH"] = f"{command.bin}:{environment['PATH']}"  # type: ignore[attr-defined]
    call = ["sh", "-c", script]
    done = subprocess.run(call, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "File too large" in done.stderr, done.stderr
    assert not list(tmp_path.iterdir())


def test_the_words_of_a_name() -> None:
    known = words("tahoe-lafs")
    assert (known["package"], known["class"]) == ("gateway_tahoe_lafs", "TahoeLafsBackend")
