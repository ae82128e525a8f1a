"""A live gateway process, and the clients that judge it from outside.

Every suite runs on every backend; matrix.py says how much of it when. ``ACCEPTANCE_ENDPOINT`` (with
``ACCEPTANCE_ACCESS_KEY`` and ``ACCEPTANCE_SECRET_KEY``; a second account's in ``ACCEPTANCE_OTHER_...``) aims the suite
at another S3 server instead, to judge the tests themselves.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import socket
import subprocess
import sys
import uuid
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.auth import HmacV1Auth, S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from gateway.testing.server import LiveGateway
from tests.acceptance import matrix
from tests.acceptance.compatibility import Record
from tests.servers.storages import kept_on

ELSEWHERE = os.environ.get("ACCEPTANCE_ENDPOINT", "")
BACKENDS = ("elsewhere",) if ELSEWHERE else matrix.BACKENDS


RECORD = Record()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    matrix.forgive(items)
    matrix.select(config, items)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    RECORD.report(item, matrix.storage_of(item), report)
    return report


def pytest_sessionfinish() -> None:
    if matrix.RECORDS:
        RECORD.keep(Path(matrix.RECORDS))


@dataclass(frozen=True, slots=True)
class Site:
    """One S3 endpoint and a key pair. ``pid`` is 0 where the server is not ours; ``config`` its tahoe.cfg."""

    endpoint: str
    access_key: str
    secret_key: str
    region: str
    backend: str
    pid: int = 0
    config: Path = Path()

    @property
    def authority(self) -> str:
        return urlsplit(self.endpoint).netloc


@dataclass(frozen=True, slots=True)
class RawReply:
    """``first_status`` differs from ``status`` where an interim reply (100) came first."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    first_status: int

    @property
    def code(self) -> str:
        """The S3 error code, "" where the body holds none."""
        found = re.search(rb"<Code>([^<]*)</Code>", self.body)
        return found[1].decode() if found else ""


@pytest.fixture(scope="session", autouse=True)
def clean_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No proxy, profile or credential of the machine reaches a client (nor its child processes)."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith("AWS_") or name.lower().endswith("_proxy"):
                patch.delenv(name)
        empty = tmp_path_factory.mktemp("home")
        patch.setenv("HOME", str(empty))
        patch.setenv("AWS_CONFIG_FILE", str(empty / "config"))
        patch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(empty / "credentials"))
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        yield


@pytest.fixture(scope="session", params=BACKENDS)
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A gateway process of its own, kept for all tests of one backend."""
    if ELSEWHERE:
        keys = os.environ["ACCEPTANCE_ACCESS_KEY"], os.environ["ACCEPTANCE_SECRET_KEY"]
        yield Site(ELSEWHERE, *keys, region="us-east-1", backend="elsewhere")
        return
    folder = tmp_path_factory.mktemp(f"gateway-{request.param}")
    with kept_on(request.param) as kept:
        with LiveGateway(folder, kept.backend, storage=kept.settings, secrets=kept.secrets) as live:
            yield Site(
                endpoint=live.endpoint,
                access_key=live.access_key,
                secret_key=live.secret_key,
                region=live.region,
                backend=request.param,
                pid=live.pid,
                config=live.config_file,
            )
        logged = list(matrix.answers(folder / "log" / "access.log"))
        RECORD.column(request.param).server = kept.server
        RECORD.column(request.param).asked = [(came, operation) for came, operation, _ in logged]
        if matrix.is_whole(request.session) and (missing := matrix.never_answered(logged)):
            pytest.fail(f"on {request.param} never succeeded: {', '.join(missing)}: see EACH in matrix.py")


@pytest.fixture(scope="session")
def make_client() -> Callable[..., Any]:
    """``make_client(site, signature_version="s3v4", **botocore Config)`` -> a boto3 client that tries once."""

    def make(site: Site, **options: Any) -> Any:
        options.setdefault("retries", {"total_max_attempts": 1})
        options.setdefault("s3", {"addressing_style": "path"})
        return boto3.client(
            "s3",
            endpoint_url=site.endpoint,
            aws_access_key_id=site.access_key,
            aws_secret_access_key=site.secret_key,
            region_name=site.region,
            config=Config(read_timeout=30, **options),
        )

    return make


@pytest.fixture(scope="session")
def s3(site: Site, make_client: Callable[..., Any]) -> Iterator[Any]:
    """boto3's client as it comes (default integrity settings)."""
    client = make_client(site)
    yield client
    client.close()


