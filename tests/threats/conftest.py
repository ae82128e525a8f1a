"""A whole gateway in this process behind a real front door on loopback, and what every refusal must leave untouched."""

from __future__ import annotations

import datetime
import hashlib
import hmac
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import pytest_twisted
from botocore.auth import HmacV1Auth, HmacV1QueryAuth, S3SigV4Auth, S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from gateway_local import LocalBackend
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.protocol import Protocol
from twisted.logger import globalLogPublisher

from gateway.catalogue import open_catalogue
from gateway.gate import Gate
from gateway.http import Front, Limits
from gateway.model import ListRequest
from gateway.observe.access_log import line as log_line
from gateway.operations import Gateway
from gateway.plugins.location import Location
from gateway.plugins.memory import MemoryBackend
from gateway.reaper import Reaper
from gateway.seal import Seal
from gateway.settings import Values
from gateway.verifier import Rules

HOST = "localhost:8000"
KEY, SECRET = "AKIDTHREATS", "a-secret-for-tests-only"
OTHER_KEY, OTHER_SECRET = "AKIDSTRANGER", "another-secret-for-tests"
RULES = Rules()
PATIENCE = 120.0  # seconds; only a broken test waits so long
TABLES = ("buckets", "versions", "current_versions", "pieces", "version_parts", "upload_parts")
# which process holds an upload, and which parts it was last asked for, is nobody's to see
KEPT = {**dict.fromkeys(TABLES, "*"), "uploads": "id, bucket, key, blob, state, result"}


@dataclass(frozen=True)
class Answer:
    """A reply as the wire carried it."""

    status: int
    headers: dict[str, str]
    body: bytes
    raw: bytes

    @property
    def code(self) -> str:
        found = re.search(rb"<Code>(\w+)</Code>", self.body)
        return found[1].decode() if found else ""


@dataclass
class Request:
    """A request that can be changed before it goes out; ``sent`` gives its bytes."""

    method: str
    target: str
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    def head(self) -> bytes:
        lines = "".join(f"{name}: {value}\r\n" for name, value in self.headers.items())
        return f"{self.method} {self.target} HTTP/1.1\r\n{lines}\r\n".encode()

    def sent(self) -> bytes:
        return self.head() + self.body


class Client(Protocol):
    """Sends raw bytes and remembers what came."""

    def __init__(self) -> None:
        self.data = b""
        self.ended = False
        self._waiting: list[tuple[Callable[[], bool], Deferred[None]]] = []

    def dataReceived(self, data: bytes) -> None:
        self.data += data
        self._look()

    def connectionLost(self, reason: object = None) -> None:
        self.ended = True
        self._look()

    def _look(self) -> None:
        for waiting in list(self._waiting):
            if waiting[0]():
                self._waiting.remove(waiting)
                waiting[1].callback(None)

    async def until(self, condition: Callable[[], bool]) -> bytes:
        if not condition():
            waiter: Deferred[None] = Deferred()
            self._waiting.append((condition, waiter))
            await waiter.addTimeout(PATIENCE, reactor)
        return self.data


def parse(data: bytes, method: str = "GET") -> Answer | None:
    """The first final reply in ``data``; None where there is none, AssertionError where it is not whole."""
    while data.startswith(b"HTTP/1.1 1"):
        data = data.partition(b"\r\n\r\n")[2]
    if not data:
        return None
    head, mark, body = data.partition(b"\r\n\r\n")
    assert mark, data
    first, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    status = int(first.split(" ")[1])
    if headers.get("transfer-encoding") == "chunked":
        return Answer(status, headers, body, data)
    size = 0 if method == "HEAD" or status in (204, 304) else int(headers["content-length"])
    assert len(body) >= size, (head, len(body))
    return Answer(status, headers, body[:size], data)


def is_whole(data: bytes, method: str) -> bool:
    """Whether the reply came to its end; one in HTTP chunks tells it only by the end of the connection."""
    try:
        answer = parse(data, method)
    except AssertionError:
        return False
    return answer is not None and "transfer-encoding" not in answer.headers


