"""One object comes down: checked against the digest that it was stored with, and never half a file left behind."""

from __future__ import annotations

import http.client
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from gateway.cli.exits import Refused, Unreachable
from gateway.cli.objects import Objects
from gateway.cli.places import Place
from gateway.wire import checksums

_CHUNK = 256 * 1024

Moved = Callable[[int], None]


def fetch(objects: Objects, place: Place, wanted: Path, moved: Moved) -> int:
    """Fetch an object into a file, which is there whole or not at all; its size. Raises Refused."""
    part = ""
    try:
        descriptor, part = tempfile.mkstemp(prefix=f".{wanted.name[:200]}.", dir=wanted.parent)
        with os.fdopen(descriptor, "wb") as file:
            size = pour(objects, place, file, moved)
            os.fchmod(descriptor, 0o666 & ~_umask())
        os.replace(part, wanted)
    except BaseException as fault:
        if part:
            Path(part).unlink(missing_ok=True)
        if isinstance(fault, OSError):
            raise Refused(f"{wanted}: {fault.strerror or fault}") from fault
        raise
    return size


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def pour(objects: Objects, place: Place, file: IO[bytes], moved: Moved) -> int:
    """Fetch an object into an open file and check what arrived; its size. OSError is the file's."""
    reply = objects.get(place.bucket, place.key)
    expected, size = reply.length, 0
    check = _Check(reply.headers)
    try:
        for chunk in _received(reply, objects.client.target.url):
            check.update(chunk)
            file.write(chunk)
            size += len(chunk)
            moved(len(chunk))
        file.flush()
    except BaseException:
        objects.client.close()
        raise
    if expected is not None and size != expected:
        objects.client.close()
        raise Unreachable(f"{objects.client.target.url} stopped after {size} of {expected} bytes")
    check.compare(place)
    return size


def _received(reply: http.client.HTTPResponse, url: str) -> Iterator[bytes]:
    while True:
        try:
            chunk = reply.read(_CHUNK)
        except (OSError, http.client.HTTPException) as fault:
            raise Unreachable(f"{url} stopped in the middle: {fault}") from fault
        if not chunk:
            return
        yield chunk


class _Check:
    """The digest of a whole object that its reply tells: a checksum, else an ETag that is an MD5, else none."""

    def __init__(self, headers: http.client.HTTPMessage) -> None:
        self._digest: checksums.Digest | None = None
        self._name, self._wanted = "", ""
        etag = (headers.get("ETag") or "").strip('"')
        for name in checksums.ALGORITHMS:
            value = headers.get(checksums.header_name(name))
            if value and "-" not in value:  # "-N": a digest of N digests, not of the bytes
                self._start(name, value)
                return
        plain = not headers.get("x-amz-server-side-encryption")
        if plain and len(etag) == 32 and set(etag) <= set("0123456789abcdef"):
            self._start("MD5", etag)

    def _start(self, name: str, wanted: str) -> None:
        self._name, self._wanted, self._digest = name, wanted, checksums.new(name)

    def update(self, data: bytes) -> None:
        if self._digest is not None:
            self._digest.update(data)

    def compare(self, place: Place) -> None:
        """Raises Refused where something else arrived than was stored."""
        if self._digest is None:
            return
        digest = self._digest.digest()
        seen = digest.hex() if self._name == "MD5" else checksums.encode(digest)
        if seen != self._wanted:
            raise Refused(f"{place} arrived damaged: its {self._name} is {seen}, {self._wanted} was stored")
