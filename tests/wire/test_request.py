"""The strict readers: query (T100), numbers (T92, T99), dates, content headers (T106, T107), copy source (T69)."""

from __future__ import annotations

from email.utils import formatdate, parsedate_to_datetime
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import S3Error
from gateway.wire import request
from gateway.wire.codes import CODES
from gateway.wire.conditions import check_write
from gateway.wire.xml_read import complete_upload

LARGE = 2**31 - 1


def refused(code: str, function: object, *args: object) -> S3Error:
    with pytest.raises(S3Error) as caught:
        function(*args)  # type: ignore[operator]
    assert caught.value.code == code
    return caught.value


# ---------------------------------------------------------------- query


@pytest.mark.parametrize(
    ("text", "pairs"),
    [
        ("", ()),
        ("acl", (("acl", ""),)),
        ("acl=", (("acl", ""),)),
        ("a=1&b=2", (("a", "1"), ("b", "2"))),
        ("a=1;b=2", (("a", "1;b=2"),)),  # T100: only "&" separates
        ("a=b=c", (("a", "b=c"),)),
        ("&&a=1&", (("a", "1"),)),
        ("prefix=a+b%2Bc", (("prefix", "a b+c"),)),
        ("prefix=%25%32%46", (("prefix", "%2F"),)),  # decoded once
        ("p=%C3%A9", (("p", "é"),)),
        ("%61=1", (("a", "1"),)),
    ],
)
def test_query(text: str, pairs: tuple[tuple[str, str], ...]) -> None:
    assert request.query(text) == pairs


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("=x", "InvalidArgument"),
        ("a=%", "InvalidURI"),
        ("a=%4", "InvalidURI"),
        ("a=%zz", "InvalidURI"),
        ("a=%+1", "InvalidURI"),
        ("a=%ff", "InvalidURI"),
        ("a=%00", "InvalidArgument"),
        ("a=\ud800", "InvalidURI"),
        ("&".join(f"p{i}=1" for i in range(101)), "InvalidArgument"),
        ("a=1&" * 100_000, "InvalidArgument"),
    ],
)
def test_t100_bad_queries(text: str, code: str) -> None:
    refused(code, request.query, text)


def test_t100_one_hundred_parameters_are_fine() -> None:
    assert len(request.query("&".join(f"p{i}=1" for i in range(100)))) == 100


@given(st.text())
def test_query_raises_nothing_but_s3_errors(text: str) -> None:
    try:
        request.query(text)
    except S3Error as error:
        assert error.code in CODES


@given(st.lists(st.tuples(st.text(min_size=1, max_size=5), st.text(max_size=9)), max_size=20))
def test_query_gives_back_what_a_client_encoded(pairs: list[tuple[str, str]]) -> None:
    clean = [(n.replace("\0", "0"), v.replace("\0", "0")) for n, v in pairs]
    for encode in (quote, quote_plus):
        assert request.query("&".join(f"{encode(n, safe='')}={encode(v, safe='')}" for n, v in clean)) == tuple(clean)


# ---------------------------------------------------------------- numbers


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "1_0",
        " 5 ",
        "5 ",
        "5\n",
        "٣",
        "²",
        "+5",
        "-1",
        "--1",
        "1.0",
        "1e9",
        "0x1",
        "nan",
        "infinity",
        "5\x85",
        "9" * 20,
        "1" + "0" * 20,
        "9" * 5000,
        "\uff15",
    ],
)
def test_t92_t99_no_number(text: str) -> None:
    error = refused("InvalidArgument", request.integer, text, 0, LARGE, "max-keys")
    assert error.fields["ArgumentName"] == "max-keys"
    if text:
        refused("InvalidArgument", request.page_size, {"max-keys": text}, "max-keys")


@pytest.mark.parametrize("space", ["\x85", "\xa0", "\u2003", "\x1c"])
def test_t99_only_ascii_space_is_space(space: str) -> None:
    """``str.strip()`` and ``int()`` take all of these for blanks."""
    part = f"<Part><PartNumber>1{space}</PartNumber><ETag>e</ETag></Part>"
    refused("MalformedXML", complete_upload, f"<CompleteMultipartUpload>{part}</CompleteMultipartUpload>".encode())
    refused("NotImplemented", check_write, {"if-none-match": "*" + space}, None)
    assert request.http_date("Sun, 06 Nov 1994 08:49:37 GMT" + space) is None


def test_t92_page_sizes() -> None:
    sizes = {
        text: request.page_size({"max-keys": text}, "max-keys") for text in ("0", "1", "007", "1000", "1000000000")
    }
    assert sizes == {"0": 0, "1": 1, "007": 7, "1000": 1000, "1000000000": 1000}
    assert request.page_size({}, "max-keys") == request.page_size({"max-keys": ""}, "max-keys") == 1000