# ---------------------------------------------------------------- signing, with botocore


def sign(
    method: str,
    target: str,
    body: bytes = b"",
    headers: Mapping[str, str] | None = None,
    *,
    how: str = "v4",
    payload: str | None = None,
    key: str = KEY,
    secret: str = SECRET,
    expires: int = 300,
    host: str = HOST,
) -> Request:
    """A request signed by botocore. ``how``: v4, v4-query, v2, v2-query. ``payload``: x-amz-content-sha256's word."""
    given = {name.lower(): value for name, value in (headers or {}).items()}
    request = AWSRequest(method, f"http://{host}{target}", headers={"host": host, **given})
    credentials = Credentials(key, secret)
    if how == "v4":
        word = hashlib.sha256(body).hexdigest() if payload is None else payload
        signer = S3SigV4Auth(credentials, "s3", "us-east-1")
        signer.payload = lambda request: word  # type: ignore[method-assign]
        signer.add_auth(request)
    elif how == "v4-query":
        presigner = S3SigV4QueryAuth(credentials, "s3", "us-east-1", expires=expires)
        if payload is not None:
            presigner.payload = lambda request: payload  # type: ignore[method-assign]
        presigner.add_auth(request)
    elif how == "v2":
        HmacV1Auth(credentials).add_auth(request)
    else:
        HmacV1QueryAuth(credentials, expires=expires).add_auth(request)
    where = urlsplit(request.url)
    signed = {name.lower(): value for name, value in request.headers.items()}
    if method in ("PUT", "POST") and "transfer-encoding" not in signed:
        signed.setdefault("content-length", str(len(body)))
    return Request(method, where.path + (f"?{where.query}" if where.query else ""), signed, body)


SIGNED = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
SIGNED_TRAILER = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
UNSIGNED_TRAILER = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"


class Chain:
    """Signs the chunks of an aws-chunked body, from the signature that botocore made of its headers."""

    def __init__(self, request: Request, secret: str = SECRET) -> None:
        self.stamp = request.headers["x-amz-date"]
        self.scope = f"{self.stamp[:8]}/us-east-1/s3/aws4_request"
        self.last = request.headers["authorization"].rpartition("Signature=")[2]
        self.key = b"AWS4" + secret.encode()
        for word in self.scope.split("/"):
            self.key = hmac.digest(self.key, word.encode(), "sha256")

    def link(self, kind: str, digests: str) -> str:
        text = f"AWS4-HMAC-SHA256-{kind}\n{self.stamp}\n{self.scope}\n{self.last}\n{digests}"
        self.last = hmac.digest(self.key, text.encode(), "sha256").hex()
        return self.last

    def chunk(self, data: bytes) -> bytes:
        nothing, digest = hashlib.sha256().hexdigest(), hashlib.sha256(data).hexdigest()
        signature = self.link("PAYLOAD", f"{nothing}\n{digest}")
        return b"%x;chunk-signature=%s\r\n" % (len(data), signature.encode()) + data + (b"\r\n" if data else b"")

    def trailer(self, lines: bytes) -> bytes:
        signature = self.link("TRAILER", hashlib.sha256(lines).hexdigest())
        return lines.replace(b"\n", b"\r\n") + b"x-amz-trailer-signature:" + signature.encode() + b"\r\n"


