"""The simple bodies keep the promises of a Body."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_twisted

from gateway.bodies import CHUNK, BytesBody, EmptyBody, RegionWhenClosed, StreamBody, contents, when_closed
from gateway.model import Body, GetResult


class Stretch:
    def __init__(self, fd: int, offset: int, length: int) -> None:
        self.fd, self.offset, self.length, self.closed = fd, offset, length, 0

    def close(self) -> None:
        self.closed += 1


@pytest.mark.parametrize("size", [0, 1, CHUNK, CHUNK + 1, 3 * CHUNK])
@pytest_twisted.ensureDeferred
async def test_bytes_come_in_chunks_of_a_MiB_and_once(size: int) -> None:
    data = os.urandom(size)
    body = BytesBody(data)
    assert isinstance(body, Body)
    assert body.size == size
    chunks = [chunk async for chunk in body]
    assert b"".join(chunks) == data
    assert all(0 < len(chunk) <= CHUNK for chunk in chunks)
    assert [chunk async for chunk in body] == []


@pytest_twisted.ensureDeferred
async def test_a_closed_body_gives_nothing() -> None:
    for body in (BytesBody(b"data"), EmptyBody()):
        body.close()
        body.close()
        assert [chunk async for chunk in body] == []


async def letters(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


@pytest_twisted.ensureDeferred
async def test_a_stream_says_farewell_once() -> None:
    said: list[str] = []
    body = StreamBody(letters(b"a", b"b"), 2, lambda: said.append("bye"))
    assert [chunk async for chunk in body] == [b"a", b"b"]
    body.close()
    body.close()
    assert said == ["bye"]


@pytest_twisted.ensureDeferred
async def test_a_stream_is_closed_before_and_amid_reading() -> None:
    said: list[str] = []
    for reads in (0, 1):
        body = StreamBody(letters(b"a", b"b"), 2, lambda: said.append("bye"))
        for _ in range(reads):
            await anext(body)
        body.close()
        assert [chunk async for chunk in body] == []
    assert said == ["bye", "bye"]


@pytest_twisted.ensureDeferred
async def test_a_farewell_comes_after_the_body_is_closed_and_once() -> None:
    said: list[str] = []
    inner = StreamBody(letters(b"a"), 1, lambda: said.append("inner"))
    body = when_closed(inner, lambda: said.append("outer"))
    assert body.size == 1
    assert [chunk async for chunk in body] == [b"a"]
    body.close()
    body.close()
    assert said == ["inner", "outer"]


def test_a_farewell_comes_although_closing_fails() -> None:
    said: list[str] = []

    def fail() -> None:
        raise OSError

    with pytest.raises(OSError):
        when_closed(StreamBody(letters(), 0, fail), lambda: said.append("bye")).close()
    assert said == ["bye"]


def test_a_region_says_farewell_once() -> None:
    said: list[str] = []
    inner = Stretch(7, 1, 2)
    region = RegionWhenClosed(inner, lambda: said.append("bye"))
    assert (region.fd, region.offset, region.length) == (7, 1, 2)
    region.close()
    region.close()
    assert (inner.closed, said) == (1, ["bye"])


@pytest_twisted.ensureDeferred
async def test_contents_reads_and_closes_bodies_and_regions(tmp_path: Path) -> None:
    said: list[str] = []
    body = StreamBody(letters(b"a", b"b"), 2, lambda: said.append("bye"))
    assert await contents(GetResult(2, "f", body=body)) == b"ab"
    assert said == ["bye"]
    path = tmp_path / "file"
    path.write_bytes(bytes(range(200)))
    with path.open("rb") as file:
        region = Stretch(file.fileno(), 10, 50)
        assert await contents(GetResult(200, "f", region=region)) == bytes(range(10, 60))
        assert region.closed == 1
        assert await contents(GetResult(200, "f", region=Stretch(file.fileno(), 190, 50))) == bytes(range(190, 200))
