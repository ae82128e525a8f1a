"""Which operation a call asks for: S3's whole API as botocore builds it, hosts, one decode (T66), T77, T80."""

from __future__ import annotations

import itertools
from urllib.parse import quote, urlencode, urlsplit

import botocore.auth
import botocore.awsrequest
import botocore.credentials
import botocore.serialize
import botocore.session
import pytest
from botocore.model import OperationModel
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import S3Error
from gateway.model import Call
from gateway.wire.codes import CODES
from gateway.wire.route import Route, refuse_unsupported, route
from gateway.wire.table import BUCKET, OBJECT, ROWS, SERVICE

S3 = botocore.session.get_session().get_service_model("s3")
# Older names of operations that go by a newer one, and those that another row must answer for.
ALIASES = {
    "GetBucketLifecycle": "GetBucketLifecycleConfiguration",
    "PutBucketLifecycle": "PutBucketLifecycleConfiguration",
    "GetBucketNotification": "GetBucketNotificationConfiguration",
    "PutBucketNotification": "PutBucketNotificationConfiguration",
    "ListDirectoryBuckets": "ListBuckets",  # told apart only by its endpoint, until it is paged
}


class NoBody:
    """A body that must not be touched."""

    size = 0

    def __aiter__(self) -> NoBody:
        raise AssertionError("the body was read")

    async def __anext__(self) -> bytes:
        raise AssertionError

    def close(self) -> None:
        raise AssertionError("the body was closed")


def call(method: str, path: str, query: str = "", **headers: str) -> Call:
    named = {"host": "127.0.0.1:8000", **{name.replace("_", "-"): value for name, value in headers.items()}}
    return Call(
        id="ID",
        method=method,
        path=path,
        query=query,
        headers=named,
        body=NoBody(),
        peer="127.0.0.1",
        secure=False,
        received=0.0,
    )


def refused(method: str, path: str, query: str = "", **headers: str) -> S3Error:
    with pytest.raises(S3Error) as caught:
        route(call(method, path, query, **headers))
    return caught.value


def test_the_straight_path() -> None:
    found = route(call("GET", "/bucket/a/b%20c"))
    assert found == Route("GetObject", "bucket", b"a/b c", {}, {"host": "127.0.0.1:8000"})
    assert route(call("GET", "/")).operation == "ListBuckets"
    assert route(call("GET", "/bucket/")).operation == "ListObjects"
    listing = route(call("GET", "/bucket", "list-type=2&prefix=a%2Fb+c"))
    assert route(call("GET", "/bucket", "list-type=2&metadata=true")).operation == listing.operation
    assert (listing.operation, listing.params) == ("ListObjectsV2", {"list-type": "2", "prefix": "a/b c"})


# ---------------------------------------------------------------- all of S3's API, as the SDK would send it


def sdk_call(model: OperationModel, everything: bool) -> Call:
    """The request that botocore serialises, with only the required or with all parameters of the query."""
    shape = model.input_shape
    arguments: dict[str, object] = {}
    for name, member in shape.members.items() if shape else ():
        place = member.serialization.get("location")
        required = name in (shape.required_members if shape else ())
        if place == "uri":
            arguments[name] = "bucket" if name == "Bucket" else "key"
        elif (required or everything) and place == "querystring":
            arguments[name] = 1 if member.type_name == "integer" else "2026-11-20" if "Expires" in name else "x"
            if member.type_name == "boolean":
                arguments[name] = True
        elif required and place in ("header", None) and member.type_name == "string":
            arguments[name] = "bucket/source" if name == "CopySource" else "x"
    made = botocore.serialize.create_serializer("rest-xml", include_validation=False).serialize_to_request(
        arguments, model
    )
    path, _, static = made["url_path"].partition("?")
    values = {k: str(v).lower() if isinstance(v, bool) else v for k, v in made["query_string"].items()}
    query = "&".join(filter(None, [static, urlencode(values)]))
    headers = {name.lower().replace("-", "_"): str(value) for name, value in made["headers"].items()}
    return call(model.http["method"], path.replace("{Bucket}", "bucket"), query, **headers)


@pytest.mark.parametrize("everything", [False, True])
@pytest.mark.parametrize("name", S3.operation_names)
def test_every_operation_of_the_sdk_is_named(name: str, everything: bool) -> None:
    expected = name if everything and name == "ListDirectoryBuckets" else ALIASES.get(name, name)
    assert route(sdk_call(S3.operation_model(name), everything)).operation == expected


