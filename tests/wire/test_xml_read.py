"""The documents clients send: what is accepted, and T95-T97."""

from __future__ import annotations

import botocore.session
import pytest
from botocore.serialize import create_serializer
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import S3Error
from gateway.wire import xml_read
from gateway.wire.xml_read import CompletedPart, DeleteTarget, complete_upload, create_bucket, delete_objects

S3 = botocore.session.get_session().get_service_model("s3")
XMLNS = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
GOOD = b"<Delete><Object><Key>a</Key></Object></Delete>"


def sent(operation: str, **arguments: object) -> bytes:
    """The body as botocore writes it."""
    model = S3.operation_model(operation)
    body = create_serializer("rest-xml").serialize_to_request({"Bucket": "bbb", **arguments}, model)["body"]
    assert isinstance(body, bytes)
    return body


def code_of(body: bytes, read: object = delete_objects) -> str:
    with pytest.raises(S3Error) as caught:
        read(body)  # type: ignore[operator]
    return caught.value.code


# ---------------------------------------------------------------- CreateBucketConfiguration


def test_create_bucket() -> None:
    assert (
        create_bucket(sent("CreateBucket", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}))
        == "eu-west-1"
    )
    assert create_bucket(b"") == ""
    assert create_bucket(b" \r\n") == ""
    assert create_bucket(b"<CreateBucketConfiguration/>") == ""
    inner = "\n <LocationConstraint>\n EU\n </LocationConstraint>\n"
    for namespace in ("", XMLNS):
        document = f"<CreateBucketConfiguration {namespace}>{inner}</CreateBucketConfiguration>"
        assert create_bucket(document.encode()) == "EU"


@pytest.mark.parametrize(
    ("inner", "code"),
    [
        ("<LocationConstraint>a</LocationConstraint><LocationConstraint>b</LocationConstraint>", "MalformedXML"),
        ("<locationConstraint>a</locationConstraint>", "MalformedXML"),
        ("<LocationConstraint><a/></LocationConstraint>", "MalformedXML"),
        ("text<LocationConstraint>a</LocationConstraint>", "MalformedXML"),
        ("<Foo/>", "MalformedXML"),
        ("<Location><Name>x</Name></Location>", "NotImplemented"),
        ("<Tags/>", "NotImplemented"),
        ("<LocationConstraint>" + "x" * 256 + "</LocationConstraint>", "InvalidLocationConstraint"),
    ],
)
def test_create_bucket_refusals(inner: str, code: str) -> None:
    document = f"<CreateBucketConfiguration>{inner}</CreateBucketConfiguration>".encode()
    assert code_of(document, create_bucket) == code


# ---------------------------------------------------------------- Delete


def test_delete_objects() -> None:
    body = sent(
        "DeleteObjects",
        Delete={
            "Objects": [
                {"Key": " a b\t", "VersionId": "null"},
                {"Key": "é<&>]]>", "ETag": '"x"', "Size": 5, "LastModifiedTime": 1795168800},
            ],
            "Quiet": True,
        },
    )
    found = delete_objects(body)
    assert found.quiet is True
    assert found.objects == (
        DeleteTarget(b" a b\t", "null"),
        DeleteTarget("é<&>]]>".encode(), None, '"x"', 5, 1795168800.0),
    )


def test_keys_keep_their_line_ends_when_written_as_references() -> None:
    body = b"<Delete><Object><Key>a&#13;&#10;&#9;b</Key></Object></Delete>"
    assert delete_objects(body).objects[0].key == b"a\r\n\tb"


@pytest.mark.parametrize(
    ("text", "quiet"), [("true", True), ("TRUE", True), ("1", True), ("false", False), ("0", False), (" true ", True)]
)
def test_quiet(text: str, quiet: bool) -> None:
    body = f"<Delete {XMLNS}><Quiet>{text}</Quiet><Object><Key>a</Key></Object></Delete>".encode()
    assert delete_objects(body).quiet is quiet


def test_one_thousand_objects_and_one_more() -> None:
    item = b"<Object><Key>a</Key></Object>"
    assert len(delete_objects(b"<Delete>" + item * 1000 + b"</Delete>").objects) == 1000
    assert code_of(b"<Delete>" + item * 1001 + b"</Delete>") == "MalformedXML"


@pytest.mark.parametrize(
    "inner",
    [
        "",
        "<Quiet>true</Quiet>",
        "<Object/>",
        "<Object>a</Object>",
        "<Object><Key/></Object>",
        "<Object><Key>a</Key><Key>b</Key></Object>",
        "<Object><Key><b/></Key></Object>",
        "<Object><Key>a</Key><Foo/></Object>",
        "<Object><Key>a</Key><Size>-1</Size></Object>",
        "<Object><Key>a</Key><Size>1_0</Size></Object>",
        "<Object><Key>a</Key><Size>٣</Size></Object>",
        "<Object><Key>a</Key><Size/></Object>",
        "<Object><Key>a</Key><LastModifiedTime>now</LastModifiedTime></Object>",
        "<Object><Key>a</Key></Object><Quiet>maybe</Quiet>",
        "<Object><Key>a</Key></Object><Quiet>true</Quiet><Quiet>true</Quiet>",
        "<Object><Key>a</Key></Object>text",
        "<Object><Key>&#1;</Key></Object>",
        '<x:Object xmlns:x="urn:other"><Key>a</Key></x:Object>',
    ],
)
def test_delete_refusals(inner: str) -> None:
    assert code_of(f"<Delete>{inner}</Delete>".encode()) == "MalformedXML"


