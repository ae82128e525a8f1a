"""One object goes up: in parts where it is large, its digests along with it, and no half upload left behind."""

from __future__ import annotations

import hashlib
import mimetypes
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, BinaryIO

from gateway.cli.client import S3Refused, Text
from gateway.cli.exits import Refused
from gateway.cli.objects import CHECKSUM, Objects
from gateway.cli.places import Place
from gateway.wire import checksums

MIB = 1 << 20
PART = 16 * MIB  # what is not larger goes in one request
MOST_PARTS = 10_000
PIPE_PART = 8 * MIB  # a pipe's part is kept in memory, so that it can be sent again
PIPE_LATER = 64 * MIB  # from the 1001st part on, so that a pipe may bring half a TiB
_CHUNK = 256 * 1024
_CRC = "CRC64NVME"

Moved = Callable[[int], None]
Crc = checksums.Digest


@dataclass(slots=True)
class Stretch:
    """A part of an open file as a body, read twice: for its digests, and to be sent."""

    file: BinaryIO
    start: int
    size: int
    moved: Moved
    sha256: str = ""
    crc: str = ""
    _sent: int = 0

    def measure(self, whole: Crc) -> None:
        """Compute both digests, and let ``whole`` see the bytes as well."""
        sha, crc = hashlib.sha256(), checksums.new(_CRC)
        for chunk in self._read():
            sha.update(chunk)
            crc.update(chunk)
            whole.update(chunk)
        self.sha256, self.crc = sha.hexdigest(), checksums.encode(crc.digest())

    def chunks(self) -> Iterator[bytes]:
        self.moved(-self._sent)  # sent before, in vain
        self._sent = 0
        for chunk in self._read():
            yield chunk
            self._sent += len(chunk)
            self.moved(len(chunk))

    def _read(self) -> Iterator[bytes]:
        self.file.seek(self.start)
        left = self.size
        while left:
            try:
                chunk = self.file.read(min(left, _CHUNK))
            except OSError as fault:  # not to be taken for one of the connection, which reads us
                raise Refused(f"{self.file.name}: {fault.strerror or fault}") from fault
            if not chunk:
                raise Refused(f"{self.file.name} got shorter while it was read")
            left -= len(chunk)
            yield chunk


def store(objects: Objects, place: Place, path: Path, moved: Moved, *, keep: bool) -> int | None:
    """Store a file; its size, or None where ``keep`` is set and there is such an object. Raises Refused."""
    try:
        with path.open("rb") as file:
            return _store_file(objects, place, file, moved, keep)
    except OSError as fault:
        raise Refused(f"{path}: {fault.strerror or fault}") from fault


def _store_file(objects: Objects, place: Place, file: BinaryIO, moved: Moved, keep: bool) -> int | None:
    size = os.fstat(file.fileno()).st_size
    if size <= PART:
        whole = Stretch(file, 0, size, moved)
        whole.measure(checksums.new(_CRC))
        return size if _put(objects, place, whole, keep) else None
    part = max(PART, -(-size // MOST_PARTS))

    def stretches(crc: Crc) -> Iterator[Stretch]:
        for start in range(0, size, part):
            piece = Stretch(file, start, min(part, size - start), moved)
            piece.measure(crc)
            yield piece

    return _store_parts(objects, place, stretches, keep)


def store_pipe(objects: Objects, place: Place, pipe: IO[bytes], moved: Moved, *, keep: bool) -> int | None:
    """Store what comes out of a pipe, whatever its length; memory holds one part."""
    first = _pull(pipe, PIPE_PART)
    if len(first) < PIPE_PART:
        whole = _Kept.of(first, checksums.new(_CRC), moved)
        return len(first) if _put(objects, place, whole, keep) else None

    def pieces(crc: Crc) -> Iterator[_Kept]:
        data, number = first, 1
        while data:
            if number > MOST_PARTS:
                raise Refused("more than S3 takes in parts of this size: write it to a file first")
            yield _Kept.of(data, crc, moved)
            number += 1
            data = b""  # not two parts at once
            data = _pull(pipe, PIPE_PART if number <= 1000 else PIPE_LATER)

    return _store_parts(objects, place, pieces, keep)


def _pull(pipe: IO[bytes], size: int) -> bytes:
    """``size`` bytes, or fewer at the end."""
    data = bytearray()
    while len(data) < size and (chunk := pipe.read(min(_CHUNK, size - len(data)))):
        data += chunk
    return bytes(data)


@dataclass(frozen=True, slots=True)
class _Kept(Text):
    """A part of a pipe, in memory."""

    crc: str = ""
    moved: Moved = print

    @classmethod
    def of(cls, data: bytes, whole: Crc, moved: Moved) -> _Kept:
        crc = checksums.new(_CRC)
        crc.update(data)
        whole.update(data)
        return cls(data, checksums.encode(crc.digest()), moved)

    def chunks(self) -> Iterator[bytes]:
        for start in range(0, len(self.data), _CHUNK):
            yield self.data[start : start + _CHUNK]
        self.moved(len(self.data))


Piece = Stretch | _Kept


def _put(objects: Objects, place: Place, body: Piece, keep: bool) -> bool:
    """Whether it was stored; with ``keep`` an object that is there stays as it is."""
    headers = {**_about(place), CHECKSUM: body.crc}
    if keep:
        headers["if-none-match"] = "*"
    try:
        objects.put(place.bucket, place.key, body, headers)
    except S3Refused as refusal:
        if keep and refusal.code == "PreconditionFailed":
            return False
        raise
    return True


def _store_parts(objects: Objects, place: Place, pieces: Callable[[Crc], Iterator[Piece]], keep: bool) -> int | None:
    """Store an object part by part; whatever ends it early ends the upload as well."""
    if keep and _there(objects, place):
        return None
    upload = objects.start_parts(place.bucket, place.key, _about(place))
    whole, parts, size = checksums.new(_CRC), [], 0
    try:
        for number, piece in enumerate(pieces(whole), 1):
            etag = objects.put_part(place.bucket, place.key, upload, number, piece, piece.crc)
            parts.append((etag, piece.crc))
            size += piece.size
        crc = checksums.encode(whole.digest())
        headers = {"if-none-match": "*"} if keep else {}
        objects.join_parts(place.bucket, place.key, upload, parts, crc, headers)
    except S3Refused as refusal:
        objects.abort(place.bucket, place.key, upload)
        if keep and refusal.code == "PreconditionFailed":
            return None
        raise
    except BaseException:
        objects.abort(place.bucket, place.key, upload)
        raise
    return size


def _there(objects: Objects, place: Place) -> bool:
    try:
        objects.exists(place.bucket, place.key)
    except S3Refused as refusal:
        if refusal.code == "NoSuchKey":
            return False
        raise
    return True


def _about(place: Place) -> dict[str, str]:
    """The type that a browser wants to know."""
    kind, encoding = mimetypes.guess_type(place.key)
    return {"content-type": kind if kind and not encoding else "application/octet-stream"}
