"""A live gateway process, and the clients that judge it from outside.

Every suite runs on every backend; matrix.py says how much of it when. ``ACCEPTANCE_ENDPOINT`` (with
``ACCEPTANCE_ACCESS_KEY`` and ``ACCEPTANCE_SECRET_KEY``; a second account's in ``ACCEPTANCE_OTHER_...``) aims the suite
at another S3 server instead, to judge the tests themselves.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.acceptance import matrix
from tests.acceptance.compatibility import Record
from tests.acceptance.raw import Raw, Site
from tests.acceptance.sites import ELSEWHERE, Sites

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


@pytest.fixture(scope="session")
def sites(clean_environment: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sites]:
    running = Sites(tmp_path_factory.mktemp, RECORD)
    yield running
    running.close()


@pytest.fixture(scope="session", params=BACKENDS)
def site(request: pytest.FixtureRequest, sites: Sites) -> Site:
    """A gateway process of its own, kept for all tests of one backend."""
    return sites[request.param]


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


@pytest.fixture(scope="session")
def other_site(site: Site, sites: Sites) -> Site:
    """A second account of the same gateway, with a key of its own."""
    return sites.other(site.backend)


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


@pytest.fixture(scope="session")
def raw(site: Site) -> Raw:
    return Raw(site)


@pytest.fixture(scope="session")
def raw_of() -> type[Raw]:
    """``raw_of(other_site)``: raw requests of another account."""
    return Raw
