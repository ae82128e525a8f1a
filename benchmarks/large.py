"""What large bodies cost: 64 MiB over bare sockets, and uploads in parts by clients that people use."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from benchmarks import transfers
from benchmarks.bench import LARGE, Bench
from benchmarks.presign import BUCKET

PART = 16  # MiB
_BIN = Path(sys.executable).parent


def gets(lanes: int) -> Callable[[Bench], tuple[float]]:
    """MiB/s"""

    def measure(bench: Bench) -> tuple[float]:
        target = bench.signer.target("get_object", "large")
        took = transfers.at_once([lambda: transfers.get(bench.server.endpoint, target, LARGE)] * lanes)
        return (lanes * LARGE / transfers.MIB / took,)

    return measure


def puts(lanes: int) -> Callable[[Bench], tuple[float]]:
    """MiB/s"""

    def measure(bench: Bench) -> tuple[float]:
        file = transfers.random_file(bench.scratch, LARGE)
        targets = [bench.signer.target("put_object", f"large-{lane}") for lane in range(lanes)]

        def job(target: str) -> Callable[[], None]:
            return lambda: transfers.put(bench.server.endpoint, target, file)

        return (lanes * LARGE / transfers.MIB / transfers.at_once([job(target) for target in targets]),)

    return measure


def by_aws_cli(bench: Bench) -> tuple[float]:
    """MiB/s, the start of the program included."""
    settings = bench.folder / "aws-config"
    size = f"{PART}MB"
    settings.write_text(f"[default]\ns3 =\n  multipart_threshold = {size}\n  multipart_chunksize = {size}\n")
    words = [str(_BIN / "aws"), "s3", "cp", "--only-show-errors", "--endpoint-url", bench.server.endpoint]
    return _upload(
        bench,
        [*words, str(_file(bench)), f"s3://{BUCKET}/by-aws-cli"],
        "by-aws-cli",
        {
            "AWS_CONFIG_FILE": str(settings),
            "AWS_ACCESS_KEY_ID": bench.server.access_key,
            "AWS_SECRET_ACCESS_KEY": bench.server.secret_key,
            "AWS_REGION": "us-east-1",
        },
    )


def by_rclone(bench: Bench) -> tuple[float]:
    """MiB/s, the start of the program included."""
    words = [str(_BIN / "rclone"), "copyto", "--config", "/dev/null", "--s3-provider", "Other", "--retries", "1"]
    words += ["--s3-endpoint", bench.server.endpoint, "--s3-region", "us-east-1", "--s3-no-check-bucket"]
    words += ["--s3-chunk-size", f"{PART}Mi", "--s3-upload-cutoff", f"{PART}Mi"]
    return _upload(
        bench,
        [*words, str(_file(bench)), f":s3:{BUCKET}/by-rclone"],
        "by-rclone",
        {
            "RCLONE_S3_ACCESS_KEY_ID": bench.server.access_key,
            "RCLONE_S3_SECRET_ACCESS_KEY": bench.server.secret_key,
        },
    )


def _upload(bench: Bench, words: Sequence[str], key: str, secrets: Mapping[str, str]) -> tuple[float]:
    clean = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AWS_", "RCLONE_")) and not name.lower().endswith("_proxy")
    }
    begun = time.monotonic()
    done = subprocess.run(words, env={**clean, **secrets}, capture_output=True, text=True, timeout=600)
    took = time.monotonic() - begun
    if done.returncode:
        raise transfers.Refused(f"{Path(words[0]).name} ended with {done.returncode}: {done.stderr[-300:]}")
    size = bench.signer.client.head_object(Bucket=BUCKET, Key=key)["ContentLength"]
    if size != bench.sizes.upload * transfers.MIB:
        raise transfers.Refused(f"{key} has {size} bytes")
    bench.signer.client.delete_object(Bucket=BUCKET, Key=key)
    return (bench.sizes.upload / took,)


def _file(bench: Bench) -> Path:
    return transfers.random_file(bench.scratch, bench.sizes.upload * transfers.MIB)
