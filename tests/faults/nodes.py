"""Configurations that lead to the clouds of a test, and the commands that read them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from twisted.internet.threads import deferToThread

from gateway.node.service import Node
from tests.faults.conftest import Cloud

HEAD = "[gateway]\nlisten = tcp:0:interface=127.0.0.1\nprobe_interval = 100ms\nreap_interval = 100ms\n"
MEMORY = "[storage]\nbackend = memory\n"


def section(cloud: Cloud, name: str = "location cold", patience: float = 1.0) -> str:
    keys = {**cloud.storage, **cloud.patience(patience)}
    return "\n".join([f"[{name}]", f"backend = {cloud.kind}", *(f"{key} = {text}" for key, text in keys.items()), ""])


def write(folder: Path, text: str, secrets: Mapping[str, str]) -> Path:
    private = folder / "private"
    private.mkdir(mode=0o700, exist_ok=True)
    for name, secret in {"seal": "ab" * 32, **secrets}.items():
        (private / name).touch(mode=0o600)
        (private / name).write_text(secret)
    (folder / "tahoe.cfg").write_text(text)
    return folder / "tahoe.cfg"


async def command(*words: object) -> subprocess.CompletedProcess[str]:
    """`gateway WORDS`, while the proxy goes on in this process."""
    line = [sys.executable, "-m", "gateway", *map(str, words)]
    return await deferToThread(subprocess.run, line, capture_output=True, text=True, timeout=120, check=False)


async def client_of(node: Node) -> Any:
    """boto3 with a new account's key; its calls belong into threads."""
    at = ("-c", node.settings.folder / "tahoe.cfg")
    await command("account", "add", "alice", *at)
    pair = json.loads((await command("key", "add", "--json", *at)).stdout)
    return boto3.client(
        "s3",
        endpoint_url=node.urls[0],
        aws_access_key_id=pair["access_key_id"],
        aws_secret_access_key=pair["secret_access_key"],
        region_name="us-east-1",
        config=Config(
            retries={"total_max_attempts": 1},
            proxies={},
            s3={"addressing_style": "path"},
            response_checksum_validation="when_required",  # the gateway shall find what is wrong, not boto3
        ),
    )
