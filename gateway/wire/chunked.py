"""Take an aws-chunked body apart: bytes in, payload bytes out, every chunk's and the trailers' signature checked.

Sans-IO. Source: "Signature Calculations for the Authorization Header: Transferring Payload in Multiple Chunks" and
"... Including Trailing Headers (Chunked Upload)", S3 API Reference:

    hex-size[;chunk-signature=64 hex]\\r\\n  bytes\\r\\n  ...  0[;chunk-signature=...]\\r\\n
    [name:value\\r\\n ...  x-amz-trailer-signature:64 hex\\r\\n]  \\r\\n
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from enum import Enum, auto
from types import MappingProxyType

from gateway.errors import S3Error
from gateway.wire.claim import ChunkChain, Payload
from gateway.wire.signature_v4 import same, sign

LONGEST_LINE = 16 * 1024  # bytes of one chunk header, or of all trailers together
SMALLEST_CHUNK = 8192  # bytes, for every chunk but the last

_EMPTY_SHA256 = hashlib.sha256().hexdigest()
_UNSIGNED_HEAD = re.compile(rb"([0-9a-fA-F]{1,16})\r\n")
_SIGNED_HEAD = re.compile(rb"([0-9a-fA-F]{1,16});chunk-signature=([!-:<-~]{1,128})\r\n")  # right or wrong
_SIGNATURE = "x-amz-trailer-signature"
_WINDOW = 256  # a line is looked for in steps of this


class _At(Enum):
    HEAD = auto()  # in front of or inside a chunk's header
    DATA = auto()
    AFTER_DATA = auto()  # at the line end behind a chunk's bytes
    TRAILERS = auto()
    END = auto()


class Decoder:
    """Feed it the raw body; it gives the payload's bytes as they come.

    The bytes of a signed chunk come out before its signature is known: hold back the last of them until
    ``finished`` is True. ``trailers`` (lower-case name -> value, without the signature) is whole by then.
    """

    def __init__(self, payload: Payload) -> None:
        self._payload = payload
        self._chain = payload.chain
        self._previous = payload.chain.seed if payload.chain else ""
        self._at = _At.HEAD
        self._line = bytearray()
        self._left = 0  # bytes of the chunk under way that are still to come
        self._chunk = 0  # number of the chunk under way, from 1
        self._last_size: int | None = None
        self._given = 0
        self._signature = ""
        self._sha256 = hashlib.sha256()
        self._trailer_room = LONGEST_LINE
        self._trailers: dict[str, str] = {}

    @property
    def finished(self) -> bool:
        """The last chunk, the trailers and all signatures came and were right."""
        return self._at is _At.END

    @property
    def trailers(self) -> Mapping[str, str]:
        return MappingProxyType(self._trailers)

    def feed(self, data: bytes | memoryview) -> list[bytes]:
        """The payload bytes in the next stretch of the raw body.

        Raises SignatureDoesNotMatch, IncompleteBody (broken framing, other length than promised),
        InvalidChunkSizeError, MalformedTrailerError; after that the decoder is of no more use.
        """
        pieces: list[bytes] = []
        view = memoryview(data)
        at, end = 0, len(view)
        while at < end:
            if self._at is _At.DATA:
                stop = min(end, at + self._left)
                piece = bytes(data) if stop - at == end else bytes(view[at:stop])
                self._take(piece)
                pieces.append(piece)
                at = stop
            elif self._at is _At.END:
                if bytes(view[at:]).strip(b"\r\n"):
                    raise _broken("bytes after the end")
                at = end  # some clients end with empty lines to spare; RFC 9112 section 2.2 passes over them too
            else:
                at = self._read_line(view, at)
        return pieces

    def finish(self) -> None:
        """The raw body is over. Raises IncompleteBody unless it ended where it should."""
        if not self.finished:
            raise _broken("the body ended early")

    def _take(self, piece: bytes) -> None:
        if self._chain:
            self._sha256.update(piece)
        self._left -= len(piece)
        self._given += len(piece)
        if not self._left:
            self._check_chunk(self._sha256.hexdigest())
            self._at = _At.AFTER_DATA

    def _read_line(self, view: memoryview, at: int) -> int:
        """Add to the line under way, and act on it once it is whole; answers where to go on."""
        window = bytes(view[at : at + _WINDOW])
        stop = window.find(b"\n") + 1 or len(window)
        self._line += window[:stop]
        if self._line.endswith(b"\r\n"):
            line = bytes(self._line)
            self._line.clear()
            self._act(line)
        elif len(self._line) >= LONGEST_LINE:
            raise _broken("a line that is too long")
        return at + stop

    def _act(self, line: bytes) -> None:
        if self._at is _At.HEAD:
            self._begin_chunk(line)
        elif self._at is _At.AFTER_DATA:
            if line != b"\r\n":
                raise _broken("no line end behind a chunk")
            self._at = _At.HEAD
        elif line == b"\r\n":
            self._check_trailers()
            self._at = _At.END
        else:
            self._add_trailer(line)

    def _begin_chunk(self, line: bytes) -> None:
        found = (_SIGNED_HEAD if self._chain else _UNSIGNED_HEAD).fullmatch(line)
        if found is None:
            raise _broken("a chunk header that cannot be read")
        size = int(found[1], 16)
        if size and self._last_size is not None and self._last_size < SMALLEST_CHUNK:
            fields = {"Chunk": str(self._chunk), "BadChunkSize": str(self._last_size)}
            raise S3Error("InvalidChunkSizeError", fields=fields)
        promised = self._payload.decoded_length
        if promised is not None and (self._given + size > promised or (not size and self._given != promised)):
            raise too_few(promised, self._given + size)
        self._chunk += 1
        self._last_size = self._left = size
        if self._chain:
            self._signature = found[2].decode("ascii")
            self._sha256 = hashlib.sha256()
        if size:
            self._at = _At.DATA
        else:
            self._check_chunk(_EMPTY_SHA256)
            self._at = _At.TRAILERS

    def _check_chunk(self, digest: str) -> None:
        if self._chain:
            self._check(self._chain, "AWS4-HMAC-SHA256-PAYLOAD", f"{_EMPTY_SHA256}\n{digest}", self._signature)

    def _check(self, chain: ChunkChain, algorithm: str, digests: str, given: str) -> None:
        """One link of the chain: it covers the one before."""
        text = f"{algorithm}\n{chain.stamp}\n{chain.scope}\n{self._previous}\n{digests}"
        if not same(sign(chain.key, text), given):
            raise S3Error(
                "SignatureDoesNotMatch",
                fields={
                    "AWSAccessKeyId": chain.access_key,
                    "StringToSign": text,
                    "SignatureProvided": given,
                    "StringToSignBytes": text.encode("ascii").hex(" "),
                },
                cause=f"body: chunk {self._chunk} or its signature was changed on the way ({algorithm})",
            )
        self._previous = given

    def _add_trailer(self, line: bytes) -> None:
        self._trailer_room -= len(line)
        if not self._payload.trailers and not self._payload.trailer_signed and self._chain:
            raise _broken("a trailer where none can come")
        name, colon, value = line.decode("utf-8", "replace").partition(":")
        name = name.strip(" \t").lower()
        announced = name in self._payload.trailers or (self._payload.trailer_signed and name == _SIGNATURE)
        # The signature covers what came before it: nothing may follow.
        late = _SIGNATURE in self._trailers
        if not colon or not announced or name in self._trailers or late or self._trailer_room < 0:
            raise S3Error("MalformedTrailerError", cause=f"trailer {name[:80]!r}")
        # minio-go ends its trailers with "\n\r\n", as the example in S3's documentation does.
        self._trailers[name] = value.strip(" \t\r\n")

    def _check_trailers(self) -> None:
        if any(name not in self._trailers for name in self._payload.trailers):
            raise S3Error("MalformedTrailerError", cause="an announced trailer did not come")
        if not self._payload.trailer_signed:
            return
        if _SIGNATURE not in self._trailers:
            raise _broken("the trailers are not signed")
        given = self._trailers.pop(_SIGNATURE)
        lines = "".join([f"{name}:{self._trailers[name]}\n" for name in sorted(self._trailers)])
        if self._chain:
            digest = hashlib.sha256(lines.encode()).hexdigest()
            self._check(self._chain, "AWS4-HMAC-SHA256-TRAILER", digest, given)


def _broken(why: str) -> S3Error:
    return S3Error("IncompleteBody", "The request body terminated unexpectedly", cause=f"aws-chunked: {why}")


def too_few(expected: int, provided: int) -> S3Error:
    """S3's answer to a body of other than the announced size; or too many."""
    fields = {"NumberBytesExpected": str(expected), "NumberBytesProvided": str(provided)}
    return S3Error("IncompleteBody", fields=fields, cause=f"{expected} bytes were announced, {provided} came")
