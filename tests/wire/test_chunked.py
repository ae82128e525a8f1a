"""aws-chunked bodies: AWS's published examples, every split, every change (rows T53 to T59)."""

from __future__ import annotations

import hashlib
import io
import random
from dataclasses import replace
from typing import Any

import pytest
from botocore.httpchecksum import AwsChunkedWrapper, CrtCrc32Checksum
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.errors import S3Error
from gateway.wire.chunked import LONGEST_LINE, Decoder
from gateway.wire.claim import Payload

Oracle = Any  # tests/wire/conftest.py

SIGNED = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
SIGNED_TRAILER = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
UNSIGNED_TRAILER = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
KIB_65 = b"a" * 66560


def read(payload: Payload, *stretches: bytes) -> bytes:
    decoder = Decoder(payload)
    pieces = [piece for stretch in stretches for piece in decoder.feed(stretch)]
    decoder.finish()
    assert decoder.finished
    return b"".join(pieces)


def refusal(payload: Payload, *stretches: bytes) -> S3Error:
    with pytest.raises(S3Error) as caught:
        read(payload, *stretches)
    return caught.value


def promised(oracle: Oracle, word: str, length: int) -> Payload:
    """What a request signed by botocore promises about a body of this many bytes."""
    headers = {"x-amz-decoded-content-length": str(length)}
    if word.endswith("TRAILER"):
        headers["x-amz-trailer"] = "x-amz-checksum-crc32c"
    payload = oracle.prove(oracle.header("PUT", headers=headers, payload=word))
    assert isinstance(payload, Payload)
    return payload


def published(oracle: Oracle, trailer: bool) -> tuple[Payload, bytes]:
    """The example of "Transferring Payload in Multiple Chunks", and the one with trailing headers."""
    names = "host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;x-amz-storage-class"
    headers = {
        "host": "s3.amazonaws.com",
        "x-amz-date": "20130524T000000Z",
        "x-amz-storage-class": "REDUCED_REDUNDANCY",
        "x-amz-decoded-content-length": "66560",
        "content-encoding": "aws-chunked",
    }
    if trailer:
        headers |= {"x-amz-content-sha256": SIGNED_TRAILER, "x-amz-trailer": "x-amz-checksum-crc32c"}
        names = f"content-encoding;{names};x-amz-trailer"
        seed = "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e"
        signatures = (
            "b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2",
            "1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7",
            "2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992",
        )
    else:
        headers |= {"x-amz-content-sha256": SIGNED, "content-length": "66824"}
        names = f"content-encoding;content-length;{names}"
        seed = "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9"
        signatures = (
            "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648",
            "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497",
            "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9",
        )
    headers["authorization"] = (
        "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,"
        f"SignedHeaders={names},Signature={seed}"
    )
    body = b""
    for chunk, signature in zip((KIB_65[:65536], KIB_65[65536:], b""), signatures, strict=True):
        body += f"{len(chunk):x};chunk-signature={signature}\r\n".encode() + chunk + (b"\r\n" if chunk else b"")
    if trailer:
        body += b"x-amz-checksum-crc32c:sOO8/Q==\r\nx-amz-trailer-signature:"
        body += b"d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435\r\n"
    payload = oracle.prove(oracle.call("PUT", "/examplebucket/chunkObject.txt", "", headers))
    assert isinstance(payload, Payload)
    return payload, body + b"\r\n"


def test_the_published_examples_are_accepted(oracle: Oracle) -> None:
    payload, body = published(oracle, trailer=False)
    assert len(body) == 66824
    assert read(payload, body) == KIB_65
    payload, body = published(oracle, trailer=True)
    decoder = Decoder(payload)
    assert b"".join(decoder.feed(body)) == KIB_65
    decoder.finish()
    assert dict(decoder.trailers) == {"x-amz-checksum-crc32c": "sOO8/Q=="}


