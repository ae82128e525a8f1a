"""What the fixture ``gateway_s3`` gives: an S3 endpoint of a test's own, and the process where they all live."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gateway.testing.server import ServerFault


@dataclass(slots=True)
class S3Endpoint:
    """An empty S3 service. ``client`` is boto3's, ready to use; ``environment`` is what other tools and programs take
    their settings from."""

    endpoint: str
    access_key: str
    secret_key: str = field(repr=False)
    region: str
    _client: Any = field(default=None, repr=False)

    @property
    def client(self) -> Any:
        """Raises ModuleNotFoundError where boto3 is not installed."""
        if self._client is None:
            import boto3  # type: ignore[import-untyped]
            from botocore.config import Config  # type: ignore[import-untyped]

            self._client = boto3.client(
                "s3",
                endpoint_url=self.endpoint,
                aws_access_key_id=self.access_key,
                aws_secret_access_key=self.secret_key,
                region_name=self.region,
                config=Config(s3={"addressing_style": "path"}, proxies={}),
            )
        return self._client

    @property
    def environment(self) -> Mapping[str, str]:
        """The AWS tools' own variables: the endpoint, the keys, the region."""
        return {
            "AWS_ENDPOINT_URL_S3": self.endpoint,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_REGION": self.region,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def close(self) -> None:
        if self._client is not None:
            self._client.close()


class Endpoints:
    """The process of all endpoints of a test run; in memory where the machine has /dev/shm. ``open`` takes about as
    long as making a small file; nothing that one test stored is there for another."""

    def __init__(self) -> None:
        shared = Path("/dev/shm")
        where = shared if os.access(shared, os.W_OK) else None
        self._folder = Path(tempfile.mkdtemp(prefix="gateway-", dir=where))
        words = [sys.executable, "-m", "gateway.testing.many", str(self._folder)]
        self._complaints = (self._folder / "complaints").open("w+b")
        self._process = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._complaints, cwd=self._folder
        )

    def open(self) -> S3Endpoint:
        """A new and empty one. Raises ServerFault."""
        return S3Endpoint(**self._ask("open"))

    def close(self, endpoint: S3Endpoint) -> None:
        """End it, with everything that is in it."""
        endpoint.close()
        self._ask(f"close {endpoint.endpoint}")

    def end(self) -> None:
        """End the process."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        self._complaints.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _ask(self, word: str) -> dict[str, str]:
        assert self._process.stdin is not None and self._process.stdout is not None
        try:
            self._process.stdin.write(f"{word}\n".encode())
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = b""
        answer: dict[str, str] = json.loads(line) if line else {"fault": "the process of the gateways ended"}
        if "fault" in answer:
            said = Path(self._folder / "complaints").read_text(errors="replace")
            raise ServerFault(f"{answer['fault']}\n{said}".strip())
        return answer