def test_every_row_is_an_operation_of_s3() -> None:
    known = {*S3.operation_names, "PostObject"}
    assert {row.operation for row in ROWS} <= known
    assert len({(row.method, row.level, row.words) for row in ROWS}) == len(ROWS)


def test_copies_are_told_by_their_header() -> None:
    assert route(call("PUT", "/bbb/k", x_amz_copy_source="b/k")).operation == "CopyObject"
    part = route(call("PUT", "/bbb/k", "partNumber=1&uploadId=u", x_amz_copy_source="b/k"))
    assert (part.operation, part.params) == ("UploadPartCopy", {"partNumber": "1", "uploadId": "u"})
    assert route(call("PUT", "/bbb/k", "acl", x_amz_copy_source="b/k")).operation == "PutObjectAcl"


def test_a_form_upload_is_told_by_its_content_type() -> None:
    assert route(call("POST", "/bbb", content_type="multipart/form-data; boundary=x")).operation == "PostObject"
    assert refused("POST", "/bbb", content_type="text/plain").code == "PreconditionFailed"


@pytest.mark.parametrize(
    ("path", "query"), [("/", ""), ("/bbb", "acl"), ("/bbb/k", "anything=1&acl&policy&x-amz-acl=1")]
)
def test_preflight_asks_with_any_query(path: str, query: str) -> None:
    assert route(call("OPTIONS", path, query)).operation == "PreflightRequest"


# ---------------------------------------------------------------- T77: nothing falls through


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE"])
@pytest.mark.parametrize("path", ["/bbb", "/bbb/k"])
@pytest.mark.parametrize("query", ["foo", "Version=2006", "ACL", "aclx", "acl%00x", "Uploads", "%61cl2", "lifecycle2="])
def test_t77_unknown_words_are_501(method: str, path: str, query: str) -> None:
    assert refused(method, path, query).code == ("InvalidArgument" if "%00" in query else "NotImplemented")


@pytest.mark.parametrize(("path", "query"), [("/", ""), ("/bbb", "acl"), ("/bbb/k", "partNumber=1")])
def test_the_version_of_the_api_means_nothing(path: str, query: str) -> None:
    """Apache Libcloud writes it into the query of each GET."""
    named = route(call("GET", path, f"{query}&Version=2006-03-01".lstrip("&")))
    assert named == route(call("GET", path, query))


@pytest.mark.parametrize(
    ("method", "path", "query"),
    [
        ("GET", "/bbb", "acl&policy"),
        ("GET", "/bbb/k", "acl&tagging"),
        ("GET", "/bbb", "uploads&versions"),
        ("DELETE", "/bbb/k", "uploadId=1&tagging"),
        ("PUT", "/bbb/k", "partNumber=1"),
        ("PUT", "/bbb/k", "uploadId=1"),
        ("GET", "/bbb/k", "acl&partNumber=1"),
        ("GET", "/bbb", "acl&delete"),
        ("GET", "/bbb", "id=1"),
        ("GET", "/bbb", "list-type=3"),
        ("GET", "/bbb", "list-type="),
        ("GET", "/bbb", "prefix=a&prefix=b"),
        ("GET", "/bbb", "acl&acl"),
        ("GET", "/bbb/k", "versionId="),
        ("POST", "/bbb/k", "select"),
        ("POST", "/bbb/k", "select&select-type=3"),
        ("GET", "/bbb/k", "X-Amz-Date=1&x-amz-date=2"),
        ("GET", "/bbb", "=1"),
    ],
)
def test_t77_words_that_do_not_go_together_are_400(method: str, path: str, query: str) -> None:
    assert refused(method, path, query).code == "InvalidArgument"


@pytest.mark.parametrize(
    ("method", "path", "query"),
    [
        ("GET", "/", "acl"),
        ("GET", "/bbb/k", "cors"),
        ("GET", "/bbb", "torrent"),
        ("GET", "/bbb", "acl&prefix=a"),
        ("GET", "/bbb", "list-type=2&marker=a"),
        ("DELETE", "/bbb", "prefix=a"),
        ("PUT", "/bbb/k", "versionId=1"),
    ],
)
def test_t77_words_of_another_place_are_501(method: str, path: str, query: str) -> None:
    error = refused(method, path, query)
    assert error.code == "NotImplemented"
    assert error.fields["Parameter"]