def test_a_line_end_too_many_behind_a_trailer_is_read_as_the_documentation_shows_it(oracle: Oracle) -> None:
    payload, body = published(oracle, trailer=True)
    assert read(payload, body.replace(b"sOO8/Q==\r\n", b"sOO8/Q==\n\r\n")) == KIB_65


def test_what_botocore_frames_is_accepted() -> None:
    data = random.Random(1).randbytes(2_500_000)
    wrapper = AwsChunkedWrapper(io.BytesIO(data), checksum_cls=CrtCrc32Checksum, checksum_name="x-amz-checksum-crc32")
    payload = Payload(framed=True, decoded_length=len(data), trailers=("x-amz-checksum-crc32",))
    decoder = Decoder(payload)
    assert b"".join(decoder.feed(memoryview(wrapper.read()))) == data
    decoder.finish()
    assert list(decoder.trailers) == ["x-amz-checksum-crc32"]


SHAPES = [(SIGNED, {}), (SIGNED_TRAILER, {"x-amz-checksum-crc32c": "AAAAAA=="})]
SHAPES.append((UNSIGNED_TRAILER, {"x-amz-checksum-crc32c": "AAAAAA=="}))


@pytest.mark.parametrize(("word", "trailers"), SHAPES)
@pytest.mark.parametrize("sizes", [(), (1,), (8192, 3), (8192, 8192)])
def test_every_split_gives_the_same_bytes(
    oracle: Oracle, word: str, trailers: dict[str, str], sizes: tuple[int, ...]
) -> None:
    chunks = [random.Random(size + at).randbytes(size) for at, size in enumerate(sizes)]
    data = b"".join(chunks)
    payload = promised(oracle, word, len(data))
    body = oracle.chunked(payload, chunks, trailers)
    assert read(payload, body) == data
    assert read(payload, *(body[at : at + 1] for at in range(len(body)))) == data
    for at in range(0, len(body), 1 if len(body) < 2000 else 97):
        assert read(payload, body[:at], b"", body[at:]) == data


def test_whole_stretches_are_passed_on_without_a_copy(oracle: Oracle) -> None:
    data = bytes(1 << 16)
    decoder = Decoder(Payload(framed=True, decoded_length=1 << 17))
    assert decoder.feed(b"20000\r\n") == []
    assert decoder.feed(data)[0] is data


def test_nothing_is_finished_before_the_end(oracle: Oracle) -> None:
    payload = promised(oracle, SIGNED_TRAILER, 5)
    body = oracle.chunked(payload, [b"hello"], {"x-amz-checksum-crc32c": "AAAAAA=="})
    for end in range(len(body)):
        decoder = Decoder(payload)
        decoder.feed(body[:end])
        assert not decoder.finished
        with pytest.raises(S3Error) as caught:
            decoder.finish()
        assert caught.value.code == "IncompleteBody"
    decoder = Decoder(payload)
    decoder.feed(body)
    with pytest.raises(S3Error) as caught:
        decoder.feed(b"\r\nX")
    assert caught.value.code == "IncompleteBody"


# ---------------------------------------------------------------- T53, T54


@pytest.mark.parametrize(("word", "trailers"), SHAPES[:2])
def test_t53_each_byte_of_a_signed_body_counts(oracle: Oracle, word: str, trailers: dict[str, str]) -> None:
    data = random.Random(7).randbytes(8192 + 40)
    payload = promised(oracle, word, len(data))
    body = oracle.chunked(payload, [data[:8192], data[8192:]], trailers)
    assert read(payload, body) == data
    places = [at for at in range(len(body)) if at < 100 or at > 8270 or at % 97 == 0]
    for at in places:
        for changed in (body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :], body[:at] + body[at + 1 :]):
            assert refusal(payload, changed).code in (
                "SignatureDoesNotMatch",
                "IncompleteBody",
                "MalformedTrailerError",
                "InvalidChunkSizeError",
            ), at


