"""Digests that clients send and S3 keeps: Content-MD5, the x-amz-checksum family, block CRCs.

Source: "Checking object integrity in Amazon S3" (user guide) and the PutObject, CreateMultipartUpload and
CompleteMultipartUpload pages of the API Reference. Digests are raw big-endian bytes here, base64 text on the wire.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from awscrt import checksums as crt

from gateway.errors import S3Error

SIZES: Mapping[str, int] = {
    "CRC32": 4,
    "CRC32C": 4,
    "CRC64NVME": 8,
    "MD5": 16,
    "SHA1": 20,
    "SHA256": 32,
    "SHA512": 64,
    "XXHASH128": 16,
    "XXHASH3": 8,
    "XXHASH64": 8,
}
ALGORITHMS = tuple(SIZES)
FULL_OBJECT = "FULL_OBJECT"
COMPOSITE = "COMPOSITE"
BLOCK = 1 << 20

_PREFIX = "x-amz-checksum-"
_HEADERS = {_PREFIX + name.lower(): name for name in ALGORITHMS}
_NOT_VALUES = (_PREFIX + "algorithm", _PREFIX + "type", _PREFIX + "mode")
_BASE64 = re.compile(r"[A-Za-z0-9+/]*={0,2}", re.ASCII)
_COMPOSITE_TEXT = re.compile(r"(.*)-([1-9]\d{0,4})", re.ASCII)
_SINGLE = "Expecting a single x-amz-checksum- header"


class Digest(Protocol):
    """Takes bytes and gives their digest."""

    def update(self, data: bytes | memoryview, /) -> None: ...

    def digest(self) -> bytes: ...


class _Crc:
    """A CRC as a digest: ``step(data, previous) -> int``."""

    __slots__ = ("_size", "_step", "_value")

    def __init__(self, step: Callable[[bytes | memoryview, int], int], size: int) -> None:
        self._step = step
        self._size = size
        self._value = 0

    def update(self, data: bytes | memoryview, /) -> None:
        self._value = self._step(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(self._size, "big")


class _XxHash:
    """An XXHash as a digest: its canonical, big-endian form."""

    __slots__ = ("_hash",)

    def __init__(self, new: Callable[[], crt.XXHash]) -> None:
        self._hash = new()

    def update(self, data: bytes | memoryview, /) -> None:
        self._hash.update(bytes(data))  # awscrt takes no memoryview here

    def digest(self) -> bytes:
        return bytes(self._hash.finalize())


_MAKERS: Mapping[str, Callable[[], Digest]] = {
    "MD5": lambda: hashlib.md5(usedforsecurity=False),
    "SHA1": lambda: hashlib.sha1(usedforsecurity=False),
    "SHA256": hashlib.sha256,
    "SHA512": hashlib.sha512,
    "XXHASH128": lambda: _XxHash(crt.XXHash.new_xxhash3_128),
    "XXHASH3": lambda: _XxHash(crt.XXHash.new_xxhash3_64),
    "XXHASH64": lambda: _XxHash(crt.XXHash.new_xxhash64),
    "CRC32": lambda: _Crc(zlib.crc32, 4),
    "CRC32C": lambda: _Crc(crt.crc32c, 4),
    "CRC64NVME": lambda: _Crc(crt.crc64nvme, 8),
}
_COMBINERS: Mapping[str, Callable[[int, int, int], int]] = {
    "CRC32": crt.combine_crc32,
    "CRC32C": crt.combine_crc32c,
    "CRC64NVME": crt.combine_crc64nvme,
}


def new(algorithm: str) -> Digest:
    """An empty digest of one of ALGORITHMS; KeyError for any other name."""
    return _MAKERS[algorithm]()


def header_name(algorithm: str) -> str:
    """``x-amz-checksum-crc32`` for CRC32."""
    return _PREFIX + algorithm.lower()


def encode(digest: bytes) -> str:
    """Base64 as S3 writes it."""
    return base64.b64encode(digest).decode("ascii")


def decode(text: str, size: int) -> bytes | None:
    """``size`` bytes of strict base64 (alphabet, padding, no stray bits), else None."""
    if not _BASE64.fullmatch(text):
        return None
    try:
        data = base64.b64decode(text, validate=True)
    except binascii.Error:
        return None
    return data if len(data) == size and encode(data) == text else None


# ---------------------------------------------------------------- what a request promises about its body


@dataclass(frozen=True, slots=True)
class Expected:
    """What the client promises about the body it sends.

    ``md5``: of Content-MD5. ``algorithm``: the checksum it chose ("" for none); its ``value`` came with the headers,
    or comes in the trailer named ``trailer``.
    """

    md5: bytes | None = None
    algorithm: str = ""
    value: bytes | None = None
    trailer: str = ""

    @property
    def algorithms(self) -> tuple[str, ...]:
        """The digests that must be computed while the body passes."""
        return (("MD5",) if self.md5 is not None else ()) + ((self.algorithm,) if self.algorithm else ())

    def prove(self, digests: Mapping[str, bytes], trailers: Mapping[str, str]) -> None:
        """Compare the promises with the digests of the body (algorithm -> raw digest).

        Raises BadDigest, InvalidRequest for a trailer that is no checksum, MalformedTrailerError for a missing one.
        """
        if self.md5 is not None and digests["MD5"] != self.md5:
            raise S3Error(
                "BadDigest",
                "The Content-MD5 you specified did not match what we received.",
                fields={"ExpectedDigest": self.md5.hex(), "CalculatedDigest": encode(digests["MD5"])},
            )
        if not self.algorithm:
            return
        value = self.value
        if self.trailer:
            if self.trailer not in trailers:
                raise S3Error("MalformedTrailerError")
            value = decode(trailers[self.trailer], SIZES[self.algorithm])
            if value is None:
                raise S3Error("InvalidRequest", f"Value for {self.trailer} trailing header is invalid.")
        if digests[self.algorithm] != value:
            raise mismatch(self.algorithm)


def mismatch(algorithm: str) -> S3Error:
    """S3's answer to a checksum that is not the body's."""
    return S3Error("BadDigest", f"The {algorithm} you specified did not match the calculated checksum.")


def requested(headers: Mapping[str, str]) -> Expected:
    """The promises of a request that carries a body (PutObject, UploadPart, DeleteObjects, every XML body).

    Raises InvalidDigest for a broken Content-MD5, InvalidRequest for anything wrong with the checksum headers.
    """
    md5 = _content_md5(headers)
    given = _checksum_headers(headers)
    announced = _trailer_checksums(headers)
    if len(given) + len(announced) > 1:
        raise S3Error("InvalidRequest", _SINGLE)
    expected = Expected(md5=md5)
    for name in given:
        algorithm = _HEADERS[name]
        value = decode(headers[name], SIZES[algorithm])
        if value is None:
            raise S3Error("InvalidRequest", f"Value for {name} header is invalid.")
        expected = Expected(md5, algorithm, value)
    for name in announced:
        expected = Expected(md5, _HEADERS[name], None, name)
    _agrees_with_sdk(headers, expected.algorithm)
    return expected


def _content_md5(headers: Mapping[str, str]) -> bytes | None:
    text = headers.get("content-md5")
    if text is None:
        return None
    digest = decode(text, 16)
    if digest is None:
        raise S3Error("InvalidDigest", "The Content-MD5 you specified was invalid.", fields={"Content-MD5": text})
    return digest


def _checksum_headers(headers: Mapping[str, str]) -> list[str]:
    """The names of the headers that carry a checksum: none or one."""
    given = [name for name in headers if name.startswith(_PREFIX) and name not in _NOT_VALUES]
    if not all(name in _HEADERS for name in given):
        raise S3Error("InvalidRequest", "The algorithm type you specified in x-amz-checksum- header is invalid.")
    if len(given) > 1:
        raise S3Error("InvalidRequest", f"{_SINGLE}. Multiple checksum Types are not allowed.")
    return given


def trailer_names(headers: Mapping[str, str]) -> tuple[str, ...]:
    """The names that x-amz-trailer announces, in lower case."""
    text = headers.get("x-amz-trailer", "")
    return tuple(name for name in (piece.strip().lower() for piece in text.split(",")) if name)


def _trailer_checksums(headers: Mapping[str, str]) -> tuple[str, ...]:
    names = trailer_names(headers)
    if not all(name in _HEADERS for name in names):
        raise S3Error("InvalidRequest", "The value specified in the x-amz-trailer header is not supported")
    if len(names) > 1:
        raise S3Error("InvalidRequest", f"{_SINGLE}. Multiple checksum Types are not allowed.")
    return names


def _agrees_with_sdk(headers: Mapping[str, str], algorithm: str) -> None:
    named = headers.get("x-amz-sdk-checksum-algorithm", "")
    if not named:
        return
    if named.upper() not in SIZES or (algorithm and named.upper() != algorithm):
        raise S3Error("InvalidRequest", "Value for x-amz-sdk-checksum-algorithm header is invalid.")
    if not algorithm:
        raise S3Error(
            "InvalidRequest",
            "x-amz-sdk-checksum-algorithm specified, but no corresponding x-amz-checksum-* or x-amz-trailer "
            "headers were found.",
        )


# ---------------------------------------------------------------- multipart


def multipart_kind(headers: Mapping[str, str]) -> tuple[str, str]:
    """The (algorithm, type) that CreateMultipartUpload asks for, ("", "") for none. Raises InvalidRequest."""
    algorithm = headers.get("x-amz-checksum-algorithm", "").upper()
    kind = headers.get("x-amz-checksum-type", "").upper()
    if algorithm and algorithm not in SIZES:
        raise S3Error(
            "InvalidRequest",
            "Checksum algorithm provided is unsupported. Please try again with any of the valid types: "
            f"[{', '.join(ALGORITHMS)}]",
        )
    if kind not in ("", FULL_OBJECT, COMPOSITE):
        raise S3Error("InvalidRequest", "Value for x-amz-checksum-type header is invalid.")
    if not algorithm:
        if kind:
            raise S3Error(
                "InvalidRequest",
                "The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header.",
            )
        return "", ""
    kind = kind or (FULL_OBJECT if algorithm == "CRC64NVME" else COMPOSITE)
    if (kind == FULL_OBJECT and algorithm not in _COMBINERS) or (kind == COMPOSITE and algorithm == "CRC64NVME"):
        raise S3Error(
            "InvalidRequest",
            f"The {kind} checksum type cannot be used with the {algorithm.lower()} checksum algorithm.",
        )
    return algorithm, kind


def declared_object(headers: Mapping[str, str]) -> tuple[str, str] | None:
    """The (algorithm, base64 text) that CompleteMultipartUpload declares for the whole object, None for none.

    The text may end in ``-N``, the number of parts of a composite checksum. Raises InvalidRequest.
    """
    given = _checksum_headers(headers)
    if not given:
        return None
    name = given[0]
    algorithm, text = _HEADERS[name], headers[name]
    composite = _COMPOSITE_TEXT.fullmatch(text)
    if decode(composite[1] if composite else text, SIZES[algorithm]) is None:
        raise S3Error("InvalidRequest", f"Value for {name} header is invalid.")
    return algorithm, text


def composite(algorithm: str, parts: Sequence[bytes]) -> str:
    """The checksum of the parts' checksums, as S3 writes it: ``base64-N``."""
    whole = new(algorithm)
    for part in parts:
        whole.update(part)
    return f"{encode(whole.digest())}-{len(parts)}"


