"""Behaviours that clients rely on, by their well-known names: object-bucket-basic, conditional, copy, multipart,
checksum, object-attributes.

Most are judged at length in the suites beside this one; here each name stands for itself.
"""

from __future__ import annotations

import hashlib
import io
import re
import socket
import uuid
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import pytest

MIB = 1024 * 1024


def test_100_continue_error_retry(bucket: str, raw: Any) -> None:
    """A refused upload that waited for 100 Continue can be repeated at once and succeeds."""
    waiting = {"Expect": "100-continue"}
    refused = raw("PUT", f"/{bucket}-none/k", announce=100, headers=waiting, payload="UNSIGNED-PAYLOAD")
    assert (refused.first_status, refused.code) == (404, "NoSuchBucket")
    done = raw("PUT", f"/{bucket}/k", body=b"x" * 100, headers=waiting)
    assert done.status == 200  # 100 Continue may be left out where the body came along (RFC 9110 section 10.1.1)


def test_the_body_is_asked_for(bucket: str, raw: Any, site: Any) -> None:
    """A client that waits for ``100 Continue`` gets it, and then its answer."""
    headers = raw.sign("PUT", f"/{bucket}/k", {"Host": site.authority}, b"", "UNSIGNED-PAYLOAD")
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    head = f"PUT /{bucket}/k HTTP/1.1\r\n{lines}Content-Length: 5\r\nExpect: 100-continue\r\n\r\n"
    place = urlsplit(site.endpoint)
    with socket.create_connection((place.hostname, place.port), timeout=20) as connection:
        connection.sendall(head.encode())
        assert connection.recv(1024) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(b"hello")
        assert connection.recv(1024).startswith(b"HTTP/1.1 200 ")


def test_bucket_delete_nonempty(s3: Any, bucket: str, refuses: Callable[..., Any]) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    with refuses("BucketNotEmpty", 409):
        s3.delete_bucket(Bucket=bucket)


def test_bucket_get_location(s3: Any) -> None:
    name = f"located-{uuid.uuid4().hex}"
    s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    assert s3.get_bucket_location(Bucket=name)["LocationConstraint"] == "eu-central-1"


def test_bucket_head_notexist(s3: Any, refuses: Callable[..., Any]) -> None:
    with refuses("404", 404):
        s3.head_bucket(Bucket=f"never-{uuid.uuid4().hex}")


def test_get_object_torrent(s3: Any, bucket: str, raw: Any) -> None:
    """BitTorrent was withdrawn; what stays is a refusal, never the object itself."""
    s3.put_object(Bucket=bucket, Key="k", Body=b"the object")
    reply = raw("GET", f"/{bucket}/k?torrent")
    assert reply.status in (404, 405, 501)
    assert b"the object" not in reply.body


@pytest.mark.parametrize("count", [1000, 1001])
def test_multi_object_delete_key_limit(s3: Any, bucket: str, refuses: Callable[..., Any], count: int) -> None:
    asked = {"Objects": [{"Key": f"key-{number}"} for number in range(count)]}
    if count > 1000:
        with refuses("MalformedXML", 400):
            s3.delete_objects(Bucket=bucket, Delete=asked)
    else:
        assert len(s3.delete_objects(Bucket=bucket, Delete=asked)["Deleted"]) == count


def test_object_read_not_exist(s3: Any, bucket: str, refuses: Callable[..., Any]) -> None:
    with refuses("NoSuchKey", 404):
        s3.get_object(Bucket=bucket, Key="bar")


def test_object_read_unreadable(bucket: str, raw: Any) -> None:
    reply = raw("GET", f"/{bucket}/%AE%8A-")
    assert (reply.status, reply.code) == (400, "InvalidURI")
    assert b"Couldn't parse the specified URI." in reply.body.replace(b"&apos;", b"'").replace(b"&#x27;", b"'")


def test_object_requestid_matches_header_on_error(bucket: str, raw: Any) -> None:
    reply = raw("GET", f"/{bucket}/bar")
    found = re.search(rb"<RequestId>([^<]+)</RequestId>", reply.body)
    assert found is not None
    assert found[1].decode() == reply.headers["x-amz-request-id"]