def test_t53_a_wrong_signature_tells_which_chunk(oracle: Oracle) -> None:
    payload = promised(oracle, SIGNED, 3 * 8192)
    body = oracle.chunked(payload, [bytes(8192)] * 3)
    places = [at for at in range(len(body)) if body.startswith(b"chunk-signature=", at)]
    assert len(places) == 4
    for number, place in enumerate(places, 1):
        at = place + len(b"chunk-signature=")
        wrong = b"0" if body[at : at + 1] != b"0" else b"1"
        error = refusal(payload, body[:at] + wrong + body[at + 1 :])
        assert error.code == "SignatureDoesNotMatch"
        assert error.fields["StringToSign"].startswith("AWS4-HMAC-SHA256-PAYLOAD\n20130524T000000Z\n")
        assert f"chunk {number}" in error.cause


def test_a_signature_that_is_none_is_a_wrong_one(oracle: Oracle) -> None:
    payload = promised(oracle, SIGNED, 5)
    for text in (b"invalid", b"0" * 128):
        assert refusal(payload, b"5;chunk-signature=" + text + b"\r\nhello\r\n").code == "SignatureDoesNotMatch"
    for text in (b"", b"0" * 129, b"a;b", b"a b"):
        assert refusal(payload, b"5;chunk-signature=" + text + b"\r\nhello\r\n").code == "IncompleteBody"


def test_another_length_than_announced_is_told(oracle: Oracle) -> None:
    error = refusal(promised(oracle, SIGNED, 4), b"5;chunk-signature=" + b"0" * 64 + b"\r\nhello\r\n")
    assert error.fields == {"NumberBytesExpected": "4", "NumberBytesProvided": "5"}


def test_t54_chunks_cannot_be_moved_dropped_or_repeated(oracle: Oracle) -> None:
    chunks = [bytes([number]) * 8192 for number in range(3)]
    data = b"".join(chunks)
    payload = promised(oracle, SIGNED, len(data))
    body = oracle.chunked(payload, chunks)
    size = (len(body) - 86) // 3
    first, second, third, last = (body[at : at + size] for at in (0, size, 2 * size, 3 * size))
    assert read(payload, first, second, third, last) == data
    for other in (
        (second, first, third, last),
        (first, third, second, last),
        (first, second, last),
        (first, first, second, last),
        (first, second, third, first, last),
        (first, second, third),
        (first, second, third, last[:-2]),
        (first, second, third, last, last),
        (last,),
    ):
        assert refusal(payload, *other).code in ("SignatureDoesNotMatch", "IncompleteBody")


def test_t54_a_body_of_another_request_is_refused(oracle: Oracle) -> None:
    payload = promised(oracle, SIGNED, 5)
    assert payload.chain is not None
    other = replace(payload, chain=replace(payload.chain, seed="0" * 64))
    body = oracle.chunked(payload, [b"hello"])
    assert read(payload, body) == b"hello"
    assert refusal(other, body).code == "SignatureDoesNotMatch"


# ---------------------------------------------------------------- T55 to T58


