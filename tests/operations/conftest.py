"""A whole gateway below the front door, in this process: real catalogue, memory backend, signed calls."""

from __future__ import annotations

import hashlib
import itertools
import time
from collections.abc import AsyncIterator, Awaitable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest_twisted
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from twisted.internet import reactor
from twisted.internet.defer import Deferred

from gateway.bodies import BytesBody
from gateway.catalogue import Catalogue, open_catalogue
from gateway.gate import Gate
from gateway.model import Body, Call, Facts, GetResult, ListRequest, PutResult
from gateway.operations import Gateway
from gateway.plugins.location import Location
from gateway.plugins.memory import MemoryBackend
from gateway.plugins.wrapping import Wrapper
from gateway.reaper import Reaper
from gateway.seal import Seal
from gateway.settings import Values
from gateway.verifier import Rules

KEY, SECRET = "AKIDOPERATIONS", "a-secret-for-tests-only"


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes
    facts: Facts

    @property
    def code(self) -> str:
        return self.facts.code


@dataclass
class Trouble(Wrapper):
    """A wrapper that fails hooks on demand; what it is told to raise it raises after the storage did its work.

    ``hangs``: hooks of which nobody hears that they are done.
    """

    after: dict[str, BaseException] = field(default_factory=dict)
    hangs: set[str] = field(default_factory=set)
    calls: list[str] = field(default_factory=list)

    async def around(self, hook: str, request: object, answer: Awaitable[object]) -> object:
        if hook not in ("put", "delete", "get", "completeMPU"):
            return await answer
        self.calls.append(hook)
        result = await answer
        if hook in self.hangs:
            await Deferred()
        if hook in self.after:
            raise self.after[hook]
        return result


class Shop:
    """Calls the gate as the front door would."""

    def __init__(self, catalogue: Catalogue, location: Location, trouble: Trouble, seal: Seal) -> None:
        self.catalogue, self.location, self.trouble = catalogue, location, trouble
        self.gateway = Gateway(catalogue, {"storage": location}, "storage", seal)
        self.gate = Gate(self.gateway, Rules())
        self.reaper = Reaper(catalogue, {"storage": location})
        self._ids = itertools.count(1)

    def prepare(
        self,
        method: str,
        path: str,
        body: bytes | Body = b"",
        headers: Mapping[str, str] | None = None,
        key: str = KEY,
        secret: str = SECRET,
    ) -> Call:
        """A signed call; a Body instead of bytes is sent with UNSIGNED-PAYLOAD."""
        given = {name.lower(): value for name, value in (headers or {}).items()}
        payload = hashlib.sha256(body).hexdigest() if isinstance(body, bytes) else "UNSIGNED-PAYLOAD"
        size = len(body) if isinstance(body, bytes) else body.size
        framing = {"transfer-encoding": "chunked"} if size is None else {"content-length": str(size)}
        given = {"host": "localhost:8000", **framing, "x-amz-content-sha256": payload, **given}
        request = AWSRequest(method, f"http://localhost:8000{path}", headers=dict(given))
        request.context["payload_signing_enabled"] = False
        signer = S3SigV4Auth(Credentials(key, secret), "s3", "us-east-1")
        signer.payload = lambda request: payload  # type: ignore[method-assign]
        signer.add_auth(request)
        signed = {name.lower(): value for name, value in request.headers.items()}
        raw_path, _, query = path.partition("?")
        stream = BytesBody(body) if isinstance(body, bytes) else body
        return Call(f"{next(self._ids):016X}", method, raw_path, query, signed, stream, "127.0.0.1", False, time.time())

    async def call(
        self, method: str, path: str, body: bytes | Body = b"", headers: Mapping[str, str] | None = None
    ) -> Answer:
        reply = await self.gate.answer(self.prepare(method, path, body, headers))
        data = reply.body
        if not isinstance(data, bytes):
            try:
                data = b"".join([chunk async for chunk in data])
            finally:
                reply.body.close()  # type: ignore[union-attr]
        headers_out = {name.lower(): value for name, value in reply.headers}
        return Answer(reply.status, headers_out, data, reply.facts)

    async def blobs(self) -> list[str]:
        """The names of everything that lies in the storage."""
        return [blob.name for blob in (await self.location.list(ListRequest())).blobs]


class Source:
    """A body in given chunks; an exception among them is raised in its turn."""

    def __init__(self, chunks: Iterable[bytes | BaseException], size: int | None) -> None:
        self.size, self._chunks, self.closed = size, list(chunks), 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self._chunks:
            if isinstance(chunk, BaseException):
                raise chunk
            yield chunk

    def close(self) -> None:
        self.closed += 1


@pytest_twisted.async_yield_fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    seal = Seal(b"0" * 32)
    catalogue = open_catalogue(tmp_path / "data", seal, reactor=reactor)
    account = await catalogue.accounts.add("tests")
    await catalogue.accounts.add_key(account.id, KEY, SECRET)
    trouble = Trouble()
    values = Values.of(MemoryBackend.settings, {}, secrets={}, location="storage")
    made = Shop(catalogue, Location("storage", MemoryBackend(values), [trouble]), trouble, seal)
    answer = await made.call("PUT", "/bucket")
    assert answer.status == 200, answer
    yield made
    await catalogue.close()


__all__ = ["Answer", "GetResult", "PutResult", "Shop", "Source"]
