"""The chunked decoder alone: any cut of the input gives the same, and nothing but S3Error comes out."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.errors import S3Error
from gateway.http.chunked import Chunked

MOST = 1 << 20


def decode(data: bytes, cuts: list[int]) -> tuple[bytes, bytes, bool]:
    """Body, rest and whether the end was seen, of ``data`` fed in pieces cut at ``cuts``."""
    decoder = Chunked(MOST)
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    body, rest = b"", b""
    for start, stop in pairwise(edges):
        if decoder.ended:
            rest += data[start:stop]
        else:
            piece, rest = decoder.feed(data[start:stop])
            body += piece
    return body, rest, decoder.ended


chunks = st.lists(st.binary(min_size=1, max_size=200), max_size=8)
extensions = st.sampled_from([b"", b";a", b";a=b", b';a="b c"'])
trailers = st.lists(st.sampled_from([b"x-amz-checksum-crc32: AAAAAA==", b"a:", b"b:c"]), max_size=3)


@settings(deadline=None)  # the machine is noisy
@given(chunks, extensions, trailers, st.binary(max_size=50), st.lists(st.integers(0, 10_000), max_size=20))
def test_any_cut_gives_the_same(
    pieces: list[bytes], extension: bytes, fields: list[bytes], after: bytes, cuts: list[int]
) -> None:
    framed = b"".join(b"%x%b\r\n%b\r\n" % (len(piece), extension, piece) for piece in pieces)
    framed += b"0%b\r\n%b\r\n" % (extension, b"".join(field + b"\r\n" for field in fields))
    assert decode(framed + after, cuts) == (b"".join(pieces), after, True)


@given(chunks, st.data(), st.lists(st.integers(0, 10_000), max_size=5))
@settings(max_examples=300, deadline=None)
def test_one_changed_byte_of_framing_never_changes_the_body_silently(
    pieces: list[bytes], data: st.DataObject, cuts: list[int]
) -> None:
    """It is refused, or waits for more, or gives the very same body (another case of a digit, an odd trailer)."""
    parts = [(b"%x\r\n" % len(piece), piece, b"\r\n") for piece in pieces] + [(b"0\r\n", b"", b"\r\n")]
    number = data.draw(st.integers(0, len(parts) - 1))
    side = data.draw(st.sampled_from([0, 2]))
    line = bytearray(parts[number][side])
    line[data.draw(st.integers(0, len(line) - 1))] = data.draw(st.sampled_from(b"\r\n\0 ;-+_xghGX"))
    parts[number] = (
        (bytes(line), parts[number][1], parts[number][2]) if side == 0 else (*parts[number][:2], bytes(line))
    )
    try:
        body, _, ended = decode(b"".join(map(b"".join, parts)), cuts)
    except S3Error as error:
        assert error.code in ("BadRequest", "EntityTooLarge")
    else:
        assert not ended or body == b"".join(pieces)


@settings(deadline=None)
@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=5))
@example(b"0\r\n\r\n", [])
@example(b"ffffffffffffffff\r\n", [])
def test_arbitrary_bytes_raise_nothing_else(data: bytes, cuts: list[int]) -> None:
    try:
        body, rest, _ = decode(data, cuts)
    except S3Error as error:
        assert error.code in ("BadRequest", "EntityTooLarge")
    else:
        assert len(body) + len(rest) <= len(data)


def test_a_mebibyte_of_tiny_chunks_comes_as_one_piece() -> None:
    """One object per byte would cost sixty times the memory of the body."""
    decoder = Chunked(MOST)
    assert decoder.feed(b"1\r\nx\r\n" * 10_000) == (b"x" * 10_000, b"")


@pytest.mark.parametrize("sizes", [[MOST + 1], [MOST, 1]])
def test_more_than_the_greatest_size_is_refused_at_the_size_line(sizes: list[int]) -> None:
    decoder = Chunked(MOST)
    with pytest.raises(S3Error) as caught:
        for size in sizes:
            decoder.feed(b"%x\r\n" % size)
            decoder.feed(b"x" * size + b"\r\n")
    assert caught.value.code == "EntityTooLarge"


@pytest.mark.parametrize("line", [b"4;x=" + b"y" * 2000, b"0\r\nx-a: " + b"y" * 2000, b"0" * 2000])
def test_a_line_without_end_is_not_kept(line: bytes) -> None:
    decoder = Chunked(MOST)
    with pytest.raises(S3Error) as caught:
        for at in range(0, len(line), 100):
            decoder.feed(line[at : at + 100])
    assert caught.value.code == "BadRequest"