@pytest.mark.parametrize("word", [SIGNED, UNSIGNED_TRAILER])
def test_t55_only_the_last_chunk_may_be_small(oracle: Oracle, word: str) -> None:
    trailers = {"x-amz-checksum-crc32c": "AAAAAA=="} if word == UNSIGNED_TRAILER else {}
    payload = promised(oracle, word, 8192 + 8191 + 1)
    good = oracle.chunked(payload, [bytes(8192), bytes(8192)], trailers)
    assert len(read(payload, good)) == 16384
    error = refusal(payload, oracle.chunked(payload, [bytes(8192), bytes(8191), b"x"], trailers))
    assert error.code == "InvalidChunkSizeError"
    assert error.fields == {"Chunk": "2", "BadChunkSize": "8191"}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\r\n",
        b"5\n",
        b"5\nhello\r\n0\r\n\r\n",
        b"5 \r\nhello\r\n0\r\n\r\n",
        b"+5\r\nhello\r\n0\r\n\r\n",
        b"-5\r\nhello\r\n0\r\n\r\n",
        b"0x5\r\nhello\r\n0\r\n\r\n",
        b"5_0\r\nhello\r\n0\r\n\r\n",
        b"g\r\n",
        b"\xb2\r\n",
        b"5;ext=1\r\nhello\r\n0\r\n\r\n",
        b"5;chunk-signature=" + b"0" * 64 + b"\r\nhello\r\n0\r\n\r\n",
        b"5\r\nhelloXX0\r\n\r\n",
        b"5\r\nhello0\r\n\r\n",
        b"5\r\nhelloXX\r\n0\r\n\r\n",
        b"5\r\nhello\r\n",
        b"5\r\nhello\r\n0\r\n",
        b"5\r\nhello\r\n0\r\n\r",
        b"5\r\nhello\r\n0\r\n\r\nX",
        b"5\r\nhello\r\n0\r\n\r\n\r\nX",
        b"6\r\nhello!\r\n0\r\n\r\n",
        b"4\r\nhell\r\n0\r\n\r\n",
        b"ffffffffffffffff\r\nhello",
        b"10000000000000005\r\nhello",
        b"0\r\n\r\n",
        b"1" * (LONGEST_LINE + 10),
        b"5\r\nhello\r\n0\r\n" + b"x" * (LONGEST_LINE + 10),
    ],
)
def test_t56_t57_broken_framing_is_refused(body: bytes) -> None:
    payload = Payload(framed=True, decoded_length=5)
    assert read(payload, b"5\r\nhello\r\n0\r\n\r\n") == b"hello"
    assert read(payload, b"0005\r\nhello\r\n00\r\n\r\n") == b"hello"
    assert read(payload, b"5\r\nhello\r\n0\r\n\r\n\r\n\r\n") == b"hello"
    assert refusal(payload, body).code == "IncompleteBody"
    assert refusal(payload, *(body[at : at + 1] for at in range(len(body)))).code == "IncompleteBody"


def test_t57_a_chunk_too_much_is_refused_before_its_bytes() -> None:
    decoder = Decoder(Payload(framed=True, decoded_length=8192))
    assert decoder.feed(b"2000\r\n" + bytes(8192)) == [bytes(8192)]
    with pytest.raises(S3Error) as caught:
        decoder.feed(b"\r\n1\r\n")
    assert caught.value.code == "IncompleteBody"


