"""Every reply document: byte for byte as its golden file, and readable by botocore's own parser.

After a wanted change: ``.venv/bin/python tests/wire/test_xml_write.py`` writes the golden files anew; read the diff.
"""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote, unquote_plus
from xml.etree import ElementTree

import botocore.session
import pytest
from botocore.parsers import create_parser
from hypothesis import given
from hypothesis import strategies as st

from gateway.model import Account, Bucket, Content, ListedObject, ListingPage, PartFacts, Upload, UploadedPart
from gateway.wire import unset, xml_listing, xml_write
from gateway.wire.codes import CODES
from gateway.wire.xml_text import NAMESPACE, escape, name_text

GOLDEN = Path(__file__).parent / "golden"
S3 = botocore.session.get_session().get_service_model("s3")

WHEN = 1795168800.5
UTC = datetime.timezone.utc  # noqa: UP017
SHOWN = datetime.datetime(2026, 11, 20, 10, tzinfo=UTC)
ID = "0123456789abcdef" * 4
OWNER = Account(ID, "alice", 'Alice & "Bob" <x>')
OWNERS = {ID: OWNER.display_name}
ETAG = "9b2cf535f27731c974343645a3985328"
ODD = "a b+&<>\"']]>é%2F/\u20ac".encode()
BUCKETS = [Bucket(1, "first", ID, "storage", "", WHEN), Bucket(2, "second.b", ID, "storage", "eu-west-1", WHEN)]
OBJECTS = (
    ListedObject(b"plain", 5, ETAG, WHEN, "STANDARD", ID),
    ListedObject(ODD, 2**40, ETAG + "-2", WHEN, "STANDARD_IA", ID, "SHA256", "COMPOSITE"),
)
PAGE = ListingPage(OBJECTS, (b"dir/", "ä &/".encode()), b"next")
LAST_PAGE = ListingPage(OBJECTS[:1], (), None)
UPLOAD = Upload(
    id="up/1+",
    bucket=1,
    key=ODD,
    owner=ID,
    location="storage",
    blob="b",
    token="t",
    state="open",
    started=WHEN,
    content=Content(storage_class="GLACIER"),
    checksum_algorithm="CRC32",
    checksum_type="COMPOSITE",
)
PARTS = [
    UploadedPart(
        number=n, size=5, stored=5, etag=ETAG, receipt="r", crcs=b"", modified=WHEN, checksums={"CRC32": "AAAAAA=="}
    )
    for n in (2, 7)
]
V2: dict[str, Any] = {"prefix": "a b&", "delimiter": "/", "max_keys": 2}
UPLOADS: dict[str, Any] = {
    "prefix": "a b&",
    "delimiter": "/",
    "key_marker": "k &",
    "upload_id_marker": "u",
    "max_uploads": 1,
    "owners": OWNERS,
}
TWO_PARTS = (PartFacts(1, 5, {"SHA1": "x="}), PartFacts(3, 6, {"SHA1": "y="}))

