"""S3 servers for HMAC keys, and for service accounts a double of Google that keeps its objects on one of them."""

from __future__ import annotations

import json
import secrets as random_names
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from gateway_gcp import GoogleBackend

from gateway.api import Values
from tests.servers.moto import ACCESS_KEY, SECRET_KEY, Moto
from tests.servers.swift import KEY, USER, Swift

EMAIL = "gateway@project.iam.gserviceaccount.com"


def make_bucket(url: str, access_key: str, secret_key: str) -> str:
    name = f"kit-{random_names.token_hex(8)}"
    config = Config(retries={"total_max_attempts": 1}, proxies={}, s3={"addressing_style": "path"})
    boto3.client(
        "s3",
        endpoint_url=url,
        aws_access_key_id=access_key,
        aws_secret_access_key=secret_key,
        region_name="us-east-1",
        config=config,
    ).create_bucket(Bucket=name)
    return name


@dataclass(frozen=True)
class Keyed:
    """An S3 server, which takes an HMAC key as Google does."""

    url: str
    access_key: str
    secret: str

    def bucket(self) -> str:
        return make_bucket(self.url, self.access_key, self.secret)

    def backend(self, bucket: str, **written: str) -> GoogleBackend:
        keys = {"bucket": bucket, "url": self.url, "access_key_id": self.access_key, "region": "us-east-1", **written}
        values = {f"gcp.{key}": value for key, value in keys.items()}
        return GoogleBackend(Values.of(GoogleBackend.settings, values, secrets={"gcpsecret": self.secret}))


@pytest.fixture(scope="session")
def moto() -> Iterator[Keyed]:
    with Moto() as running:
        yield Keyed(running.url, ACCESS_KEY, SECRET_KEY)


@pytest.fixture(scope="session")
def swift() -> Iterator[Keyed]:
    with Swift() as running:
        yield Keyed(running.url, USER, KEY)


class Google:
    """The double, in a process of its own. ``secret`` is the account's key file."""

    def __init__(self, s3: Keyed, life: float) -> None:
        self._s3 = s3
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        public = self._key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        options = {"s3": s3.url, "public_key": public.decode(), "email": EMAIL, "life": life}
        program = str(Path(__file__).parent / "google_process.py")
        self._process = subprocess.Popen(
            [sys.executable, program, json.dumps(options)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
        )
        assert self._process.stdout is not None
        self.url = f"http://127.0.0.1:{json.loads(self._process.stdout.readline())['port']}"
        self.secret = self.key_file(self._key)

    def key_file(self, key: Any) -> str:
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        account = {"type": "service_account", "client_email": EMAIL, "token_uri": f"{self.url}/token"}
        return json.dumps({**account, "private_key_id": "1", "private_key": private.decode()}, indent=2)

    def granted(self) -> int:
        """How many tokens were given."""
        return int(json.loads(self._get("/granted"))["count"])

    def revoke(self) -> None:
        self._get("/revoke")

    def _get(self, path: str) -> bytes:
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with direct.open(self.url + path, timeout=30) as reply:
            return bytes(reply.read())

    def bucket(self) -> str:
        return self._s3.bucket()

    def backend(self, bucket: str, secret: str | None = None, **written: str) -> GoogleBackend:
        keys = {"bucket": bucket, "url": self.url, **written}
        values = {f"gcp.{key}": value for key, value in keys.items()}
        secrets = {"gcp_service_account": secret or self.secret}
        return GoogleBackend(Values.of(GoogleBackend.settings, values, secrets=secrets))

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(10)
        assert self._process.stdout is not None
        self._process.stdout.close()


@pytest.fixture(scope="session")
def google(moto: Keyed) -> Iterator[Google]:
    double = Google(moto, life=3600)
    yield double
    double.stop()


@pytest.fixture
def forgetful(moto: Keyed) -> Iterator[Google]:
    """Its tokens live for a second."""
    double = Google(moto, life=1.0)
    yield double
    double.stop()
