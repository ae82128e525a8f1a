"""ListParts, ListMultipartUploads, partNumber reads and the races of multipart uploads.

Source: https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListParts.html and API_ListMultipartUploads.html
"""

from __future__ import annotations

import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

MIB = 1024 * 1024
FIVE = 5 * MIB


def begin(s3: Any, bucket: str, key: str = "k", **more: Any) -> dict[str, str]:
    upload = s3.create_multipart_upload(Bucket=bucket, Key=key, **more)["UploadId"]
    return {"Bucket": bucket, "Key": key, "UploadId": upload}


def send(s3: Any, place: dict[str, str], *bodies: bytes) -> list[dict[str, Any]]:
    rows = []
    for number, body in enumerate(bodies, 1):
        tag = s3.upload_part(**place, PartNumber=number, Body=body)["ETag"]
        rows.append({"PartNumber": number, "ETag": tag})
    return rows


def test_the_parts_of_an_upload(s3: Any, bucket: str, refuses: Callable[..., Any]) -> None:
    place = begin(s3, bucket, "a key", StorageClass="STANDARD")
    assert "Parts" not in s3.list_parts(**place)
    rows = send(s3, place, b"a", b"bb", b"ccc", b"dddd")
    page = s3.list_parts(**place)
    assert [(part["PartNumber"], part["Size"], part["ETag"]) for part in page["Parts"]] == [
        (row["PartNumber"], row["PartNumber"], row["ETag"]) for row in rows
    ]
    owner = s3.list_buckets()["Owner"]["ID"]
    assert (page["Bucket"], page["Key"], page["UploadId"]) == (bucket, "a key", place["UploadId"])
    assert (page["Owner"]["ID"], page["Initiator"]["ID"], page["StorageClass"]) == (owner, owner, "STANDARD")
    assert (page["MaxParts"], page["IsTruncated"]) == (1000, False)
    s3.abort_multipart_upload(**place)
    with refuses("NoSuchUpload", 404):
        s3.list_parts(**place)


def test_parts_in_pages(s3: Any, bucket: str) -> None:
    place = begin(s3, bucket)
    send(s3, place, *[b"x"] * 5)
    first = s3.list_parts(**place, MaxParts=2)
    assert [part["PartNumber"] for part in first["Parts"]] == [1, 2]
    assert (first["IsTruncated"], first["NextPartNumberMarker"], first["MaxParts"]) == (True, 2, 2)
    rest = s3.list_parts(**place, PartNumberMarker=2)
    assert [part["PartNumber"] for part in rest["Parts"]] == [3, 4, 5]
    assert (rest["IsTruncated"], rest["PartNumberMarker"]) == (False, 2)


def test_the_uploads_of_a_bucket(s3: Any, bucket: str) -> None:
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=bucket)
    places = [begin(s3, bucket, key) for key in ("b", "a/2", "a/1", "a/1")]
    page = s3.list_multipart_uploads(Bucket=bucket)
    assert [row["Key"] for row in page["Uploads"]] == ["a/1", "a/1", "a/2", "b"]
    assert {row["UploadId"] for row in page["Uploads"]} == {place["UploadId"] for place in places}
    same = [row for row in page["Uploads"] if row["Key"] == "a/1"]
    assert [row["UploadId"] for row in same] == [places[2]["UploadId"], places[3]["UploadId"]]  # older first
    owner = s3.list_buckets()["Owner"]["ID"]
    assert {(row["Owner"]["ID"], row["Initiator"]["ID"]) for row in page["Uploads"]} == {(owner, owner)}
    s3.abort_multipart_upload(**places[0])
    rows = send(s3, places[1], b"x")
    s3.complete_multipart_upload(**places[1], MultipartUpload={"Parts": rows})
    assert [row["Key"] for row in s3.list_multipart_uploads(Bucket=bucket)["Uploads"]] == ["a/1", "a/1"]


def test_uploads_by_prefix_delimiter_and_page(s3: Any, bucket: str) -> None:
    for key in ("a/1", "a/2", "b", "c/d/1", "c/d/2", "c/e"):
        begin(s3, bucket, key)
    page = s3.list_multipart_uploads(Bucket=bucket, Delimiter="/")
    assert [row["Key"] for row in page["Uploads"]] == ["b"]
    assert [row["Prefix"] for row in page["CommonPrefixes"]] == ["a/", "c/"]
    page = s3.list_multipart_uploads(Bucket=bucket, Delimiter="/", KeyMarker="a/1")  # all of a/ lies behind
    assert [row["Prefix"] for row in page["CommonPrefixes"]] == ["c/"]
    page = s3.list_multipart_uploads(Bucket=bucket, Prefix="c/", Delimiter="/")
    assert [row["Key"] for row in page["Uploads"]] == ["c/e"]
    assert [row["Prefix"] for row in page["CommonPrefixes"]] == ["c/d/"]
    seen: list[str] = []
    more: dict[str, str] = {}
    while True:
        page = s3.list_multipart_uploads(Bucket=bucket, MaxUploads=2, **more)
        seen += [row["Key"] for row in page["Uploads"]]
        if not page["IsTruncated"]:
            break
        more = {"KeyMarker": page["NextKeyMarker"], "UploadIdMarker": page["NextUploadIdMarker"]}
    assert seen == ["a/1", "a/2", "b", "c/d/1", "c/d/2", "c/e"]
    assert (page["NextKeyMarker"], page["NextUploadIdMarker"]) == ("c/e", page["Uploads"][-1]["UploadId"])
    page = s3.list_multipart_uploads(Bucket=bucket, Prefix="none")
    assert (page["NextKeyMarker"], page["NextUploadIdMarker"]) == ("", "")
    page = s3.list_multipart_uploads(Bucket=bucket, MaxUploads=0)
    assert not {"Prefix", "NextKeyMarker", "NextUploadIdMarker"} & page.keys()