# name of the golden file -> (operation, document)
DOCUMENTS: dict[str, tuple[str, bytes]] = {
    "list_buckets": ("ListBuckets", xml_write.list_buckets(OWNER, BUCKETS)),
    "list_buckets_paged": (
        "ListBuckets",
        xml_write.list_buckets(OWNER, BUCKETS, region="us-east-1", prefix="f&", next_token="t&"),
    ),
    "location": ("GetBucketLocation", xml_write.location("eu-west-1")),
    "location_us_east_1": ("GetBucketLocation", xml_write.location("us-east-1")),
    "acl": ("GetBucketAcl", xml_write.acl(OWNER)),
    "list_objects": (
        "ListObjects",
        xml_listing.list_objects(
            "bbb", PAGE, **V2, marker="m &", url=False, next_marker="ä &/".encode(), owners=OWNERS
        ),
    ),
    "list_objects_url": (
        "ListObjects",
        xml_listing.list_objects("bbb", PAGE, **V2, marker="m &", url=True, next_marker="ä &/".encode(), owners=OWNERS),
    ),
    "list_objects_last": (
        "ListObjects",
        xml_listing.list_objects(
            "bbb",
            LAST_PAGE,
            prefix="",
            delimiter=None,
            max_keys=1000,
            marker="",
            url=False,
            next_marker=None,
            owners=OWNERS,
        ),
    ),
    "list_objects_v2": (
        "ListObjectsV2",
        xml_listing.list_objects_v2(
            "bbb", PAGE, **V2, url=False, start_after="s &", token="t1&", next_token="t2&", owners=OWNERS
        ),
    ),
    "list_objects_v2_url": ("ListObjectsV2", xml_listing.list_objects_v2("bbb", PAGE, **V2, url=True, next_token="t2")),
    "list_objects_v2_last": (
        "ListObjectsV2",
        xml_listing.list_objects_v2("bbb", LAST_PAGE, prefix="", delimiter=None, max_keys=1000, url=False),
    ),
    "list_versions": (
        "ListObjectVersions",
        xml_listing.list_versions(
            "bbb",
            PAGE,
            **V2,
            marker="m &",
            version_marker="null",
            url=False,
            owners=OWNERS,
        ),
    ),
    "list_versions_url": (
        "ListObjectVersions",
        xml_listing.list_versions(
            "bbb",
            PAGE,
            **V2,
            marker="",
            version_marker="",
            url=True,
            owners=OWNERS,
        ),
    ),
    "initiate_multipart": ("CreateMultipartUpload", xml_write.initiate_multipart("bbb", ODD, "up/1+")),
    "complete_multipart": (
        "CompleteMultipartUpload",
        xml_write.complete_multipart(
            "http://h/bbb/a%20b", "bbb", ODD, ETAG + "-2", {"CRC32": "AAAAAA==-2"}, "COMPOSITE"
        ),
    ),
    "list_parts": (
        "ListParts",
        xml_write.list_parts("bbb", UPLOAD, OWNER, PARTS, marker=1, max_parts=2, truncated=True),
    ),
    "list_parts_none": (
        "ListParts",
        xml_write.list_parts("bbb", UPLOAD, OWNER, [], marker=0, max_parts=1000, truncated=False, url=True),
    ),
    "list_uploads": (
        "ListMultipartUploads",
        xml_write.list_uploads("bbb", [UPLOAD], [b"dir &/"], **UPLOADS, url=False, after=(ODD, "up/1+")),
    ),
    "list_uploads_url": (
        "ListMultipartUploads",
        xml_write.list_uploads("bbb", [UPLOAD], [], **UPLOADS, url=True, after=None),
    ),
    "copy_object": ("CopyObject", xml_write.copy_object(ETAG, WHEN, {"SHA256": "x="}, "FULL_OBJECT")),
    "copy_part": ("UploadPartCopy", xml_write.copy_part(ETAG, WHEN, {"CRC32C": "AAAAAA=="})),
    "delete_result": (
        "DeleteObjects",
        xml_write.delete_result(
            [xml_write.Deletion(ODD, "null"), xml_write.Deletion(b"b", None, "AccessDenied", "Access <Denied>")], False
        ),
    ),
    "delete_result_quiet": (
        "DeleteObjects",
        xml_write.delete_result(
            [xml_write.Deletion(ODD), xml_write.Deletion(b"b", None, "InternalError", "Sorry")], True
        ),
    ),
    "object_attributes": (
        "GetObjectAttributes",
        xml_write.object_attributes(
            etag=ETAG,
            checksums={"SHA1": "z=-3"},
            checksum_type="COMPOSITE",
            parts=xml_write.PartsPage(3, 0, 2, True, TWO_PARTS),
            storage_class="STANDARD",
            size=0,
        ),
    ),
    "object_attributes_count": (
        "GetObjectAttributes",
        xml_write.object_attributes(parts=xml_write.PartsPage(2, 0, 1000, False, ())),
    ),
    **{operation: (operation, unset.unset(operation, "bbb")) for operation in sorted(unset.DOCUMENTS)},
}

ROOTS = {
    "list_buckets": "ListAllMyBucketsResult",
    "location": "LocationConstraint",
    "acl": "AccessControlPolicy",
    "list_objects": "ListBucketResult",
    "list_objects_v2": "ListBucketResult",
    "initiate_multipart": "InitiateMultipartUploadResult",
    "complete_multipart": "CompleteMultipartUploadResult",
    "list_parts": "ListPartsResult",
    "list_uploads": "ListMultipartUploadsResult",
    "copy_object": "CopyObjectResult",
    "copy_part": "CopyPartResult",
    "delete_result": "DeleteResult",
    "object_attributes": "GetObjectAttributesResponse",
    "GetBucketAccelerateConfiguration": "AccelerateConfiguration",
    "GetBucketLogging": "BucketLoggingStatus",
    "GetBucketNotificationConfiguration": "NotificationConfiguration",
    "GetBucketOwnershipControls": "OwnershipControls",
    "list_versions": "ListVersionsResult",
    "GetBucketRequestPayment": "RequestPaymentConfiguration",
    "GetBucketVersioning": "VersioningConfiguration",
    "GetObjectTagging": "Tagging",
    "ListBucketAnalyticsConfigurations": "ListBucketAnalyticsConfigurationResult",
    "ListBucketIntelligentTieringConfigurations": "ListBucketIntelligentTieringConfigurationsOutput",
    "ListBucketInventoryConfigurations": "ListInventoryConfigurationsResult",
    "ListBucketMetricsConfigurations": "ListMetricsConfigurationsResult",
}


