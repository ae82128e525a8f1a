"""A bit that flips in a blob is never served: every kind of place, through the front door, whole and by ranges."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import pytest
from pytest_twisted import ensureDeferred
from twisted.logger import LogLevel, globalLogPublisher

MIB = 1024 * 1024
LONG = os.environ.get("GATEWAY_LONG") == "1"
LARGE = random.Random(0).randbytes(2 * MIB + 4321)
PART = random.Random(1).randbytes(5 * MIB)
TAIL, ONE = b"tail" * 10_000, b"x" * 40_000  # files, too: the plugin flips the bits of rows itself
# object, its bytes, position of the flip in them (negative: in what follows them in the blob's file)
PLACES = [
    ("one", ONE, 0),
    ("large", LARGE, 0),
    ("large", LARGE, MIB - 1),
    ("large", LARGE, MIB),
    ("large", LARGE, 2 * MIB + 4000),
    ("large", LARGE, len(LARGE) - 1),
    ("parts", PART + TAIL, 5 * MIB - 1),
    ("parts", PART + TAIL, 5 * MIB + 2),
    ("large", LARGE, -1),
    ("one", ONE, -20),
]


async def store(house: Any) -> None:
    house.failing = True
    assert (await house.call("PUT", "/bucket/one", ONE)).status == 200
    assert (await house.call("PUT", "/bucket/large", LARGE)).status == 200
    begun = await house.call("POST", "/bucket/parts?uploads")
    upload = begun.body.decode().partition("<UploadId>")[2].partition("<")[0]
    rows = ""
    for number, body in ((1, PART), (2, TAIL)):
        part = await house.call("PUT", f"/bucket/parts?partNumber={number}&uploadId={upload}", body)
        rows += f"<Part><PartNumber>{number}</PartNumber><ETag>{part.headers['etag']}</ETag></Part>"
    text = f"<CompleteMultipartUpload>{rows}</CompleteMultipartUpload>".encode()
    done = await house.call("POST", f"/bucket/parts?uploadId={upload}", text)
    assert done.status == 200, done.body


def blob_of(house: Any, key: str, at: int) -> tuple[Path, int]:
    """The file that holds byte ``at`` of an object, and where in it."""
    rows = house.catalogue._database.reader.execute(
        "SELECT p.at, p.blob, p.start, p.size FROM pieces p JOIN versions v ON v.id = p.version WHERE v.key = ?"
        " ORDER BY p.at",
        (key.encode(),),
    ).fetchall()
    for offset, blob, start, size in rows:
        if at < 0:
            file = house.storage / "blobs" / blob
            return file, file.stat().st_size + at
        if offset <= at < offset + size:
            return house.storage / "blobs" / blob, start + at - offset
    raise AssertionError(f"no byte {at} in {key}")


def flip(file: Path, at: int, bit: int = 0) -> None:
    data = bytearray(file.read_bytes())
    data[at] ^= 1 << bit
    times = file.stat()
    file.write_bytes(data)
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))


async def get(house: Any, tools: Any, key: str, start: int, stop: int) -> tuple[int, bytes, bool]:
    """Status, the bytes of the body that came, and whether they are all that was promised."""
    client = await house.connect()
    request = tools.sign("GET", f"/bucket/{key}", headers={"Range": f"bytes={start}-{stop - 1}"})
    client.transport.write(request.sent())

    def over() -> bool:
        end = client.data.find(b"\r\n\r\n")
        return client.ended or (end >= 0 and len(client.data) - end - 4 >= size_of(client.data[:end]))

    data = await client.until(over)
    client.transport.abortConnection()
    head, _, body = data.partition(b"\r\n\r\n")
    return int(head.split(b" ")[1]), body, len(body) == size_of(head)


def size_of(head: bytes) -> int:
    return int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])


async def try_all(house: Any, tools: Any, key: str, body: bytes, at: int) -> None:
    """GETs around a damaged place, each of which must give right bytes only, and never all that it promised."""
    size = len(body)
    point = max(at, 0)
    ranges = {(0, size), (point, point + 1), (max(0, point - 70_000), min(size, point + 10)), (point, size)}
    for start, stop in ranges:
        status, came, whole = await get(house, tools, key, start, stop)
        if status == 206:
            assert not whole, (key, at, start, stop)
            assert body[start:stop].startswith(came), (key, at, start, stop)
            assert start + len(came) <= point
        else:
            assert status in (500, 503) and b"<Error>" in came


@ensureDeferred
async def test_a_flipped_bit_is_never_served_and_is_named(open_house: Any, tools: Any) -> None:
    house = await open_house("local")
    await store(house)
    lines: list[str] = []

    def observe(event: Any) -> None:
        if event["log_level"] >= LogLevel.error:
            lines.append(event["log_format"].format(**event) if "fault" in event or "cause" in event else str(event))

    globalLogPublisher.addObserver(observe)
    try:
        for key, body, at in PLACES:
            file, place = blob_of(house, key, at)
            flip(file, place)
            lines.clear()
            house.log_lines.clear()
            await try_all(house, tools, key, body, at)
            blob = "/".join(file.parts[-2:])
            if at >= 0:
                assert lines and all(f"bucket/'{key}'" in line and blob in line for line in lines), lines
            assert any(blob in line and f'"key":"{key}"' in line for line in house.log_lines), house.log_lines
            flip(file, place)
            assert await get(house, tools, key, 0, len(body)) == (206, body, True)
    finally:
        globalLogPublisher.removeObserver(observe)


@pytest.mark.skipif(not LONG, reason="500 random positions: only with GATEWAY_LONG=1")
@ensureDeferred
async def test_random_positions(open_house: Any, tools: Any) -> None:
    house = await open_house("local")
    await store(house)
    draw = random.Random(4)
    for _ in range(500):
        key, body = draw.choice([("one", ONE), ("large", LARGE), ("parts", PART + TAIL)])
        at = draw.randrange(len(body))
        file, place = blob_of(house, key, at)
        bit = draw.randrange(8)
        flip(file, place, bit)
        await try_all(house, tools, key, body, at)
        flip(file, place, bit)
