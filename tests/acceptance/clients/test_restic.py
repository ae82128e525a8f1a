"""restic (Debian), minio-go underneath: a repository in a bucket.

Source: https://restic.readthedocs.io/en/stable/030_preparing_a_new_repo.html#s3-compatible-storage
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.clients.shown import Shown


@pytest.fixture
def restic(live: Any, home: Path, name: str, run: Callable[..., str], needs: Callable[[str, str], str]) -> Any:
    """``restic("init")`` in a bucket that restic makes itself."""
    program = needs("restic", "apt-get install restic")

    def call(*words: str, secret: str = "", **more: Any) -> str:
        env = {
            **Shown("restic", live, secret=secret, bucket=name).environment(),
            "RESTIC_CACHE_DIR": str(home / "cache"),
        }
        return run([program, *words], env=env, **more)

    return call


def test_backup_restore_and_check(restic: Any, file: Any, run: Any, odd_keys: tuple[str, ...], tmp_path: Path) -> None:
    here, back = tmp_path / "here", tmp_path / "back"
    restic("init")
    for key in odd_keys:
        file(f"here/{key}", 1000)
    file("here/big", 20 * 1000 * 1000)
    assert "snapshot" in restic("backup", ".", cwd=here)
    file("here/later", 500)
    (here / "plain").unlink()
    restic("backup", ".", cwd=here)
    assert len(json.loads(restic("snapshots", "--json"))) == 2
    assert "no errors were found" in restic("check", "--read-data")
    restic("restore", "latest", "--target", str(back))
    run(["diff", "-r", str(here), str(back)])

    restic("forget", "--keep-last", "1", "--prune")
    assert len(json.loads(restic("snapshots", "--json"))) == 1
    assert "no errors were found" in restic("check")


def test_a_repository_is_made_once(restic: Any) -> None:
    restic("init")
    assert "already initialized" in restic("init", ok=False)
    assert restic("list", "locks") == ""


def test_a_wrong_key_is_told(restic: Any, bucket: str) -> None:
    assert "signature we calculated does not match" in restic("init", secret="wrong", ok=False)
