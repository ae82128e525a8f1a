"""`gateway reap --now` on a disk that is full: one line, and the next run ends well."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import boto3
import pytest
from botocore.config import Config

from gateway.testing.server import LiveGateway


def test_each_sync_may_fail(tmp_path: Path) -> None:
    if shutil.which("strace") is None:
        assert os.environ.get("CI") != "true", "no strace: apt-get install strace"
        pytest.skip("no strace: apt-get install strace")
    with LiveGateway(tmp_path / "porch", backend="local", storage={"local.path": "storage"}) as live:
        s3 = boto3.client(
            "s3",
            endpoint_url=live.endpoint,
            aws_access_key_id=live.access_key,
            aws_secret_access_key=live.secret_key,
            region_name=live.region,
            config=Config(proxies={}, s3={"addressing_style": "path"}),
        )
        s3.create_bucket(Bucket="box")
        for number in range(20):  # each overwrites a file, so that there is much to reap
            s3.put_object(Bucket="box", Key="key", Body=bytes([number]) * 40_000)
        live.kill()
    reap = [sys.executable, "-m", "gateway", "reap", "--now", "-c", str(live.config_file)]
    codes = set()
    for number in range(1, 12):
        fails = ["-e", "trace=fdatasync", "-e", f"inject=fdatasync:error=ENOSPC:when={number}+"]
        words = ["strace", "-f", "-qq", "-o", "/dev/null", *fails, *reap]
        done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
        said = done.stdout + done.stderr
        assert "unexpected" not in said and "Traceback" not in said, (number, said)
        codes.add(done.returncode)
    assert codes <= {0, 1, 3, 5} and 1 in codes, codes
    subprocess.run(reap, capture_output=True, timeout=120, check=True)
