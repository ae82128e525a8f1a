"""A reader that takes exactly the announced bytes has taken proved bytes; everything else ends in S3's error."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import AsyncIterator, Iterable

import pytest
from pytest_twisted import ensureDeferred

from gateway.errors import S3Error
from gateway.streams import Cut, Intake, read_all
from gateway.wire.claim import Payload


class Chunks:
    """A body that gives what it is told to, whatever it announced."""

    def __init__(self, chunks: Iterable[bytes], size: int | None) -> None:
        self.chunks, self.size, self.closed = list(chunks), size, False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self.chunks:
            yield chunk

    def close(self) -> None:
        self.closed = True


def md5(data: bytes) -> str:
    return base64.b64encode(hashlib.md5(data).digest()).decode()


def intake(
    chunks: Iterable[bytes],
    headers: dict[str, str] | None = None,
    payload: Payload | None = None,
    size: int | None = -1,
    limit: int = 10**9,
) -> Intake:
    chunks = list(chunks)
    length = sum(map(len, chunks)) if size == -1 else size
    return Intake(Chunks(chunks, length), headers or {}, payload or Payload(), limit=limit)


async def taken_before_the_error(body: Intake) -> tuple[bytes, str]:
    got = b""
    try:
        async for chunk in body:
            got += chunk
    except S3Error as refusal:
        return got, refusal.code
    return got, ""


@pytest.mark.parametrize("size", [1, 65536, 65537, 700_000, 3_000_000])
@ensureDeferred
async def test_small_and_large_bodies_have_the_same_digests(size: int) -> None:
    data = bytes(range(256)) * (size // 256 + 1)
    data = data[:size]
    body = intake([data[i : i + 100_000] for i in range(0, size, 100_000)])
    assert await read_all(body) == data
    assert body.etag == hashlib.md5(data).hexdigest()
    assert set(body.checksums) == {"CRC64NVME"}


@pytest.mark.parametrize(
    ("headers", "payload", "code"),
    [
        ({"content-md5": md5(b"other")}, Payload(), "BadDigest"),
        ({"x-amz-checksum-sha1": base64.b64encode(b"0" * 20).decode()}, Payload(), "BadDigest"),
        ({}, Payload(sha256="0" * 64), "XAmzContentSHA256Mismatch"),
    ],
)
@pytest.mark.parametrize("chunks", [[b"a"], [b"a" * 10, b"b" * 5], [b"x" * 100_000] * 9])
@ensureDeferred
async def test_the_last_chunk_stays_here_when_a_digest_is_wrong(
    headers: dict[str, str], payload: Payload, code: str, chunks: list[bytes]
) -> None:
    got, error = await taken_before_the_error(intake(chunks, headers, payload))
    assert (got, error) == (b"".join(chunks[:-1]), code)


@ensureDeferred
async def test_what_was_promised_and_what_came_are_told() -> None:
    with pytest.raises(S3Error) as caught:
        await read_all(intake([b"abc"], {}, Payload(sha256="0" * 64)))
    told = {"ClientComputedContentSHA256": "0" * 64, "S3ComputedContentSHA256": hashlib.sha256(b"abc").hexdigest()}
    assert caught.value.fields == told
    with pytest.raises(S3Error) as caught:
        await read_all(intake([b"abc"], size=5))
    assert caught.value.fields == {"NumberBytesExpected": "5", "NumberBytesProvided": "3"}


@pytest.mark.parametrize("announced", [14, 16, 0, 100])
@ensureDeferred
async def test_another_length_than_announced_is_never_whole(announced: int) -> None:
    got, error = await taken_before_the_error(intake([b"a" * 10, b"b" * 5], size=announced))
    assert error == "IncompleteBody"
    assert len(got) <= max(announced - 1, 0)


@ensureDeferred
async def test_an_empty_body_is_proved_before_anybody_keeps_it() -> None:
    wrong = intake([], {"content-md5": md5(b"x")})
    with pytest.raises(S3Error) as refusal:
        await wrong.prove_empty()
    assert refusal.value.code == "BadDigest"
    right = intake([], {"content-md5": md5(b"")})
    await right.prove_empty()
    assert right.etag == hashlib.md5(b"").hexdigest()
    assert await read_all(right) == b""


@ensureDeferred
async def test_a_body_of_unknown_length_is_stopped_at_the_limit() -> None:
    got, error = await taken_before_the_error(intake([b"a" * 10] * 5, size=None, limit=25))
    assert (got, error) == (b"a" * 10, "EntityTooLarge")


def test_an_announced_length_over_the_limit_is_refused_before_a_byte_is_read() -> None:
    with pytest.raises(S3Error) as refusal:
        intake([b"a" * 10], limit=9)
    assert refusal.value.code == "EntityTooLarge"


@ensureDeferred
async def test_framed_chunks_come_out_without_their_frames_and_the_trailer_is_proved() -> None:
    crc = base64.b64encode((0xE3069283).to_bytes(4, "big")).decode()  # CRC32C of "123456789"
    raw = b"9\r\n123456789\r\n0\r\nx-amz-checksum-crc32c:" + crc.encode() + b"\r\n\r\n"
    payload = Payload(framed=True, decoded_length=9, trailers=("x-amz-checksum-crc32c",))
    body = intake([raw[:7], raw[7:]], {"x-amz-trailer": "x-amz-checksum-crc32c"}, payload)
    assert body.size == 9
    assert await read_all(body) == b"123456789"
    assert body.checksums == {"CRC32C": crc}
    spoiled = raw.replace(b"6789", b"6780")
    body = intake([spoiled], {"x-amz-trailer": "x-amz-checksum-crc32c"}, payload)
    assert (await taken_before_the_error(body))[1] == "BadDigest"
    cut_short = intake([raw[:-4]], {"x-amz-trailer": "x-amz-checksum-crc32c"}, payload)
    assert (await taken_before_the_error(cut_short))[1] == "IncompleteBody"


@ensureDeferred
async def test_a_cut_gives_slices_of_exact_size_in_order() -> None:
    cut = Cut(Chunks([b"abc", b"defgh", b"ij"], 10))
    slices = [cut.slice(4), cut.slice(1), cut.slice(5)]
    assert [b"".join([chunk async for chunk in piece]) for piece in slices] == [b"abcd", b"e", b"fghij"]
    assert await cut.next(5) == b""
    short = Cut(Chunks([b"abc"], 3)).slice(4)
    with pytest.raises(S3Error):
        b"".join([chunk async for chunk in short])
    upto = Cut(Chunks([b"abc", b"defgh"], None))
    assert [await upto.upto(6), await upto.upto(6), await upto.upto(6)] == [b"abcdef", b"gh", b""]