def chunked(
    word: str, target: str, chunks: list[bytes], trailer: tuple[str, str] | None = None, **more: Any
) -> tuple[Request, list[bytes]]:
    """A PUT in aws-chunked form, and the pieces of its body: each chunk, the last one, and the end with trailers."""
    size = sum(map(len, chunks))
    headers = {"content-encoding": "aws-chunked", "x-amz-decoded-content-length": str(size), **more.pop("headers", {})}
    if trailer:
        headers["x-amz-trailer"] = trailer[0]
    request = sign("PUT", target, b"", headers, payload=word, **more)
    line = f"{trailer[0]}:{trailer[1]}\n".encode() if trailer else b""
    if word == UNSIGNED_TRAILER:
        pieces = [b"%x\r\n" % len(data) + data + b"\r\n" for data in chunks]
        pieces += [b"0\r\n", line.replace(b"\n", b"\r\n") + b"\r\n"]
    else:
        chain = Chain(request)
        pieces = [chain.chunk(data) for data in [*chunks, b""]]
        pieces.append((chain.trailer(line) if word == SIGNED_TRAILER else b"") + b"\r\n")
    return framed(request, pieces), pieces


def framed(request: Request, pieces: list[bytes]) -> Request:
    """The request with this body and its length (no signature covers Content-Length here)."""
    body = b"".join(pieces)
    return Request(request.method, request.target, {**request.headers, "content-length": str(len(body))}, body)


# ---------------------------------------------------------------- the house


class House:
    """The gateway. After each test it must still serve, have logged no failure and hold no byte that nobody knows."""

    def __init__(self, folder: Path, backend: str, rules: Rules, domains: tuple[str, ...], limits: dict[str, Any]):
        self.folder = folder
        self.storage = folder / "storage"
        kind = LocalBackend if backend == "local" else MemoryBackend
        values = Values.of(
            kind.settings, {"local.path": self.storage} if backend == "local" else {}, secrets={}, location="storage"
        )
        self.location = Location("storage", kind(values), [])
        self.seal = Seal(b"0" * 32)
        self.catalogue = open_catalogue(folder / "data", self.seal, reactor=reactor)
        gateway = Gateway(self.catalogue, {"storage": self.location}, "storage", self.seal)
        self.gate = Gate(gateway, rules, domains)
        self.reaper = Reaper(self.catalogue, {"storage": self.location})
        self.log_lines: list[str] = []
        self.replies: list[Answer] = []
        self.failing = False  # a test that makes the gateway fail says so
        limits = {"sweep_seconds": 0.02, "linger_seconds": 5.0, **limits}
        self.front = Front(
            self.gate.answer, Limits(**limits), observe=lambda *all: self.log_lines.append(log_line(*all, os.getpid()))
        )
        self.port = reactor.listenTCP(0, self.front, interface="127.0.0.1")

    async def open(self) -> None:
        await self.location.open()
        for name, key, secret in (("tests", KEY, SECRET), ("stranger", OTHER_KEY, OTHER_SECRET)):
            account = await self.catalogue.accounts.add(name)
            await self.catalogue.accounts.add_key(account.id, key, secret)
        assert (await self.call("PUT", "/bucket")).status == 200
        assert (await self.call("PUT", "/bucket/old", b"the old object")).status == 200

    async def close(self) -> None:
        try:
            assert (await self.call("GET", "/bucket/old")).body == b"the old object"
            stored, known = await self.garbage()
            assert stored == known, "bytes that nobody knows, or rows without bytes"
            if not self.failing:
                bad = [reply.raw[:300] for reply in self.replies if reply.status >= 500 and reply.status != 501]
                assert not bad
        finally:
            await self.port.stopListening()
            await self.front.drain(5)
            await self.location.close()
            await self.catalogue.close()

    # -- talking

    async def connect(self) -> Client:
        client = Client()
        await connectProtocol(TCP4ClientEndpoint(reactor, "127.0.0.1", self.port.getHost().port), client)
        return client

    async def talk(self, data: bytes, method: str = "GET") -> Answer | None:
        """Send it all, end our side, and wait for a whole reply; None where the connection ended without one."""
        client = await self.connect()
        client.transport.write(data)
        client.transport.loseWriteConnection()
        answer = parse(await client.until(lambda: client.ended or is_whole(client.data, method)), method)
        if not client.ended:
            client.transport.abortConnection()
            await client.until(lambda: client.ended)
        if answer is not None:
            self.replies.append(answer)
        return answer

    async def send(self, request: Request) -> Answer:
        answer = await self.talk(request.sent(), request.method)
        assert answer is not None, request
        return answer

    async def call(self, method: str, target: str, body: bytes = b"", headers: Any = None, **more: Any) -> Answer:
        return await self.send(sign(method, target, body, headers, **more))

    # -- what must not change

    def rows(self) -> dict[str, Any]:
        reader = self.catalogue._database.reader
        return {table: reader.execute(f"SELECT {what} FROM {table}").fetchall() for table, what in KEPT.items()}

    async def garbage(self) -> tuple[set[str], set[str]]:
        """After the reaper: the names in the storage, and those that live rows or open uploads know."""
        await self.reaper.reap()
        stored, after = set(), ""
        while True:
            page = await self.location.list(ListRequest(after=after))
            stored |= {blob.name for blob in page.blobs}
            if page.after is None:
                break
            after = page.after
        reader = self.catalogue._database.reader
        known = {name for (name,) in reader.execute("SELECT name FROM blobs WHERE doomed IS NULL")}
        uploads = [name for (name,) in reader.execute("SELECT blob FROM uploads WHERE state = 'open'")]
        return {name for name in stored if not any(name.startswith(f"{u}/") for u in uploads)}, known

    async def refuses(self, request: Request | bytes, status: int | tuple[int, ...], *codes: str) -> Answer:
        """It is answered so, and nothing in the catalogue or the storage is another one than before."""
        rows, (stored, _) = self.rows(), await self.garbage()
        data, method = (request, "GET") if isinstance(request, bytes) else (request.sent(), request.method)
        answer = await self.talk(data, method)
        assert answer is not None, "no reply"
        wanted = status if isinstance(status, tuple) else (status,)
        assert answer.status in wanted, (answer.status, answer.code, answer.body[:500])
        if method != "HEAD" and codes:
            assert answer.code in codes, (answer.code, answer.body[:500])
        assert self.rows() == rows, "a refused request changed the catalogue"
        assert (await self.garbage())[0] == stored, "a refused request left bytes"
        assert b"Traceback" not in answer.body
        return answer


