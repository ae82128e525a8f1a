"""Multipart uploads as clients use them: create, parts, complete, abort.

Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/mpuoverview.html, qfacts.html (limits) and
https://docs.aws.amazon.com/AmazonS3/latest/API/API_CompleteMultipartUpload.html (errors)
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Sequence
from typing import Any

import pytest

MIB = 1024 * 1024
FIVE = 5 * MIB


def noise(size: int, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(size)


def joined_etag(parts: Sequence[bytes]) -> str:
    digests = b"".join(hashlib.md5(part).digest() for part in parts)
    return f'"{hashlib.md5(digests).hexdigest()}-{len(parts)}"'


class Sending:
    """One upload under way."""

    def __init__(self, s3: Any, bucket: str, key: str = "big", **content: Any) -> None:
        self.s3 = s3
        self.place = {"Bucket": bucket, "Key": key}
        self.id = s3.create_multipart_upload(**self.place, **content)["UploadId"]
        self.parts: dict[int, str] = {}

    def part(self, number: int, body: bytes) -> None:
        sent = self.s3.upload_part(**self.place, UploadId=self.id, PartNumber=number, Body=body)
        assert sent["ETag"] == f'"{hashlib.md5(body).hexdigest()}"'
        self.parts[number] = sent["ETag"]

    def complete(self, numbers: Sequence[int] | None = None, **more: Any) -> Any:
        chosen = sorted(self.parts) if numbers is None else numbers
        rows = [{"PartNumber": number, "ETag": self.parts.get(number, '"0"')} for number in chosen]
        return self.s3.complete_multipart_upload(
            **self.place, UploadId=self.id, MultipartUpload={"Parts": rows}, **more
        )

    def abort(self) -> Any:
        return self.s3.abort_multipart_upload(**self.place, UploadId=self.id)


def test_parts_become_one_object(s3: Any, bucket: str) -> None:
    bodies = [noise(FIVE, 1), noise(FIVE + 1, 2), noise(17, 3)]
    upload = Sending(s3, bucket, ContentType="video/mp4", Metadata={"a": "b"}, CacheControl="no-cache")
    for number, body in enumerate(bodies, 1):
        upload.part(number, body)
    done = upload.complete()
    assert (done["Bucket"], done["Key"], done["ETag"]) == (bucket, "big", joined_etag(bodies))
    assert "Location" in done
    got = s3.get_object(Bucket=bucket, Key="big")
    assert got["Body"].read() == b"".join(bodies)
    assert (got["ETag"], got["ContentType"], got["Metadata"]) == (done["ETag"], "video/mp4", {"a": "b"})
    assert got["CacheControl"] == "no-cache"
    row = s3.list_objects_v2(Bucket=bucket)["Contents"][0]
    assert (row["Size"], row["ETag"]) == (2 * FIVE + 18, done["ETag"])


def test_ranges_across_parts(s3: Any, bucket: str) -> None:
    bodies = [noise(FIVE, 4), noise(FIVE, 5), noise(99, 6)]
    whole = b"".join(bodies)
    upload = Sending(s3, bucket)
    for number, body in enumerate(bodies, 1):
        upload.part(number, body)
    upload.complete()
    for start, stop in ((0, 1), (FIVE - 1, FIVE + 1), (FIVE, 2 * FIVE), (FIVE + 3, 2 * FIVE + 50), (9, len(whole))):
        got = s3.get_object(Bucket=bucket, Key="big", Range=f"bytes={start}-{stop - 1}")
        assert got["Body"].read() == whole[start:stop]


def test_parts_come_in_any_order_and_numbers_may_have_gaps(s3: Any, bucket: str) -> None:
    bodies = {7: noise(FIVE, 7), 10000: noise(3, 8), 2: noise(FIVE, 9)}
    upload = Sending(s3, bucket)
    for number in (10000, 7, 2):
        upload.part(number, bodies[number])
    upload.complete([2, 7, 10000])
    assert s3.get_object(Bucket=bucket, Key="big")["Body"].read() == bodies[2] + bodies[7] + bodies[10000]


def test_a_part_sent_again_replaces_the_first(s3: Any, bucket: str, refuses: Callable[..., Any]) -> None:
    upload = Sending(s3, bucket)
    upload.part(1, b"old")
    old = upload.parts[1]
    upload.part(1, b"newer")
    new, upload.parts[1] = upload.parts[1], old
    with refuses("InvalidPart", 400):
        upload.complete()
    upload.parts[1] = new
    upload.complete()
    assert s3.get_object(Bucket=bucket, Key="big")["Body"].read() == b"newer"


def test_only_chosen_parts_count(s3: Any, bucket: str) -> None:
    upload = Sending(s3, bucket)
    for number in (1, 2, 3):
        upload.part(number, noise(FIVE, number))
    upload.complete([1, 3])
    assert s3.get_object(Bucket=bucket, Key="big")["Body"].read() == noise(FIVE, 1) + noise(FIVE, 3)


def test_nothing_shows_until_complete(s3: Any, bucket: str, refuses: Callable[..., Any]) -> None:
    s3.put_object(Bucket=bucket, Key="big", Body=b"before")
    upload = Sending(s3, bucket)
    upload.part(1, b"after")
    assert s3.get_object(Bucket=bucket, Key="big")["Body"].read() == b"before"
    upload.complete()
    assert s3.get_object(Bucket=bucket, Key="big")["Body"].read() == b"after"


def test_an_aborted_upload_is_gone(s3: Any, bucket: str, refuses: Callable[..., Any]) -> None:
    upload = Sending(s3, bucket)
    upload.part(1, b"x")
    assert upload.abort()["ResponseMetadata"]["HTTPStatusCode"] == 204
    for late in (lambda: upload.part(2, b"y"), upload.complete, upload.abort):
        with refuses("NoSuchUpload", 404):
            late()
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0
    s3.delete_bucket(Bucket=bucket)


def test_an_open_upload_does_not_keep_the_bucket(s3: Any, bucket: str) -> None:
    """S3 deletes a bucket without objects even while an upload is open."""
    Sending(s3, bucket).part(1, b"x")
    s3.delete_bucket(Bucket=bucket)


def test_the_wrong_upload_id(s3: Any, bucket: str, refuses: Callable[..., Any]) -> None:
    upload = Sending(s3, bucket)
    upload.part(1, b"x")
    upload.id = "neverGiven"
    for wrong in (lambda: upload.part(2, b"y"), upload.complete, upload.abort):
        with refuses("NoSuchUpload", 404):
            wrong()


def test_an_upload_belongs_to_its_key_and_bucket(s3: Any, new_bucket: Any, refuses: Callable[..., Any]) -> None:
    upload = Sending(s3, new_bucket())
    place = dict(upload.place)
    for wrong in ({**place, "Key": "other"}, {**place, "Bucket": new_bucket()}):
        upload.place = wrong
        with refuses("NoSuchUpload", 404):
            upload.part(1, b"x")
        with refuses("NoSuchUpload", 404):
            upload.abort()


def test_a_part_that_was_never_sent(s3: Any, bucket: str, refuses: Callable[..., Any]) -> None:
    upload = Sending(s3, bucket)
    upload.part(1, b"x")
    with refuses("InvalidPart", 400) as caught:
        upload.complete([1, 2])
    told = caught.value.response["Error"]
    assert (told["UploadId"], told["PartNumber"], told["ETag"]) == (upload.id, "2", "0")


def test_parts_out_of_order(s3: Any, bucket: str, refuses: Callable[..., Any]) -> None:
    upload = Sending(s3, bucket)
    upload.part(1, noise(FIVE))
    upload.part(2, b"x")
    for order in ([2, 1], [1, 1]):
        with refuses("InvalidPartOrder", 400):
            upload.complete(order)
    upload.complete([1, 2])


def test_a_small_part_before_the_last(s3: Any, bucket: str, refuses: Callable[..., Any]) -> None:
    upload = Sending(s3, bucket)
    upload.part(1, noise(FIVE - 1))
    upload.part(2, b"x")
    with refuses("EntityTooSmall", 400):
        upload.complete()
    upload.complete([1])


def test_no_parts_at_all(s3: Any, bucket: str, refuses: Callable[..., Any]) -> None:
    upload = Sending(s3, bucket)
    with refuses("MalformedXML", 400):
        upload.complete([])


@pytest.mark.parametrize("number", ["0", "10001", "-1", "one", "1.5", ""])
def test_a_bad_part_number(s3: Any, bucket: str, raw: Any, number: str) -> None:
    upload = Sending(s3, bucket)
    reply = raw("PUT", f"/{bucket}/big?partNumber={number}&uploadId={upload.id}", body=b"x")
    assert (reply.status, reply.code) == (400, "InvalidArgument")


def test_complete_can_be_repeated(s3: Any, bucket: str) -> None:
    """A client that lost the answer asks again and gets the same one."""
    upload = Sending(s3, bucket)
    upload.part(1, b"x")
    first, second = upload.complete(), upload.complete()
    assert (first["ETag"], first["Key"]) == (second["ETag"], second["Key"])


def test_a_complete_after_the_object_was_deleted(s3: Any, bucket: str, refuses: Callable[..., Any]) -> None:
    upload = Sending(s3, bucket)
    upload.part(1, b"x")
    upload.complete()
    s3.delete_object(Bucket=bucket, Key="big")
    with refuses("NoSuchUpload", 404):
        upload.complete()
    with refuses("NoSuchKey", 404):
        s3.get_object(Bucket=bucket, Key="big")


def test_parts_of_an_object_count_from_one(s3: Any, bucket: str, refuses: Callable[..., Any]) -> None:
    upload = Sending(s3, bucket)
    upload.part(3, b"a" * FIVE)
    upload.part(1000, b"b")
    upload.complete()
    at = {"Bucket": bucket, "Key": "big"}
    assert [s3.head_object(**at, PartNumber=number)["ContentLength"] for number in (1, 2)] == [FIVE, 1]
    with refuses("InvalidPartNumber", 416):
        s3.get_object(**at, PartNumber=3)


def test_a_zero_byte_part_makes_a_zero_byte_object(s3: Any, bucket: str) -> None:
    upload = Sending(s3, bucket)
    upload.part(1, b"")
    assert upload.complete()["ETag"] == joined_etag([b""])
    assert s3.head_object(Bucket=bucket, Key="big")["ContentLength"] == 0


def test_an_upload_into_no_bucket(s3: Any, refuses: Callable[..., Any]) -> None:
    with refuses("NoSuchBucket", 404):
        s3.create_multipart_upload(Bucket="acceptance-never-made", Key="k")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<CompleteMultipartUpload>",
        b"<CompleteMultipartUpload><Part><PartNumber>one</PartNumber></Part></CompleteMultipartUpload>",
        b"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber></Part></CompleteMultipartUpload>",
    ],
)
def test_a_malformed_complete(s3: Any, bucket: str, raw: Any, body: bytes) -> None:
    upload = Sending(s3, bucket)
    reply = raw("POST", f"/{bucket}/big?uploadId={upload.id}", body=body)
    assert (reply.status, reply.code) == (400, "MalformedXML" if body else "InvalidRequest")
