"""duplicity (Debian), an older boto3 underneath: volumes in a bucket.

The package of PyPI wants the SDKs of a dozen other clouds in versions that do not go with ours.
Source: https://duplicity.gitlab.io/stable/duplicity.1.html
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.clients.shown import Shown


@pytest.fixture
def duplicity(
    live: Any, home: Path, bucket: str, run: Callable[..., str], needs: Callable[[str, str], str]
) -> Callable[..., str]:
    """``duplicity("full", ..., place)``; what it keeps locally lies in home."""
    program = needs("duplicity", "apt-get install duplicity python3-boto3")

    def call(*words: str, secret: str = "", **more: Any) -> str:
        shown = Shown("duplicity", live, secret=secret)
        env = shown.environment()
        settings = [
            *shown.part(r'^place="([^"]*)"').split(),
            f"--archive-dir={home}/archive",
            "--num-retries=1",
            "--volsize=6",  # MB
        ]
        return run([program, *words, *settings], env=env, **more)

    return call


def test_backup_restore_and_compare(
    duplicity: Any, bucket: str, judge: Any, file: Any, run: Any, odd_keys: tuple[str, ...], tmp_path: Path
) -> None:
    here, back, place = tmp_path / "here", tmp_path / "back", f"boto3+s3://{bucket}/deep/er"
    for key in odd_keys:
        file(f"here/{key}", 1000)
    file("here/big", 15 * 1000 * 1000)
    duplicity("full", str(here), place)
    volumes = [one["Key"] for one in judge.list_objects_v2(Bucket=bucket, Prefix="deep/er/")["Contents"]]
    assert len([key for key in volumes if ".difftar" in key]) == 3
    duplicity("verify", "--compare-data", place, str(here))

    file("here/later", 500)
    (here / "plain").unlink()
    assert "Differences found" not in duplicity("incremental", str(here), place)
    # As on a new machine: nothing is known but what lies in the bucket.
    run(["rm", "-r", str(tmp_path / "home" / "archive")])
    duplicity("restore", place, str(back))
    run(["diff", "-r", str(here), str(back)])
    assert "Number of contained backup sets: 2" in duplicity("collection-status", place)

    duplicity("full", str(here), place)
    duplicity("remove-all-but-n-full", "1", "--force", place)
    left = [one["Key"] for one in judge.list_objects_v2(Bucket=bucket, Prefix="deep/er/")["Contents"]]
    assert not set(left) & set(volumes)


def test_a_wrong_key_is_told(duplicity: Any, bucket: str, file: Any, tmp_path: Path) -> None:
    file("here/a", 10)
    told = duplicity("full", str(tmp_path / "here"), f"boto3+s3://{bucket}/x", secret="wrong", ok=False)
    assert "Forbidden" in told or "SignatureDoesNotMatch" in told