@pytest.fixture
def open_house(tmp_path: Path) -> Iterator[Callable[..., House]]:
    """``await open_house(backend, rules, domains, **limits)``; closed and looked over after the test."""
    houses: list[House] = []
    failures: list[dict[str, Any]] = []

    def watch(event: dict[str, Any]) -> None:
        if "log_failure" in event or event["log_level"].name in ("error", "critical"):
            failures.append(event)

    async def opener(
        backend: str = "memory",
        rules: Rules = RULES,
        domains: tuple[str, ...] = (),
        **limits: Any,
    ) -> House:
        folder = tmp_path / str(len(houses))
        folder.mkdir()
        houses.append(House(folder, backend, rules, domains, limits))
        await houses[-1].open()
        return houses[-1]

    globalLogPublisher.addObserver(watch)
    try:
        yield opener
        for house in houses:
            pytest_twisted.blockon(Deferred.fromCoroutine(house.close()))
        assert not failures or any(house.failing for house in houses), failures
    finally:
        globalLogPublisher.removeObserver(watch)


@pytest.fixture
def house(open_house: Callable[..., House]) -> House:
    return pytest_twisted.blockon(Deferred.fromCoroutine(open_house()))


class Tools:
    """What test files of this room share; files of tests do not import each other."""

    sign = staticmethod(sign)
    chunked = staticmethod(chunked)
    framed = staticmethod(framed)
    parse = staticmethod(parse)
    request = Request
    chain = Chain
    key, secret = KEY, SECRET

    @staticmethod
    def stamp(seconds: float = 0) -> str:
        """X-Amz-Date, so many seconds from now."""
        when = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=seconds)
        return when.strftime("%Y%m%dT%H%M%SZ")


@pytest.fixture
def tools() -> Tools:
    return Tools()