@pytest.fixture(scope="session")
def lax_s3(site: Site, make_client: Callable[..., Any]) -> Iterator[Any]:
    """boto3 that checks no parameter itself and computes no checksum unless asked, so that the server must."""
    client = make_client(
        site,
        parameter_validation=False,
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    yield client
    client.close()


def gateway(words: list[str], site: Site) -> str:
    """What the ``gateway`` command prints."""
    command = [sys.executable, "-m", "gateway", *words, "-c", str(site.config)]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout


@pytest.fixture(scope="session")
def other_site(site: Site) -> Site:
    """A second account of the same gateway, with a key of its own."""
    if ELSEWHERE:
        keys = os.environ["ACCEPTANCE_OTHER_ACCESS_KEY"], os.environ["ACCEPTANCE_OTHER_SECRET_KEY"]
        return replace(site, access_key=keys[0], secret_key=keys[1])
    gateway(["account", "add", "other"], site)
    made = json.loads(gateway(["key", "add", "--account", "other", "--json"], site))
    return replace(site, access_key=made["access_key_id"], secret_key=made["secret_access_key"])


@pytest.fixture(scope="session")
def other_s3(other_site: Site, make_client: Callable[..., Any]) -> Iterator[Any]:
    client = make_client(other_site)
    yield client
    client.close()


@pytest.fixture
def new_bucket(s3: Any) -> Callable[[], str]:
    """Makes buckets of names that nobody else uses."""

    def make() -> str:
        name = f"acceptance-{uuid.uuid4().hex[:20]}"
        s3.create_bucket(Bucket=name)
        return name

    return make


@pytest.fixture
def bucket(new_bucket: Callable[[], str]) -> str:
    return new_bucket()


@pytest.fixture(scope="session")
def refuses() -> Callable[[str, int], AbstractContextManager[Any]]:
    """``with refuses("NoSuchKey", 404): ...`` - a boto3 call must fail with just this code and status.

    boto3 has no code for replies without a body (HEAD, 304): there the code is the status in digits.
    """

    @contextmanager
    def expect(code: str, status: int) -> Iterator[Any]:
        with pytest.raises(ClientError) as caught:
            yield caught
        answer = caught.value.response
        assert (answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"]) == (code, status)

    return expect


class SayingPayload(S3SigV4Auth):  # type: ignore[misc]
    """SigV4 that states a payload hash of our choice, where botocore would compute it."""

    def __init__(self, credentials: Credentials, region: str, says: str | None) -> None:
        super().__init__(credentials, "s3", region)
        self._says = says

    def payload(self, request: AWSRequest) -> str:
        return str(super().payload(request)) if self._says is None else self._says


class Raw:
    """Signed requests whose every byte is ours: botocore signs, a bare connection sends."""

    def __init__(self, site: Site) -> None:
        self.site = site

    def sign(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: bytes,
        payload: str | None = None,
        version: str = "v4",
    ) -> dict[str, str]:
        """The request's headers with Authorization. ``payload`` overrides x-amz-content-sha256."""
        site = self.site
        request = AWSRequest(method, site.endpoint + target, headers=dict(headers), data=body)
        credentials = Credentials(site.access_key, site.secret_key)
        if version == "v2":
            request.auth_path = target.partition("?")[0]  # path style: the path names the bucket
            HmacV1Auth(credentials).add_auth(request)
        else:
            SayingPayload(credentials, site.region, payload).add_auth(request)
        return dict(request.headers.items())

    def __call__(
        self,
        method: str,
        target: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        payload: str | None = None,
        version: str = "v4",
        signed: bool = True,
        after: Mapping[str, str] | None = None,
        drop: tuple[str, ...] = (),
        announce: int | None = None,
    ) -> RawReply:
        """Send one request. ``target`` is percent-encoded. ``after``: headers set after signing; ``drop``: left out
        after signing. ``announce``: the Content-Length told, while ``body`` is what is really sent."""
        sent = {"Host": self.site.authority, **(headers or {})}
        if signed:
            sent = self.sign(method, target, sent, body, payload, version)
        if body or announce is not None or method in ("PUT", "POST"):
            sent["Content-Length"] = str(len(body) if announce is None else announce)
        for name, value in (after or {}).items():
            sent = {known: text for known, text in sent.items() if known.lower() != name.lower()}
            sent[name] = value
        dropped = {name.lower() for name in drop}
        lines = [f"{name}: {value}" for name, value in sent.items() if name.lower() not in dropped]
        head = "\r\n".join([f"{method} {target} HTTP/1.1", *lines, "", ""])
        return self.bytes(head.encode("utf-8") + body, method)

    def bytes(self, data: bytes, method: str = "GET") -> RawReply:
        """Send these very bytes on a connection of their own and read one reply."""
        place = urlsplit(self.site.endpoint)
        with socket.create_connection((place.hostname, place.port), timeout=20) as connection:
            connection.sendall(data)
            first = connection.recv(12, socket.MSG_PEEK | socket.MSG_WAITALL)
            reply = http.client.HTTPResponse(connection, method=method)
            try:
                reply.begin()
                body = reply.read()
            finally:
                reply.close()
        headers = {name.lower(): value for name, value in reply.getheaders()}
        return RawReply(reply.status, headers, body, int(first[9:12]))


@pytest.fixture(scope="session")
def raw(site: Site) -> Raw:
    return Raw(site)


@pytest.fixture(scope="session")
def raw_of() -> type[Raw]:
    """``raw_of(other_site)``: raw requests of another account."""
    return Raw
