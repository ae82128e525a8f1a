"""Names of storage classes and website redirects: kept with the object, told back, refused where S3 has no such thing.

Source: "PutObject", "CopyObject" and "GetObjectAttributes", S3 API Reference. STANDARD is never told in a header.
"""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError


def code_of(call: Any, **parameters: Any) -> str:
    with pytest.raises(ClientError) as raised:
        call(**parameters)
    return str(raised.value.response["Error"]["Code"])


@pytest.mark.parametrize("name", ["STANDARD_IA", "REDUCED_REDUNDANCY", "GLACIER"])
def test_the_name_of_a_class_is_told_everywhere(s3: Any, bucket: str, name: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"x", StorageClass=name)
    assert s3.head_object(Bucket=bucket, Key="k")["StorageClass"] == name
    assert s3.get_object(Bucket=bucket, Key="k")["StorageClass"] == name
    (row,) = s3.list_objects_v2(Bucket=bucket)["Contents"]
    assert row["StorageClass"] == name
    asked = s3.get_object_attributes(Bucket=bucket, Key="k", ObjectAttributes=["StorageClass"])
    assert asked["StorageClass"] == name


def test_standard_is_told_in_listings_only(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    assert "StorageClass" not in s3.head_object(Bucket=bucket, Key="k")
    (row,) = s3.list_objects_v2(Bucket=bucket)["Contents"]
    assert row["StorageClass"] == "STANDARD"


def test_an_upload_in_parts_has_the_class_that_it_was_begun_with(s3: Any, bucket: str) -> None:
    upload = s3.create_multipart_upload(Bucket=bucket, Key="k", StorageClass="STANDARD_IA")["UploadId"]
    at = {"Bucket": bucket, "Key": "k", "UploadId": upload}
    etag = s3.upload_part(**at, PartNumber=1, Body=b"x")["ETag"]
    assert s3.list_parts(**at)["StorageClass"] == "STANDARD_IA"
    s3.complete_multipart_upload(**at, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": etag}]})
    assert s3.head_object(Bucket=bucket, Key="k")["StorageClass"] == "STANDARD_IA"


def test_a_copy_has_a_class_and_a_redirect_of_its_own(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"x", StorageClass="STANDARD_IA", WebsiteRedirectLocation="/there")
    assert s3.head_object(Bucket=bucket, Key="k")["WebsiteRedirectLocation"] == "/there"
    s3.copy_object(Bucket=bucket, Key="c", CopySource=f"{bucket}/k")
    copied = s3.head_object(Bucket=bucket, Key="c")
    assert "StorageClass" not in copied and "WebsiteRedirectLocation" not in copied


def test_classes_and_redirects_that_are_none_are_refused(s3: Any, bucket: str) -> None:
    at = {"Bucket": bucket, "Key": "k", "Body": b"x"}
    assert code_of(s3.put_object, **at, StorageClass="MAHOGANY") == "InvalidStorageClass"
    assert code_of(s3.put_object, **at, WebsiteRedirectLocation="there") == "InvalidRedirectLocation"
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0
