"""aws-cli's ``s3api`` commands, one process each."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def api(site: Any) -> Callable[..., Any]:
    """``api("put-object", bucket="b", key="k")`` -> the answer as JSON, None where it is empty."""
    program = Path(sys.executable).parent / "aws"
    keys = {"AWS_ACCESS_KEY_ID": site.access_key, "AWS_SECRET_ACCESS_KEY": site.secret_key}
    environment = {**os.environ, **keys, "AWS_DEFAULT_REGION": site.region, "AWS_PAGER": ""}

    def run(name: str, *words: str, ok: bool = True, **options: str) -> Any:
        pairs = [word for key, value in options.items() for word in (f"--{key.replace('_', '-')}", value)]
        command = [str(program), "--endpoint-url", site.endpoint, "--output", "json", "s3api", name, *pairs, *words]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
        assert (done.returncode == 0) is ok, f"{name}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        if not ok:
            return done.stderr
        return json.loads(done.stdout) if done.stdout.strip() else None

    return run


def test_an_object_from_put_to_delete(api: Callable[..., Any], tmp_path: Path) -> None:
    bucket, body, back = f"api-{uuid.uuid4().hex[:20]}", tmp_path / "body", tmp_path / "back"
    body.write_bytes(b"hello world")
    api("create-bucket", bucket=bucket)
    sent = api(
        "put-object", bucket=bucket, key="a/k", body=str(body), metadata="colour=blue", content_type="text/plain"
    )
    head = api("head-object", bucket=bucket, key="a/k")
    assert (head["ETag"], head["Metadata"], head["ContentType"]) == (sent["ETag"], {"colour": "blue"}, "text/plain")
    got = api("get-object", str(back), bucket=bucket, key="a/k", range="bytes=6-10")
    assert (got["ContentRange"], back.read_bytes()) == ("bytes 6-10/11", b"world")
    told = api("get-object-attributes", bucket=bucket, key="a/k", object_attributes="ObjectSize")
    assert told["ObjectSize"] == 11
    api("copy-object", bucket=bucket, key="copy", copy_source=f"{bucket}/a/k")
    listed = api("list-objects-v2", bucket=bucket, delimiter="/")
    assert ([row["Key"] for row in listed["Contents"]], listed["CommonPrefixes"]) == (["copy"], [{"Prefix": "a/"}])
    assert [row["Key"] for row in api("list-objects", bucket=bucket)["Contents"]] == ["a/k", "copy"]
    told = api("get-object", str(back), bucket=bucket, key="copy", if_match='"other"', ok=False)
    assert "PreconditionFailed" in told
    gone = api("delete-objects", bucket=bucket, delete='{"Objects": [{"Key": "a/k"}, {"Key": "copy"}]}')
    assert [row["Key"] for row in gone["Deleted"]] == ["a/k", "copy"]
    api("delete-bucket", bucket=bucket)
    assert "404" in api("head-bucket", bucket=bucket, ok=False)


def test_a_multipart_upload_by_hand(api: Callable[..., Any], tmp_path: Path) -> None:
    bucket, part = f"api-{uuid.uuid4().hex[:20]}", tmp_path / "part"
    part.write_bytes(b"x" * 5 * 1024 * 1024)
    api("create-bucket", bucket=bucket)
    upload = api("create-multipart-upload", bucket=bucket, key="k")["UploadId"]
    place = {"bucket": bucket, "key": "k", "upload_id": upload}
    tags = [api("upload-part", part_number=str(number), body=str(part), **place)["ETag"] for number in (1, 2)]
    assert [row["PartNumber"] for row in api("list-parts", **place)["Parts"]] == [1, 2]
    assert [row["UploadId"] for row in api("list-multipart-uploads", bucket=bucket)["Uploads"]] == [upload]
    rows = json.dumps({"Parts": [{"PartNumber": number, "ETag": tag} for number, tag in enumerate(tags, 1)]})
    done = api("complete-multipart-upload", multipart_upload=rows, **place)
    assert api("head-object", bucket=bucket, key="k")["ETag"] == done["ETag"]
    other = api("create-multipart-upload", bucket=bucket, key="k")["UploadId"]
    api("abort-multipart-upload", bucket=bucket, key="k", upload_id=other)
    assert "Uploads" not in (api("list-multipart-uploads", bucket=bucket) or {})


def test_settings_nobody_made(api: Callable[..., Any]) -> None:
    bucket = f"api-{uuid.uuid4().hex[:20]}"
    api("create-bucket", "--create-bucket-configuration", "LocationConstraint=eu-west-1", bucket=bucket)
    assert api("get-bucket-location", bucket=bucket) == {"LocationConstraint": "eu-west-1"}
    assert api("get-bucket-acl", bucket=bucket)["Grants"][0]["Permission"] == "FULL_CONTROL"
    assert "NoSuchBucketPolicy" in api("get-bucket-policy", bucket=bucket, ok=False)
    assert api("get-bucket-versioning", bucket=bucket) is None
    assert bucket in [row["Name"] for row in api("list-buckets")["Buckets"]]
