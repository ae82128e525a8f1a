"""S3's largest upload: 10,000 parts, sent in any order, one of them twice."""

from __future__ import annotations

import hashlib
import random
import re
from typing import Any

import pytest
from pytest_twisted import ensureDeferred
from twisted.internet.defer import Deferred, gatherResults

from gateway.operations import multipart

PARTS = 10_000


@ensureDeferred
async def test_ten_thousand_parts_make_one_object(shop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multipart, "_SMALLEST_PART", 1)  # else the story needs 50 GB
    created = await shop.call("POST", "/bucket/key?uploads")
    upload = re.search(r"<UploadId>(.*?)</UploadId>", created.body.decode())[1]  # type: ignore[index]
    data = [b"%d;" % number for number in range(1, PARTS + 1)]
    numbers = list(range(1, PARTS + 1))
    random.Random(3).shuffle(numbers)

    async def send(number: int, part: bytes) -> str:
        answer = await shop.call("PUT", f"/bucket/key?partNumber={number}&uploadId={upload}", part)
        assert answer.status == 200, answer
        return str(answer.headers["etag"])

    etags: dict[int, str] = {}
    await send(17, b"the first try of part 17")
    for start in range(0, PARTS, 100):
        batch = numbers[start : start + 100]
        found = await gatherResults([Deferred.fromCoroutine(send(number, data[number - 1])) for number in batch])
        etags.update(zip(batch, found, strict=True))
    too_many = await shop.call("PUT", f"/bucket/key?partNumber={PARTS + 1}&uploadId={upload}", b"x")
    assert too_many.code == "InvalidArgument"
    page = await shop.call("GET", f"/bucket/key?uploadId={upload}&part-number-marker=9990&max-parts=5")
    assert re.findall(r"<PartNumber>(\d+)<", page.body.decode()) == ["9991", "9992", "9993", "9994", "9995"]
    rows = "".join(f"<Part><PartNumber>{n}</PartNumber><ETag>{etags[n]}</ETag></Part>" for n in range(1, PARTS + 1))
    document = f"<CompleteMultipartUpload>{rows}</CompleteMultipartUpload>".encode()
    done = await shop.call("POST", f"/bucket/key?uploadId={upload}", document)
    assert done.status == 200, done
    whole = b"".join(data)
    digest = hashlib.md5(b"".join(hashlib.md5(part).digest() for part in data)).hexdigest()
    read = await shop.call("GET", "/bucket/key", headers={"Range": "bytes=1000-1999"})
    assert (read.body, read.headers["etag"]) == (whole[1000:2000], f'"{digest}-{PARTS}"')
    part = await shop.call("GET", "/bucket/key?partNumber=9999")
    assert (part.body, part.headers["x-amz-mp-parts-count"]) == (b"9999;", str(PARTS))
    assert (await shop.call("GET", "/bucket/key")).body == whole
    await shop.call("DELETE", "/bucket/key")
    await shop.reaper.reap()
    assert await shop.blobs() == []
