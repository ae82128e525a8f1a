"""Sub-resources: what a bucket or object that never had one answers, and what is not built yet is 501.

Source: the "Errors" and "Response Syntax" of each API page, for example
https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetBucketPolicy.html
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

NOT_SET_ON_BUCKET = {
    "get_bucket_policy": "NoSuchBucketPolicy",
    "get_bucket_policy_status": "NoSuchBucketPolicy",
    "get_bucket_cors": "NoSuchCORSConfiguration",
    "get_bucket_encryption": "ServerSideEncryptionConfigurationNotFoundError",
    "get_bucket_lifecycle_configuration": "NoSuchLifecycleConfiguration",
    "get_bucket_tagging": "NoSuchTagSet",
    "get_bucket_website": "NoSuchWebsiteConfiguration",
    "get_bucket_replication": "ReplicationConfigurationNotFoundError",
    "get_object_lock_configuration": "ObjectLockConfigurationNotFoundError",
    "get_public_access_block": "NoSuchPublicAccessBlockConfiguration",
}


@pytest.mark.parametrize("name", NOT_SET_ON_BUCKET)
def test_a_setting_that_a_bucket_never_had(s3: Any, bucket: str, refuses: Callable[..., Any], name: str) -> None:
    with refuses(NOT_SET_ON_BUCKET[name], 404):
        getattr(s3, name)(Bucket=bucket)


@pytest.mark.parametrize("kind", ["analytics", "intelligent_tiering", "inventory", "metrics"])
def test_named_settings_that_a_bucket_never_had(s3: Any, bucket: str, refuses: Callable[..., Any], kind: str) -> None:
    with refuses("NoSuchConfiguration", 404):
        getattr(s3, f"get_bucket_{kind}_configuration")(Bucket=bucket, Id="any")
    page = getattr(s3, f"list_bucket_{kind}_configurations")(Bucket=bucket)
    page.pop("ResponseMetadata")
    assert page == {"IsTruncated": False}


@pytest.mark.parametrize(
    "setting", "cors encryption lifecycle policy replication tagging website public_access_block".split()
)
def test_a_setting_that_a_bucket_never_had_may_be_deleted(s3: Any, bucket: str, setting: str) -> None:
    delete = getattr(s3, f"delete_{'' if setting == 'public_access_block' else 'bucket_'}{setting}")
    assert delete(Bucket=bucket)["ResponseMetadata"]["HTTPStatusCode"] == 204


EMPTY_ON_BUCKET: dict[str, dict[str, Any]] = {
    "get_bucket_versioning": {},
    "get_bucket_logging": {},
    "get_bucket_notification_configuration": {},
    "get_bucket_accelerate_configuration": {},
    "get_bucket_request_payment": {"Payer": "BucketOwner"},
    "get_bucket_ownership_controls": {"OwnershipControls": {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}},
}


@pytest.mark.parametrize("name", EMPTY_ON_BUCKET)
def test_a_setting_that_is_empty_until_set(s3: Any, bucket: str, name: str) -> None:
    answer = getattr(s3, name)(Bucket=bucket)
    answer.pop("ResponseMetadata")
    assert answer == EMPTY_ON_BUCKET[name]


def test_an_object_without_tags(s3: Any, bucket: str, refuses: Callable[..., Any]) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    assert s3.get_object_tagging(Bucket=bucket, Key="k")["TagSet"] == []
    assert s3.delete_object_tagging(Bucket=bucket, Key="k")["ResponseMetadata"]["HTTPStatusCode"] == 204
    for ask in (s3.get_object_tagging, s3.delete_object_tagging):
        with refuses("NoSuchKey", 404):
            ask(Bucket=bucket, Key="none")
        with refuses("NoSuchVersion", 404):
            ask(Bucket=bucket, Key="k", VersionId="n" * 32)


@pytest.mark.parametrize("name", ["get_object_retention", "get_object_legal_hold"])
def test_a_bucket_without_locks_keeps_no_object_locked(
    s3: Any, bucket: str, refuses: Callable[..., Any], name: str
) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    with refuses("InvalidRequest", 400):
        getattr(s3, name)(Bucket=bucket, Key="k")
    with refuses("NoSuchKey", 404):
        getattr(s3, name)(Bucket=bucket, Key="none")


def test_the_owner_has_full_control(s3: Any, bucket: str, refuses: Callable[..., Any]) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    owner = s3.list_buckets()["Owner"]["ID"]
    for acl in (s3.get_bucket_acl(Bucket=bucket), s3.get_object_acl(Bucket=bucket, Key="k")):
        assert acl["Owner"]["ID"] == owner
        (grant,) = acl["Grants"]
        assert (grant["Permission"], grant["Grantee"]["ID"]) == ("FULL_CONTROL", owner)
        assert grant["Grantee"]["Type"] == "CanonicalUser"
    with refuses("NoSuchKey", 404):
        s3.get_object_acl(Bucket=bucket, Key="none")


def test_what_says_nothing_new_passes(s3: Any, bucket: str, new_bucket: Callable[[], str]) -> None:
    for acl in ("private", "bucket-owner-full-control"):
        s3.put_object(Bucket=bucket, Key="k", Body=b"x", ACL=acl, StorageClass="STANDARD")
        s3.copy_object(Bucket=bucket, Key="c", CopySource=f"{bucket}/k", ACL=acl)
        upload = s3.create_multipart_upload(Bucket=bucket, Key="m", ACL=acl, StorageClass="STANDARD")
        s3.abort_multipart_upload(Bucket=bucket, Key="m", UploadId=upload["UploadId"])
    s3.create_bucket(Bucket=new_bucket() + "-private", ACL="private")


@pytest.mark.parametrize("word", ["frobnicate", "acls", "Acl", "versionsx", "list-typo", "policy2"])
def test_an_unknown_sub_resource_never_means_something_else(bucket: str, raw: Any, word: str) -> None:
    raw("PUT", f"/{bucket}/k", body=b"kept")
    for method, target in (
        ("GET", f"/{bucket}?{word}"),
        ("PUT", f"/{bucket}/k?{word}"),
        ("DELETE", f"/{bucket}/k?{word}"),
        ("DELETE", f"/{bucket}?{word}"),
        ("POST", f"/{bucket}/k?{word}"),
    ):
        reply = raw(method, target)
        assert (reply.status, reply.code) == (501, "NotImplemented"), (method, target)
    assert raw("GET", f"/{bucket}/k").body == b"kept"


NOT_BUILT = (
    ("PUT", "?policy"),
    ("PUT", "?lifecycle"),
    ("PUT", "?website"),
    ("PUT", "?replication"),
    ("PUT", "?versioning"),
    ("PUT", "?object-lock"),
    ("PUT", "/k?retention"),
    ("PUT", "/k?legal-hold"),
    ("POST", "/k?restore"),
    ("POST", "/k?select&select-type=2"),
)


@pytest.mark.parametrize(("method", "target"), NOT_BUILT)
def test_what_is_not_built_is_refused_before_the_body(bucket: str, raw: Any, method: str, target: str) -> None:
    """The client waits for 100 Continue with its body; it must get the refusal instead."""
    reply = raw(
        method, f"/{bucket}{target}", announce=100_000, headers={"Expect": "100-continue"}, payload="UNSIGNED-PAYLOAD"
    )
    assert (reply.first_status, reply.status, reply.code) == (501, 501, "NotImplemented")


CHANGES_MEANING = (
    {"x-amz-acl": "public-read"},
    {"x-amz-grant-read": 'uri="http://acs.amazonaws.com/groups/global/AllUsers"'},
    {"x-amz-server-side-encryption": "AES256"},
    {"x-amz-server-side-encryption-customer-algorithm": "AES256"},
    {"x-amz-object-lock-mode": "COMPLIANCE", "x-amz-object-lock-retain-until-date": "2031-01-01T00:00:00Z"},
    {"x-amz-object-lock-legal-hold": "ON"},
    {"x-amz-tagging": "a=b"},
    {"x-amz-write-offset-bytes": "3"},
)


@pytest.mark.parametrize("headers", CHANGES_MEANING, ids=[next(iter(headers)) for headers in CHANGES_MEANING])
def test_a_header_that_would_change_meaning_is_refused(bucket: str, raw: Any, headers: dict[str, str]) -> None:
    for method, target in (("PUT", f"/{bucket}/k"), ("POST", f"/{bucket}/k?uploads")):
        if method == "POST" and "write-offset" in str(headers):
            continue  # it has no meaning there
        waiting = {"Expect": "100-continue", **headers}
        reply = raw(method, target, announce=100_000, headers=waiting, payload="UNSIGNED-PAYLOAD")
        assert (reply.first_status, reply.code) == (501, "NotImplemented"), (method, target)
    assert raw("HEAD", f"/{bucket}/k").status == 404
