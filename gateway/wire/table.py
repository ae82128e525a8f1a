"""Which method, level and query words make which S3 operation: every operation of S3's API, also those we lack.

An operation that nobody registered is answered 501 by the gate, so a row here never means "implemented".
Source: https://docs.aws.amazon.com/AmazonS3/latest/API/API_Operations_Amazon_Simple_Storage_Service.html
"""

from __future__ import annotations

from dataclasses import dataclass

SERVICE, BUCKET, OBJECT = "service", "bucket", "object"


@dataclass(frozen=True, slots=True)
class Row:
    """``words`` select the operation; ``params`` may stand beside them. Both are names of query parameters."""

    method: str
    level: str
    words: tuple[str, ...]
    operation: str
    params: frozenset[str]


def _row(method: str, level: str, words: str, operation: str, params: str = "") -> Row:
    return Row(method, level, tuple(sorted(words.split())), operation, frozenset(params.split()))


_RESPONSE = (
    "response-cache-control response-content-disposition response-content-encoding "
    "response-content-language response-content-type response-expires"
)
_LISTING = "delimiter encoding-type prefix"
_WISHED = "metadata"  # minio-go asks for MinIO's longer rows, and is content with S3's

_PLAIN = (
    _row("GET", SERVICE, "", "ListBuckets", "max-buckets continuation-token prefix bucket-region"),
    _row("GET", SERVICE, "max-directory-buckets", "ListDirectoryBuckets", "continuation-token"),
    _row("GET", BUCKET, "", "ListObjects", f"{_LISTING} marker max-keys"),
    _row(
        "GET",
        BUCKET,
        "list-type",
        "ListObjectsV2",
        f"{_LISTING} max-keys continuation-token fetch-owner start-after {_WISHED}",
    ),
    _row(
        "GET", BUCKET, "versions", "ListObjectVersions", f"{_LISTING} key-marker max-keys version-id-marker {_WISHED}"
    ),
    _row("GET", BUCKET, "uploads", "ListMultipartUploads", f"{_LISTING} key-marker max-uploads upload-id-marker"),
    _row("GET", BUCKET, "session", "CreateSession"),
    _row("HEAD", BUCKET, "", "HeadBucket"),
    _row("PUT", BUCKET, "", "CreateBucket"),
    _row("DELETE", BUCKET, "", "DeleteBucket"),
    _row("POST", BUCKET, "", "PostObject"),
    _row("POST", BUCKET, "delete", "DeleteObjects"),
    _row("GET", OBJECT, "", "GetObject", f"versionId partNumber {_RESPONSE}"),
    _row("HEAD", OBJECT, "", "HeadObject", f"versionId partNumber {_RESPONSE}"),
    _row("PUT", OBJECT, "", "PutObject"),
    _row("DELETE", OBJECT, "", "DeleteObject", "versionId"),
    _row("GET", OBJECT, "attributes", "GetObjectAttributes", "versionId"),
    _row("GET", OBJECT, "torrent", "GetObjectTorrent"),
    _row("PUT", OBJECT, "renameObject", "RenameObject"),
    _row("PUT", OBJECT, "encryption", "UpdateObjectEncryption", "versionId"),
    _row("POST", OBJECT, "restore", "RestoreObject", "versionId"),
    _row("POST", OBJECT, "select select-type", "SelectObjectContent"),
    # multipart uploads
    _row("POST", OBJECT, "uploads", "CreateMultipartUpload"),
    _row("PUT", OBJECT, "partNumber uploadId", "UploadPart"),
    _row("GET", OBJECT, "uploadId", "ListParts", "max-parts part-number-marker encoding-type"),
    _row("POST", OBJECT, "uploadId", "CompleteMultipartUpload"),
    _row("DELETE", OBJECT, "uploadId", "AbortMultipartUpload"),
    # annotations
    _row("GET", OBJECT, "annotation annotationName", "GetObjectAnnotation", "versionId"),
    _row("PUT", OBJECT, "annotation annotationName", "PutObjectAnnotation", "versionId"),
    _row("DELETE", OBJECT, "annotation annotationName", "DeleteObjectAnnotation", "versionId"),
    _row(
        "GET",
        OBJECT,
        "annotation",
        "ListObjectAnnotations",
        "versionId max-annotation-results annotation-prefix continuation-token",
    ),
    # a bucket's metadata tables
    _row("POST", BUCKET, "metadataConfiguration", "CreateBucketMetadataConfiguration"),
    _row("GET", BUCKET, "metadataConfiguration", "GetBucketMetadataConfiguration"),
    _row("DELETE", BUCKET, "metadataConfiguration", "DeleteBucketMetadataConfiguration"),
    _row("POST", BUCKET, "metadataTable", "CreateBucketMetadataTableConfiguration"),
    _row("GET", BUCKET, "metadataTable", "GetBucketMetadataTableConfiguration"),
    _row("DELETE", BUCKET, "metadataTable", "DeleteBucketMetadataTableConfiguration"),
    _row("PUT", BUCKET, "metadataAnnotationTable", "UpdateBucketMetadataAnnotationTableConfiguration"),
    _row("PUT", BUCKET, "metadataInventoryTable", "UpdateBucketMetadataInventoryTableConfiguration"),
    _row("PUT", BUCKET, "metadataJournalTable", "UpdateBucketMetadataJournalTableConfiguration"),
)

