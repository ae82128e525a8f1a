"""Bodies flow: 1 GiB up, down, and down to a reader that pauses, within 32 MiB above the idle server."""

from __future__ import annotations

import hashlib
import http.client
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

MIB = 1024 * 1024
SIZE = 1024 * MIB
ROOM = 32 * MIB
BLOCK = bytes(range(256)) * 4096  # 1 MiB


class Memory:
    """What a process holds, as the kernel counts it (proc(5): VmRSS, VmHWM, clear_refs)."""

    def __init__(self, pid: int) -> None:
        self._folder = Path(f"/proc/{pid}")

    def _field(self, name: str) -> int:
        for line in (self._folder / "status").read_text().splitlines():
            if line.startswith(name + ":"):
                return int(line.split()[1]) * 1024
        raise LookupError(name)

    def now(self) -> int:
        return self._field("VmRSS")

    def peak(self) -> int:
        return self._field("VmHWM")

    def forget_peak(self) -> None:
        (self._folder / "clear_refs").write_text("5")


@pytest.fixture
def memory(site: Any) -> Memory:
    if not site.pid:
        pytest.skip("this server's process is not ours to measure")
    return Memory(site.pid)


def connect(site: Any) -> http.client.HTTPConnection:
    place = urlsplit(site.endpoint)
    return http.client.HTTPConnection(str(place.hostname), place.port, timeout=120)


def blocks() -> Iterator[bytes]:
    for _ in range(SIZE // MIB):
        yield BLOCK


def upload(site: Any, raw: Any, target: str) -> None:
    headers = raw.sign("PUT", target, {"Host": site.authority}, b"", "UNSIGNED-PAYLOAD")
    connection = connect(site)
    connection.request("PUT", target, body=blocks(), headers={**headers, "Content-Length": str(SIZE)})
    reply = connection.getresponse()
    assert (reply.status, reply.read()) == (200, b"")
    connection.close()


@pytest.mark.parametrize("site", ["local"], indirect=True, scope="session")  # memory keeps the bytes itself
def test_a_gib_up_and_down_and_to_a_paused_reader(site: Any, raw: Any, bucket: str, memory: Memory) -> None:
    target = f"/{bucket}/gib"
    for _ in range(3):  # the first calls import and cache; they are part of an idle server
        raw("PUT", f"/{bucket}/small", body=b"x" * 100_000)
        raw("GET", f"/{bucket}/small")
    idle = memory.now()

    memory.forget_peak()
    upload(site, raw, target)
    assert memory.peak() - idle <= ROOM, "upload"

    memory.forget_peak()
    seen, digest = download(site, raw, target)
    assert memory.peak() - idle <= ROOM, "download"
    whole = hashlib.md5()
    for block in blocks():
        whole.update(block)
    assert (seen, digest) == (SIZE, whole.hexdigest())

    memory.forget_peak()
    paused(site, raw, target)
    assert memory.peak() - idle <= ROOM, "paused reader"
    assert raw("DELETE", target).status == 204


def download(site: Any, raw: Any, target: str) -> tuple[int, str]:
    connection = connect(site)
    connection.request("GET", target, headers=raw.sign("GET", target, {"Host": site.authority}, b""))
    reply = connection.getresponse()
    digest, seen = hashlib.md5(), 0
    while chunk := reply.read(MIB):
        digest.update(chunk)
        seen += len(chunk)
    connection.close()
    return seen, digest.hexdigest()


def paused(site: Any, raw: Any, target: str) -> None:
    """Read a little, then nothing for a while, then leave."""
    connection = connect(site)
    connection.request("GET", target, headers=raw.sign("GET", target, {"Host": site.authority}, b""))
    assert connection.sock is not None
    connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
    reply = connection.getresponse()
    assert len(reply.read(MIB)) == MIB
    time.sleep(5)
    assert len(reply.read(MIB)) == MIB
    connection.close()
