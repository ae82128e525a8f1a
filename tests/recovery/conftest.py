"""A real gateway with two locations, on a disk or a cloud, is filled through S3 and then loses its data folder."""

from __future__ import annotations

import hashlib
import json
import secrets
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

from gateway.testing import LiveGateway
from tests.servers.azurite import Azurite
from tests.servers.moto import ACCESS_KEY, SECRET_KEY, Moto

PART = 5 * 1024**2
LONG_KEY = "long/" + "k" * 1000
ODD_KEYS = ("a b/ü&<>", "trailing/", "../up", "//two", "\x01", "zero", LONG_KEY)


class Shop:
    """``lines``: two location sections of tahoe.cfg. ``secrets``: files of private/."""

    def __init__(self, folder: Path, lines: str, kept: dict[str, str]) -> None:
        folder.mkdir()
        (folder / "tahoe.cfg").write_text(
            "[gateway]\nlisten = tcp:0:interface=127.0.0.1\nreap_interval = 200ms\nsnapshot_interval = 0\n" + lines
        )
        self.folder = folder
        self.live = LiveGateway(folder, secrets=kept)
        self.pairs: list[tuple[str, str]] = []

    def start(self) -> None:
        self.live.start()
        self.pairs = self.pairs or [(self.live.access_key, self.live.secret_key)]

    def run(self, *words: str, code: int = 0) -> str:
        """What a command prints; its exit code must be ``code``, and no operator ever sees a traceback."""
        command = [sys.executable, "-m", "gateway", *words, "-c", str(self.folder / "tahoe.cfg")]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == code, (words, done.returncode, done.stdout, done.stderr)
        assert "Traceback" not in done.stdout + done.stderr
        return done.stdout if not code or done.stdout else done.stderr

    def client(self, account: int = 0) -> Any:
        if account == len(self.pairs):
            self.run("account", "add", "bob")
            told = json.loads(self.run("key", "add", "--account", "bob", "--json"))
            self.pairs.append((told["access_key_id"], told["secret_access_key"]))
        access, secret = self.pairs[account]
        config = Config(retries={"total_max_attempts": 1}, proxies={}, s3={"addressing_style": "path"})
        return boto3.client(
            "s3",
            endpoint_url=self.live.endpoint,
            aws_access_key_id=access,
            aws_secret_access_key=secret,
            region_name="us-east-1",
            config=config,
        )

    def set(self, line: str, other: str) -> None:
        """Serve with another line in tahoe.cfg from now on."""
        self.live.stop()
        text = (self.folder / "tahoe.cfg").read_text()
        assert line in text
        (self.folder / "tahoe.cfg").write_text(text.replace(line, other))
        self.live.start()

    def stop(self) -> None:
        """Stopped, and everything that was deleted is gone from the storage."""
        self.live.stop()
        self.run("reap", "--now")

    def lose_data(self) -> None:
        shutil.rmtree(self.folder / "data")

    def everything(self) -> dict[str, Any]:
        """All that clients see, of both accounts: buckets, keys, bytes, headers, metadata, checksums, parts."""
        seen: dict[str, Any] = {}
        for account in range(len(self.pairs)):
            s3 = self.client(account)
            for bucket in s3.list_buckets()["Buckets"]:
                name = bucket["Name"]
                listed = s3.list_objects_v2(Bucket=name).get("Contents", [])
                seen[name] = (account, s3.get_bucket_location(Bucket=name)["LocationConstraint"])
                for row in listed:
                    seen[f"{name}/{row['Key']}"] = _facts(s3, name, row)
        return seen


def _facts(s3: Any, bucket: str, row: dict[str, Any]) -> dict[str, Any]:
    got = s3.get_object(Bucket=bucket, Key=row["Key"], ChecksumMode="ENABLED")
    kept = {name: value for name, value in got.items() if name not in ("Body", "ResponseMetadata", "LastModified")}
    digest = hashlib.sha256()
    for chunk in got["Body"].iter_chunks(1 << 20):
        digest.update(chunk)
    parts = s3.head_object(Bucket=bucket, Key=row["Key"], PartNumber=1).get("PartsCount")
    listed = {name: row[name] for name in ("Size", "ETag", "StorageClass")}
    return {**kept, "listed": listed, "sha256": digest.hexdigest(), "parts": parts}


