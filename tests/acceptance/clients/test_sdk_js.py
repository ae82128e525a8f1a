"""The AWS SDK for JavaScript v3 with lib-storage and its presigner; js/story.mjs tells what it does.

Source: https://docs.aws.amazon.com/AWSJavaScriptSDK/v3/latest/client/s3/
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.clients.shown import Shown

FOLDER = Path(__file__).parent / "js"


@pytest.fixture
def node(
    live: Any, run: Callable[..., str], needs: Callable[[str, str], str], wild_keys: tuple[str, ...]
) -> Callable[[str, str], str]:
    """``node(chapter, bucket)`` runs one chapter of story.mjs."""
    program = needs("node", "apt-get install nodejs npm (20 or newer)")
    if not (FOLDER / "node_modules").exists():
        reason = f"{FOLDER}/node_modules is missing: make .make/js"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)

    def tell(chapter: str, bucket: str) -> str:
        env = {
            "CLIENT": Shown("sdk-js", live).part(r"new S3Client\((\{.*?\})\);"),
            "BUCKET": bucket,
            "ODD_KEYS": json.dumps(wild_keys),
        }
        return run([program, "story.mjs", chapter], cwd=FOLDER, env=env)

    return tell


def test_the_story(node: Callable[[str, str], str], name: str) -> None:
    node("story", name)


@pytest.mark.parametrize("chapter", ["streams", "uploads", "conditions", "links", "refusals"])
def test_more(node: Callable[[str, str], str], bucket: str, chapter: str, judge: Any) -> None:
    node(chapter, bucket)
    assert "Uploads" not in judge.list_multipart_uploads(Bucket=bucket)  # what was aborted is gone