def test_integer_keeps_its_limits() -> None:
    assert request.integer("10000", 1, 10_000, "partNumber") == 10_000
    for text in ("0", "10001"):
        refused("InvalidArgument", request.integer, text, 1, 10_000, "partNumber")


# ---------------------------------------------------------------- dates


@pytest.mark.parametrize(
    "text",
    [
        "Sun, 06 Nov 1994 08:49:37 GMT",
        "Sunday, 06-Nov-94 08:49:37 GMT",
        "Sun Nov  6 08:49:37 1994",
        "Sun, 06 Nov 1994 08:49:37 +0000",
        "Sun, 6 Nov 1994 08:49:37 GMT",
    ],
)
def test_the_three_forms_of_a_date(text: str) -> None:
    assert request.http_date(text) == 784111777.0


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "0",
        "784111777",
        "Sun, 06 Nov 1994 08:49:37",
        "Sun, 06 Nov 1994 08:49:37 GMT\n",
        "1994-11-06T08:49:37Z",
        "Sun, 31 Feb 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 24:49:37 GMT",
        "Sun, 06 Nov 1994 08:60:37 GMT",
        "Sun, 06 Nov 1994 08:49:61 GMT",
        "Sun, ٠٦ Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 0000 08:49:37 GMT",
        "Sun, 06 nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 08:49:37 +0100",
        "Xxx, 06 Nov 1994 08:49:37 GMT",
    ],
)
def test_what_is_no_date(text: str) -> None:
    assert request.http_date(text) is None


def test_two_digit_years() -> None:
    assert request.http_date("Friday, 20-Nov-26 10:00:00 GMT") == 1795168800.0
    assert request.http_date("Wednesday, 01-Jan-69 00:00:00 GMT") == -31536000.0


@given(st.floats(min_value=0, max_value=2**33))
def test_dates_come_back_at_whole_seconds(moment: float) -> None:
    text = request.format_http_date(moment)
    assert text == formatdate(moment // 1, usegmt=True)
    assert request.http_date(text) == moment // 1
    assert request.format_iso(moment) == parsedate_to_datetime(text).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def test_format_iso() -> None:
    assert request.format_iso(1795168800.999) == "2026-11-20T10:00:00.000Z"


@given(st.text())
def test_http_date_never_raises(text: str) -> None:
    assert request.http_date(text) is None or isinstance(request.http_date(text), float)


# ---------------------------------------------------------------- content headers


def test_content_of_no_headers() -> None:
    content = request.content({})
    assert (content.headers, content.metadata, content.storage_class) == (
        {"content-type": "binary/octet-stream"},
        {},
        "STANDARD",
    )


def test_content_keeps_what_s3_keeps() -> None:
    kept = {
        "content-type": "text/plain; charset=utf-8",
        "cache-control": "no-cache",
        "content-disposition": 'attachment; filename="ü.txt"',
        "content-language": "de",
        "expires": "never",
        "content-encoding": "gzip",
        "x-amz-website-redirect-location": "/elsewhere",
    }
    sent = {**kept, "x-amz-meta-a": "1", "x-amz-meta-b": "=?UTF-8?Q?gr=C3=BCn?=", "x-amz-storage-class": "STANDARD_IA"}
    content = request.content({**sent, "host": "h", "content-length": "5", "x-amz-date": "d"})
    assert content.headers == kept
    assert content.metadata == {"a": "1", "b": "grün"}
    assert content.storage_class == "STANDARD_IA"


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("aws-chunked", None),
        ("AWS-Chunked", None),
        ("gzip,aws-chunked", "gzip"),
        ("aws-chunked, gzip , br", "gzip,br"),
        ("gzip, br", "gzip, br"),
        ("", None),
    ],
)
def test_aws_chunked_is_transport(sent: str, kept: str | None) -> None:
    assert request.content({"content-encoding": sent}).headers.get("content-encoding") == kept


@pytest.mark.parametrize("bad", ["\r", "\n", "\0", "\x0b", "\x7f", "a\r\nX-Evil: 1"])
@pytest.mark.parametrize("name", ["content-type", "cache-control", "content-encoding", "expires", "x-amz-meta-a"])
def test_t107_control_characters_are_refused_when_written(name: str, bad: str) -> None:
    refused("InvalidArgument", request.content, {name: "x" + bad})


def test_a_tab_inside_a_value_is_fine() -> None:
    assert request.content({"x-amz-meta-a": "x\ty"}).metadata == {"a": "x\ty"}