def upload(s3: Any, bucket: str, key: str, parts: int = 2, **more: Any) -> dict[str, Any]:
    """Begin a multipart upload and send its parts; gives what completes it."""
    begun = s3.create_multipart_upload(Bucket=bucket, Key=key, **more)["UploadId"]
    sent = []
    for number in range(1, parts + 1):
        body = secrets.token_bytes(PART if number < parts else 1000)
        answer = s3.upload_part(Bucket=bucket, Key=key, UploadId=begun, PartNumber=number, Body=body)
        sent.append(
            {
                "PartNumber": number,
                **{name: answer[name] for name in answer if name == "ETag" or name.startswith("ChecksumCRC")},
            }
        )
    return {"Bucket": bucket, "Key": key, "UploadId": begun, "MultipartUpload": {"Parts": sent}}


@pytest.fixture(scope="session")
def azurite() -> Iterator[Azurite]:
    with Azurite() as running:
        yield running


@pytest.fixture(scope="session")
def moto() -> Iterator[Moto]:
    with Moto() as running:
        yield running


def on_disk(request: pytest.FixtureRequest) -> tuple[str, dict[str, str]]:
    return (
        "[storage]\nbackend = local\nlocal.path = storage\n[location cold]\nbackend = local\nlocal.path = cold\n",
        {},
    )


def on_azure(request: pytest.FixtureRequest) -> tuple[str, dict[str, str]]:
    azurite: Azurite = request.getfixturevalue("azurite")
    sections = []
    for section in ("storage", "location cold"):
        container = f"rebuild{secrets.token_hex(6)}"
        azurite.make_container(container)
        sections.append(
            f"[{section}]\nbackend = cloud.azure\nazure.account = {azurite.account}\n"
            f"azure.container = {container}\nazure.url = {azurite.url}\n"
        )
    return "".join(sections), {"azure_account_key": azurite.key, "cold.azure_account_key": azurite.key}


def on_s3(request: pytest.FixtureRequest) -> tuple[str, dict[str, str]]:
    moto: Moto = request.getfixturevalue("moto")
    sections = []
    for section in ("storage", "location cold"):
        name = f"rebuild-{secrets.token_hex(6)}"
        config = Config(proxies={}, s3={"addressing_style": "path"})
        keys = {"aws_access_key_id": ACCESS_KEY, "aws_secret_access_key": SECRET_KEY, "region_name": "us-east-1"}
        boto3.client("s3", endpoint_url=moto.url, config=config, **keys).create_bucket(Bucket=name)
        sections.append(
            f"[{section}]\nbackend = cloud.s3\ns3.url = {moto.url}\ns3.bucket = {name}\n"
            f"s3.access_key_id = {ACCESS_KEY}\n"
        )
    return "".join(sections), {"s3secret": SECRET_KEY, "cold.s3secret": SECRET_KEY}


PLACES: dict[str, Callable[[pytest.FixtureRequest], tuple[str, dict[str, str]]]] = {
    "local": on_disk,
    "azure": on_azure,
    "s3": on_s3,
}


def made(tmp_path: Path, place: tuple[str, dict[str, str]]) -> Iterator[Shop]:
    shop = Shop(tmp_path / "shop", *place)
    try:
        shop.start()
        yield shop
    finally:
        shop.live.stop()


@pytest.fixture
def shop(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Shop]:
    """A gateway that serves, on the kind of storage that the test's parameter names."""
    yield from made(tmp_path, PLACES[request.param](request))


@pytest.fixture
def local(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Shop]:
    """A gateway that serves from two folders: storage and cold."""
    yield from made(tmp_path, on_disk(request))
