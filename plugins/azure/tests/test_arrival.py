"""What Azure tells of a body that arrived, and Azurite does not: its CRC."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_twisted
from gateway_azure import AzureBackend
from twisted.internet import reactor

from gateway.api import BackendDown, BytesBody, PutRequest, Sent, UploadPartRequest, Values
from gateway.testing.pours import KI, sample
from tests.remote.conftest import Peer, RawServer

PAGE = b"<EnumerationResults><Blobs/><NextMarker/></EnumerationResults>"
LARGE = sample(100 * KI, 4)


@pytest_twisted.async_yield_fixture
async def server() -> AsyncIterator[RawServer]:
    made = RawServer()
    made.port = reactor.listenTCP(0, made, interface="127.0.0.1")  # type: ignore[attr-defined]
    made.when_whole = lambda peer: peer.reply(content=PAGE)
    yield made
    await made.port.stopListening()
    for peer in made.peers:
        if not peer.lost:
            peer.cut()
            await peer.gone


@pytest_twisted.async_yield_fixture
async def backend(server: RawServer) -> AsyncIterator[AzureBackend]:
    written = {"azure.account": "account1", "azure.container": "attic", "azure.url": server.url}
    made = AzureBackend(Values.of(AzureBackend.settings, written, secrets={"azure_account_key": "aGVsbG8="}))
    await made.open()
    yield made
    await made.close()


async def crc(data: bytes) -> str:
    sent = Sent(BytesBody(data), crc=True)
    async for _ in sent:
        pass
    return sent.crc64()


def part() -> UploadPartRequest:
    return UploadPartRequest(name="k", token="t", number=1, body=BytesBody(LARGE), size=len(LARGE))


def answering(told: str) -> object:
    def reply(peer: Peer) -> None:
        put = peer.heads[-1].startswith(b"PUT")
        peer.reply(
            201 if put else 202 if peer.heads[-1].startswith(b"DELETE") else 200, ETag='"e"', x_ms_content_crc64=told
        )

    return reply


@pytest_twisted.ensureDeferred
async def test_a_part_whose_crc_is_another_is_refused(backend: AzureBackend, server: RawServer) -> None:
    right, wrong = await crc(LARGE), await crc(LARGE[:-1] + b"?")
    server.when_whole = answering(wrong)  # type: ignore[assignment]
    await backend.uploadPart(part())  # not believed yet
    server.when_whole = answering(right)  # type: ignore[assignment]
    await backend.uploadPart(part())
    server.when_whole = answering(wrong)  # type: ignore[assignment]
    with pytest.raises(BackendDown, match="damaged on the way"):
        await backend.uploadPart(part())
    with pytest.raises(BackendDown, match="damaged on the way"):
        await backend.put(PutRequest(name="k", body=BytesBody(LARGE), size=len(LARGE)))
    assert server.heads[-1].startswith(b"DELETE ")


@pytest_twisted.ensureDeferred
async def test_a_small_body_is_announced(backend: AzureBackend, server: RawServer) -> None:
    server.when_whole = lambda peer: peer.reply(201, ETag='"e"')
    await backend.put(PutRequest(name="k", body=BytesBody(b"x"), size=1))
    assert b"Content-MD5: ndTkYSaMgDT1yFZOFVxnpg==" in server.heads[-1]