def error_document(code: str) -> bytes:
    fields = {"BucketName": "bbb", "Key": "a<b"}
    return xml_write.error(code, CODES[code].message, "/bbb/a<b", "4442587FB7D0A2F9", fields, "host/id+=")


def parsed(operation: str, body: bytes, status: int = 200) -> dict[str, Any]:
    reply = {"status_code": status, "headers": {}, "body": body}
    found: dict[str, Any] = create_parser("rest-xml").parse(reply, S3.operation_model(operation).output_shape)
    return found


def of(name: str) -> dict[str, Any]:
    return parsed(*DOCUMENTS[name])


# ---------------------------------------------------------------- golden files


@pytest.mark.parametrize("name", DOCUMENTS)
def test_documents_are_their_golden_files(name: str) -> None:
    assert DOCUMENTS[name][1] == (GOLDEN / f"{name}.xml").read_bytes()


@pytest.mark.parametrize("code", [code for code in CODES if code != "NotModified"])
def test_errors_are_their_golden_files(code: str) -> None:
    document = error_document(code)
    assert document == (GOLDEN / "errors" / f"{code}.xml").read_bytes()
    found = parsed("GetObject", document, CODES[code].status)
    named = {"Code": code, "Message": CODES[code].message, "Resource": "/bbb/a<b"}
    assert found["Error"] == {**named, "BucketName": "bbb", "Key": "a<b"}
    assert ElementTree.fromstring(document).findtext("RequestId") == "4442587FB7D0A2F9"  # botocore takes the header's


def test_no_golden_file_is_left_over() -> None:
    assert {path.stem for path in GOLDEN.glob("*.xml")} == set(DOCUMENTS)
    assert {path.stem for path in (GOLDEN / "errors").glob("*.xml")} == set(CODES) - {"NotModified"}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_roots_and_namespace_are_awss(name: str) -> None:
    root = ElementTree.fromstring(DOCUMENTS[name][1])
    stem = next(stem for stem in sorted(ROOTS, key=len, reverse=True) if name.startswith(stem))
    assert root.tag == f"{{{NAMESPACE}}}{ROOTS[stem]}"
    assert DOCUMENTS[name][1].startswith(b'<?xml version="1.0" encoding="UTF-8"?>\n<')


def test_errors_have_no_namespace() -> None:
    assert ElementTree.fromstring(error_document("NoSuchKey")).tag == "Error"


# ---------------------------------------------------------------- what botocore reads in them


def test_list_buckets() -> None:
    plain, paged = of("list_buckets"), of("list_buckets_paged")
    assert plain["Owner"] == {"ID": ID, "DisplayName": OWNER.display_name}
    assert plain["Buckets"] == [{"Name": "first", "CreationDate": SHOWN}, {"Name": "second.b", "CreationDate": SHOWN}]
    assert [bucket["BucketRegion"] for bucket in paged["Buckets"]] == ["us-east-1", "eu-west-1"]
    assert (paged["Prefix"], paged["ContinuationToken"]) == ("f&", "t&")


def test_location_is_the_text_of_the_root() -> None:
    assert ElementTree.fromstring(DOCUMENTS["location"][1]).text == "eu-west-1"
    assert not ElementTree.fromstring(DOCUMENTS["location_us_east_1"][1]).text


def test_acl() -> None:
    found = of("acl")
    person = {"ID": ID, "DisplayName": OWNER.display_name}
    assert found["Owner"] == person
    assert found["Grants"] == [{"Grantee": {**person, "Type": "CanonicalUser"}, "Permission": "FULL_CONTROL"}]


FIRST = {"Key": "plain", "LastModified": SHOWN, "ETag": f'"{ETAG}"', "Size": 5, "StorageClass": "STANDARD"}
SECOND = {
    "Key": ODD.decode(),
    "LastModified": SHOWN,
    "ETag": f'"{ETAG}-2"',
    "ChecksumAlgorithm": ["SHA256"],
    "ChecksumType": "COMPOSITE",
    "Size": 2**40,
    "StorageClass": "STANDARD_IA",
}
PERSON = {"Owner": {"ID": ID, "DisplayName": OWNER.display_name}}