def test_t106_metadata_of_2_kib_and_one_byte_more() -> None:
    assert request.content({"x-amz-meta-a": "x" * 2047}).metadata["a"] == "x" * 2047
    error = refused("MetadataTooLarge", request.content, {"x-amz-meta-a": "x" * 2048})
    assert error.fields == {"Size": "2049", "MaxSizeAllowed": "2048"}
    refused("MetadataTooLarge", request.content, {"x-amz-meta-a": "é" * 1024})  # bytes count, not characters


@pytest.mark.parametrize("name", ["x-amz-meta-", "x-amz-meta-a b", "x-amz-meta-a:b", "x-amz-meta-é"])
def test_a_metadata_name_is_a_token(name: str) -> None:
    refused("InvalidArgument", request.content, {name: "1"})


@pytest.mark.parametrize("name", ["", "standard", "OUTPOSTS", "EXPRESS_ONEZONE", "GOLD", "STANDARD\n"])
def test_unknown_storage_classes(name: str) -> None:
    refused("InvalidStorageClass", request.content, {"x-amz-storage-class": name})


@pytest.mark.parametrize("target", ["javascript:alert(1)", "elsewhere", "/" + "x" * 2048])
def test_bad_redirects(target: str) -> None:
    refused("InvalidRedirectLocation", request.content, {"x-amz-website-redirect-location": target})


@given(st.dictionaries(st.sampled_from(["content-type", "content-encoding", "x-amz-meta-a", "expires"]), st.text()))
def test_whatever_content_accepts_fits_into_a_header(headers: dict[str, str]) -> None:
    try:
        content = request.content(headers)
    except S3Error as error:
        assert error.code in CODES
        return
    for value in [*content.headers.values(), *content.metadata.values()]:
        assert not set(value) & {"\r", "\n", "\0"}


# ---------------------------------------------------------------- copy source


@pytest.mark.parametrize(
    ("text", "bucket", "key", "version"),
    [
        ("bbb/k", "bbb", b"k", None),
        ("/bbb/k", "bbb", b"k", None),
        ("/bbb/k%20%2B+/%C3%A9", "bbb", "k + /é".encode(), None),
        ("bbb/a%3FversionId%3Db", "bbb", b"a?versionId=b", None),
        ("bbb/k?versionId=v%2F1", "bbb", b"k", "v/1"),
        ("bbb//k/", "bbb", b"/k/", None),
        ("bbb/é", "bbb", "é".encode(), None),
        ("bbb/%2e%2e/x", "bbb", b"../x", None),
        ("bbb%2Fk%2Fx%2Fy", "bbb", b"k/x/y", None),
        ("%2Fbbb%2F%252F", "bbb", b"%2F", None),
        ("bbb%2Fa%3Fb?versionId=v", "bbb", b"a?b", "v"),
    ],
)
def test_copy_source(text: str, bucket: str, key: bytes, version: str | None) -> None:
    assert request.copy_source(text) == request.CopySource(bucket, key, version)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "InvalidArgument"),
        ("/", "InvalidArgument"),
        ("bbb", "InvalidArgument"),
        ("bbb/", "InvalidArgument"),
        ("//k", "InvalidArgument"),
        ("bbb/%", "InvalidArgument"),
        ("bbb/%ff", "InvalidArgument"),
        ("bbb/a%00", "InvalidArgument"),
        ("bbb/k?", "InvalidArgument"),
        ("bbb/k?versionId=", "InvalidArgument"),
        ("bbb/k?versionid=1", "InvalidArgument"),
        ("bbb/k?x=1", "InvalidArgument"),
        ("http://host/bbb/k", "InvalidArgument"),
        ("../k", "InvalidArgument"),
        ("bbb/" + "k" * 1025, "KeyTooLongError"),
        ("%2F%2Fk", "InvalidArgument"),
        ("%ff%2Fk", "InvalidArgument"),
        ("bbb/k?versionId=%ff", "InvalidArgument"),
        ("arn:aws:s3:us-east-1:1:accesspoint/a/object/k", "NotImplemented"),
        ("arn%3Aaws%3As3%3Aus-east-1%3A1%3Aaccesspoint%2Fa%2Fobject%2Fk", "NotImplemented"),
    ],
)
def test_t69_copy_sources_that_name_nothing(text: str, code: str) -> None:
    refused(code, request.copy_source, text)


@given(st.text())
def test_copy_source_raises_nothing_but_s3_errors(text: str) -> None:
    try:
        request.copy_source(text)
    except S3Error as error:
        assert error.code in CODES


@given(st.text())
def test_percent_decode_is_the_inverse_of_quote(text: str) -> None:
    encoded = text.encode("utf-8", "surrogatepass")
    assert request.percent_decode(quote(encoded, safe="")) == encoded