# level, word, methods, the operation's name after its verb, parameters beside the word
_CONFIGURED = (
    (BUCKET, "abac", "GET PUT", "BucketAbac", ""),
    (BUCKET, "accelerate", "GET PUT", "BucketAccelerateConfiguration", ""),
    (BUCKET, "acl", "GET PUT", "BucketAcl", ""),
    (BUCKET, "cors", "GET PUT DELETE", "BucketCors", ""),
    (BUCKET, "encryption", "GET PUT DELETE", "BucketEncryption", ""),
    (BUCKET, "lifecycle", "GET PUT", "BucketLifecycleConfiguration", ""),
    (BUCKET, "lifecycle", "DELETE", "BucketLifecycle", ""),
    (BUCKET, "location", "GET", "BucketLocation", ""),
    (BUCKET, "logging", "GET PUT", "BucketLogging", ""),
    (BUCKET, "notification", "GET PUT", "BucketNotificationConfiguration", ""),
    (BUCKET, "object-lock", "GET PUT", "ObjectLockConfiguration", ""),
    (BUCKET, "ownershipControls", "GET PUT DELETE", "BucketOwnershipControls", ""),
    (BUCKET, "policy", "GET PUT DELETE", "BucketPolicy", ""),
    (BUCKET, "policyStatus", "GET", "BucketPolicyStatus", ""),
    (BUCKET, "publicAccessBlock", "GET PUT DELETE", "PublicAccessBlock", ""),
    (BUCKET, "replication", "GET PUT DELETE", "BucketReplication", ""),
    (BUCKET, "requestPayment", "GET PUT", "BucketRequestPayment", ""),
    (BUCKET, "tagging", "GET PUT DELETE", "BucketTagging", ""),
    (BUCKET, "versioning", "GET PUT", "BucketVersioning", ""),
    (BUCKET, "website", "GET PUT DELETE", "BucketWebsite", ""),
    (BUCKET, "analytics id", "GET PUT DELETE", "BucketAnalyticsConfiguration", ""),
    (BUCKET, "intelligent-tiering id", "GET PUT DELETE", "BucketIntelligentTieringConfiguration", ""),
    (BUCKET, "inventory id", "GET PUT DELETE", "BucketInventoryConfiguration", ""),
    (BUCKET, "metrics id", "GET PUT DELETE", "BucketMetricsConfiguration", ""),
    (OBJECT, "acl", "GET PUT", "ObjectAcl", "versionId"),
    (OBJECT, "legal-hold", "GET PUT", "ObjectLegalHold", "versionId"),
    (OBJECT, "retention", "GET PUT", "ObjectRetention", "versionId"),
    (OBJECT, "tagging", "GET PUT DELETE", "ObjectTagging", "versionId"),
)

_LISTS = ("Analytics", "IntelligentTiering", "Inventory", "Metrics")

ROWS: tuple[Row, ...] = (
    *_PLAIN,
    *(
        _row(method, level, word, method.capitalize() + name, params)
        for level, word, methods, name, params in _CONFIGURED
        for method in methods.split()
    ),
    *(
        _row("GET", BUCKET, word, f"ListBucket{name}Configurations", "continuation-token")
        for word, name in zip(("analytics", "intelligent-tiering", "inventory", "metrics"), _LISTS, strict=True)
    ),
)

# Words that must carry this very value.
VALUES = {"list-type": "2", "select-type": "2"}

# The same request with x-amz-copy-source is another operation.
COPIES = {"PutObject": "CopyObject", "UploadPart": "UploadPartCopy"}

BY_SELECTION: dict[tuple[str, str, tuple[str, ...]], Row] = {(r.method, r.level, r.words): r for r in ROWS}
WORDS: dict[tuple[str, str], frozenset[str]] = {
    (r.method, r.level): frozenset(w for x in ROWS if (x.method, x.level) == (r.method, r.level) for w in x.words)
    for r in ROWS
}
LEVEL_WORDS: dict[str, frozenset[str]] = {
    level: frozenset(w for r in ROWS if r.level == level for w in r.words) for level in (SERVICE, BUCKET, OBJECT)
}


def methods_for(level: str, words: tuple[str, ...]) -> tuple[str, ...]:
    """The methods that mean something for these words, in the table's order; OPTIONS always does."""
    return (*dict.fromkeys(r.method for r in ROWS if r.level == level and r.words == words), "OPTIONS")
