"""Rows T119 to T127: uploads and writes that race, fail, or come twice."""

from __future__ import annotations

import hashlib
import re
from typing import Any

import pytest
from pytest_twisted import ensureDeferred
from twisted.internet.defer import Deferred, gatherResults

MIB = 1024 * 1024
PART = b"p" * (5 * MIB)


def soon(work: Any) -> Deferred[Any]:
    return Deferred.fromCoroutine(work)


async def begin(house: Any, key: str = "big") -> str:
    answer = await house.call("POST", f"/bucket/{key}?uploads")
    return re.search(rb"<UploadId>(.*?)<", answer.body)[1].decode()  # type: ignore[index]


async def part(house: Any, upload: str, number: int, body: bytes, key: str = "big") -> str:
    answer = await house.call("PUT", f"/bucket/{key}?partNumber={number}&uploadId={upload}", body)
    assert answer.status == 200, answer
    return answer.headers["etag"]


def completion(tools: Any, upload: str, parts: list[tuple[Any, str]], key: str = "big", headers: Any = None) -> Any:
    rows = "".join(f"<Part><PartNumber>{n}</PartNumber><ETag>{tag}</ETag></Part>" for n, tag in parts)
    document = f"<CompleteMultipartUpload>{rows}</CompleteMultipartUpload>".encode()
    return tools.sign("POST", f"/bucket/{key}?uploadId={upload}", document, headers)


@pytest.mark.parametrize("backend", ["memory", "local"])
@ensureDeferred
async def test_t119_complete_raced_by_itself(open_house: Any, tools: Any, backend: str) -> None:
    house = await open_house(backend)
    for _ in range(5):
        upload = await begin(house)
        etags = [(1, await part(house, upload, 1, PART)), (2, await part(house, upload, 2, b"end"))]
        answers = await gatherResults([soon(house.send(completion(tools, upload, etags))) for _ in range(8)])
        assert {answer.status for answer in answers} <= {200, 404}
        assert len({answer.body for answer in answers if answer.status == 200}) == 1
        assert {answer.code for answer in answers if answer.status == 404} <= {"NoSuchUpload"}
        again = await house.send(completion(tools, upload, etags))
        assert again.status == 200
        assert len([1 for row in house.rows()["versions"] if row[2] == b"big"]) == 1
        assert (await house.call("HEAD", "/bucket/big")).headers["content-length"] == str(len(PART) + 3)


@ensureDeferred
async def test_t120_abort_races_a_part(open_house: Any, tools: Any) -> None:
    for backend in ("memory", "local"):
        house = await open_house(backend)
        for round_ in range(10):
            upload = await begin(house)
            sending = soon(
                house.call("PUT", f"/bucket/big?partNumber=1&uploadId={upload}", b"x" * (MIB * (1 + round_ % 3)))
            )
            abort = await house.call("DELETE", f"/bucket/big?uploadId={upload}")
            assert abort.status in (204, 404)
            answer = await sending
            assert (answer.status, answer.code) in ((200, ""), (404, "NoSuchUpload"))
            if abort.status == 404:
                assert (await house.call("DELETE", f"/bucket/big?uploadId={upload}")).status == 204
            late = tools.sign("PUT", f"/bucket/big?partNumber=2&uploadId={upload}", b"y")
            await house.refuses(late, 404, "NoSuchUpload")
        stored, known = await house.garbage()
        assert len(stored) == len(known) == 1


@ensureDeferred
async def test_t121_a_part_sent_again_whose_first_try_ends_last(open_house: Any, tools: Any) -> None:
    """The last one that was acknowledged counts, and the list of ETags decides."""
    for backend in ("memory", "local"):
        house = await open_house(backend)
        upload = await begin(house)
        target = f"/bucket/big?partNumber=1&uploadId={upload}"
        slow = tools.sign("PUT", target, b"first" * 1000)
        client = await house.connect()
        client.transport.write(slow.head() + slow.body[:2000])
        second = await part(house, upload, 1, b"second" * 1000)
        client.transport.write(slow.body[2000:])
        await client.until(lambda client=client: b"\r\n\r\n" in client.data)
        first = tools.parse(client.data).headers["etag"]
        client.transport.abortConnection()
        await client.until(lambda client=client: client.ended)
        await house.refuses(completion(tools, upload, [(1, second)]), 400, "InvalidPart")
        assert (await house.send(completion(tools, upload, [(1, first)]))).status == 200
        assert (await house.call("GET", "/bucket/big")).body == b"first" * 1000