def full_object(algorithm: str, parts: Iterable[tuple[bytes, int]]) -> bytes:
    """The CRC of the whole from (CRC, size in bytes) of its parts; KeyError for an algorithm that is no CRC."""
    combine = _COMBINERS[algorithm]
    value = 0
    for digest, size in parts:
        value = combine(value, int.from_bytes(digest, "big"), size)
    return value.to_bytes(SIZES[algorithm], "big")


# ---------------------------------------------------------------- the gateway's own block CRCs


class BlockCrcs:
    """One big-endian CRC32C (4 bytes) for each started MiB of what it is given."""

    __slots__ = ("_crc", "_done", "_filled")

    def __init__(self) -> None:
        self._done = bytearray()
        self._crc = 0
        self._filled = 0

    def update(self, data: bytes | memoryview, /) -> None:
        view = memoryview(data)
        while len(view):
            piece = view[: BLOCK - self._filled]
            self._crc = crt.crc32c(piece, self._crc)
            self._filled += len(piece)
            view = view[len(piece) :]
            if self._filled == BLOCK:
                self._done += self._crc.to_bytes(4, "big")
                self._crc = self._filled = 0

    def crcs(self) -> bytes:
        """The CRCs so far, the block under way included."""
        tail = self._crc.to_bytes(4, "big") if self._filled else b""
        return bytes(self._done) + tail