def test_one_part_of_an_object(s3: Any, bucket: str, refuses: Callable[..., Any]) -> None:
    bodies = [random.Random(number).randbytes(size) for number, size in enumerate((FIVE, FIVE + 1, 9))]
    place = begin(s3, bucket)
    done = s3.complete_multipart_upload(**place, MultipartUpload={"Parts": send(s3, place, *bodies)})
    start = 0
    for number, body in enumerate(bodies, 1):
        got = s3.get_object(Bucket=bucket, Key="k", PartNumber=number)
        assert got["Body"].read() == body
        assert got["ResponseMetadata"]["HTTPStatusCode"] == 206
        assert (got["PartsCount"], got["ETag"]) == (3, done["ETag"])
        assert got["ContentRange"] == f"bytes {start}-{start + len(body) - 1}/{2 * FIVE + 10}"
        head = s3.head_object(Bucket=bucket, Key="k", PartNumber=number)
        assert (head["ContentLength"], head["PartsCount"]) == (len(body), 3)
        start += len(body)
    with refuses("InvalidPartNumber", 416):
        s3.get_object(Bucket=bucket, Key="k", PartNumber=4)


def test_the_one_part_of_a_plain_object(s3: Any, bucket: str, refuses: Callable[..., Any]) -> None:
    s3.put_object(Bucket=bucket, Key="plain", Body=b"whole")
    got = s3.get_object(Bucket=bucket, Key="plain", PartNumber=1)
    assert got["Body"].read() == b"whole"
    assert "PartsCount" not in got
    with refuses("InvalidPartNumber", 416):
        s3.get_object(Bucket=bucket, Key="plain", PartNumber=2)
    with refuses("InvalidRequest", 400):
        s3.get_object(Bucket=bucket, Key="plain", PartNumber=1, Range="bytes=0-1")


def test_a_complete_raced_by_itself(site: Any, make_client: Any, bucket: str) -> None:
    client = make_client(site, max_pool_connections=8)
    for _ in range(5):
        place = begin(client, bucket)
        rows = {"Parts": send(client, place, b"the part")}

        def finish(_: int, place: dict[str, str] = place, rows: dict[str, Any] = rows) -> str:
            return str(client.complete_multipart_upload(**place, MultipartUpload=rows)["ETag"])

        with ThreadPoolExecutor(8) as pool:
            assert len(set(pool.map(finish, range(8)))) == 1
    client.close()


def test_a_complete_raced_by_an_abort(s3: Any, site: Any, make_client: Any, bucket: str) -> None:
    """Whoever wins: either the object is there, whole, or it is not, and nothing is left open."""
    client = make_client(site, max_pool_connections=4)
    for number in range(10):
        place = begin(client, bucket, f"race{number}")
        rows = {"Parts": send(client, place, b"the part")}

        def finish(place: dict[str, str] = place, rows: dict[str, Any] = rows) -> bool:
            try:
                client.complete_multipart_upload(**place, MultipartUpload=rows)
            except client.exceptions.ClientError as error:
                assert error.response["Error"]["Code"] in ("NoSuchUpload", "OperationAborted")
                return False
            return True

        def give_up(place: dict[str, str] = place) -> bool:
            try:
                client.abort_multipart_upload(**place)
            except client.exceptions.ClientError as error:
                assert error.response["Error"]["Code"] in ("NoSuchUpload", "OperationAborted")
                return False
            return True

        with ThreadPoolExecutor(2) as pool:
            joined, aborted = pool.submit(finish), pool.submit(give_up)
            assert joined.result() or aborted.result()
        listed = [row["Key"] for row in s3.list_objects_v2(Bucket=bucket).get("Contents", ())]
        assert (f"race{number}" in listed) is joined.result()
        if joined.result():
            assert s3.get_object(Bucket=bucket, Key=f"race{number}")["Body"].read() == b"the part"
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=bucket)
    client.close()


def test_empty_pages_of_parts_are_the_usual_ones(s3: Any, bucket: str, raw: Any) -> None:
    place = begin(s3, bucket)
    send(s3, place, b"x")
    reply = raw("GET", f"/{bucket}/k?uploadId={place['UploadId']}&max-parts=&part-number-marker=")
    assert b"<MaxParts>1000</MaxParts>" in reply.body
    assert b"<PartNumber>1</PartNumber>" in reply.body


@pytest.mark.parametrize("asked", ["max-parts=x", "max-parts=-1", "part-number-marker=x"])
def test_bad_pages_of_parts(s3: Any, bucket: str, raw: Any, asked: str) -> None:
    place = begin(s3, bucket)
    reply = raw("GET", f"/{bucket}/k?uploadId={place['UploadId']}&{asked}")
    assert (reply.status, reply.code) == (400, "InvalidArgument")