def test_t56_all_trailers_together_have_a_limit() -> None:
    payload = Payload(framed=True, decoded_length=0, trailers=("a", "b"))
    half = b"x" * (LONGEST_LINE // 2 - 4)
    assert read(payload, b"0\r\na:" + half + b"\r\nb:" + half + b"\r\n\r\n") == b""
    error = refusal(payload, b"0\r\na:" + half + b"x\r\nb:" + half + b"\r\n\r\n")
    assert error.code == "MalformedTrailerError"


def test_t56_an_endless_line_is_refused_while_it_comes() -> None:
    decoder = Decoder(Payload(framed=True, decoded_length=5))
    fed = 0
    with pytest.raises(S3Error):
        while fed < 10 * LONGEST_LINE:
            decoder.feed(b"0" * 100)
            fed += 100
    assert fed <= LONGEST_LINE


@pytest.mark.parametrize(
    ("trailer", "code"),
    [
        (b"", "MalformedTrailerError"),
        (b"x-amz-checksum-crc32:AAAAAA==\r\n" * 2, "MalformedTrailerError"),
        (b"x-amz-checksum-sha1:AAAAAA==\r\n", "MalformedTrailerError"),
        (b"x-amz-checksum-crc32:AAAAAA==\r\nx-amz-meta-a:b\r\n", "MalformedTrailerError"),
        (b"x-amz-checksum-crc32 AAAAAA==\r\n", "MalformedTrailerError"),
        (b"\xff\xfe:AAAA\r\n", "MalformedTrailerError"),
        (b"x-amz-checksum-crc32:AAAAAA==\r\nx-amz-trailer-signature:00\r\n", "MalformedTrailerError"),
        (b"x-amz-checksum-crc32:AAAAAA==\r\n\r\nmore", "IncompleteBody"),
        (b"x-amz-checksum-crc32:AAAAAA==", "IncompleteBody"),
    ],
)
def test_t58_trailers_are_those_that_were_announced(trailer: bytes, code: str) -> None:
    payload = Payload(framed=True, decoded_length=0, trailers=("x-amz-checksum-crc32",))
    assert read(payload, b"0\r\nX-Amz-Checksum-Crc32: AAAAAA== \r\n\r\n") == b""
    end = b"" if code == "IncompleteBody" else b"\r\n"
    assert refusal(payload, b"0\r\n" + trailer + end).code == code


def test_t58_no_trailer_where_none_was_announced(oracle: Oracle) -> None:
    trailer = b"x-amz-checksum-crc32:AAAAAA==\r\n\r\n"
    assert refusal(Payload(framed=True, decoded_length=0), b"0\r\n" + trailer).code == "MalformedTrailerError"
    payload = promised(oracle, SIGNED, 0)
    body = oracle.chunked(payload, [])
    assert refusal(payload, body[:-2] + trailer).code == "IncompleteBody"


def test_t58_the_trailers_signature_comes_last_and_must_come(oracle: Oracle) -> None:
    payload = promised(oracle, SIGNED_TRAILER, 5)
    body = oracle.chunked(payload, [b"hello"], {"x-amz-checksum-crc32c": "AAAAAA=="})
    start = body.index(b"x-amz-checksum")
    checksum, signature, _ = body[start:].split(b"\r\n", 2)
    assert read(payload, body[:start], checksum, b"\r\n", signature, b"\r\n\r\n") == b"hello"
    assert refusal(payload, body[:start], signature, b"\r\n", checksum, b"\r\n\r\n").code == "MalformedTrailerError"
    assert refusal(payload, body[:start], signature, b"\r\n\r\n").code == "MalformedTrailerError"
    assert refusal(payload, body[:start], checksum, b"\r\n\r\n").code == "IncompleteBody"
    error = refusal(payload, body.replace(b"AAAAAA==", b"AAAAAB=="))
    assert error.code == "SignatureDoesNotMatch"
    assert error.fields["StringToSign"].startswith("AWS4-HMAC-SHA256-TRAILER\n")


# ---------------------------------------------------------------- anything


PIECES = st.lists(
    st.sampled_from(
        [b"5", b"\r\n", b"\n", b"hello", b"0", b";chunk-signature=", b"0" * 64, b":", b"x-amz-checksum-crc32c"]
    )
    | st.binary(max_size=20),
    max_size=30,
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pieces=PIECES, word=st.sampled_from([SIGNED, SIGNED_TRAILER, UNSIGNED_TRAILER]), length=st.integers(0, 20))
def test_whatever_comes_only_s3_errors_leave(oracle: Oracle, pieces: list[bytes], word: str, length: int) -> None:
    payload = promised(oracle, word, length)
    try:
        data = read(payload, *pieces)
    except S3Error:
        return
    assert len(data) == length and word == UNSIGNED_TRAILER


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sizes=st.lists(st.integers(8192, 9000), max_size=4), last=st.integers(0, 9000), cut=st.integers(1, 9000))
def test_what_the_oracle_frames_comes_back(oracle: Oracle, sizes: list[int], last: int, cut: int) -> None:
    chunks = [bytes([size % 256]) * size for size in [*sizes, last] if size]
    data = b"".join(chunks)
    payload = promised(oracle, SIGNED_TRAILER, len(data))
    digest = hashlib.sha1(data).hexdigest()
    body = oracle.chunked(payload, chunks, {"x-amz-checksum-crc32c": digest})
    assert read(payload, *(body[at : at + cut] for at in range(0, len(body), cut))) == data
