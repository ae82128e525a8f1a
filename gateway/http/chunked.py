"""``Transfer-Encoding: chunked`` taken apart (RFC 9112 section 7.1), more strictly than the RFC asks.

llhttp lets giant chunk sizes, long extensions and any trailer through and cannot stop at the end of a message, so
bodies are cut here. Trailer fields are checked and dropped: none is ever merged into the headers.
"""

from __future__ import annotations

import re

from gateway.errors import S3Error

SIZE_LINE = re.compile(rb"([0-9A-Fa-f]+)(?:;[\t\x20-\x7e\x80-\xff]*)?")
TRAILER_LINE = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[\t\x20-\x7e\x80-\xff]*")
LONGEST_LINE = 1024
MOST_TRAILER_BYTES = 16 * 1024

# Fields that frame, route or authenticate a message mean nothing after it (RFC 9110 section 6.5.1).
NEVER_TRAILERS = frozenset(
    b"authorization connection content-encoding content-length content-md5 content-range content-type cookie date"
    b" expect host keep-alive proxy-authorization te trailer transfer-encoding upgrade x-amz-content-sha256"
    b" x-amz-date x-amz-decoded-content-length x-amz-security-token".split()
)


class Chunked:
    """One chunked body, fed as it arrives.

    ``feed`` gives (the body's bytes, the bytes after its end); ``ended`` tells that the last trailer line was seen.
    Raises S3Error: BadRequest for broken framing, EntityTooLarge beyond ``most`` bytes.
    """

    __slots__ = ("_due", "_line", "_most", "_step", "_total", "_trailers", "ended")

    def __init__(self, most: int) -> None:
        self._most = most
        self._total = 0
        self._due = 0  # bytes of the current chunk that are still to come
        self._line = b""  # the start of a line whose end has not arrived
        self._step = self._size_line
        self._trailers = 0
        self.ended = False

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        pieces: list[bytes] = []
        at = 0
        while at < len(data) and not self.ended:
            if self._due:
                piece = data[at : at + self._due]
                pieces.append(piece)
                self._due -= len(piece)
                at += len(piece)
                continue
            end = data.find(b"\n", at)
            if end < 0:
                self._line += data[at:]
                at = len(data)
                self._limit_line(self._line)
                break
            line = self._line + data[at : end + 1]
            self._line = b""
            at = end + 1
            self._limit_line(line)
            if not line.endswith(b"\r\n"):
                raise S3Error("BadRequest", cause="A line of the chunked body does not end with CR LF.")
            self._step(line[:-2])
        return b"".join(pieces), data[at:]

    @staticmethod
    def _limit_line(line: bytes) -> None:
        if len(line) > LONGEST_LINE:
            raise S3Error("BadRequest", cause="A line of the chunked body's framing is too long.")

    def _size_line(self, line: bytes) -> None:
        match = SIZE_LINE.fullmatch(line)
        if match is None:
            raise S3Error("BadRequest", cause="A chunk size is not valid.")
        digits = match[1].lstrip(b"0")
        if len(digits) > 16 or (size := int(digits or b"0", 16)) > self._most - self._total:
            raise S3Error("EntityTooLarge")
        self._total += size
        self._due = size
        self._step = self._chunk_end if size else self._trailer_line

    def _chunk_end(self, line: bytes) -> None:
        if line:
            raise S3Error("BadRequest", cause="A chunk is longer than its size says.")
        self._step = self._size_line

    def _trailer_line(self, line: bytes) -> None:
        if not line:
            self.ended = True
            return
        self._trailers += len(line) + 2
        match = TRAILER_LINE.fullmatch(line)
        if match is None or self._trailers > MOST_TRAILER_BYTES:
            raise S3Error("BadRequest", cause="The trailer of the chunked body is not valid.")
        if match[1].lower() in NEVER_TRAILERS:
            raise S3Error("BadRequest", cause=f"The field {match[1].decode()} must not be sent as a trailer.")
