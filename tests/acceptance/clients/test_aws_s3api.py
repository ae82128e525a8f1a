"""aws-cli's ``s3api``: one command per operation, as scripts use it. (``aws s3`` has a suite one folder up.)

Source: https://docs.aws.amazon.com/cli/latest/reference/s3api/
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.clients.shown import Shown

SIZE = 20 * 1000 * 1000 + 17
MIB = 1024 * 1024


@pytest.fixture
def api(live: Any, home: Path, run: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """``api("head-object", "--bucket", ...)`` -> what it answers, parsed."""
    program = str(Path(sys.executable).parent / "aws")
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.delenv(name)

    def call(*words: str, ok: bool = True, secret: str = "") -> Any:
        Shown("aws-cli", live, secret=secret).write(home)
        env = {"AWS_PAGER": "", "AWS_MAX_ATTEMPTS": "1"}
        told = run([program, "--output", "json", "s3api", *words], ok=ok, env=env)
        return json.loads(told) if ok and told.strip() else told

    return call


def test_the_story(api: Any, name: str, file: Any, tmp_path: Path) -> None:
    place, back = ("--bucket", name), tmp_path / "back"
    api("create-bucket", *place)
    api("head-bucket", *place)
    small, big = file("small", 1000), file("big", SIZE)
    put = api("put-object", *place, "--key", "odd +%20ü/k", "--body", str(small), "--metadata", "tone=blue")
    assert put["ChecksumCRC32"]
    api("put-object", *place, "--key", "big", "--body", str(big), "--checksum-algorithm", "SHA256")
    head = api("head-object", *place, "--key", "odd +%20ü/k")
    assert (head["ContentLength"], head["Metadata"]) == (1000, {"tone": "blue"})
    got = api("get-object", *place, "--key", "big", "--range", "bytes=1000-1999", str(back))
    assert got["ContentRange"] == f"bytes 1000-1999/{SIZE}"
    assert back.read_bytes() == big.read_bytes()[1000:2000]

    listed = api("list-objects-v2", *place, "--max-items", "1")
    assert [found["Key"] for found in listed["Contents"]] == ["big"]
    listed = api("list-objects-v2", *place, "--starting-token", listed["NextToken"])
    assert [found["Key"] for found in listed["Contents"]] == ["odd +%20ü/k"]

    api("copy-object", *place, "--key", "copied", "--copy-source", f"{name}/big")
    assert api("head-object", *place, "--key", "copied")["ContentLength"] == SIZE
    api("put-object", *place, "--key", "copied", "--body", str(small))
    found = api("get-object-attributes", *place, "--key", "copied", "--object-attributes", "ObjectSize", "ETag")
    assert found["ObjectSize"] == 1000
    doomed = {"Objects": [{"Key": key} for key in ("odd +%20ü/k", "big", "copied")]}
    assert len(api("delete-objects", *place, "--delete", json.dumps(doomed))["Deleted"]) == 3
    api("delete-bucket", *place)
    assert "Not Found" in api("head-bucket", *place, ok=False)


def test_parts_by_hand(api: Any, bucket: str, file: Any) -> None:
    place = ("--bucket", bucket, "--key", "k")
    upload = ("--upload-id", api("create-multipart-upload", *place)["UploadId"])
    sizes = {1: 5 * MIB, 2: 100}
    parts = []
    for number, size in sizes.items():
        body = str(file(f"part{number}", size))
        done = api("upload-part", *place, *upload, "--part-number", str(number), "--body", body)
        parts.append({"PartNumber": number, "ETag": done["ETag"]})
    assert [part["Size"] for part in api("list-parts", *place, *upload)["Parts"]] == list(sizes.values())
    api("complete-multipart-upload", *place, *upload, "--multipart-upload", json.dumps({"Parts": parts}))
    assert api("head-object", *place, "--part-number", "2")["ContentLength"] == 100


def test_conditions(api: Any, bucket: str, file: Any) -> None:
    place, body = ("--bucket", bucket, "--key", "k"), ("--body", str(file("k", 10)))
    etag = api("put-object", *place, *body, "--if-none-match", "*")["ETag"]
    assert "PreconditionFailed" in api("put-object", *place, *body, "--if-none-match", "*", ok=False)
    api("put-object", *place, *body, "--if-match", etag)
    assert "304" in api("head-object", *place, "--if-none-match", etag, ok=False)


def test_a_wrong_secret_is_told(api: Any, bucket: str) -> None:
    assert "SignatureDoesNotMatch" in api("list-buckets", ok=False, secret="wrong")
    assert "NoSuchKey" in api("get-object", "--bucket", bucket, "--key", "missing", "/dev/null", ok=False)