@pytest.mark.parametrize(
    ("method", "path", "query", "allow"),
    [
        ("DELETE", "/bbb", "acl", "GET, PUT, OPTIONS"),
        ("HEAD", "/bbb/k", "acl", "GET, PUT, OPTIONS"),
        ("GET", "/bbb", "delete", "POST, OPTIONS"),
        ("POST", "/", "", "GET, OPTIONS"),
        ("POST", "/bbb/k", "", "GET, HEAD, PUT, DELETE, OPTIONS"),
        ("PATCH", "/bbb/k", "", "GET, HEAD, PUT, DELETE, OPTIONS"),
        ("PATCH", "/bbb", "", "GET, HEAD, PUT, DELETE, POST, OPTIONS"),
        ("TRACE", "/", "", "GET, OPTIONS"),
        ("get", "/", "", "GET, OPTIONS"),
    ],
)
def test_methods_that_mean_nothing_here_are_405(method: str, path: str, query: str, allow: str) -> None:
    error = refused(method, path, query)
    assert error.code == "MethodNotAllowed"
    assert error.headers == (("Allow", allow),)
    assert error.fields["Method"] == method


WORDS = sorted({word for row in ROWS for word in (*row.words, *row.params)} | {"foo", "Signature", "x-id"})


@given(
    method=st.sampled_from(["GET", "HEAD", "PUT", "POST", "DELETE"]),
    path=st.sampled_from(["/", "/bbb", "/bbb/k"]),
    words=st.lists(st.sampled_from(WORDS), max_size=4),
)
def test_t77_every_word_of_the_query_is_used_or_refused(method: str, path: str, words: list[str]) -> None:
    query = "&".join(f"{word}={2 if 'type' in word else 1}" for word in words)
    try:
        found = route(call(method, path, query, content_type="multipart/form-data"))
    except S3Error as error:
        assert error.code in ("NotImplemented", "InvalidArgument", "MethodNotAllowed")
        return
    level = SERVICE if found.bucket is None else BUCKET if found.key is None else OBJECT
    rows = [r for r in ROWS if (r.operation, r.level) == (found.operation, level) and set(r.words) <= set(words)]
    assert any(set(found.params) - set(row.words) <= row.params for row in rows)
    assert set(found.params) == set(words) - {"x-id", "Signature"}


# ---------------------------------------------------------------- names, paths and one decode (T66, T80)


@pytest.mark.parametrize(
    ("raw", "key"),
    [
        ("a%2Fb", b"a/b"),
        ("a%2fb", b"a/b"),
        ("a%7Eb", b"a~b"),
        ("a+b", b"a+b"),
        ("a%2Bb", b"a+b"),
        ("a%252Fb", b"a%2Fb"),
        ("a%25%32%46b", b"a%2Fb"),
        ("/", b"/"),
        ("/a//b/", b"/a//b/"),
        ("../x", b"../x"),
        ("%2e%2e/x", b"../x"),
        (".", b"."),
        ("a%5Cb", b"a\\b"),
        ("a;b=c", b"a;b=c"),
        ("%E2%82%AC", "€".encode()),
        ("%0D%0A%01", b"\r\n\x01"),
    ],
)
def test_t66_t84_the_key_is_decoded_once_and_never_tidied(raw: str, key: bytes) -> None:
    assert route(call("GET", f"/bbb/{raw}")).key == key


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/bbb/%", "InvalidURI"),
        ("/bbb/%4", "InvalidURI"),
        ("/bbb/%zz", "InvalidURI"),
        ("/bbb/%ff", "InvalidURI"),
        ("/bbb/%c0%ae", "InvalidURI"),
        ("/bbb/%00", "InvalidArgument"),
        ("/bbb/é", "InvalidURI"),
        ("/bbb/" + "a" * 1025, "KeyTooLongError"),
        ("/bbb/" + "%41" * 1025, "KeyTooLongError"),
        ("/%ff/k", "InvalidURI"),
        ("/b%2Fk", "InvalidBucketName"),
        ("/bbb%2Fk", "InvalidBucketName"),
        ("//k", "InvalidBucketName"),
        ("/../k", "InvalidBucketName"),
        ("/_/live", "InvalidBucketName"),
        ("/Bucket/k", "InvalidBucketName"),
        ("/127.0.0.1/k", "InvalidBucketName"),
        ("*", "InvalidURI"),
        ("", "InvalidURI"),
        ("http://host/bbb/k", "InvalidURI"),
    ],
)
def test_paths_that_name_nothing(path: str, code: str) -> None:
    assert refused("GET", path).code == code


def test_t88_a_key_of_1024_bytes() -> None:
    assert route(call("PUT", "/bbb/" + "%C3%A9" * 512)).key == "é".encode() * 512


