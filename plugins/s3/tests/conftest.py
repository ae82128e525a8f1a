"""Real S3 servers, one of each for the whole run, and buckets on them."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import boto3
import pytest
from botocore.config import Config
from gateway_s3 import S3Backend

from gateway.api import Values
from gateway.testing import LiveGateway
from tests.servers import ceph
from tests.servers.ceph import Ceph
from tests.servers.moto import ACCESS_KEY, SECRET_KEY, Moto
from tests.servers.swift import KEY, USER, Swift

NOTHING: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class Target:
    """An S3 server, and how to build a backend on a bucket of it."""

    url: str
    access_key: str
    secret_key: str

    def client(self) -> Any:
        config = Config(retries={"total_max_attempts": 1}, proxies={}, s3={"addressing_style": "path"})
        return boto3.client(
            "s3",
            endpoint_url=self.url,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            region_name="us-east-1",
            config=config,
        )

    def bucket(self) -> str:
        name = f"kit-{secrets.token_hex(8)}"
        self.client().create_bucket(Bucket=name)
        return name

    def backend(self, bucket: str, **more: object) -> S3Backend:
        written = {"s3.url": self.url, "s3.bucket": bucket, "s3.access_key_id": self.access_key}
        written |= {f"s3.{key}": str(value) for key, value in more.items()}
        return S3Backend(Values.of(S3Backend.settings, written, secrets={"s3secret": self.secret_key}))


@pytest.fixture(scope="session")
def moto() -> Iterator[Target]:
    with Moto() as running:
        yield Target(running.url, ACCESS_KEY, SECRET_KEY)


@pytest.fixture(scope="session")
def swift() -> Iterator[Target]:
    with Swift() as running:
        yield Target(running.url, USER, KEY)


@pytest.fixture(scope="session")
def rgw() -> Iterator[Target]:
    with Ceph() as running:
        yield Target(running.url, ceph.ACCESS_KEY, ceph.SECRET_KEY)


@pytest.fixture(scope="session")
def ourselves(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """A gateway as the S3 server of a gateway."""
    with LiveGateway(Path(tmp_path_factory.mktemp("inner"))) as live:
        yield Target(live.endpoint, live.access_key, live.secret_key)


RACES = ("test_if_absent_has_one_winner", "test_shared_is_true")
# What a server cannot keep, whoever asks it: the reason, whether it fails each time, and the promises.
_UNFIT = {
    "TestMoto": (
        (
            "moto answers 500 to a part of an upload that was ended",
            True,
            ("test_abort_with_a_token_ends_one_upload", "test_abort_without_a_token_ends_them_all"),
        ),
        ("moto looks at If-None-Match, and not in one step with the put", False, RACES),
    ),
    "TestSwift": (
        ("Swift looks at If-None-Match before it takes the body: of several at once more may win", False, RACES),
    ),
    "TestRgw": (
        (
            "RGW 16 answers InvalidPart to a completion that leaves out a part which was sent",
            True,
            ("test_parts_that_are_not_chosen_are_gone",),
        ),
    ),
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        for reason, each_time, names in _UNFIT.get(getattr(getattr(item, "cls", None), "__name__", ""), ()):
            if item.path.parent == Path(__file__).parent and getattr(item, "originalname", "") in names:
                item.add_marker(pytest.mark.xfail(reason=reason, strict=each_time))
