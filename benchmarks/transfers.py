"""Large bodies over bare sockets: the kernel does the client's work (sendfile out, one buffer in)."""

from __future__ import annotations

import http.client
import os
import socket
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

MIB = 1 << 20


class Refused(Exception):
    """The server did not answer with success. ``status`` is 0 where it did not answer at all."""

    def __init__(self, text: str, status: int = 0) -> None:
        super().__init__(text)
        self.status = status


def put(endpoint: str, target: str, file: Path, headers: Sequence[tuple[str, str]] = ()) -> None:
    """One PUT of a file."""
    place = urlsplit(endpoint)
    size = file.stat().st_size
    lines = [f"PUT {target} HTTP/1.1", f"Host: {place.netloc}", f"Content-Length: {size}"]
    lines += [f"{name}: {value}" for name, value in headers]
    with socket.create_connection((place.hostname, place.port), timeout=120) as line, file.open("rb") as body:
        line.sendall("\r\n".join([*lines, "", ""]).encode())
        with suppress(ConnectionError):  # a server that refuses may answer before it took the whole body
            line.sendfile(body)
        reply = http.client.HTTPResponse(line, method="PUT")
        reply.begin()
        said = reply.read()
        reply.close()
        if reply.status not in (200, 201):
            raise Refused(f"PUT: {reply.status} {said[:300]!r}", reply.status)


def get(endpoint: str, target: str, size: int, headers: Sequence[tuple[str, str]] = ()) -> None:
    """One GET; the bytes are counted and dropped."""
    place = urlsplit(endpoint)
    lines = [f"GET {target} HTTP/1.1", f"Host: {place.netloc}", *(f"{name}: {value}" for name, value in headers)]
    with socket.create_connection((place.hostname, place.port), timeout=120) as line:
        line.sendall("\r\n".join([*lines, "", ""]).encode())
        reply = http.client.HTTPResponse(line, method="GET")
        reply.begin()
        if reply.status != 200:
            raise Refused(f"GET: {reply.status} {reply.read()[:300]!r}", reply.status)
        buffer, got = bytearray(MIB), 0
        while count := reply.readinto(buffer):
            got += count
        reply.close()
        if got != size:
            raise Refused(f"GET gave {got} bytes instead of {size}")


def at_once(jobs: Sequence[Callable[[], object]]) -> float:
    """Run all jobs side by side; the seconds until the last is done. Raises what the first failed with."""
    failed: list[BaseException] = []

    def run(job: Callable[[], object]) -> None:
        try:
            job()
        except BaseException as fault:
            failed.append(fault)

    threads = [threading.Thread(target=run, args=(job,)) for job in jobs]
    begun = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took = time.monotonic() - begun
    if failed:
        raise failed[0]
    return took


def random_file(folder: Path, size: int) -> Path:
    """A file whose bytes do not compress."""
    file = folder / f"random-{size}"
    if not file.exists():
        with file.open("wb") as out:
            for _ in range(size // MIB):
                out.write(os.urandom(MIB))
            out.write(os.urandom(size % MIB))
    return file