@given(st.binary(min_size=1, max_size=40))
def test_every_legal_key_comes_back_byte_for_byte(key: bytes) -> None:
    try:
        assert route(call("GET", "/bbb/" + quote(key, safe="/"))).key == key
    except S3Error as error:
        assert error.code in ("InvalidURI", "InvalidArgument")


@given(st.text(alphabet=st.characters(codec="ascii")), st.text(), st.sampled_from(["GET", "PUT", "POST", "DELETE"]))
def test_route_raises_nothing_but_s3_errors(path: str, query: str, method: str) -> None:
    try:
        route(call(method, "/" + path, query))
    except S3Error as error:
        assert error.code in CODES


# ---------------------------------------------------------------- hosts

DOMAINS = ("s3.example.com", "Example.com", "s3.localhost")


@pytest.mark.parametrize(
    ("host", "bucket"),
    [
        ("bucket.s3.example.com", "bucket"),
        ("bucket.s3.example.com:8000", "bucket"),
        ("BUCKET.S3.EXAMPLE.COM", "bucket"),
        ("bucket.s3.example.com.", "bucket"),
        ("my.bucket.s3.example.com", "my.bucket"),
        ("bucket.example.com", "bucket"),
        ("bucket.localhost", "bucket"),
        ("bucket.localhost:9000", "bucket"),
        ("bucket.s3.localhost", "bucket"),
        ("s3.example.com", None),
        ("example.com:80", None),
        ("s3.localhost", None),
        ("localhost", None),
        ("localhost:8000", None),
        ("gateway", None),
        ("bucket.s3.example.org", None),
        ("buckets3.example.com.evil.org", None),
        ("127.0.0.1:8000", None),
        ("127.0.0.1", None),
        ("[::1]:8000", None),
        ("[::1]", None),
        ("", None),
    ],
)
def test_virtual_hosts(host: str, bucket: str | None) -> None:
    found = route(call("GET", "/kkk/x", host=host), DOMAINS)
    assert (found.bucket, found.key) == ((bucket, b"kkk/x") if bucket else ("kkk", b"x"))


def test_a_virtual_host_has_a_root_too() -> None:
    assert route(call("GET", "/", host="bucket.localhost")).operation == "ListObjects"
    assert route(call("PUT", "/", "acl", host="bucket.localhost")).operation == "PutBucketAcl"
    assert route(call("GET", "//", host="bucket.localhost")).key == b"/"


def test_a_virtual_host_with_a_bad_bucket_name_is_no_path_style() -> None:
    assert refused("PUT", "/kkk", host="under_score.localhost").code == "InvalidBucketName"


# ---------------------------------------------------------------- what a presigned URL carries

PRESIGNED = "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=c&X-Amz-Date=d&X-Amz-Expires=9&X-Amz-SignedHeaders=host"


def test_signature_parameters_are_no_operation() -> None:
    found = route(call("GET", "/bbb/k", f"{PRESIGNED}&X-Amz-Signature=s&x-id=GetObject&versionId=v"))
    assert (found.operation, found.params) == ("GetObject", {"versionId": "v"})
    old = route(call("GET", "/bbb/k", "AWSAccessKeyId=a&Signature=s&Expires=1"))
    assert (old.operation, old.params) == ("GetObject", {})
    assert refused("GET", "/bbb/k", "Expires=1").code == "NotImplemented"


def test_headers_in_a_presigned_query_count_as_headers() -> None:
    query = f"{PRESIGNED}&X-Amz-Signature=s&x-amz-acl=public-read&X-Amz-Meta-A=1"
    found = route(call("PUT", "/bbb/k", query, content_type="text/plain"))
    assert found.headers["x-amz-acl"] == "public-read"
    assert found.headers["x-amz-meta-a"] == "1"
    assert found.headers["content-type"] == "text/plain"
    copy = f"{PRESIGNED}&X-Amz-Signature=s&x-amz-copy-source=b%2Fk"
    assert route(call("PUT", "/bbb/k", copy)).operation == "CopyObject"


