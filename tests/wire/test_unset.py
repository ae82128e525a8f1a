"""GET of what was never configured: S3's error or S3's empty document, for every such operation; DELETE of it."""

from __future__ import annotations

from typing import Any

import botocore.session
import pytest
from botocore.parsers import create_parser

from gateway.errors import S3Error
from gateway.wire import unset
from gateway.wire.codes import CODES
from gateway.wire.table import ROWS

S3 = botocore.session.get_session().get_service_model("s3")

# Read operations of configurations that other rooms answer, or that are 501 until they exist.
ELSEWHERE = {
    "GetBucketAcl",
    "GetObjectAcl",
    "GetBucketLocation",
    "GetObject",
    "GetObjectAttributes",
    "GetObjectTorrent",
    "GetBucketAbac",
    "GetBucketMetadataConfiguration",
    "GetBucketMetadataTableConfiguration",
    "GetObjectAnnotation",
}


def test_every_read_of_a_configuration_has_an_answer() -> None:
    reads = {row.operation for row in ROWS if row.method == "GET" and row.operation.startswith("Get")}
    lists = {row.operation for row in ROWS if row.operation.startswith("ListBucket") and row.operation != "ListBuckets"}
    assert (reads - ELSEWHERE) | lists == unset.OPERATIONS


# Deletes of configurations that are 501 until they exist.
KEPT = {
    "DeleteBucketOwnershipControls",
    *(f"DeleteBucket{kind}Configuration" for kind in ("Analytics", "IntelligentTiering", "Inventory", "Metrics")),
    "DeleteBucketMetadataConfiguration",
    "DeleteBucketMetadataTableConfiguration",
}


def test_every_delete_of_a_configuration_has_an_answer() -> None:
    deletes = {row.operation for row in ROWS if row.method == "DELETE" and len(row.words) > 0}
    assert deletes - KEPT - {"AbortMultipartUpload", "DeleteObjectAnnotation"} == unset.NOTHING_TO_DELETE


@pytest.mark.parametrize("operation", sorted(unset.ERRORS))
def test_errors(operation: str) -> None:
    with pytest.raises(S3Error) as caught:
        unset.unset(operation, "bbb")
    assert caught.value.fields == {"BucketName": "bbb"}
    assert CODES[caught.value.code].status == 404


@pytest.mark.parametrize("operation", ["GetObjectRetention", "GetObjectLegalHold"])
def test_locks_of_a_bucket_without_locks(operation: str) -> None:
    with pytest.raises(S3Error) as caught:
        unset.unset(operation, "bbb")
    assert caught.value.code == "InvalidRequest"


EMPTY: dict[str, dict[str, Any]] = {
    "GetBucketOwnershipControls": {"OwnershipControls": {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}},
    "GetBucketRequestPayment": {"Payer": "BucketOwner"},
    "GetObjectTagging": {"TagSet": []},
    **{f"ListBucket{kind}Configurations": {"IsTruncated": False} for kind in ("Analytics", "Inventory", "Metrics")},
    "ListBucketIntelligentTieringConfigurations": {"IsTruncated": False},
}


@pytest.mark.parametrize("operation", sorted(unset.DOCUMENTS))
def test_documents_as_the_sdk_reads_them(operation: str) -> None:
    reply = {"status_code": 200, "headers": {}, "body": unset.unset(operation, "bbb")}
    found = create_parser("rest-xml").parse(reply, S3.operation_model(operation).output_shape)
    del found["ResponseMetadata"]
    assert found == EMPTY.get(operation, {})


def test_an_operation_that_is_no_configuration_is_a_fault_of_ours() -> None:
    with pytest.raises(KeyError):
        unset.unset("GetObject", "bbb")
