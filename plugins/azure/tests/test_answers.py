"""Answers that Azurite does not give, or not on demand: what they mean, and which are not believed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from types import SimpleNamespace
from typing import Any, cast
from xml.etree.ElementTree import fromstring

import gateway_azure
import pytest
import pytest_twisted
from gateway_azure import AzureBackend
from gateway_azure.answers import judged, listed
from twisted.internet import reactor
from twisted.internet.protocol import Factory, Protocol

from gateway.api import (
    BackendBusy,
    BackendDenied,
    BackendDown,
    BackendError,
    BackendUnfit,
    BlobChanged,
    BlobExists,
    BlobMissing,
    BytesBody,
    DeleteRequest,
    GetRequest,
    ListRequest,
    PutRequest,
    Refusal,
    Reply,
    Values,
    whole_size,
)

Opened = Callable[..., AbstractAsyncContextManager[AzureBackend]]


def refusal(status: int, code: str = "", method: str = "GET", **headers: str) -> Refusal:
    told = {"x-ms-error-code": code} if code else {}
    return Refusal(method, "/c/b", status, {**told, **headers}, b"")


@pytest.mark.parametrize(
    ("refused", "meant"),
    [
        (refusal(404, "BlobNotFound"), BlobMissing),
        (refusal(404, "BlobNotFound", "HEAD"), BlobMissing),
        (refusal(404, "", "HEAD"), BlobMissing),
        (refusal(404), BackendDown),  # a proxy's or a load balancer's: no proof that a blob is gone
        (refusal(404, "ContainerNotFound"), BackendUnfit),
        (refusal(409, "ContainerBeingDeleted"), BackendUnfit),
        (refusal(409, "BlobAlreadyExists", "PUT"), BlobExists),
        (refusal(412, "ConditionNotMet"), BlobChanged),
        (refusal(412, "LeaseIdMissing"), BackendDenied),
        (refusal(409, "SnapshotsPresent"), BackendDenied),
        (refusal(400, "InvalidBlockList"), BlobMissing),
        (refusal(400, "InvalidHeaderValue"), BackendDown),
        (refusal(403, "AuthenticationFailed"), BackendDenied),
        (refusal(403, "SomethingNew"), BackendDenied),
        (refusal(403), BackendDenied),
        (refusal(503, "ServerBusy"), BackendBusy),
        (refusal(429), BackendBusy),
        (refusal(500, "OperationTimedOut"), BackendDown),
        (refusal(500), BackendDown),
        (refusal(206), BackendDown),
    ],
)
def test_what_a_refusal_means(refused: Refusal, meant: type[BackendError]) -> None:
    assert type(judged(refused)) is meant


def test_a_busy_server_says_for_how_long() -> None:
    busy = judged(refusal(503, "ServerBusy", **{"retry-after": "7"}))
    assert isinstance(busy, BackendBusy)
    assert busy.after == 7


def test_a_redirect_does_not_tell_the_token() -> None:
    fault = judged(refusal(302, location="https://evil.example/c/b?sv=1&sig=secret"))
    assert "evil.example" in str(fault)
    assert "secret" not in str(fault)


def reply(status: int, size: int | None, content_range: str = "") -> Reply:
    headers = {"content-range": content_range} if content_range else {}
    return Reply(status, headers, cast(Any, SimpleNamespace(size=size)))


@pytest.mark.parametrize(
    ("answer", "start", "length", "size"),
    [
        (reply(200, 10), 0, None, 10),
        (reply(206, 4, "bytes 2-5/10"), 2, 4, 10),
        (reply(206, 8, "bytes 2-9/10"), 2, None, 10),
        (reply(206, 8, "bytes 2-9/10"), 2, 100, 10),
        (reply(206, 10, "bytes 0-9/10"), 0, 10, 10),
    ],
)
def test_the_range_that_was_asked_for(answer: Reply, start: int, length: int | None, size: int) -> None:
    assert whole_size(answer, start, length) == size


@pytest.mark.parametrize(
    ("answer", "start", "length"),
    [
        (reply(200, 10), 2, None),  # the whole blob instead of a range
        (reply(200, 10), 0, 9),
        (reply(200, None), 0, None),
        (reply(206, 4, "bytes 3-6/10"), 2, 4),
        (reply(206, 5, "bytes 2-5/10"), 2, 4),
        (reply(206, 3, "bytes 2-4/10"), 2, 4),
        (reply(206, 4, "bytes 2-5/*"), 2, 4),
        (reply(206, 4, "bytes NaN-5/10"), 2, 4),
        (reply(206, 4), 2, 4),
        (reply(206, None, "bytes 2-5/10"), 2, 4),
        (reply(206, 10, "bytes 0-9/20"), 0, None),
    ],
)
def test_another_range_is_not_believed(answer: Reply, start: int, length: int | None) -> None:
    with pytest.raises(BackendDown):
        whole_size(answer, start, length)


def test_a_listed_name_may_be_encoded() -> None:
    told = '<Name Encoded="true">p/%EF%BF%BE%25</Name>'
    row = fromstring(
        f"<Blob>{told}<Properties><Etag>0x8D</Etag><Content-Length>3</Content-Length>"
        "<Last-Modified>Thu, 01 Jan 1970 00:01:00 GMT</Last-Modified></Properties></Blob>"
    )
    blob = listed(row, "p/")
    assert (blob.name, blob.size, blob.fingerprint, blob.modified) == ("\ufffe%", 3, "0x8D", 60.0)


@pytest.mark.parametrize("gone", ["<Name>n</Name>", "<Etag>e</Etag>", "<Content-Length>3</Content-Length>"])
def test_a_row_that_lacks_something_is_not_believed(gone: str) -> None:
    row = "<Blob><Name>n</Name><Properties><Etag>e</Etag><Content-Length>3</Content-Length></Properties></Blob>"
    assert listed(fromstring(row), "").name == "n"
    with pytest.raises(BackendDown):
        listed(fromstring(row.replace(gone, "")), "")


@pytest_twisted.ensureDeferred
async def test_lists_of_many_pages(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway_azure, "_LISTED", 3)
    async with opened(prefix="ours/") as backend, opened(prefix="ours2/") as neighbour:
        names = [f"a/{number:02d}" for number in range(10)]
        for name in names:
            await backend.put(PutRequest(name=name, body=BytesBody(b"data"), size=4))
        await neighbour.put(PutRequest(name="a/99", body=BytesBody(b"data"), size=4))
        for limit in (1, 3, 4, 7, 10, 11):
            found, after, pages = [], "", 0
            while True:
                page = await backend.list(ListRequest(prefix="a", after=after, limit=limit))
                assert len(page.blobs) <= limit
                found += [blob.name for blob in page.blobs]
                pages += 1
                if page.after is None:
                    break
                after = page.after
            assert (found, pages) == (names, -(-10 // limit))
        page = await backend.list(ListRequest(after="a/03", limit=2))
        assert [blob.name for blob in page.blobs] == ["a/04", "a/05"]


@pytest_twisted.ensureDeferred
async def test_expect_holds_for_ranges_without_bytes(opened: Opened) -> None:
    async with opened() as backend:
        put = await backend.put(PutRequest(name="b", body=BytesBody(b"data"), size=4))
        for start, length in ((0, 0), (4, None), (10, 5)):
            got = await backend.get(GetRequest(name="b", start=start, length=length, expect=put.fingerprint))
            assert (got.size, got.body and got.body.size) == (4, 0)
            with pytest.raises(BlobChanged):
                await backend.get(GetRequest(name="b", start=start, length=length, expect="0x1"))


@pytest_twisted.ensureDeferred
async def test_deleting_a_missing_blob_with_expect_is_fine(opened: Opened) -> None:
    async with opened() as backend:
        await backend.delete(DeleteRequest(name="never", expect="0x1"))


@asynccontextmanager
async def on_a_double(server: type[Protocol], container: str) -> AsyncIterator[AzureBackend]:
    """A backend whose service is ``server``, a protocol of this process."""
    port = reactor.listenTCP(0, Factory.forProtocol(server), interface="127.0.0.1")
    url = f"http://127.0.0.1:{port.getHost().port}/account1"
    written = {"azure.account": "account1", "azure.container": container, "azure.url": url}
    backend = AzureBackend(Values.of(AzureBackend.settings, written, secrets={"azure_account_key": "aGVsbG8="}))
    try:
        await backend.open()
        yield backend
    finally:
        await backend.close()
        await port.stopListening()


@pytest_twisted.ensureDeferred
async def test_an_answer_that_is_lost_is_no_other_gateways_blob(container: str) -> None:
    """Said twice, a put with if_absent would find its own blob and take it for another's."""
    asked = []

    class Deaf(Protocol):
        def dataReceived(self, data: bytes) -> None:
            asked.append(data.split(b" ", 1)[0])
            if asked[-1] == b"GET":
                page = b"<EnumerationResults><Blobs/><NextMarker/></EnumerationResults>"
                self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(page), page))
            else:
                self.transport.loseConnection()

    async with on_a_double(Deaf, container) as backend:
        for if_absent, times in ((True, 1), (False, 3)):
            asked.clear()
            with pytest.raises(BackendDown):
                await backend.put(PutRequest(name="b", body=BytesBody(b"data"), size=4, if_absent=if_absent))
            assert asked.count(b"PUT") == times


@pytest_twisted.ensureDeferred
async def test_no_bytes_are_not_believed_where_there_are_some(container: str) -> None:
    class Liar(Protocol):
        def dataReceived(self, data: bytes) -> None:
            if b"comp=list" in data:
                page = b"<EnumerationResults><Blobs/><NextMarker/></EnumerationResults>"
                self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(page), page))
            elif data.startswith(b"HEAD"):
                self.transport.write(b"HTTP/1.1 200 OK\r\nETag: e\r\nContent-Length: 10\r\n\r\n")
            else:
                self.transport.write(b"HTTP/1.1 206 OK\r\nETag: e\r\nContent-Length: 0\r\n\r\n")

    async with on_a_double(Liar, container) as backend:
        for start, length in ((0, None), (9, None), (0, 5)):
            with pytest.raises(BackendDown):
                await backend.get(GetRequest(name="b", start=start, length=length))
        assert (await backend.get(GetRequest(name="b", start=10))).size == 10
