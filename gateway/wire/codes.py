"""Every error code that may leave the house: its HTTP status, the message S3 sends with it, and where AWS says so.

``source`` is the page that documents the code; our own codes name the decision instead. A status of 304 has no body.
"""

from __future__ import annotations

from dataclasses import dataclass

API = "https://docs.aws.amazon.com/AmazonS3/latest/API/"
GUIDE = "https://docs.aws.amazon.com/AmazonS3/latest/userguide/"
ERRORS = API + "ErrorResponses.html"
SIGV4 = API + "sig-v4-authenticating-requests.html"
STREAMING = API + "sigv4-streaming.html"
TRAILERS = API + "sigv4-streaming-trailers.html"
QUERY_AUTH = API + "sigv4-query-string-auth.html"
CONDITIONAL = GUIDE + "conditional-requests.html"
OURS = "docs/architecture.md"  # no AWS page: a code of the gateway's own


@dataclass(frozen=True, slots=True)
class Code:
    """An error code: HTTP status, default message, and the page that documents it."""

    status: int
    message: str
    source: str


_ROWS: tuple[tuple[str, int, str, str], ...] = (
    # ---- who asks
    ("AccessDenied", 403, "Access Denied", ERRORS),
    (
        "AccessForbidden",
        403,
        "CORSResponse: CORS is not enabled for this bucket.",
        GUIDE + "cors-troubleshooting.html",
    ),
    ("AccountProblem", 403, "There is a problem with your account that prevents the operation.", ERRORS),
    ("AllAccessDisabled", 403, "All access to this resource has been disabled.", ERRORS),
    (
        "AuthorizationHeaderMalformed",
        400,
        "The authorization header that you provided is not valid.",
        ERRORS,
    ),
    ("AuthorizationQueryParametersError", 400, "The authorization query parameters are not valid.", QUERY_AUTH),
    ("CredentialsNotSupported", 400, "This request does not support credentials.", ERRORS),
    ("ExpiredToken", 400, "The provided token has expired.", ERRORS),
    ("InvalidAccessKeyId", 403, "The AWS Access Key Id you provided does not exist in our records.", ERRORS),
    ("InvalidPayer", 403, "All access to this object has been disabled.", ERRORS),
    ("InvalidSecurity", 403, "The provided security credentials are not valid.", ERRORS),
    ("InvalidToken", 400, "The provided token is malformed or otherwise not valid.", ERRORS),
    ("MissingSecurityElement", 400, "The request is missing a security element.", ERRORS),
    ("MissingSecurityHeader", 400, "Your request is missing a required header.", ERRORS),
    ("NotSignedUp", 403, "Your account is not signed up for this service.", ERRORS),
    (
        "RequestTimeTooSkewed",
        403,
        "The difference between the request time and the current time is too large.",
        ERRORS,
    ),
    (
        "SignatureDoesNotMatch",
        403,
        "The request signature we calculated does not match the signature you provided. "
        "Check your key and signing method.",
        ERRORS,
    ),
    ("UnauthorizedAccess", 403, "You are not authorized to perform this operation.", ERRORS),
    # ---- the request's shape
    ("AmbiguousGrantByEmailAddress", 400, "The email address belongs to more than one account.", ERRORS),
    ("BadRequest", 400, "An error occurred when parsing the HTTP request.", ERRORS),
    (
        "EntityTooLarge",
        400,
        "Your proposed upload exceeds the maximum allowed size",
        ERRORS,
    ),
    (
        "EntityTooSmall",
        400,
        "Your proposed upload is smaller than the minimum allowed size",
        ERRORS,
    ),
    (
        "IncompleteBody",
        400,
        "You did not provide the number of bytes specified by the Content-Length HTTP header",
        ERRORS,
    ),
    ("IncorrectNumberOfFilesInPostRequest", 400, "POST requires exactly one file upload per request.", ERRORS),
    ("InlineDataTooLarge", 400, "Inline data exceeds the maximum allowed size.", ERRORS),
    ("InvalidAddressingHeader", 400, "You must specify the Anonymous role.", ERRORS),
    ("InvalidArgument", 400, "Invalid Argument", ERRORS),
    ("InvalidBucketName", 400, "The specified bucket is not valid.", ERRORS),
    ("InvalidDigest", 400, "The Content-MD5 you specified was invalid.", ERRORS),
    ("InvalidEncryptionAlgorithmError", 400, "The encryption request you specified is not valid.", ERRORS),
    ("InvalidLocationConstraint", 400, "The specified location-constraint is not valid", ERRORS),
    (
        "InvalidRedirectLocation",
        400,
        "The website redirect location must have a prefix of 'http://' or 'https://' or '/'.",
        GUIDE + "how-to-page-redirect.html",
    ),
    ("InvalidRequest", 400, "Invalid Request", ERRORS),
    ("InvalidStorageClass", 400, "The storage class you specified is not valid", ERRORS),
    ("InvalidURI", 400, "Couldn't parse the specified URI.", ERRORS),
    ("KeyTooLongError", 400, "Your key is too long", ERRORS),
    ("MaxMessageLengthExceeded", 400, "Your request was too big.", ERRORS),
    ("MaxPostPreDataLengthExceededError", 400, "Your POST request fields preceding the file were too large.", ERRORS),
    ("MetadataTooLarge", 400, "Your metadata headers exceed the maximum allowed metadata size", ERRORS),
    ("MethodNotAllowed", 405, "The specified method is not allowed against this resource.", ERRORS),
    ("MissingContentLength", 411, "You must provide the Content-Length HTTP header.", ERRORS),
    ("MissingRequestBodyError", 400, "Request Body is empty", ERRORS),
    ("NotImplemented", 501, "A header you provided implies functionality that is not implemented", ERRORS),
    ("RequestHeaderSectionTooLarge", 400, "Your request header section exceeds the maximum allowed size.", ERRORS),
    ("RequestIsNotMultiPartContent", 400, "Bucket POST must be of the enclosure-type multipart/form-data.", ERRORS),
    (
        "RequestTimeout",
        400,
        "Your socket connection to the server was not read from or written to within the timeout period.",
        ERRORS,
    ),
    ("UnexpectedContent", 400, "This request does not support content.", ERRORS),
    ("UnsupportedMediaType", 415, "The media type of the request is not supported.", API + "API_CreateSession.html"),
    ("UserKeyMustBeSpecified", 400, "The bucket POST must contain the specified field name.", ERRORS),
    # ---- documents in the body
    ("IllegalLocationConstraintException", 400, "The specified location constraint is not valid here.", ERRORS),
    ("IllegalVersioningConfigurationException", 400, "The versioning configuration is not valid.", ERRORS),
    ("InvalidPolicyDocument", 400, "The content of the form does not meet the conditions of the policy.", ERRORS),
    ("InvalidTag", 400, "The tag provided was not a valid tag.", ERRORS),
    ("InvalidTargetBucketForLogging", 400, "The target bucket for logging does not exist or is not yours.", ERRORS),
    ("MalformedACLError", 400, "The XML you provided was not well-formed or did not validate.", ERRORS),
    ("MalformedPOSTRequest", 400, "The body of your POST request is not well-formed multipart/form-data.", ERRORS),
    ("MalformedPolicy", 400, "The policy is not in the valid JSON format.", ERRORS),
    (
        "MalformedXML",
        400,
        "The XML you provided was not well-formed or did not validate against our published schema",
        ERRORS,
    ),
    ("UnresolvableGrantByEmailAddress", 400, "The email address does not match any account on record.", ERRORS),
    # ---- bytes and digests
    ("BadDigest", 400, "The Content-MD5 you specified did not match what we received.", ERRORS),
    (
        "InvalidChunkSizeError",
        403,
        "Only the last chunk is allowed to have a size less than 8192 bytes",
        STREAMING,
    ),
    (
        "MalformedTrailerError",
        400,
        "The request contained trailing data that was not well-formed or did not conform to our published schema.",
        TRAILERS,
    ),
    (
        "XAmzContentSHA256Mismatch",
        400,
        "The provided 'x-amz-content-sha256' header does not match what was computed.",
        SIGV4,
    ),
    # ---- buckets
    (
        "BucketAlreadyExists",
        409,
        "The requested bucket name is not available. The bucket namespace is shared by all users of the system. "
        "Please select a different name and try again.",
        ERRORS,
    ),
    (
        "BucketAlreadyOwnedByYou",
        409,
        "Your previous request to create the named bucket succeeded and you already own it.",
        ERRORS,
    ),
    ("BucketNotEmpty", 409, "The bucket you tried to delete is not empty", ERRORS),
    ("InvalidBucketState", 409, "The request is not valid with the current state of the bucket.", ERRORS),
    ("NoSuchBucket", 404, "The specified bucket does not exist", ERRORS),
    ("TooManyBuckets", 400, "You have attempted to create more buckets than allowed", ERRORS),
    # ---- objects
    ("InvalidObjectState", 403, "The operation is not valid for the object's storage class", ERRORS),
    ("InvalidPartNumber", 416, "The requested partnumber is not satisfiable", API + "API_GetObject.html"),
    ("InvalidRange", 416, "The requested range is not satisfiable", ERRORS),
    ("NoSuchKey", 404, "The specified key does not exist.", ERRORS),
    ("NoSuchVersion", 404, "The specified version does not exist.", ERRORS),
    ("RestoreAlreadyInProgress", 409, "Object restore is already in progress", ERRORS),
    # ---- multipart uploads
    (
        "InvalidPart",
        400,
        "One or more of the specified parts could not be found. The part may not have been uploaded, "
        "or the specified entity tag may not match the part's entity tag.",
        ERRORS,
    ),
    (
        "InvalidPartOrder",
        400,
        "The list of parts was not in ascending order. Parts must be ordered by part number.",
        ERRORS,
    ),
    (
        "NoSuchUpload",
        404,
        "The specified upload does not exist. The upload ID may be invalid, "
        "or the upload may have been aborted or completed.",
        ERRORS,
    ),
    # ---- conditions and conflicts
    ("ConditionalRequestConflict", 409, "A conflicting operation took place. Fetch the object and retry.", CONDITIONAL),
    ("NotModified", 304, "Not Modified", API + "API_GetObject.html"),
    ("OperationAborted", 409, "A conflicting conditional operation is currently in progress. Try again.", ERRORS),
    ("PreconditionFailed", 412, "At least one of the pre-conditions you specified did not hold", ERRORS),
    # ---- sub-resources that were never configured
    ("NoSuchBucketPolicy", 404, "The bucket policy does not exist", ERRORS),
    ("NoSuchCORSConfiguration", 404, "The CORS configuration does not exist", API + "API_GetBucketCors.html"),
    ("NoSuchConfiguration", 404, "The specified configuration does not exist.", ERRORS),
    ("NoSuchLifecycleConfiguration", 404, "The lifecycle configuration does not exist", ERRORS),
    (
        "NoSuchObjectLockConfiguration",
        404,
        "The specified object does not have a ObjectLock configuration",
        ERRORS,
    ),
    (
        "NoSuchPublicAccessBlockConfiguration",
        404,
        "The public access block configuration was not found",
        API + "API_GetPublicAccessBlock.html",
    ),
    ("NoSuchTagSet", 404, "The TagSet does not exist", ERRORS),
    ("NoSuchWebsiteConfiguration", 404, "The specified bucket does not have a website configuration", ERRORS),
    (
        "ObjectLockConfigurationNotFoundError",
        404,
        "Object Lock configuration does not exist for this bucket",
        API + "API_GetObjectLockConfiguration.html",
    ),
    (
        "OwnershipControlsNotFoundError",
        404,
        "The bucket ownership controls were not found",
        API + "API_GetBucketOwnershipControls.html",
    ),
    (
        "ReplicationConfigurationNotFoundError",
        404,
        "The replication configuration was not found",
        ERRORS,
    ),
    (
        "ServerSideEncryptionConfigurationNotFoundError",
        404,
        "The server side encryption configuration was not found",
        ERRORS,
    ),
    # ---- elsewhere, and our own faults
    ("InsufficientStorage", 507, "There is not enough room left in the storage.", OURS),
    ("InternalError", 500, "We encountered an internal error. Please try again.", ERRORS),
    ("PermanentRedirect", 301, "The bucket must be addressed using the specified endpoint.", ERRORS),
    ("Redirect", 307, "Please use the temporary redirect.", ERRORS),
    ("ServiceUnavailable", 503, "Service is unable to handle request.", ERRORS),
    ("SlowDown", 503, "Please reduce your request rate.", ERRORS),
    ("TemporaryRedirect", 307, "Please re-send this request to the specified temporary endpoint.", ERRORS),
)

CODES: dict[str, Code] = {name: Code(number, message, source) for name, number, message, source in _ROWS}


def status(code: str) -> int:
    """The HTTP status of an error code; KeyError for one that is not in the table, which is a bug of ours."""
    return CODES[code].status