def test_object_set_get_metadata_none_to_good(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="foo", Body=b"bar")
    s3.put_object(Bucket=bucket, Key="foo", Body=b"bar", Metadata={"meta1": "mymeta"})
    assert s3.head_object(Bucket=bucket, Key="foo")["Metadata"] == {"meta1": "mymeta"}


def test_object_write_cache_control(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="foo", Body=b"bar", CacheControl="public, max-age=14400")
    assert s3.head_object(Bucket=bucket, Key="foo")["CacheControl"] == "public, max-age=14400"


def test_object_write_file(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="foo", Body=io.BytesIO(b"bar"))
    assert s3.get_object(Bucket=bucket, Key="foo")["Body"].read() == b"bar"


def test_object_write_to_nonexist_bucket(s3: Any, refuses: Callable[..., Any]) -> None:
    with refuses("NoSuchBucket", 404):
        s3.put_object(Bucket=f"never-{uuid.uuid4().hex}", Key="foo", Body=b"foo")


def test_object_write_with_chunked_transfer_encoding(s3: Any, bucket: str, site: Any, raw: Any) -> None:
    """HTTP chunked without any length told. (AWS answers 501; Ceph and we take it, see DESIGN section 4.)"""
    headers = raw.sign("PUT", f"/{bucket}/k", {"Host": site.authority}, b"", "UNSIGNED-PAYLOAD")
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    head = f"PUT /{bucket}/k HTTP/1.1\r\n{lines}Transfer-Encoding: chunked\r\n\r\n"
    reply = raw.bytes(head.encode() + b"3\r\nbar\r\n0\r\n\r\n", "PUT")
    assert reply.status == 200
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"bar"


def test_put_object_ifmatch_failed_and_good(s3: Any, bucket: str, refuses: Callable[..., Any]) -> None:
    """put object if match, put object ifmatch failed, put current object if (none) match."""
    with refuses("NoSuchKey", 404):
        s3.put_object(Bucket=bucket, Key="obj", Body=b"x", IfMatch="*")
    etag = s3.put_object(Bucket=bucket, Key="obj", Body=b"x", IfNoneMatch="*")["ETag"]
    s3.put_object(Bucket=bucket, Key="obj", Body=b"y", IfMatch=etag)
    s3.put_object(Bucket=bucket, Key="obj", Body=b"z", IfMatch="*")
    with refuses("PreconditionFailed", 412):
        s3.put_object(Bucket=bucket, Key="obj", Body=b"w", IfMatch=etag.replace(etag[1:5], "0000"))
    with refuses("PreconditionFailed", 412):
        s3.put_object(Bucket=bucket, Key="obj", Body=b"w", IfNoneMatch="*")


def test_copy_object_ifmatch_good_and_ifnonematch_failed(s3: Any, bucket: str, refuses: Callable[..., Any]) -> None:
    etag = s3.put_object(Bucket=bucket, Key="foo", Body=b"bar")["ETag"]
    source = {"Bucket": bucket, "Key": "foo"}
    s3.copy_object(Bucket=bucket, Key="bar", CopySource=source, CopySourceIfMatch=etag)
    assert s3.get_object(Bucket=bucket, Key="bar")["Body"].read() == b"bar"
    with refuses("PreconditionFailed", 412):
        s3.copy_object(Bucket=bucket, Key="bar", CopySource=source, CopySourceIfNoneMatch=etag)


def test_object_copy_not_owned_object_bucket(s3: Any, other_s3: Any, bucket: str, refuses: Callable[..., Any]) -> None:
    s3.put_object(Bucket=bucket, Key="foo", Body=b"foo")
    theirs = f"theirs-{uuid.uuid4().hex}"
    other_s3.create_bucket(Bucket=theirs)
    other_s3.put_object(Bucket=theirs, Key="foo", Body=b"foo")
    with refuses("AccessDenied", 403):
        s3.copy_object(Bucket=bucket, Key="bar", CopySource={"Bucket": theirs, "Key": "foo"})
    with refuses("AccessDenied", 403):
        s3.copy_object(Bucket=theirs, Key="bar", CopySource={"Bucket": bucket, "Key": "foo"})