@pytest.mark.parametrize("algorithm", ["crc32", "crc32c", "crc64nvme", "sha1", "sha256"])
def test_checksums_in_a_presigned_query_do_not_count(algorithm: str) -> None:
    """The JavaScript SDK signs the CRC of no body at all into each URL for an upload; S3 takes what comes."""
    name = f"x-amz-checksum-{algorithm}"
    query = f"{PRESIGNED}&X-Amz-Signature=s&x-amz-sdk-checksum-algorithm={algorithm}&x-amz-checksum-mode=ENABLED"
    found = route(call("PUT", "/bbb/k", f"{query}&{name}=AAAAAA%3D%3D"))
    assert found.headers["x-amz-checksum-mode"] == "ENABLED"
    assert not {name, "x-amz-sdk-checksum-algorithm"} & set(found.headers)
    told = route(call("PUT", "/bbb/k", f"{query}&{name}=AAAAAA%3D%3D", **{name: "NhCmhg=="}))
    assert told.headers[name] == "NhCmhg=="
    assert refused("PUT", "/bbb/k", f"{name}=AAAAAA%3D%3D").code == "NotImplemented"


def test_header_parameters_that_nothing_signs_are_refused() -> None:
    assert refused("PUT", "/bbb/k", "x-amz-acl=public-read").fields == {"Parameter": "x-amz-acl"}
    assert refused("PUT", "/bbb/k", "x-amz-acl=private&AWSAccessKeyId=a&Signature=s&Expires=1").code == "NotImplemented"


def test_a_header_parameter_agrees_with_the_header_and_holds_no_line_break() -> None:
    query = f"{PRESIGNED}&X-Amz-Signature=s&x-amz-acl="
    assert refused("PUT", "/bbb/k", query + "private", x_amz_acl="public-read").code == "InvalidArgument"
    assert route(call("PUT", "/bbb/k", query + "private", x_amz_acl="private")).headers["x-amz-acl"] == "private"
    assert refused("PUT", "/bbb/k", query + "a%0D%0Ab").code == "InvalidArgument"


@pytest.mark.parametrize("signer", ["v4", "v2"])
def test_what_botocore_presigns_is_routed(signer: str) -> None:
    keys = botocore.credentials.Credentials("AKIA", "secret")
    sign = (
        botocore.auth.S3SigV4QueryAuth(keys, "s3", "us-east-1", 900)
        if signer == "v4"
        else botocore.auth.HmacV1QueryAuth(keys, 900)
    )
    asked = botocore.awsrequest.AWSRequest("PUT", "http://127.0.0.1:8000/bbb/k", headers={"Content-Type": "a/b"})
    sign.add_auth(asked)
    parts = urlsplit(asked.prepare().url)
    found = route(call("PUT", parts.path, parts.query))
    assert (found.operation, found.params) == ("PutObject", {})


# ---------------------------------------------------------------- headers that would change the meaning


@pytest.mark.parametrize(
    "name",
    [
        "x-amz-server-side-encryption",
        "x-amz-server-side-encryption-customer-key",
        "x-amz-server-side-encryption-aws-kms-key-id",
        "x-amz-copy-source-server-side-encryption-customer-algorithm",
        "x-amz-object-lock-mode",
        "x-amz-object-lock-legal-hold",
        "x-amz-acl",
        "x-amz-grant-read",
        "x-amz-tagging",
        "x-amz-mfa",
        "x-amz-write-offset-bytes",
        "x-amz-bucket-object-lock-enabled",
        "x-amz-object-ownership",
    ],
)
def test_headers_we_cannot_honour_are_501(name: str) -> None:
    with pytest.raises(S3Error) as caught:
        refuse_unsupported("PutObject", {"host": "h", name: "true"})
    assert (caught.value.code, caught.value.fields) == ("NotImplemented", {"Header": name})


@pytest.mark.parametrize("acl", ["", "private", "bucket-owner-full-control"])
def test_headers_that_change_nothing_pass(acl: str) -> None:
    refuse_unsupported(
        "PutObject",
        {
            "x-amz-acl": acl,
            "x-amz-bucket-object-lock-enabled": "false",
            "x-amz-bypass-governance-retention": "true",
            "x-amz-object-ownership": "BucketOwnerEnforced",
            "x-amz-website-redirect-location": "/x",
            "x-amz-expected-bucket-owner": "1",
            "x-amz-request-payer": "requester",
            "x-amz-storage-class": "STANDARD",
            "x-amz-meta-x-amz-mfa": "1",
            "x-amz-content-sha256": "UNSIGNED-PAYLOAD",
            "x-amz-checksum-crc32": "AAAAAA==",
        },
    )


def test_the_table_of_words_has_no_word_that_is_also_a_plain_parameter_of_its_place() -> None:
    for one, other in itertools.product(ROWS, ROWS):
        if (one.method, one.level) == (other.method, other.level):
            assert not set(one.words) & other.params, (one, other)
