"""What S3 answers to GET, and to DELETE, of a sub-resource that nobody ever configured.

Each row is an error code or a document, as the operation's own page in the API reference says; callers check first
that the bucket, and for object operations the object, exists.
"""

from __future__ import annotations

from collections.abc import Mapping

from gateway.errors import S3Error
from gateway.wire.xml_text import document

ERRORS: dict[str, str] = {
    "GetBucketCors": "NoSuchCORSConfiguration",
    "GetBucketEncryption": "ServerSideEncryptionConfigurationNotFoundError",
    "GetBucketLifecycleConfiguration": "NoSuchLifecycleConfiguration",
    "GetBucketPolicy": "NoSuchBucketPolicy",
    "GetBucketPolicyStatus": "NoSuchBucketPolicy",
    "GetBucketReplication": "ReplicationConfigurationNotFoundError",
    "GetBucketTagging": "NoSuchTagSet",
    "GetBucketWebsite": "NoSuchWebsiteConfiguration",
    "GetObjectLockConfiguration": "ObjectLockConfigurationNotFoundError",
    "GetPublicAccessBlock": "NoSuchPublicAccessBlockConfiguration",
    "GetBucketAnalyticsConfiguration": "NoSuchConfiguration",
    "GetBucketIntelligentTieringConfiguration": "NoSuchConfiguration",
    "GetBucketInventoryConfiguration": "NoSuchConfiguration",
    "GetBucketMetricsConfiguration": "NoSuchConfiguration",
}

# A bucket made without Object Lock cannot be asked about its objects' locks.
NO_LOCK = frozenset(("GetObjectRetention", "GetObjectLegalHold"))

_NONE_LISTED = "<IsTruncated>false</IsTruncated>"
DOCUMENTS: dict[str, bytes] = {
    "GetBucketAccelerateConfiguration": document("AccelerateConfiguration"),
    "GetBucketLogging": document("BucketLoggingStatus"),
    "GetBucketNotificationConfiguration": document("NotificationConfiguration"),
    "GetBucketOwnershipControls": document(
        "OwnershipControls",
        "<Rule><ObjectOwnership>BucketOwnerEnforced</ObjectOwnership></Rule>",  # as ACLs are off
    ),
    "GetBucketRequestPayment": document("RequestPaymentConfiguration", "<Payer>BucketOwner</Payer>"),
    "GetBucketVersioning": document("VersioningConfiguration"),
    "GetObjectTagging": document("Tagging", "<TagSet></TagSet>"),
    "ListBucketAnalyticsConfigurations": document("ListBucketAnalyticsConfigurationResult", _NONE_LISTED),
    "ListBucketIntelligentTieringConfigurations": document(
        "ListBucketIntelligentTieringConfigurationsOutput", _NONE_LISTED
    ),
    "ListBucketInventoryConfigurations": document("ListInventoryConfigurationsResult", _NONE_LISTED),
    "ListBucketMetricsConfigurations": document("ListMetricsConfigurationsResult", _NONE_LISTED),
}

# Whoever deletes what was never set has what they want: 204. Not so ownership controls, for GET shows some, and what
# has an id, of which S3's documentation says nothing.
NOTHING_TO_DELETE: frozenset[str] = frozenset(
    "Delete" + name
    for name in (
        "BucketCors",
        "BucketEncryption",
        "BucketLifecycle",
        "BucketPolicy",
        "BucketReplication",
        "BucketTagging",
        "BucketWebsite",
        "ObjectTagging",
        "PublicAccessBlock",
    )
)

OPERATIONS: frozenset[str] = frozenset((*ERRORS, *NO_LOCK, *DOCUMENTS))


_REQUESTABLE = ("GET", "PUT", "HEAD", "POST", "DELETE")


def refuse_preflight(headers: Mapping[str, str], bucket: str | None, key: bytes | None) -> S3Error:
    """S3's answer to a browser that asks what a bucket without CORS rules permits. Nobody signs such a question."""
    if "origin" not in headers:
        return S3Error("BadRequest", "Insufficient information. Origin request header needed.")
    method = headers.get("access-control-request-method", "null")
    if method not in _REQUESTABLE:
        return S3Error("BadRequest", f"Invalid Access-Control-Request-Method: {method[:32]}")
    resource = "OBJECT" if key else "BUCKET" if bucket else "SERVICE"
    return S3Error("AccessForbidden", fields={"Method": method, "ResourceType": resource})


def unset(operation: str, bucket: str) -> bytes:
    """The document for one of OPERATIONS (KeyError for another), or S3's "not set" error raised as S3Error."""
    if operation in NO_LOCK:
        raise S3Error("InvalidRequest", "Bucket is missing Object Lock Configuration", fields={"BucketName": bucket})
    if code := ERRORS.get(operation):
        raise S3Error(code, fields={"BucketName": bucket})
    return DOCUMENTS[operation]