def test_an_empty_version_is_never_the_current_one() -> None:
    body = b"<Delete><Object><Key>a</Key><VersionId></VersionId></Object></Delete>"
    assert code_of(body) == "InvalidArgument"


@pytest.mark.parametrize("text", ["Fri, 20 Nov 2026 10:00:00 GMT", "2026-11-20T10:00:00Z", "2026-11-20T10:00:00.123Z"])
def test_both_ways_to_write_a_time(text: str) -> None:
    body = f"<Delete><Object><Key>a</Key><LastModifiedTime>{text}</LastModifiedTime></Object></Delete>".encode()
    assert delete_objects(body).objects[0].mtime == 1795168800.0


# ---------------------------------------------------------------- CompleteMultipartUpload


def part(number: object, etag: str = "&quot;e&quot;", more: str = "") -> str:
    return f"<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag>{more}</Part>"


def completed(*parts: str) -> bytes:
    return f"<CompleteMultipartUpload {XMLNS}>{''.join(parts)}</CompleteMultipartUpload>".encode()


SHA256 = "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0="


def test_complete_upload() -> None:
    body = sent(
        "CompleteMultipartUpload",
        Key="k",
        UploadId="u",
        MultipartUpload={
            "Parts": [
                {"PartNumber": 1, "ETag": '"a"', "ChecksumSHA256": SHA256},
                {"PartNumber": 10000, "ETag": "b"},
            ]
        },
    )
    assert complete_upload(body) == [
        CompletedPart(1, "a", {"SHA256": SHA256}),
        CompletedPart(10000, "b", {}),
    ]


def test_ten_thousand_parts_with_a_checksum_each() -> None:
    sums = "<ChecksumSHA1>qZk+NkcGgWq6PiVxeFDCbJzQ2J0=</ChecksumSHA1>"
    assert len(complete_upload(completed(*(part(n, more=sums) for n in range(1, 10_001))))) == 10_000


@pytest.mark.parametrize(
    ("parts", "code"),
    [
        ([], "MalformedXML"),
        ([part(2), part(1)], "InvalidPartOrder"),
        ([part(1), part(1)], "InvalidPartOrder"),
        ([part(0)], "InvalidArgument"),
        ([part(10_001)], "InvalidArgument"),
        ([part("")], "MalformedXML"),
        ([part(" 1_0 ")], "MalformedXML"),
        ([part("-1")], "InvalidArgument"),
        ([part(1, more="<ChecksumCRC32>AAAAAA=</ChecksumCRC32>")], "InvalidArgument"),
        (
            [part(1, more="<ChecksumCRC32>AAAAAA==</ChecksumCRC32><ChecksumCRC32C>AAAAAA==</ChecksumCRC32C>")],
            "InvalidArgument",
        ),
        ([part(1, more="<ChecksumXXHASH64>AAAAAA==</ChecksumXXHASH64>")], "InvalidArgument"),
        ([part("9" * 5000)], "MalformedXML"),
        (["<Part><PartNumber>1</PartNumber></Part>"], "MalformedXML"),
        (["<Part><ETag>e</ETag></Part>"], "MalformedXML"),
        ([part(1, more="<ChecksumFoo>x</ChecksumFoo>")], "MalformedXML"),
        ([part(1, more="<ETag>e</ETag>")], "MalformedXML"),
        (["<Foo/>"], "MalformedXML"),
    ],
)
def test_complete_refusals(parts: list[str], code: str) -> None:
    assert code_of(completed(*parts), complete_upload) == code


def test_a_complete_without_a_document() -> None:
    assert code_of(b"", complete_upload) == "InvalidRequest"


# ---------------------------------------------------------------- T95 to T97, for any document


@pytest.mark.parametrize(
    "body",
    [
        b'<!DOCTYPE Delete [<!ENTITY a "b">]>' + GOOD,
        b'<!DOCTYPE Delete SYSTEM "file:///etc/passwd">' + GOOD,
        b'<!DOCTYPE Delete PUBLIC "x" "http://127.0.0.1:1/x">' + GOOD,
        b'<!DOCTYPE Delete [<!ENTITY % p SYSTEM "http://127.0.0.1:1/x"> %p;]>' + GOOD,
        b"<!DOCTYPE Delete>" + GOOD,
        b'<!DOCTYPE d [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'
        b"<Delete><Object><Key>&b;</Key></Object></Delete>",
        b"<Delete><Object><Key>&a;</Key></Object></Delete>",
    ],
    ids=["entity", "system", "public", "parameter", "empty", "bomb", "undefined"],
)
def test_t95_no_document_type_and_no_entities(body: bytes) -> None:
    assert code_of(body) == "MalformedXML"


