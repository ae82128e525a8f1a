"""Forms taken apart: whatever the pieces they come in, and whatever they hold."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as some

from gateway.errors import S3Error
from gateway.wire.form_reader import MOST_BEFORE, MOST_PARTS, FormReader, boundary_of

KEY = b'Content-Disposition: form-data; name="key"\r\n\r\nk'
FILE = b'Content-Disposition: form-data; name="file"; filename="f"\r\n\r\n'


def form(*parts: bytes, end: bytes = b"--b--\r\n") -> bytes:
    return b"".join(b"--b\r\n" + part + b"\r\n" for part in parts) + end


def field(name: str, value: bytes = b"v") -> bytes:
    return b'Content-Disposition: form-data; name="%b"\r\n\r\n%b' % (name.encode(), value)


def read(*pieces: bytes, boundary: bytes = b"b") -> tuple[FormReader, bytes]:
    reader = FormReader(boundary)
    found = b"".join([reader.feed(piece) for piece in pieces])
    reader.finish()
    return reader, found


def refused(*pieces: bytes) -> S3Error:
    with pytest.raises(S3Error) as caught:
        read(*pieces)
    return caught.value


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"hello",
        b"\r\n",
        b"\r\n--",
        b"a\r\n--b!",
        b"\r\n--bb\r\n",
        b"\r\n--b x\r\n\r\n--b-",
        b"\n--b--\n",
        b"--b--\r\n",
        b"\r\r\n--a\r\n-\r",
        bytes(range(256)) * 300,
    ],
    ids=range(11),
)
@pytest.mark.parametrize("tail", [b"--b--\r\n", b"--b--", b"--b--\r\nan epilogue", b"--b--\r\n--b\r\nmore"])
def test_the_file_is_what_lies_between(data: bytes, tail: bytes) -> None:
    reader, found = read(form(KEY, FILE + data, end=tail))
    assert (reader.fields, found) == ({"key": "k"}, data)
    assert reader.before == len(form(KEY, FILE, end=b"")) - 2


@given(
    data=some.lists(some.sampled_from([b"\r", b"\n", b"-", b"b", b"\r\n--", b"\r\n--b", b"x" * 100]), max_size=12),
    after=some.sampled_from([b"", field("submit"), FILE + b"\r\n--b-"]),
    cuts=some.lists(some.integers(0, 700), max_size=12),
)
def test_how_it_is_cut_makes_no_difference(data: list[bytes], after: bytes, cuts: list[int]) -> None:
    whole = form(KEY, field("acl", b"private"), FILE + b"".join(data), *([after] if after else []))
    try:
        expected: object = _told(whole)
    except S3Error as refusal:
        expected = refusal.code
    places = sorted({0, len(whole), *(cut for cut in cuts if cut < len(whole))})
    pieces = [whole[start:end] for start, end in pairwise(places)]
    for way in (pieces, [whole[at : at + 1] for at in range(len(whole))]):
        try:
            assert _told(*way) == expected
        except S3Error as refusal:
            assert refusal.code == expected


def _told(*pieces: bytes) -> tuple[object, ...]:
    reader, found = read(*pieces)
    return reader.fields, reader.filename, reader.before, found


@pytest.mark.parametrize(
    ("disposition", "filename"),
    [
        ('name="file"; filename="a.txt"', "a.txt"),
        ("name=file; filename=a.txt", "a.txt"),
        ('name="file"', ""),
        ('name="FILE"; filename=""', ""),
        ('filename="a;b=c.txt" ; name="file" ;', "a;b=c.txt"),
        (r'name="file"; filename="a\"b\\c.txt"', r'a"b\c.txt'),
        (r'name="file"; filename="C:\dir\file.txt"', r"C:\dir\file.txt"),
        ('name="file"; filename="na\u00efve \u65e5\u672c.txt"', "na\u00efve \u65e5\u672c.txt"),
        ('name="file"; filename="old"; filename*=UTF-8\'\'na%C3%AFve.txt', "na\u00efve.txt"),
        ('name="file"; filename="old"; filename*=latin-1\'\'x', "old"),
        ('name="file"; filename="old"; filename*=UTF-8\'\'%FF', "old"),
        ('name="file"; filename="a%22b.txt"', "a%22b.txt"),
    ],
)
def test_names_of_files(disposition: str, filename: str) -> None:
    head = f"content-disposition:form-data; {disposition}\r\nContent-Type: text/plain\r\n\r\n".encode()
    reader, found = read(form(KEY, head + b"x"))
    assert (reader.filename, found) == (filename, b"x")


def test_fields_have_lower_case_names_and_metadata_adds_up() -> None:
    parts = field("Key", "gr\u00fcn\r\n".encode()), field("X-Amz-Meta-A", b"1"), field("x-amz-meta-a", b"2")
    # what requests sends: every field has a file name, and is a field all the same
    named = b'Content-Disposition: form-data; name="acl"; filename="acl"\r\nContent-Type: text/plain\r\n\r\nprivate'
    reader, _ = read(b"a preamble\r\n" + form(*parts, named, field("empty", b""), FILE))
    assert reader.fields == {"key": "gr\u00fcn\r\n", "x-amz-meta-a": "1,2", "acl": "private", "empty": ""}


def test_a_first_line_end_does_not_count() -> None:
    assert read(b"\r\n" + form(KEY, FILE + b"x"))[1] == b"x"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "MalformedPOSTRequest"),
        (b"no form at all", "MalformedPOSTRequest"),
        (form(KEY, end=b""), "MalformedPOSTRequest"),
        (form(KEY), "InvalidArgument"),  # "POST requires exactly one file upload per request."
        (b"--b--\r\n", "InvalidArgument"),
        (form(KEY, FILE + b"x", end=b""), "MalformedPOSTRequest"),
        (form(KEY, FILE + b"x", end=b"--b"), "MalformedPOSTRequest"),
        (form(KEY, FILE + b"x", end=b"--b-"), "MalformedPOSTRequest"),
        (form(KEY, FILE + b"x", end=b"--b \r\n"), "MalformedPOSTRequest"),
        (form(KEY, FILE + b"x", field("submit"), end=b""), "MalformedPOSTRequest"),
        (form(KEY, FILE + b"x").replace(b"\r\n", b"\n"), "MalformedPOSTRequest"),
        (form(KEY, KEY, FILE), "InvalidArgument"),
        (form(b"\r\nno head", FILE), "MalformedPOSTRequest"),
        (form(field(""), FILE), "MalformedPOSTRequest"),
        (form(KEY, FILE.replace(b'"file"', b'""')), "MalformedPOSTRequest"),
        (form(b'Content-Disposition: attachment; name="a"\r\n\r\nv', FILE), "MalformedPOSTRequest"),
        (form(b'Content-Disposition: form-data; name="a"; name="b"\r\n\r\nv', FILE), "MalformedPOSTRequest"),
        (form(b'Content-Disposition: form-data; name="a\r\n\r\nv', FILE), "MalformedPOSTRequest"),
        (form(b'Content-Disposition: form-data;\r\n name="a"\r\n\r\nv', FILE), "MalformedPOSTRequest"),
        (form(b"no colon\r\n" + KEY, FILE), "MalformedPOSTRequest"),
        (form(b"Content-Disposition: form-data; name=a\r\n" + KEY, FILE), "MalformedPOSTRequest"),
        (form(field("a", b"\xff"), FILE), "MalformedPOSTRequest"),
        (form(b'Content-Disposition: form-data; name="\xff"\r\n\r\nv', FILE), "MalformedPOSTRequest"),
        (form(b"Content-Type: multipart/mixed; boundary=c\r\n" + KEY, FILE), "MalformedPOSTRequest"),
        (form(b"Content-Type: multipart/mixed; boundary=c\r\n" + FILE), "MalformedPOSTRequest"),
        (form(*[field(f"x-ignore-{n}") for n in range(MOST_PARTS)], FILE), "MalformedPOSTRequest"),
        (form(field("a", b"v" * MOST_BEFORE), FILE), "MaxPostPreDataLengthExceededError"),
        (form(field("a" * MOST_BEFORE), FILE), "MaxPostPreDataLengthExceededError"),
        (b"x" * (MOST_BEFORE + 1), "MaxPostPreDataLengthExceededError"),
        # the same for what is wrong behind the limit, which may or may not have come with what is before
        (form(field("a", b"v" * MOST_BEFORE)), "MaxPostPreDataLengthExceededError"),
        (form(field("a", b"v" * MOST_BEFORE), field("a"), FILE), "MaxPostPreDataLengthExceededError"),
        (form(field("a", b"v" * (MOST_BEFORE - 70)), field(""), FILE), "MaxPostPreDataLengthExceededError"),
    ],
)
def test_what_is_no_form_is_refused(body: bytes, code: str) -> None:
    assert refused(body).code == code
    assert refused(*[body[at : at + 7] for at in range(0, len(body), 7)]).code == code


def test_exactly_as_much_before_the_file_as_s3_takes() -> None:
    spare = MOST_BEFORE - (len(form(field("a", b""), FILE, end=b"")) - 2)
    reader, found = read(form(field("a", b"v" * spare), FILE + b"x" * 100_000))
    assert (reader.before, len(found)) == (MOST_BEFORE, 100_000)
    assert refused(form(field("a", b"v" * (spare + 1)), FILE)).code == "MaxPostPreDataLengthExceededError"


def test_little_is_held_back_while_the_file_comes() -> None:
    reader = FormReader(b"b" * 70)
    reader.feed(form(KEY, FILE, end=b"").replace(b"--b\r\n", b"--" + b"b" * 70 + b"\r\n")[:-2])
    for _ in range(50):
        assert len(reader.feed(b"\r\n--" + b"x" * 100_000)) >= 100_000
    assert reader.in_file and not reader.file_ended


@pytest.mark.parametrize(
    ("kind", "boundary"),
    [
        ("multipart/form-data; boundary=----WebKitFormBoundaryx1", b"----WebKitFormBoundaryx1"),
        ('Multipart/Form-Data;charset=utf-8; BOUNDARY="a b:?=/"', b"a b:?=/"),
        ("multipart/form-data; boundary=" + "x" * 70, b"x" * 70),
    ],
)
def test_boundaries(kind: str, boundary: bytes) -> None:
    assert boundary_of(kind) == boundary


@pytest.mark.parametrize(
    "kind",
    [
        "multipart/form-data",
        "multipart/form-data; boundary=",
        'multipart/form-data; boundary=""',
        "multipart/form-data; boundary=" + "x" * 71,
        'multipart/form-data; boundary="a "',
        "multipart/form-data; boundary=a; boundary=b",
        "multipart/form-data; boundary=a,multipart/form-data; boundary=b",
        "multipart/form-data; boundary=\u00fc",
        'multipart/form-data; boundary="a',
        "multipart/mixed; boundary=a",
        "",
    ],
)
def test_no_boundary_no_form(kind: str) -> None:
    with pytest.raises(S3Error) as caught:
        boundary_of(kind)
    assert caught.value.code == "MalformedPOSTRequest"
