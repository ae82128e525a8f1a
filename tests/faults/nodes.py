"""Configurations that lead to the clouds of a test, and the commands that read them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from twisted.internet.threads import deferToThread

from tests.faults.conftest import Cloud

HEAD = "[gateway]\nlisten = tcp:0:interface=127.0.0.1\nprobe_interval = 100ms\nreap_interval = 100ms\n"
MEMORY = "[storage]\nbackend = memory\n"


def section(cloud: Cloud, name: str = "location cold") -> str:
    keys = {**cloud.storage, **cloud.patience(1.0)}
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