def test_list_objects() -> None:
    found, last = of("list_objects"), of("list_objects_last")
    assert found["Contents"] == [FIRST | PERSON, SECOND | PERSON]
    assert [each["Prefix"] for each in found["CommonPrefixes"]] == ["dir/", "ä &/"]
    echoed = ("Name", "Prefix", "Marker", "NextMarker", "MaxKeys", "Delimiter", "IsTruncated")
    assert [found[name] for name in echoed] == ["bbb", "a b&", "m &", "ä &/", 2, "/", True]
    assert last["IsTruncated"] is False
    assert not {"NextMarker", "Delimiter", "EncodingType", "CommonPrefixes"} & set(last)


def test_list_objects_v2() -> None:
    found, last = of("list_objects_v2"), of("list_objects_v2_last")
    assert found["Contents"] == [FIRST | PERSON, SECOND | PERSON]
    echoed = ("Name", "Prefix", "StartAfter", "ContinuationToken", "NextContinuationToken", "KeyCount", "MaxKeys")
    assert [found[name] for name in echoed] == ["bbb", "a b&", "s &", "t1&", "t2&", 4, 2]
    assert found["IsTruncated"] is True
    assert last["Contents"] == [FIRST]
    assert not {"NextContinuationToken", "ContinuationToken", "StartAfter", "Delimiter"} & set(last)


def test_list_versions() -> None:
    found = of("list_versions")
    which = {"VersionId": "null", "IsLatest": True}
    assert found["Versions"] == [row | PERSON | which for row in (FIRST, SECOND)]
    echoed = ("Name", "Prefix", "KeyMarker", "VersionIdMarker", "NextKeyMarker", "MaxKeys", "Delimiter", "IsTruncated")
    assert [found[name] for name in echoed] == ["bbb", "a b&", "m &", "null", "next", 2, "/", True]
    assert "NextVersionIdMarker" not in found  # what comes next follows a common prefix


@pytest.mark.parametrize("name", ["list_objects_url", "list_objects_v2_url"])
def test_url_encoding_covers_every_name(name: str) -> None:
    found = of(name)
    assert found["EncodingType"] == "url"
    for decode in (unquote, unquote_plus):
        assert decode(found["Contents"][1]["Key"]).encode() == ODD
        assert decode(found["Prefix"]) == "a b&"
        assert decode(found["CommonPrefixes"][1]["Prefix"]) == "ä &/"
    assert found["Delimiter"] == "/"


def test_multipart() -> None:
    assert of("initiate_multipart") == {
        "Bucket": "bbb",
        "Key": ODD.decode(),
        "UploadId": "up/1+",
        "ResponseMetadata": {"HTTPStatusCode": 200, "HTTPHeaders": {}},
    }
    done = of("complete_multipart")
    assert (done["Location"], done["ETag"]) == ("http://h/bbb/a%20b", f'"{ETAG}-2"')
    assert (done["ChecksumCRC32"], done["ChecksumType"]) == ("AAAAAA==-2", "COMPOSITE")
    parts, none = of("list_parts"), of("list_parts_none")
    assert parts["Parts"][1] == {
        "PartNumber": 7,
        "LastModified": SHOWN,
        "ETag": f'"{ETAG}"',
        "Size": 5,
        "ChecksumCRC32": "AAAAAA==",
    }
    assert (parts["PartNumberMarker"], parts["NextPartNumberMarker"], parts["IsTruncated"]) == (1, 7, True)
    assert (parts["StorageClass"], parts["ChecksumAlgorithm"]) == ("GLACIER", "CRC32")
    assert parts["Initiator"] == parts["Owner"] == PERSON["Owner"]
    assert (none["NextPartNumberMarker"], none["IsTruncated"], none.get("Parts")) == (0, False, None)
    assert unquote(none["Key"]).encode() == ODD