@ensureDeferred
async def test_t122_a_complete_that_is_wrong_leaves_the_upload_usable(house: Any, tools: Any) -> None:
    upload = await begin(house)
    etags = [
        await part(house, upload, 1, PART),
        await part(house, upload, 2, PART),
        await part(house, upload, 3, b"end"),
    ]
    right = list(enumerate(etags, 1))
    for wrong, codes in (
        ([*right, (4, etags[0])], ("InvalidPart",)),
        ([(1, '"' + "0" * 32 + '"'), *right[1:]], ("InvalidPart",)),
        ([(1, "nonsense")], ("InvalidPart", "MalformedXML")),
        ([right[1], right[0]], ("InvalidPartOrder",)),
        ([right[0], right[0]], ("InvalidPartOrder",)),
        ([], ("MalformedXML",)),
        ([(0, etags[0])], ("InvalidPart", "MalformedXML", "InvalidArgument")),
        ([("x", etags[0])], ("MalformedXML",)),
        ([("1_0", etags[0])], ("MalformedXML",)),
        ([right[0], right[2], (10_001, etags[0])], ("InvalidPart", "MalformedXML", "InvalidArgument")),
    ):
        await house.refuses(completion(tools, upload, wrong), 400, *codes)
    bad = {"x-amz-checksum-crc64nvme": "AAAAAAAAAAA="}
    await house.refuses(completion(tools, upload, right, headers=bad), 400, "BadDigest", "InvalidRequest")
    await house.refuses(completion(tools, "no-such-upload", right), 404, "NoSuchUpload")
    assert (await house.send(completion(tools, upload, [right[0], right[2]]))).status == 200
    assert (await house.call("HEAD", "/bucket/big")).headers["content-length"] == str(len(PART) + 3)


@ensureDeferred
async def test_t123_an_upload_over_an_object(house: Any, tools: Any) -> None:
    upload = await begin(house, "old")
    await part(house, upload, 1, b"new", "old")
    for _ in range(2):
        listed = (await house.call("GET", "/bucket?list-type=2")).body
        assert listed.count(b"<Key>old</Key>") == 1
        assert (await house.call("GET", "/bucket/old")).body == b"the old object"
        await house.refuses(completion(tools, upload, [(1, '"' + "0" * 32 + '"')], "old"), 400, "InvalidPart")
    assert (await house.call("DELETE", f"/bucket/old?uploadId={upload}")).status == 204
    assert (await house.call("GET", "/bucket/old")).body == b"the old object"


@pytest.mark.parametrize("backend", ["memory", "local"])
@ensureDeferred
async def test_t124_a_failed_first_try_does_not_undo_the_second(open_house: Any, tools: Any, backend: str) -> None:
    """The first PUT is cut off in the middle after the second, complete one was acknowledged."""
    house = await open_house(backend)
    for cut in (1, 200_000, 299_999):
        first = tools.sign("PUT", "/bucket/retried", b"1" * 300_000)
        client = await house.connect()
        client.transport.write(first.head() + first.body[:cut])
        assert (await house.call("PUT", "/bucket/retried", b"2" * 300_000)).status == 200
        client.transport.abortConnection()
        await client.until(lambda client=client: client.ended)
        await house.reaper.reap()
        assert (await house.call("GET", "/bucket/retried")).body == b"2" * 300_000


@pytest.mark.parametrize("backend", ["memory", "local"])
@ensureDeferred
async def test_t125_a_put_races_the_delete_of_its_last_sibling(open_house: Any, backend: str) -> None:
    house = await open_house(backend)
    for _ in range(20):
        assert (await house.call("PUT", "/bucket/dir/a", b"a")).status == 200
        put, gone, _ = await gatherResults(
            [
                soon(house.call("PUT", "/bucket/dir/b", b"b")),
                soon(house.call("DELETE", "/bucket/dir/a")),
                soon(house.reaper.reap()),
            ]
        )
        assert (put.status, gone.status) == (200, 204)
        assert (await house.call("GET", "/bucket/dir/b")).body == b"b"
        assert (await house.call("DELETE", "/bucket/dir/b")).status == 204


@ensureDeferred
async def test_t127_a_conditional_put_whose_answer_was_lost(house: Any, tools: Any) -> None:
    """T126, the race for an absent name, is test_one_winner.py."""
    request = tools.sign("PUT", "/bucket/once", b"mine", {"if-none-match": "*"})
    client = await house.connect()
    client.transport.write(request.sent())
    await client.until(lambda: bool(client.data))
    client.transport.abortConnection()
    await client.until(lambda: client.ended)
    again = tools.sign("PUT", "/bucket/once", b"mine", {"if-none-match": "*"})
    await house.refuses(again, 412, "PreconditionFailed")
    answer = await house.call("GET", "/bucket/once")
    assert answer.body == b"mine"  # so a client can tell by the ETag that it was its own
    assert answer.headers["etag"] == '"' + hashlib.md5(b"mine").hexdigest() + '"'
