"""Digests: the published check values, S3's exact errors (rows T58, T102, T103), multipart, block CRCs."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import random
import zlib

import pytest
from awscrt import checksums as crt
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import S3Error
from gateway.wire import checksums
from gateway.wire.checksums import BlockCrcs, Expected

DATA = b"123456789"
CHECK = {  # the check values of the CRC catalogue, of FIPS 180, and of the xxhash package
    "MD5": "25f9e794323b453885f5181f1b624d0b",
    "CRC32": "cbf43926",
    "CRC32C": "e3069283",
    "CRC64NVME": "ae8b14860a799888",
    "SHA1": "f7c3bc1d808e04732adf679965ccc34ca7ae3441",
    "SHA256": "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225",
    "SHA512": "d9e6762dd1c8eaf6d61b3c6192fc408d4d6d5f1176d0c29169bc24e71c3f274a"
    "d27fcd5811b313d681f7e55ec02d73d499c95455b6b5bb503acf574fba8ffe85",
    "XXHASH128": "33119477ede5dcd5e9716427681d5860",
    "XXHASH3": "72dcb18b67a17dff",
    "XXHASH64": "8cb841db40e6ae83",
}
TEXT = {name: base64.b64encode(bytes.fromhex(value)).decode() for name, value in CHECK.items()}


def refusal(call: object, *arguments: object) -> S3Error:
    assert callable(call)
    with pytest.raises(S3Error) as caught:
        call(*arguments)
    return caught.value


def raw(name: str) -> bytes:
    return bytes.fromhex(CHECK[name])


@pytest.mark.parametrize("name", CHECK)
def test_the_check_values(name: str) -> None:
    whole, pieces = checksums.new(name), checksums.new(name)
    whole.update(DATA)
    for piece in (DATA[:4], b"", memoryview(DATA)[4:]):
        pieces.update(piece)
    assert whole.digest().hex() == pieces.digest().hex() == CHECK[name]
    assert checksums.encode(whole.digest()) == TEXT[name]


def test_an_empty_digest_is_that_of_nothing() -> None:
    assert checksums.new("CRC64NVME").digest() == bytes(8)
    assert checksums.new("SHA256").digest() == hashlib.sha256().digest()


@pytest.mark.parametrize(
    "text",
    ["", "AAAA", "AAAAAA", "AAAAAA=", "AAAAAA===", "AAAAAB==", "AAAA-A==", " AAAAAA==", "\u00c4AAAAA==", "AAAAAA==\n"],
)
def test_base64_is_strict(text: str) -> None:
    assert checksums.decode("AAAAAA==", 4) == bytes(4)
    assert checksums.decode(text, 4) is None


# ---------------------------------------------------------------- what a request promises


def test_no_promise() -> None:
    expected = checksums.requested({"x-amz-checksum-mode": "ENABLED", "x-amz-checksum-type": "FULL_OBJECT"})
    assert expected == Expected()
    assert expected.algorithms == ()
    expected.prove({}, {})


@pytest.mark.parametrize("text", ["", "rubbish", "YWJyYWNhZGFicmE=", CHECK["MD5"], TEXT["MD5"][:-1], TEXT["MD5"] + "="])
def test_t102_content_md5(text: str) -> None:
    expected = checksums.requested({"content-md5": TEXT["MD5"]})
    assert (expected.md5, expected.algorithms) == (raw("MD5"), ("MD5",))
    expected.prove({"MD5": raw("MD5")}, {})
    error = refusal(expected.prove, {"MD5": bytes(16)}, {})
    assert error.code == "BadDigest"
    assert error.fields == {"ExpectedDigest": CHECK["MD5"], "CalculatedDigest": "AAAAAAAAAAAAAAAAAAAAAA=="}
    error = refusal(checksums.requested, {"content-md5": text})
    assert (error.code, error.fields) == ("InvalidDigest", {"Content-MD5": text})


@pytest.mark.parametrize("name", checksums.ALGORITHMS)
def test_t103_a_checksum_in_a_header(name: str) -> None:
    header = f"x-amz-checksum-{name.lower()}"
    assert checksums.header_name(name) == header
    expected = checksums.requested({header: TEXT[name], "x-amz-sdk-checksum-algorithm": name})
    assert expected == Expected(algorithm=name, value=raw(name))
    assert expected.algorithms == (name,)
    expected.prove({name: raw(name)}, {})
    error = refusal(expected.prove, {name: bytes(len(raw(name)))}, {})
    assert error.code == "BadDigest"
    assert error.message == f"The {name} you specified did not match the calculated checksum."
    for wrong in (CHECK[name], TEXT[name].rstrip("="), "", TEXT["SHA1"]):
        if wrong != TEXT[name]:
            error = refusal(checksums.requested, {header: wrong})
            assert (error.code, error.message) == ("InvalidRequest", f"Value for {header} header is invalid.")


@pytest.mark.parametrize("name", checksums.ALGORITHMS)
def test_t58_a_checksum_in_a_trailer(name: str) -> None:
    header = f"x-amz-checksum-{name.lower()}"
    expected = checksums.requested({"x-amz-trailer": header, "x-amz-sdk-checksum-algorithm": name.lower()})
    assert expected == Expected(algorithm=name, trailer=header)
    expected.prove({name: raw(name)}, {header: TEXT[name]})
    assert refusal(expected.prove, {name: raw(name)}, {}).code == "MalformedTrailerError"
    assert refusal(expected.prove, {name: bytes(len(raw(name)))}, {header: TEXT[name]}).code == "BadDigest"
    error = refusal(expected.prove, {name: raw(name)}, {header: TEXT[name][:-1]})
    assert (error.code, error.message) == ("InvalidRequest", f"Value for {header} trailing header is invalid.")


CRC32 = {"x-amz-checksum-crc32": TEXT["CRC32"]}
CRC32C = {"x-amz-checksum-crc32c": TEXT["CRC32C"]}
SINGLE = "Expecting a single x-amz-checksum- header"


@pytest.mark.parametrize(
    ("headers", "message"),
    [
        ({**CRC32, **CRC32C}, f"{SINGLE}. Multiple checksum Types are not allowed."),
        (
            {"x-amz-trailer": "x-amz-checksum-crc32,x-amz-checksum-sha1"},
            f"{SINGLE}. Multiple checksum Types are not allowed.",
        ),
        ({**CRC32, "x-amz-trailer": "x-amz-checksum-crc32"}, SINGLE),
        ({**CRC32, "x-amz-trailer": "x-amz-checksum-crc32c"}, SINGLE),
        ({"x-amz-checksum-md4": "AAAA"}, "The algorithm type you specified in x-amz-checksum- header is invalid."),
        ({"x-amz-trailer": "x-amz-meta-a"}, "The value specified in the x-amz-trailer header is not supported"),
        ({"x-amz-trailer": "x-amz-checksum-md4"}, "The value specified in the x-amz-trailer header is not supported"),
        (
            {"x-amz-sdk-checksum-algorithm": "CRC32"},
            "x-amz-sdk-checksum-algorithm specified, but no corresponding x-amz-checksum-* or x-amz-trailer "
            "headers were found.",
        ),
        (
            {**CRC32, "x-amz-sdk-checksum-algorithm": "SHA256"},
            "Value for x-amz-sdk-checksum-algorithm header is invalid.",
        ),
        ({**CRC32, "x-amz-sdk-checksum-algorithm": "MD4"}, "Value for x-amz-sdk-checksum-algorithm header is invalid."),
    ],
)
def test_t103_the_errors_are_s3s(headers: dict[str, str], message: str) -> None:
    error = refusal(checksums.requested, headers)
    assert (error.code, error.message) == ("InvalidRequest", message)


@given(
    st.dictionaries(
        st.sampled_from(
            "content-md5 x-amz-checksum-crc32 x-amz-checksum-sha256 x-amz-checksum-type x-amz-trailer "
            "x-amz-checksum-algorithm x-amz-sdk-checksum-algorithm x-amz-checksum-x".split()
        ),
        st.sampled_from([*TEXT.values(), *TEXT, "x-amz-checksum-sha1", "FULL_OBJECT", "y/Q5Jg==-3"])
        | st.text(max_size=20),
    )
)
def test_whatever_comes_only_s3_errors_leave(headers: dict[str, str]) -> None:
    for read in (checksums.requested, checksums.multipart_kind, checksums.declared_object):
        with contextlib.suppress(S3Error):
            read(headers)


# ---------------------------------------------------------------- multipart


@pytest.mark.parametrize(
    ("algorithm", "kind", "result"),
    [
        ("", "", ("", "")),
        ("CRC32", "", ("CRC32", "COMPOSITE")),
        ("crc32c", "full_object", ("CRC32C", "FULL_OBJECT")),
        ("CRC64NVME", "", ("CRC64NVME", "FULL_OBJECT")),
        ("SHA256", "COMPOSITE", ("SHA256", "COMPOSITE")),
        ("SHA1", "", ("SHA1", "COMPOSITE")),
        ("SHA1", "FULL_OBJECT", "The FULL_OBJECT checksum type cannot be used with the sha1 checksum algorithm."),
        ("CRC64NVME", "COMPOSITE", "The COMPOSITE checksum type cannot be used with the crc64nvme checksum algorithm."),
        (
            "",
            "COMPOSITE",
            "The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header.",
        ),
        ("CRC32", "HALF", "Value for x-amz-checksum-type header is invalid."),
        (
            "MD4",
            "",
            "Checksum algorithm provided is unsupported. Please try again with any of the valid types: "
            "[CRC32, CRC32C, CRC64NVME, MD5, SHA1, SHA256, SHA512, XXHASH128, XXHASH3, XXHASH64]",
        ),
    ],
)
def test_the_kind_that_an_upload_asks_for(algorithm: str, kind: str, result: tuple[str, str] | str) -> None:
    headers = {"x-amz-checksum-algorithm": algorithm, "x-amz-checksum-type": kind}
    if isinstance(result, tuple):
        assert checksums.multipart_kind(headers) == result
    else:
        error = refusal(checksums.multipart_kind, headers)
        assert (error.code, error.message) == ("InvalidRequest", result)


def test_the_checksum_that_complete_declares() -> None:
    assert checksums.declared_object({}) is None
    assert checksums.declared_object({"x-amz-checksum-crc32": "y/Q5Jg==-3"}) == ("CRC32", "y/Q5Jg==-3")
    assert checksums.declared_object(CRC32) == ("CRC32", TEXT["CRC32"])
    for wrong in ("y/Q5Jg==-0", "y/Q5Jg==-", "y/Q5Jg-3", "-3", "y/Q5Jg==-3-3"):
        assert refusal(checksums.declared_object, {"x-amz-checksum-crc32": wrong}).code == "InvalidRequest"
    assert refusal(checksums.declared_object, {**CRC32, **CRC32C}).code == "InvalidRequest"


def digest(algorithm: str, data: bytes) -> bytes:
    made = checksums.new(algorithm)
    made.update(data)
    return made.digest()


def test_a_composite_checksum_is_that_of_the_parts_checksums() -> None:
    parts = [b"a" * 10, b"b" * 20, b"c"]
    joined = b"".join(hashlib.sha256(part).digest() for part in parts)
    expected = base64.b64encode(hashlib.sha256(joined).digest()).decode() + "-3"
    assert checksums.composite("SHA256", [digest("SHA256", part) for part in parts]) == expected
    crcs = b"".join(zlib.crc32(part).to_bytes(4, "big") for part in parts)
    expected = base64.b64encode(zlib.crc32(crcs).to_bytes(4, "big")).decode() + "-3"
    assert checksums.composite("CRC32", [digest("CRC32", part) for part in parts]) == expected


@pytest.mark.parametrize("algorithm", ["CRC32", "CRC32C", "CRC64NVME"])
def test_a_full_object_checksum_is_that_of_the_whole(algorithm: str) -> None:
    parts = [random.Random(size).randbytes(size) for size in (5, 0, 100_000, 1)]
    joined = checksums.full_object(algorithm, [(digest(algorithm, part), len(part)) for part in parts])
    assert joined == digest(algorithm, b"".join(parts))
    assert checksums.full_object(algorithm, []) == digest(algorithm, b"")


# ---------------------------------------------------------------- block CRCs


@pytest.mark.parametrize("size", [0, 1, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, (5 << 20) + 17])
@pytest.mark.parametrize("step", [65536, 1 << 20, 3_000_000])
def test_one_crc_for_each_started_mib(size: int, step: int) -> None:
    data = random.Random(size).randbytes(size)
    blocks = BlockCrcs()
    for at in range(0, size, step):
        blocks.update(data[at : at + step])
        assert blocks.crcs() == blocks.crcs()
    expected = [crt.crc32c(data[at : at + (1 << 20)]) for at in range(0, size, 1 << 20)]
    assert blocks.crcs() == b"".join(value.to_bytes(4, "big") for value in expected)