def test_list_uploads() -> None:
    found, url = of("list_uploads"), of("list_uploads_url")
    assert (found["NextKeyMarker"], found["NextUploadIdMarker"]) == (ODD.decode(), "up/1+")
    assert (found["KeyMarker"], found["UploadIdMarker"], found["IsTruncated"]) == ("k &", "u", True)
    assert found["Uploads"][0]["Initiated"] == SHOWN
    assert found["CommonPrefixes"] == [{"Prefix": "dir &/"}]
    assert unquote(url["Uploads"][0]["Key"]).encode() == ODD
    # The last page names its last upload too, as S3's does.
    assert (url["NextKeyMarker"], url["NextUploadIdMarker"], url["IsTruncated"]) == (
        url["Uploads"][0]["Key"],
        "up/1+",
        False,
    )


def test_copies() -> None:
    assert of("copy_object")["CopyObjectResult"] == {
        "ETag": f'"{ETAG}"',
        "LastModified": SHOWN,
        "ChecksumType": "FULL_OBJECT",
        "ChecksumSHA256": "x=",
    }
    assert of("copy_part")["CopyPartResult"]["ChecksumCRC32C"] == "AAAAAA=="


def test_delete_result() -> None:
    found, quiet = of("delete_result"), of("delete_result_quiet")
    assert found["Deleted"] == [{"Key": ODD.decode(), "VersionId": "null"}]
    assert found["Errors"] == [{"Key": "b", "Code": "AccessDenied", "Message": "Access <Denied>"}]
    assert "Deleted" not in quiet
    assert quiet["Errors"][0]["Code"] == "InternalError"


def test_object_attributes() -> None:
    found = of("object_attributes")
    assert (found["ETag"], found["ObjectSize"], found["StorageClass"]) == (ETAG, 0, "STANDARD")
    assert found["Checksum"] == {"ChecksumSHA1": "z=-3", "ChecksumType": "COMPOSITE"}
    assert found["ObjectParts"] == {
        "TotalPartsCount": 3,
        "PartNumberMarker": 0,
        "NextPartNumberMarker": 3,
        "MaxParts": 2,
        "IsTruncated": True,
        "Parts": [
            {"PartNumber": 1, "Size": 5, "ChecksumSHA1": "x="},
            {"PartNumber": 3, "Size": 6, "ChecksumSHA1": "y="},
        ],
    }
    assert of("object_attributes_count")["ObjectParts"] == {"TotalPartsCount": 2}


# ---------------------------------------------------------------- T90, T111: what text may hold


def test_t90_what_xml_cannot_carry_becomes_a_reference() -> None:
    key = b"a\n\r\t\x01\x1f<&>]]>\xef\xbf\xbf"
    assert name_text(key, False) == "a&#xa;&#xd;&#x9;&#x1;&#x1f;&lt;&amp;&gt;]]&gt;&#xffff;"
    assert unquote(name_text(key, True)).encode() == key


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_t90_a_listing_in_url_encoding_gives_every_key_back(text: str) -> None:
    key = (text or "x").encode()
    page = ListingPage((ListedObject(key, 1, ETAG, WHEN, "STANDARD", ID),), (key,), None)
    body = xml_listing.list_objects_v2("bbb", page, prefix=text, delimiter=None, max_keys=1, url=True)
    found = parsed("ListObjectsV2", body)
    assert unquote(found["Contents"][0]["Key"]).encode() == key
    assert unquote(found["CommonPrefixes"][0]["Prefix"]).encode() == key
    assert unquote(found["Prefix"]) == text


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\ufffe\uffff", min_codepoint=32)))
def test_t90_t111_text_comes_back_and_never_becomes_markup(text: str) -> None:
    for tricky in (text, f"\r\n\t{text}", f"{text}<script>", f"]]>{text}&amp;"):
        assert ElementTree.fromstring(f"<a>{escape(tricky)}</a>").text == (tricky or None)


def test_t111_an_error_shows_what_the_client_sent_as_text_only() -> None:
    body = xml_write.error("NoSuchKey", "<b>", "/<script>alert(1)</script>", "ID", {"Key": "</Key><Evil/>"})
    root = ElementTree.fromstring(body)
    assert [child.tag for child in root] == ["Code", "Message", "Key", "Resource", "RequestId", "HostId"]
    assert root.findtext("Key") == "</Key><Evil/>"


def write_golden_files() -> None:
    (GOLDEN / "errors").mkdir(parents=True, exist_ok=True)
    for path in GOLDEN.rglob("*.xml"):
        path.unlink()
    for name, (_, body) in DOCUMENTS.items():
        (GOLDEN / f"{name}.xml").write_bytes(body)
    for code in CODES:
        if code != "NotModified":
            (GOLDEN / "errors" / f"{code}.xml").write_bytes(error_document(code))


if __name__ == "__main__":
    write_golden_files()
