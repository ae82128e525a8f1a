"""The pages under docs/connect are followed to the letter, each with the real client."""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.clients.shown import Shown
from tests.documented import DOCS, Block

PAGES = sorted((DOCS / "connect").glob("*.md"))
JS = Path(__file__).parent / "js"
READY = "with a bucket named `holiday`"
# What a reader must see.
SEEN = {
    "aws-cli": r"card\.txt\n[\s\S]*X-Amz-Signature=[\s\S]*\"ContentLength\": 24",
    "boto3": r"b'Greetings from the sea\.'\n200",
    "duckdb": r"\(91,\)|\(Decimal\('91'\),\)",
    "duplicity": r"Verify complete: [\s\S]* 0 differences found",
    "forms": r"204\n\['cards/card\.txt'\]",
    "index": "",
    "minio-py": r"card\.txt 23",
    "mountpoint": "",
    "pyarrow": r"waves: int64",
    "rclone": r"24 photos/card\.txt",
    "restic": r"no errors were found[\s\S]*restoring",
    "s3cmd": r"s3://holiday/card\.txt",
    "s3fs": r"card\.txt\nGreetings from the sea\.",
    "sdk-js": r"^Greetings from the sea\.$",
}
PROGRAMS = {"s3cmd": "s3cmd", "s3fs": "s3fs fuse", "restic": "restic", "duplicity": "duplicity python3-boto3"}


def install(text: str) -> bool:
    """Whether a block only installs; what it would install must be what is here, for that is what was tried."""
    words = text.removeprefix("sudo ").split()
    if words[:2] == ["pip", "install"]:
        assert all(importlib.metadata.version(name) for name in words[2:])
    elif words[:2] == ["apt-get", "install"]:
        for name in words[2:]:
            shown = subprocess.run(["dpkg-query", "-W", "-f", "${Status}", name], capture_output=True, text=True)
            assert "ok installed" in shown.stdout, name
    elif words[:2] == ["npm", "install"]:
        assert set(words[2:]) <= set(json.loads((JS / "package.json").read_text())["dependencies"])
    else:
        return False
    return True


@pytest.fixture
def follow(judge: Any, home: Path, run: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> Any:
    """``follow(page, block)`` -> what the reader sees."""
    for name in [name for name in os.environ if name.startswith(("AWS_", "RCLONE_"))]:
        monkeypatch.delenv(name)
    env = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}

    def call(shown: Shown, block: Block) -> str:
        text = shown.text(block)
        if block.language == "js":
            (home / "node_modules").symlink_to(JS / "node_modules")
            (home / "page.mjs").write_text(text)
        command = {
            "sh": ["sh", "-euc", text],
            "python": [sys.executable, "-W", "error", "-c", text],
            "js": ["node", "page.mjs"],
        }
        return run(command[block.language], env=env, cwd=home)

    yield call
    found = {each["Name"] for each in judge.list_buckets()["Buckets"]}
    if "holiday" in found:
        for each in judge.list_objects_v2(Bucket="holiday").get("Contents", ()):
            judge.delete_object(Bucket="holiday", Key=each["Key"])
        judge.delete_bucket(Bucket="holiday")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_works_as_it_stands(
    page: Path, follow: Any, live: Any, home: Path, judge: Any, needs: Callable[[str, str], str]
) -> None:
    name = page.stem
    if name in PROGRAMS:
        needs(name, f"apt-get install {PROGRAMS[name]}")
    if name == "sdk-js":
        needs("node", "apt-get install nodejs npm")
        assert (JS / "node_modules").exists(), "make .make/js"
    if name == "s3fs" and not os.access("/dev/fuse", os.R_OK | os.W_OK):
        assert os.environ.get("CI") != "true", "/dev/fuse may not be opened"
        pytest.skip("/dev/fuse may not be opened")
    shown = Shown(name, live)
    shown.write(home)
    if READY in page.read_text().lower().replace("\n", " "):
        judge.create_bucket(Bucket="holiday")
    told = ""
    for block in shown.blocks:
        assert block.runs or block.file or block.why, f"a block that nobody runs: {block}"
        if block.runs and not (block.language == "sh" and install(block.text)):
            told += follow(shown, block)
    assert name == "index" or any(block.runs for block in shown.blocks)
    if name == "mountpoint":
        assert judge.head_object(Bucket="holiday", Key="card.txt")["ContentLength"] == 23
        assert re.search(SEEN[name], told), told


def test_the_list_of_clients_is_whole() -> None:
    text = (DOCS / "connect" / "index.md").read_text()
    pages = {page.stem for page in PAGES} - {"index"}
    assert set(re.findall(r"\]\(([a-z0-9-]+)\.md\)", text)) == pages
    toctree = text.partition(":hidden:\n")[2].partition("```")[0].split()
    assert set(toctree) == pages
