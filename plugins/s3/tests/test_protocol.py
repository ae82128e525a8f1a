"""What goes over the wire, and answers that the servers we can have do not give: on a server that a test scripts."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import pytest_twisted
from gateway_s3 import S3Backend
from twisted.internet import reactor
from twisted.internet.defer import ensureDeferred

from gateway.api import (
    BackendBusy,
    BackendDenied,
    BackendDown,
    BackendFull,
    BackendUnfit,
    BlobChanged,
    BlobExists,
    BlobMissing,
    BytesBody,
    ChosenPart,
    CompleteMPURequest,
    CreateMPURequest,
    DeleteRequest,
    GetRequest,
    HeadRequest,
    HealthcheckRequest,
    ListRequest,
    PutRequest,
    UploadPartRequest,
    Values,
)
from gateway.testing.pours import KI, Pour, sample
from tests.remote.conftest import Peer, RawServer

EMPTY = b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>"


def error(code: str, more: str = "") -> bytes:
    return f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>m</Message>{more}</Error>".encode()


def answer(status: int = 200, content: bytes = b"", **headers: str) -> Callable[[Peer], None]:
    return lambda peer: peer.reply(status, content, **headers)


@pytest.fixture
def server() -> Iterator[RawServer]:
    made = RawServer()
    made.port = reactor.listenTCP(0, made, interface="127.0.0.1")  # type: ignore[attr-defined]
    made.when_whole = answer(content=EMPTY)
    yield made

    async def end() -> None:
        await made.port.stopListening()
        for peer in made.peers:
            if not peer.lost:
                peer.cut()
                await peer.gone

    pytest_twisted.blockon(ensureDeferred(end()))


@pytest.fixture
def build(server: RawServer) -> Iterator[Callable[..., S3Backend]]:
    built: list[S3Backend] = []

    def builder(more: dict[str, str] | None = None, **secrets: str) -> S3Backend:
        written = {"s3.url": server.url, "s3.bucket": "attic", "s3.access_key_id": "AK", **(more or {})}
        backend = S3Backend(Values.of(S3Backend.settings, written, secrets={"s3secret": "sk", **secrets}))
        built.append(backend)
        return backend

    yield builder
    for backend in built:
        pytest_twisted.blockon(ensureDeferred(backend.close()))


@pytest.fixture
def backend(build: Callable[..., S3Backend], server: RawServer) -> S3Backend:
    made = build()
    pytest_twisted.blockon(ensureDeferred(made.open()))
    server.heads.clear()
    return made


def header(head: bytes, name: str) -> str | None:
    for line in head.decode().split("\r\n")[1:]:
        if line.lower().startswith(name + ":"):
            return line.partition(":")[2].strip()
    return None


def put(data: bytes, name: str = "k", **more: Any) -> PutRequest:
    return PutRequest(name=name, body=BytesBody(data), size=len(data), **more)


# ---------------------------------------------------------------- requests


@pytest_twisted.ensureDeferred
async def test_small_bodies_are_signed_with_their_hash_and_streams_without(backend: Any, server: RawServer) -> None:
    server.when_whole = answer(ETag='"e"')
    await backend.put(put(b"small"))
    assert header(server.heads[0], "x-amz-content-sha256") == hashlib.sha256(b"small").hexdigest()
    data = sample(100 * KI)
    await backend.put(PutRequest(name="k", body=Pour(data), size=len(data)))
    assert header(server.heads[1], "x-amz-content-sha256") == "UNSIGNED-PAYLOAD"
    signed = (header(server.heads[1], "authorization") or "").partition("SignedHeaders=")[2].split(",")[0].split(";")
    assert "accept-encoding" not in signed and {"host", "x-amz-date", "x-amz-content-sha256"} <= set(signed)


@pytest_twisted.ensureDeferred
async def test_devpay_goes_out_when_its_files_are_there(build: Any, server: RawServer) -> None:
    await build().open()
    assert header(server.heads[-1], "x-amz-security-token") is None
    await build(s3usertoken="user==", s3producttoken="product==").open()
    assert header(server.heads[-1], "x-amz-security-token") == "user==,product=="
    assert "x-amz-security-token" in (header(server.heads[-1], "authorization") or "")


@pytest.mark.parametrize("encryption", ["AES256", "aws:kms"])
@pytest_twisted.ensureDeferred
async def test_encryption_is_asked_for(build: Any, server: RawServer, encryption: str) -> None:
    backend = build({"s3.encryption": encryption})
    await backend.open()
    server.when_whole = answer(ETag='"e"')
    await backend.put(put(b"x"))
    assert header(server.heads[-1], "x-amz-server-side-encryption") == encryption
    server.when_whole = answer(content=b"<R><UploadId>u</UploadId></R>")
    await backend.createMPU(CreateMPURequest(name="k"))
    assert header(server.heads[-1], "x-amz-server-side-encryption") == encryption


@pytest_twisted.ensureDeferred
async def test_a_prefix_begins_every_key_and_none_that_is_told(build: Any, server: RawServer) -> None:
    backend = build({"s3.prefix": "deep/er-"})
    await backend.open()
    server.when_whole = answer(ETag='"e"')
    await backend.put(put(b"x", "a/b"))
    assert server.heads[-1].startswith(b"PUT /attic/deep/er-a/b HTTP")
    row = b"<Contents><Key>deep/er-a/b</Key><Size>1</Size><ETag>&quot;e&quot;</ETag></Contents>"
    listed = b"<ListBucketResult>" + row + b"</ListBucketResult>"
    server.when_whole = answer(content=listed)
    page = await backend.list(ListRequest(prefix="a", after="a/a"))
    assert b"prefix=deep%2Fer-a&start-after=deep%2Fer-a%2Fa " in server.heads[-1]
    assert [(blob.name, blob.size, blob.fingerprint) for blob in page.blobs] == [("a/b", 1, "e")]


# ---------------------------------------------------------------- regions


@pytest.mark.parametrize(
    "first",
    [
        answer(400, error("AuthorizationHeaderMalformed", "<Region>eu-west-1</Region>")),
        answer(301, error("PermanentRedirect"), x_amz_bucket_region="eu-west-1"),
        answer(307, error("TemporaryRedirect"), x_amz_bucket_region="eu-west-1", Location="http://elsewhere.invalid/"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_the_region_is_found_out(build: Any, server: RawServer, first: Any) -> None:
    server.scripts = [first]
    await build().open()
    assert "/us-east-1/s3/" in (header(server.heads[0], "authorization") or "")
    assert "/eu-west-1/s3/" in (header(server.heads[1], "authorization") or "")


@pytest_twisted.ensureDeferred
async def test_a_wrong_region_in_the_file_is_told(build: Any, server: RawServer) -> None:
    server.scripts = [answer(400, error("AuthorizationHeaderMalformed", "<Region>eu-west-1</Region>"))]
    with pytest.raises(BackendUnfit) as raised:
        await build({"s3.region": "us-west-2"}).open()
    assert raised.value.key == "s3.region" and "eu-west-1" in raised.value.fix


@pytest.mark.parametrize("region", ["evil.example.com/x", "", "A" * 100])
@pytest_twisted.ensureDeferred
async def test_a_region_that_is_none_is_not_believed(build: Any, server: RawServer, region: str) -> None:
    server.scripts = [answer(301, error("PermanentRedirect"), x_amz_bucket_region=region)]
    with pytest.raises(BackendDown):
        await build().open()


# ---------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("status", "content", "kind"),
    [
        (404, error("NoSuchKey"), BlobMissing),
        (404, error("NoSuchBucket"), BackendUnfit),
        (404, b"", BackendDown),
        (403, error("AccessDenied"), BackendDenied),
        (403, error("RequestTimeTooSkewed"), BackendDenied),
        (403, b"<html>a proxy's page", BackendDenied),
        (503, error("SlowDown"), BackendBusy),
        (500, error("InternalError"), BackendDown),
        (403, error("QuotaExceeded"), BackendFull),
        (507, error("InsufficientStorage"), BackendFull),
        (200, b"", BackendDown),
        (206, b"abc", BackendDown),
    ],
)
@pytest_twisted.ensureDeferred
async def test_refusals_of_a_get(
    backend: Any, server: RawServer, status: int, content: bytes, kind: type[Exception]
) -> None:
    server.when_whole = answer(status, content)
    with pytest.raises(kind):
        await backend.get(GetRequest(name="k"))


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        (200, {"ETag": '"e"'}),
        (206, {"ETag": '"e"'}),
        (206, {"ETag": '"e"', "Content_Range": "bytes 0-2/10"}),
        (206, {"ETag": '"e"', "Content_Range": "bytes 2-5/10"}),
        (206, {"ETag": '"e"', "Content_Range": "bytes 2-4/*"}),
        (206, {"ETag": '"e"', "Content_Range": "nonsense"}),
    ],
)
@pytest_twisted.ensureDeferred
async def test_another_range_than_was_asked_for_is_no_answer(
    backend: Any, server: RawServer, status: int, headers: dict[str, str]
) -> None:
    server.when_whole = answer(status, b"abc", **headers)
    with pytest.raises(BackendDown):
        await backend.get(GetRequest(name="k", start=2, length=3))
    server.when_whole = answer(206, b"abc", ETag='"e"', Content_Range="bytes 2-4/10")
    result = await backend.get(GetRequest(name="k", start=2, length=3))
    assert (result.size, [chunk async for chunk in result.body]) == (10, [b"abc"])
    result.body.close()


@pytest_twisted.ensureDeferred
async def test_a_service_that_ignores_conditions_is_found_out(backend: Any, server: RawServer) -> None:
    server.when_whole = answer(200, b"abc", ETag='"new"')
    with pytest.raises(BlobChanged):
        await backend.get(GetRequest(name="k", expect="old"))
    with pytest.raises(BlobChanged):
        await backend.delete(DeleteRequest(name="k", expect="old"))
    assert not any(head.startswith(b"DELETE") for head in server.heads)


@pytest.mark.parametrize("status", [409, 412])
@pytest_twisted.ensureDeferred
async def test_who_comes_second_hears_that_the_blob_exists(backend: Any, server: RawServer, status: int) -> None:
    server.when_whole = answer(status, error("ConditionalRequestConflict"))
    with pytest.raises(BlobExists):
        await backend.put(put(b"x", if_absent=True))
    assert header(server.heads[-1], "if-none-match") == "*"
    with pytest.raises(BackendDown):
        await backend.put(put(b"x"))


@pytest_twisted.ensureDeferred
async def test_a_put_if_absent_is_not_said_twice(backend: Any, server: RawServer) -> None:
    server.when_whole = answer(500)
    with pytest.raises(BackendDown):
        await backend.put(put(b"x", if_absent=True))
    assert len(server.heads) == 1


@pytest_twisted.ensureDeferred
async def test_an_answer_without_an_etag_is_none(backend: Any, server: RawServer) -> None:
    server.when_whole = answer()
    for asking in (
        backend.put(put(b"x")),
        backend.head(HeadRequest(name="k")),
        backend.uploadPart(UploadPartRequest(name="k", token="0" * 16 + ".u", number=1, body=BytesBody(b"x"), size=1)),
    ):
        with pytest.raises(BackendDown):
            await asking


@pytest_twisted.ensureDeferred
async def test_a_page_that_is_no_list_is_BackendDown(backend: Any, server: RawServer) -> None:
    for content in (b"", b"<html>", b'<!DOCTYPE x [<!ENTITY a "b">]><L>&a;</L>'):
        server.when_whole = answer(content=content)
        with pytest.raises(BackendDown):
            await backend.list(ListRequest())


@pytest_twisted.ensureDeferred
async def test_a_probe_that_comes_back_changed_is_sick(backend: Any, server: RawServer) -> None:
    server.when_whole = answer(content=b"other bytes", ETag='"e"')
    with pytest.raises(BackendDown, match="does not give back"):
        await backend.healthcheck(HealthcheckRequest(probe="probe"))
    assert server.heads[-1].startswith(b"DELETE /attic/probe ")


# ---------------------------------------------------------------- completing

MARK = "0123456789abcdef"
COMPLETE = CompleteMPURequest(
    name="k",
    token=f"{MARK}.up&load",
    parts=(ChosenPart(number=1, size=3, receipt="r1"), ChosenPart(number=2, size=2, receipt="r2")),
)
JOINED = b"<CompleteMultipartUploadResult><ETag>&quot;e-2&quot;</ETag></CompleteMultipartUploadResult>"


def there(mark: str = MARK, size: int = 5) -> Callable[[Peer], None]:
    """The answer to a HEAD."""
    lines = f'HTTP/1.1 200 OK\r\nETag: "e-2"\r\nContent-Length: {size}\r\nx-amz-meta-gwupload: {mark}\r\n\r\n'
    return lambda peer: peer.say(lines.encode())


@pytest_twisted.ensureDeferred
async def test_completing_tells_the_parts_and_looks_at_the_result(backend: Any, server: RawServer) -> None:
    server.scripts = [answer(404), answer(content=b"   \n" + JOINED), there()]
    result = await backend.completeMPU(COMPLETE)
    assert (result.fingerprint, [(blob.name, blob.size) for blob in result.blobs]) == ("e-2", [("k", 5)])
    assert server.heads[1].startswith(b"POST /attic/k?uploadId=up%26load HTTP")


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (error("InternalError"), BackendDown),
        (error("SlowDown"), BackendBusy),
        (b"", BackendDown),
        (b"<html/>", BackendDown),
    ],
)
@pytest_twisted.ensureDeferred
async def test_200_with_an_error_is_a_failure(
    backend: Any, server: RawServer, content: bytes, kind: type[Exception]
) -> None:
    server.scripts = [answer(404), answer(content=content)]
    server.when_whole = there()
    with pytest.raises(kind):
        await backend.completeMPU(COMPLETE)


@pytest_twisted.ensureDeferred
async def test_a_completion_whose_answer_was_lost_is_recognised(backend: Any, server: RawServer) -> None:
    server.scripts = [answer(404), lambda peer: peer.cut(), answer(404, error("NoSuchUpload")), there()]
    assert (await backend.completeMPU(COMPLETE)).fingerprint == "e-2"


@pytest.mark.parametrize("found", [there(mark="f" * 16), answer(404)])
@pytest_twisted.ensureDeferred
async def test_an_upload_that_is_gone_did_not_make_that_blob(backend: Any, server: RawServer, found: Any) -> None:
    server.scripts = [answer(404), answer(404, error("NoSuchUpload")), found]
    with pytest.raises(BlobMissing):
        await backend.completeMPU(COMPLETE)


@pytest.mark.parametrize("found", [there(size=4), answer(404)])
@pytest_twisted.ensureDeferred
async def test_a_joined_blob_of_another_size_is_none(backend: Any, server: RawServer, found: Any) -> None:
    server.scripts = [answer(404), answer(content=JOINED), found]
    with pytest.raises((BackendDown, BlobMissing)):
        await backend.completeMPU(COMPLETE)


@pytest_twisted.ensureDeferred
async def test_a_completion_may_depend_on_absence(backend: Any, server: RawServer) -> None:
    server.scripts = [answer(404), answer(412, error("PreconditionFailed"))]
    with pytest.raises(BlobExists):
        await backend.completeMPU(replace(COMPLETE, if_absent=True))
    assert header(server.heads[1], "if-none-match") == "*"


@pytest_twisted.ensureDeferred
async def test_an_upload_is_not_begun_twice(backend: Any, server: RawServer) -> None:
    server.when_whole = lambda peer: peer.cut()
    with pytest.raises(BackendDown):
        await backend.createMPU(CreateMPURequest(name="k"))
    assert len(server.heads) == 1


@pytest_twisted.ensureDeferred
async def test_a_token_that_is_not_ours_is_missing(backend: Any, server: RawServer) -> None:
    with pytest.raises(BlobMissing):
        await backend.completeMPU(CompleteMPURequest(name="k", token="other", parts=()))
    assert server.heads == []


# ---------------------------------------------------------------- what arrived


@pytest_twisted.ensureDeferred
async def test_an_etag_that_is_no_md5_says_nothing(backend: Any, server: RawServer) -> None:
    md5 = hashlib.md5(b"x", usedforsecurity=False).hexdigest()
    other = "0" * 32
    server.when_whole = answer(ETag=f'"{other}"')  # never yet an MD5: a service with ETags of its own
    assert (await backend.put(put(b"x"))).fingerprint == other
    server.when_whole = answer(ETag=f'"{md5}"')
    assert (await backend.put(put(b"x"))).fingerprint == md5
    server.when_whole = answer(ETag=f'"{other}"')
    with pytest.raises(BackendDown, match="damaged on the way"):
        await backend.put(put(b"x"))
    assert server.heads[-1].startswith(b"DELETE ")
    part = UploadPartRequest(name="k", token="0" * 16 + ".u", number=1, body=BytesBody(b"x"), size=1)
    with pytest.raises(BackendDown, match="part 1 of k was damaged"):
        await backend.uploadPart(part)
    for theirs in ({"x_amz_server_side_encryption": "aws:kms"}, {"x_goog_encryption_kms_key_name": "k"}):
        server.when_whole = answer(ETag=f'"{other}"', **theirs)
        assert (await backend.put(put(b"x"))).fingerprint == other
    server.when_whole = answer(ETag='"not-hex-1"')
    assert (await backend.put(put(b"x"))).fingerprint == "not-hex-1"


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize(("etag", "meant"), [("one", BackendUnfit), ("other", BlobMissing)])
async def test_a_service_that_wants_every_part_is_named(backend: Any, server: RawServer, etag: str, meant: Any) -> None:
    """Two pages of parts, the chosen one and another: then that one is why. Else the chosen one is gone."""

    def script(peer: Peer) -> None:
        head = peer.heads[-1]
        if head.startswith(b"POST"):
            peer.reply(400, error("InvalidPart"))
        elif b"part-number-marker=0" in head:
            told = f"<Part><PartNumber>1</PartNumber><ETag>&quot;{etag}&quot;</ETag></Part>".encode()
            more = b"<IsTruncated>true</IsTruncated><NextPartNumberMarker>1</NextPartNumberMarker>"
            peer.reply(content=b"<ListPartsResult>" + told + more + b"</ListPartsResult>")
        elif b"part-number-marker=1" in head:
            told = b"<Part><PartNumber>7</PartNumber><ETag>&quot;seven&quot;</ETag></Part>"
            peer.reply(content=b"<ListPartsResult>" + told + b"</ListPartsResult>")
        else:
            peer.reply(404)

    server.when_whole = script
    parts = (ChosenPart(number=1, size=1, receipt="one"),)
    with pytest.raises(meant) as told:
        await backend.completeMPU(CompleteMPURequest(name="k", token="0" * 16 + ".u", parts=parts))
    assert ("[7] are left out" in str(told.value)) == (meant is BackendUnfit)
