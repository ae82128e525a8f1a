"""S3's limits, judged by what a client announces: nothing large is really sent.

Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html and
https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingMetadata.html
"""

from __future__ import annotations

import socket
from typing import Any
from urllib.parse import urlsplit

import pytest

GIB = 1024**3
FIVE_GIB = 5 * GIB
WAITING = {"Expect": "100-continue"}


@pytest.mark.parametrize("size", [FIVE_GIB + 1, 6 * GIB, 10**15])
def test_more_than_five_gib_is_refused_before_it_is_sent(bucket: str, raw: Any, size: int) -> None:
    reply = raw("PUT", f"/{bucket}/k", announce=size, headers=WAITING, payload="UNSIGNED-PAYLOAD")
    assert (reply.first_status, reply.status, reply.code) == (400, 400, "EntityTooLarge")


def test_a_part_of_more_than_five_gib_is_refused(s3: Any, bucket: str, raw: Any) -> None:
    upload = s3.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"]
    target = f"/{bucket}/k?partNumber=1&uploadId={upload}"
    reply = raw("PUT", target, announce=FIVE_GIB + 1, headers=WAITING, payload="UNSIGNED-PAYLOAD")
    assert (reply.first_status, reply.status, reply.code) == (400, 400, "EntityTooLarge")


def test_more_than_five_gib_in_chunks_is_refused(bucket: str, raw: Any) -> None:
    """aws-chunked: the decoded length counts."""
    headers = {
        **WAITING,
        "Content-Encoding": "aws-chunked",
        "x-amz-decoded-content-length": str(FIVE_GIB + 1),
        "x-amz-trailer": "x-amz-checksum-crc32",
    }
    reply = raw(
        "PUT", f"/{bucket}/k", announce=FIVE_GIB + 60, headers=headers, payload="STREAMING-UNSIGNED-PAYLOAD-TRAILER"
    )
    assert (reply.first_status, reply.status, reply.code) == (400, 400, "EntityTooLarge")


@pytest.mark.parametrize("length", ["-1", "+4", "4_0", "4,4", "0x10", "9" * 5000])
def test_a_length_that_is_no_number_is_refused(bucket: str, raw: Any, length: str) -> None:
    reply = raw("PUT", f"/{bucket}/k", after={"Content-Length": length})
    assert reply.status == 400
    assert raw("HEAD", f"/{bucket}/k").status == 404


def test_user_metadata_of_two_kib_is_the_most(bucket: str, raw: Any) -> None:
    """Names (without the prefix) and values count together."""
    most = {"x-amz-meta-a": "v" * 1000, "x-amz-meta-bb": "w" * (2048 - 1000 - 3)}
    assert raw("PUT", f"/{bucket}/k", headers=most, body=b"x").status == 200
    kept = raw("HEAD", f"/{bucket}/k").headers
    assert kept["x-amz-meta-a"] == "v" * 1000
    reply = raw("PUT", f"/{bucket}/big", headers={**most, "x-amz-meta-c": ""}, body=b"x")
    assert (reply.status, reply.code) == (400, "MetadataTooLarge")
    reply = raw("POST", f"/{bucket}/big?uploads", headers={**most, "x-amz-meta-c": ""})
    assert (reply.status, reply.code) == (400, "MetadataTooLarge")


def test_a_body_shorter_than_announced_leaves_nothing(bucket: str, raw: Any, site: Any) -> None:
    """The client leaves in the middle: whatever it is told, no object may appear."""
    place = urlsplit(site.endpoint)
    headers = raw.sign("PUT", f"/{bucket}/k", {"Host": site.authority}, b"", "UNSIGNED-PAYLOAD")
    lines = [f"{name}: {value}" for name, value in headers.items()]
    head = "\r\n".join([f"PUT /{bucket}/k HTTP/1.1", *lines, "Content-Length: 100000", "", ""])
    with socket.create_connection((place.hostname, place.port), timeout=20) as connection:
        connection.sendall(head.encode() + b"x" * 50_000)
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(65536):
            pass
    assert raw("HEAD", f"/{bucket}/k").status == 404


def test_an_xml_body_has_a_limit(bucket: str, raw: Any) -> None:
    reply = raw("PUT", f"/{bucket}-xml", announce=2 * 1024 * 1024, headers=WAITING, payload="UNSIGNED-PAYLOAD")
    assert reply.status == 400
    assert reply.code in ("MaxMessageLengthExceeded", "MalformedXML", "EntityTooLarge")