@pytest.mark.parametrize("replaced", [False, True])
def test_object_copy_verify_contenttype(s3: Any, bucket: str, replaced: bool) -> None:
    s3.put_object(Bucket=bucket, Key="foo", Body=b"foo", ContentType="text/bla")
    more = {"MetadataDirective": "REPLACE", "ContentType": "audio/ogg"} if replaced else {}
    s3.copy_object(Bucket=bucket, Key="bar", CopySource={"Bucket": bucket, "Key": "foo"}, **more)
    assert s3.head_object(Bucket=bucket, Key="bar")["ContentType"] == ("audio/ogg" if replaced else "text/bla")


def test_list_multipart_upload_owner(s3: Any, other_s3: Any, bucket: str, refuses: Callable[..., Any]) -> None:
    s3.create_multipart_upload(Bucket=bucket, Key="multipart1")
    row = s3.list_multipart_uploads(Bucket=bucket)["Uploads"][0]
    owner = s3.list_buckets()["Owner"]["ID"]
    assert (row["Key"], row["Initiator"]["ID"], row["Owner"]["ID"]) == ("multipart1", owner, owner)
    with refuses("AccessDenied", 403):
        other_s3.list_multipart_uploads(Bucket=bucket)


def test_multipart_upload_incorrect_etag(s3: Any, bucket: str, refuses: Callable[..., Any]) -> None:
    place = {"Bucket": bucket, "Key": "mymultipart"}
    place["UploadId"] = s3.create_multipart_upload(**place)["UploadId"]
    s3.upload_part(**place, PartNumber=1, Body=b"\x00")
    rows = [{"ETag": '"ffffffffffffffffffffffffffffffff"', "PartNumber": 1}]
    with refuses("InvalidPart", 400):
        s3.complete_multipart_upload(**place, MultipartUpload={"Parts": rows})


def test_multipart_copy_without_range(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="source", Body=b"0123456789")
    place = {"Bucket": bucket, "Key": "mymultipart"}
    place["UploadId"] = s3.create_multipart_upload(**place)["UploadId"]
    tag = s3.upload_part_copy(**place, CopySource=f"{bucket}/source", PartNumber=1)["CopyPartResult"]["ETag"]
    s3.complete_multipart_upload(**place, MultipartUpload={"Parts": [{"ETag": tag, "PartNumber": 1}]})
    assert s3.get_object(Bucket=bucket, Key="mymultipart")["Body"].read() == b"0123456789"


def test_multipart_upload_contents_and_small(s3: Any, bucket: str, refuses: Callable[..., Any]) -> None:
    place = {"Bucket": bucket, "Key": "mymultipart"}
    place["UploadId"] = s3.create_multipart_upload(**place)["UploadId"]
    rows = [
        {"PartNumber": number, "ETag": s3.upload_part(**place, PartNumber=number, Body=b"x" * 1024)["ETag"]}
        for number in (1, 2)
    ]
    with refuses("EntityTooSmall", 400):
        s3.complete_multipart_upload(**place, MultipartUpload={"Parts": rows})
    s3.complete_multipart_upload(**place, MultipartUpload={"Parts": rows[:1]})
    got = s3.get_object(Bucket=bucket, Key="mymultipart")["Body"].read()
    assert hashlib.sha256(got).digest() == hashlib.sha256(b"x" * 1024).digest()


def test_get_object_attributes(s3: Any, bucket: str) -> None:
    sent = s3.put_object(Bucket=bucket, Key="foo", Body=b"bar", ChecksumAlgorithm="SHA256")
    told = s3.get_object_attributes(
        Bucket=bucket, Key="foo", ObjectAttributes=["ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize"]
    )
    assert (told["ETag"], told["ObjectSize"], told["StorageClass"]) == (sent["ETag"].strip('"'), 3, "STANDARD")
    assert told["Checksum"]["ChecksumSHA256"] == sent["ChecksumSHA256"]
    assert "ObjectParts" not in told
