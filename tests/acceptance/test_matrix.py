"""The matrix leaves nothing out silently, and its page is whole."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from gateway.operations import OPERATIONS
from tests.acceptance import matrix
from tests.acceptance.compatibility import FAMILIES, Column, Ran, Record
from tests.servers.storages import MORE, STORAGES

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs" / "compatibility.md").read_text()
ON_ONE = {"test_signature_v2", "test_streaming_memory"}  # they say themselves where they run
PLUGINS = {f"cloud.{name}" for name in ("s3", "openstack", "azure", "gcp")}


@pytest.mark.parametrize("count", range(1, 40))
def test_the_clouds_share_a_files_tests(count: int) -> None:
    shares = [matrix.share(count, cloud) for cloud in range(4)]
    assert all(shares), "a file does not run on a cloud at all"
    assert set().union(*shares) == set(range(count)), "a test runs on no cloud"
    assert max(map(len, shares)) <= count // 4 + 1


def test_each_file_of_the_matrix_is_collected_for_each_storage() -> None:
    """What pytest really collects, as `make test` asks for it."""
    words = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", str(matrix.HERE)]
    daily = {name: text for name, text in os.environ.items() if not name.startswith("GATEWAY_")}
    said = subprocess.run(words, cwd=ROOT, env=daily, check=True, capture_output=True, text=True).stdout
    found: dict[str, Counter[str]] = {}
    for line in said.splitlines():
        if match := re.match(r"tests/acceptance/(test_\w+)\.py::\w+\[(?:.*-)?(memory|local|cloud\.\w+)[\]-]", line):
            found.setdefault(match[1], Counter())[match[2]] += 1
    assert set(found) == set(FAMILIES)
    found = {file: counts for file, counts in found.items() if file not in ON_ONE}
    for file, counts in found.items():
        for cloud in PLUGINS:
            assert 1 <= counts[cloud] <= counts["memory"], f"{file} on {cloud}"
    for cloud in PLUGINS:
        share = sum(counts[cloud] for counts in found.values()) / sum(counts["memory"] for counts in found.values())
        assert 0.2 < share < 0.35, f"{cloud}: {share}"


def test_every_file_is_a_family_of_the_page() -> None:
    files = {
        file.stem for file in matrix.HERE.glob("test_*.py") if "site" in file.read_text() or "s3:" in file.read_text()
    }
    assert files - {Path(__file__).stem} == set(FAMILIES)


def test_the_page_names_every_storage_family_and_operation() -> None:
    named = set(re.findall(r"^\| `?([^`|]+?)`? \|", PAGE, re.MULTILINE))
    for name in (*STORAGES, *MORE, *OPERATIONS):
        assert name in named, f"{name} is missing: run `make compatibility`"
    assert set(STORAGES) >= PLUGINS


def test_a_page_tells_what_did_not_pass(tmp_path: Path) -> None:
    record = Record(local=Column("a folder", "2026-01-01", asked=[(20.5, "GetObject"), (10.5, "PutObject")]))
    record["local"].ran += [
        Ran("test_rclone::one", "passed", "", 10.0, 11.0),
        Ran("test_rclone::two", "failed", "it is broken", 20.0, 21.0),
    ]
    record.keep(tmp_path)
    page = Record.kept(tmp_path).page()
    assert f"| {FAMILIES['test_rclone']} | **1 of 2** |" in page
    assert "| PutObject | 1 |" in page and "| GetObject | **0 of 1** |" in page and "| CopyObject | - |" in page
    assert "- `test_rclone::two`: it is broken" in page and "| `local` | a folder | 2026-01-01 |" in page