def test_t95_the_bomb_is_refused_before_it_is_read() -> None:
    """Nothing after the DOCTYPE counts: the refusal comes from its first line, not from expanding it."""
    with pytest.raises(S3Error) as caught:
        delete_objects(b"<!DOCTYPE d [" + b'<!ENTITY a "' + b"a" * 5_000_000 + b'">]>')
    assert "DOCTYPE" in caught.value.cause


def test_t96_depth() -> None:
    deep = b"<a>" * 31 + b"</a>" * 31
    assert xml_read.parse(b"<Delete>" + deep + b"</Delete>", "Delete").name == "Delete"
    for levels in (32, 200_000):
        with pytest.raises(S3Error):
            xml_read.parse(b"<Delete>" + b"<a>" * levels + b"</a>" * levels + b"</Delete>", "Delete")


def test_t96_siblings() -> None:
    assert len(xml_read.parse(b"<Delete>" + b"<a/>" * 10_999 + b"</Delete>", "Delete").children) == 10_999
    for siblings in (11_000, 1_000_000):
        with pytest.raises(S3Error):
            xml_read.parse(b"<Delete>" + b"<a/>" * siblings + b"</Delete>", "Delete")


def test_t96_a_large_attribute_means_nothing() -> None:
    assert code_of(b'<Delete a="' + b"x" * (1 << 20) + b'"/>') == "MalformedXML"


@pytest.mark.parametrize(
    "body",
    [
        GOOD.decode().encode("utf-16"),
        GOOD.decode().encode("utf-16-le"),
        GOOD.decode().encode("utf-32"),
        ('<?xml version="1.0" encoding="UTF-16"?>' + GOOD.decode()).encode("utf-16"),
        b'<?xml version="1.0" encoding="UTF-16"?>' + GOOD,
        b'<?xml version="1.0" encoding="UTF-7"?>' + GOOD,
        b'<?xml version="1.0" encoding="iso-8859-1"?>' + GOOD.replace(b"<Key>a", b"<Key>\xe9"),
        b"<Delete><Object><Key>\xff</Key></Object></Delete>",
        b"<Delete><Object><Key>\xed\xa0\x80</Key></Object></Delete>",
        b"<?php x?>" + GOOD,
        GOOD + b"<?php x?>",
        GOOD + GOOD,
        GOOD + b"\0",
        GOOD[:-1],
        b"",
        b"{}",
        b"<Other/>",
        b'<Delete xmlns="urn:other"><Object><Key>a</Key></Object></Delete>',
    ],
)
def test_t97_only_well_formed_utf_8(body: bytes) -> None:
    assert code_of(body) == "MalformedXML"


@pytest.mark.parametrize(
    "body",
    [
        GOOD,
        b"\xef\xbb\xbf" + GOOD,
        b'<?xml version="1.0" encoding="UTF-8"?>\n' + GOOD,
        b"<?xml version='1.0' encoding='utf-8' standalone='yes'?><!-- hello -->" + GOOD,
        GOOD.replace(b">a<", b"><![CDATA[a]]><"),
        GOOD.replace(b"<Object>", b"\r\n  <Object>\r\n    "),
        f'<s3:Delete xmlns:s3="{xml_read.NAMESPACE}"><s3:Object><s3:Key>a</s3:Key></s3:Object></s3:Delete>'.encode(),
    ],
)
def test_ordinary_ways_to_write_the_same(body: bytes) -> None:
    assert delete_objects(body).objects == (DeleteTarget(b"a"),)


XML_BITS = [
    "<",
    ">",
    "/",
    "Delete",
    "Object",
    "Key",
    "Part",
    "PartNumber",
    "ETag",
    "&amp;",
    "&#1;",
    "<!",
    "]]>",
    "1",
    " ",
]


@given(
    st.one_of(st.binary(), st.lists(st.sampled_from(XML_BITS), max_size=40).map(lambda bits: "".join(bits).encode()))
)
def test_readers_raise_nothing_but_s3_errors(body: bytes) -> None:
    for read in (create_bucket, delete_objects, complete_upload):
        try:
            read(body)
        except S3Error:
            continue


@given(
    st.lists(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20), min_size=1, max_size=9)
)
def test_keys_survive_the_sdks_document(keys: list[str]) -> None:
    clean = [key.replace("\ufffe", "x").replace("\uffff", "x") for key in keys]
    body = sent("DeleteObjects", Delete={"Objects": [{"Key": key} for key in clean]})
    assert [found.key.decode() for found in delete_objects(body).objects] == clean
