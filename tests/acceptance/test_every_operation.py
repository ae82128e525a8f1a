"""Every operation that the gateway knows, once on each storage."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from botocore import xform_name
from botocore.exceptions import ClientError

from gateway.operations import OPERATIONS
from gateway.operations.unset_settings import OPERATIONS as NEVER_SET
from tests.acceptance.raw import form_of

PART = 5 * 1024 * 1024


@pytest.fixture
def asked(s3: Any) -> Any:
    """The names of the operations that the client has called."""
    names: set[str] = set()

    def note(model: Any, **_: Any) -> None:
        names.add(model.name)

    s3.meta.events.register("before-call.s3", note)
    yield names
    s3.meta.events.unregister("before-call.s3", note)


def test_every_operation_is_answered(
    site: Any, s3: Any, asked: set[str], new_bucket: Callable[[], str], make_client: Callable[..., Any], raw: Any
) -> None:
    bucket = new_bucket()
    kept = {"Bucket": bucket, "Key": "k"}
    source = {"CopySource": kept}
    assert bucket in {row["Name"] for row in s3.list_buckets()["Buckets"]}
    s3.head_bucket(Bucket=bucket)
    s3.get_bucket_location(Bucket=bucket)
    owner = s3.get_bucket_acl(Bucket=bucket)["Owner"]
    etag = s3.put_object(**kept, Body=b"x" * PART)["ETag"]
    assert s3.head_object(**kept)["ETag"] == s3.get_object(**kept)["ETag"] == etag
    assert s3.get_object_attributes(**kept, ObjectAttributes=["ObjectSize"])["ObjectSize"] == PART
    assert s3.get_object_acl(**kept)["Owner"] == owner
    assert s3.copy_object(Bucket=bucket, Key="copy", **source)["CopyObjectResult"]["ETag"] == etag
    assert [row["Key"] for row in s3.list_objects(Bucket=bucket)["Contents"]] == ["copy", "k"]
    assert [row["Key"] for row in s3.list_objects_v2(Bucket=bucket)["Contents"]] == ["copy", "k"]

    assert [row["Key"] for row in s3.list_object_versions(Bucket=bucket)["Versions"]] == ["copy", "k"]

    upload = {"Bucket": bucket, "Key": "parts"}
    upload["UploadId"] = s3.create_multipart_upload(**upload)["UploadId"]
    first = s3.upload_part_copy(**upload, PartNumber=1, **source)["CopyPartResult"]["ETag"]
    second = s3.upload_part(**upload, PartNumber=2, Body=b"y")["ETag"]
    rows = [{"PartNumber": 1, "ETag": first}, {"PartNumber": 2, "ETag": second}]
    assert [row["ETag"] for row in s3.list_parts(**upload)["Parts"]] == [first, second]
    assert len(s3.list_multipart_uploads(Bucket=bucket)["Uploads"]) == 1
    s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": rows})
    assert s3.get_object(Bucket=bucket, Key="parts")["Body"].read() == b"x" * PART + b"y"
    upload["UploadId"] = s3.create_multipart_upload(Bucket=bucket, Key="parts")["UploadId"]
    s3.abort_multipart_upload(**upload)

    for name in sorted(NEVER_SET):  # test_subresources.py knows what each answers
        members = s3.meta.service_model.operation_model(name).input_shape.required_members
        try:
            getattr(s3, xform_name(name))(**{key: {**kept, "Id": "any"}[key] for key in members})
        except ClientError as refused:
            assert refused.response["ResponseMetadata"]["HTTPStatusCode"] in (400, 404), name

    form = make_client(site, signature_version="s3v4").generate_presigned_post(bucket, "form")
    kind, body = form_of(form["fields"], b"z")
    assert raw("POST", f"/{bucket}", headers={"Content-Type": kind}, body=body, signed=False).status == 204
    assert s3.get_object(Bucket=bucket, Key="form")["Body"].read() == b"z"

    s3.delete_object(**kept)
    s3.delete_object(Bucket=bucket, Key="form")
    assert "Errors" not in s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "copy"}, {"Key": "parts"}]})
    s3.delete_bucket(Bucket=bucket)
    assert asked | {"CreateBucket", "PostObject"} == set(OPERATIONS), (
        "what the gateway learnt is asked of every storage"
    )
