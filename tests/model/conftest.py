"""A gateway below its front door that can be closed and opened again, and is driven by tests that are no coroutines."""

from __future__ import annotations

import hashlib
import itertools
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import greenlet
import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from gateway_local import LocalBackend
from twisted.internet import reactor
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.python.failure import Failure

from gateway.bodies import BytesBody
from gateway.catalogue import open_catalogue
from gateway.gate import Gate
from gateway.model import Call, ListRequest
from gateway.operations import Gateway
from gateway.plugins.location import Location
from gateway.plugins.memory import MemoryBackend
from gateway.reaper import Reaper
from gateway.seal import Seal
from gateway.settings import Values
from gateway.verifier import Rules

KEY, SECRET = "AKIDMODEL", "a-secret-for-tests-only"


@dataclass(frozen=True)
class Answer:
    status: int
    code: str
    headers: dict[str, str]
    body: bytes


def in_greenlet(work: Callable[[], object]) -> Deferred[object]:
    """Run what is no coroutine beside the reactor: where it waits, the reactor goes on."""
    done: Deferred[object] = Deferred()

    def run() -> None:
        try:
            work()
            outcome: object = None
        except BaseException:
            outcome = Failure()
        reactor.callLater(0, done.callback, outcome)  # the rest of the test goes on outside this greenlet

    greenlet.greenlet(run).switch()
    return done


def wait(work: Coroutine[Any, Any, Any]) -> Any:
    """The result of a coroutine, for code that ``in_greenlet`` runs."""
    outcome: list[Any] = []
    me, asleep = greenlet.getcurrent(), [False]

    def wake(result: Any) -> None:
        outcome.append(result)
        if asleep[0]:
            me.switch()

    ensureDeferred(work).addBoth(wake)
    if not outcome:
        asleep[0] = True
        me.parent.switch()
    if isinstance(outcome[0], Failure):
        outcome[0].raiseException()
    return outcome[0]


class Rig:
    """``call`` goes through the gate, signed; ``reopen`` closes the catalogue and opens it again, as a restart does."""

    def __init__(self, folder: Path, backend: str) -> None:
        self.folder = folder
        self._ids = itertools.count(1)
        kind = LocalBackend if backend == "local" else MemoryBackend
        own = {"local.path": folder / "storage"} if backend == "local" else {}
        self.location = Location("storage", kind(Values.of(kind.settings, own, secrets={}, location="storage")), [])
        wait(self.location.open())
        self._open()
        account = wait(self.catalogue.accounts.add("tests"))
        wait(self.catalogue.accounts.add_key(account.id, KEY, SECRET))

    def _open(self) -> None:
        seal = Seal(b"0" * 32)
        self.catalogue = open_catalogue(self.folder / "data", seal, reactor=reactor)
        gateway = Gateway(self.catalogue, {"storage": self.location}, "storage", seal)
        self.gate = Gate(gateway, Rules())
        self.reaper = Reaper(self.catalogue, {"storage": self.location})

    def reopen(self) -> None:
        wait(self.catalogue.close())
        self._open()

    def close(self) -> None:
        wait(self.catalogue.close())
        wait(self.location.close())

    def call(
        self,
        method: str,
        bucket: str,
        key: bytes = b"",
        query: Mapping[str, str] | None = None,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        path = f"/{bucket}" + (f"/{quote(key, safe='/')}" if key else "")
        text = urlencode(query or {}, quote_via=quote, safe="")
        given = {"host": "localhost:8000", "content-length": str(len(body)), **(headers or {})}
        request = AWSRequest(method, f"http://localhost:8000{path}?{text}", headers=given)
        signer = S3SigV4Auth(Credentials(KEY, SECRET), "s3", "us-east-1")
        signer.payload = lambda request: hashlib.sha256(body).hexdigest()  # type: ignore[method-assign]
        signer.add_auth(request)
        signed = {name.lower(): value for name, value in request.headers.items()}
        call = Call(
            f"{next(self._ids):016X}", method, path, text, signed, BytesBody(body), "127.0.0.1", False, time.time()
        )
        answer: Answer = wait(self._answer(call))
        assert answer.status < 500, answer
        return answer

    async def _answer(self, call: Call) -> Answer:
        reply = await self.gate.answer(call)
        data = reply.body
        if not isinstance(data, bytes):
            try:
                data = b"".join([chunk async for chunk in data])
            finally:
                reply.body.close()  # type: ignore[union-attr]
        return Answer(reply.status, reply.facts.code, {n.lower(): v for n, v in reply.headers}, data)

    def reap(self) -> None:
        wait(self.reaper.reap())

    def stored(self) -> set[str]:
        """The names of all blobs, without those of open uploads (their parts are the backend's own business)."""
        names: set[str] = set()
        after = ""
        while True:
            page = wait(self.location.list(ListRequest(after=after)))
            names |= {blob.name for blob in page.blobs}
            if page.after is None:
                return names
            after = page.after

    def known(self) -> set[str]:
        """The blobs that rows of versions refer to."""
        return {name for (name,) in self.catalogue._database.reader.execute("SELECT DISTINCT blob FROM pieces")}


@pytest.fixture
def new_rig(tmp_path: Path) -> Iterator[Callable[[str], Rig]]:
    """``new_rig(backend)``; each has a folder of its own, and whoever makes one closes it."""
    numbers = itertools.count()

    def make(backend: str) -> Rig:
        folder = tmp_path / str(next(numbers))
        folder.mkdir()
        return Rig(folder, backend)

    yield make


@pytest.fixture
def beside_the_reactor() -> Callable[[Callable[[], object]], Deferred[object]]:
    """Runs a function that ``Rig`` may make wait."""
    return in_greenlet
