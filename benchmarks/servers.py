"""This gateway as a server that is measured, and what its peers start with as well: each on a folder of its own."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from gateway.testing.server import LiveGateway

KEY, SECRET = "BENCHBENCHBENCHBENCH", "a-secret-for-benchmarks-only-0123456789"
PATIENCE = 60.0


class Missing(Exception):
    """Something that is measured, or measured with, cannot be had here; the text says why."""


@dataclass(frozen=True, slots=True)
class Server:
    """A running S3 server. ``pid``: the first of its processes. ``note``: how it was set up. ``files``: where whatever
    file lies is an object, as bucket/key; None where objects are more than that."""

    name: str
    endpoint: str
    access_key: str
    secret_key: str
    pid: int
    note: str = ""
    files: Path | None = None


@contextmanager
def gateway(folder: Path, backend: str = "local", **more: Mapping[str, str]) -> Iterator[Server]:
    """This gateway, as an operator would start it; ``more``: lines of its sections, as LiveGateway takes them."""
    lines = more.get("gateway", {})
    with LiveGateway(folder, backend, **more) as live:  # type: ignore[arg-type]
        note = ", ".join(
            [
                "synced before it is answered",
                f"backend = {backend}",
                *(f"{name} = {value}" for name, value in lines.items()),
            ]
        )
        yield Server("txgateway", live.endpoint, live.access_key, live.secret_key, live.pid, note)


@contextmanager
def process(words: Sequence[str], port: int, log: Path, extra: Mapping[str, str] | None = None) -> Iterator[int]:
    """A peer's process, until it accepts connections; its pid."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "RCLONE_"))}
    with log.open("wb") as out:
        started = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env={**environment, **(extra or {})}
        )
    try:
        until = time.monotonic() + PATIENCE
        while not _listens(port):
            if started.poll() is not None or time.monotonic() > until:
                raise Missing(f"{words[0]} does not start: {log.read_text(errors='replace')[-300:]}")
            time.sleep(0.002)
        yield started.pid
    finally:
        started.terminate()
        try:
            started.wait(10)
        except subprocess.TimeoutExpired:
            started.kill()
            started.wait()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
