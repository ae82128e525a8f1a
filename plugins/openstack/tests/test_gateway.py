"""A whole gateway on cloud.openstack, with boto3 in front of it; and the Tahoe page's settings, word for word."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from gateway.testing import LiveGateway
from tests.servers import rackspace
from tests.servers.rackspace import Rackspace
from tests.servers.swift import Swift

PART = 5 * 1024 * 1024

# docs: "Storing Shares on Cloud Services" of Tahoe-LAFS, every key of its section on OpenStack
PAGE = """
[storage]
backend = cloud.openstack
openstack.provider = {provider}
openstack.username = {username}
openstack.container = {container}
openstack.url = {url}
"""


def client(live: LiveGateway) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=live.endpoint,
        aws_access_key_id=live.access_key,
        aws_secret_access_key=live.secret_key,
        region_name=live.region,
        config=Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}, proxies={}),
    )


@pytest.fixture(scope="module")
def double(swift: Swift) -> Iterator[Rackspace]:
    with Rackspace(swift) as running:
        yield running


@pytest.fixture(scope="module")
def live(
    double: Rackspace, swift: Swift, make_container: Callable[..., None], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LiveGateway]:
    make_container(*swift.token(), "gateway")
    storage = {
        "openstack.provider": "rackspace.co.uk",
        "openstack.username": rackspace.USER,
        "openstack.container": "gateway",
        "openstack.url": double.url,
    }
    with LiveGateway(
        tmp_path_factory.mktemp("openstack") / "node",
        backend="cloud.openstack",
        gateway={"reap_interval": "200ms"},
        storage=storage,
        secrets={"openstack_api_key": rackspace.KEY},
    ) as running:
        client(running).create_bucket(Bucket="box")
        yield running


@pytest.fixture
def objects(swift: Swift, names_in: Callable[..., list[str]]) -> Callable[[], list[str]]:
    """What lies in the container, besides what the gateway keeps for itself."""
    return lambda: [name for name in names_in(*swift.token(), "gateway") if name != "gatewayowner"]


@pytest.mark.parametrize("size", [0, 1, 70_000, 3 * PART])
def test_what_was_put_comes_back(live: LiveGateway, size: int) -> None:
    s3, data = client(live), os.urandom(size)
    s3.put_object(Bucket="box", Key="a key", Body=data, Metadata={"of": "mine"}, ContentType="text/plain")
    got = s3.get_object(Bucket="box", Key="a key")
    assert (got["Body"].read(), got["Metadata"], got["ContentType"]) == (data, {"of": "mine"}, "text/plain")
    if size > 10:
        part = s3.get_object(Bucket="box", Key="a key", Range="bytes=3-9")
        assert (part["Body"].read(), part["ContentRange"]) == (data[3:10], f"bytes 3-9/{size}")
    s3.delete_object(Bucket="box", Key="a key")
    with pytest.raises(ClientError, match="NoSuchKey"):
        s3.get_object(Bucket="box", Key="a key")


def test_multipart_listing_and_nothing_left(live: LiveGateway, objects: Callable[[], list[str]]) -> None:
    s3 = client(live)
    data = [os.urandom(PART), os.urandom(PART), os.urandom(17)]
    upload = s3.create_multipart_upload(Bucket="box", Key="large")["UploadId"]
    parts = []
    for number, body in enumerate(data, 1):
        sent = s3.upload_part(Bucket="box", Key="large", UploadId=upload, PartNumber=number, Body=body)
        parts.append({"PartNumber": number, "ETag": sent["ETag"]})
    chosen = {"Parts": [parts[0], parts[2]]}
    etag = s3.complete_multipart_upload(Bucket="box", Key="large", UploadId=upload, MultipartUpload=chosen)["ETag"]
    assert etag.endswith('-2"')
    assert s3.get_object(Bucket="box", Key="large")["Body"].read() == data[0] + data[2]
    piece = s3.get_object(Bucket="box", Key="large", Range=f"bytes={PART - 2}-{PART + 2}")["Body"].read()
    assert piece == data[0][-2:] + data[2][:3]
    dropped = s3.create_multipart_upload(Bucket="box", Key="dropped")["UploadId"]
    s3.upload_part(Bucket="box", Key="dropped", UploadId=dropped, PartNumber=1, Body=b"part")
    s3.abort_multipart_upload(Bucket="box", Key="dropped", UploadId=dropped)
    listed = s3.list_objects_v2(Bucket="box")["Contents"]
    assert [(each["Key"], each["Size"], each["ETag"]) for each in listed] == [("large", PART + 17, etag)]
    s3.delete_object(Bucket="box", Key="large")
    until = time.monotonic() + 60
    while (left := objects()) and time.monotonic() < until:
        time.sleep(0.1)
    assert left == [], "the reaper leaves nothing, no segment either"


def check(folder: Path, text: str, secret: str | None) -> subprocess.CompletedProcess[str]:
    """`gateway check` on a configuration of its own."""
    made = [sys.executable, "-m", "gateway", "init", str(folder)]
    subprocess.run(made, check=True, capture_output=True, timeout=60)
    if secret is not None:
        file = folder / "private" / "openstack_api_key"
        file.touch(mode=0o600)
        file.write_text(secret + "\n")
    ours, _, _ = (folder / "tahoe.cfg").read_text().partition("[storage]")
    (folder / "tahoe.cfg").write_text(ours + text)
    words = [sys.executable, "-m", "gateway", "check", "-c", str(folder / "tahoe.cfg")]
    return subprocess.run(words, capture_output=True, text=True, timeout=60)


def test_the_page_word_for_word(tmp_path: Path, swift: Swift, double: Rackspace) -> None:
    settings = {"provider": "rackspace.com", "username": "carol", "container": "blobs", "url": double.url}
    fine = check(tmp_path / "fine", PAGE.format(**settings), rackspace.KEY)
    assert fine.returncode == 0, fine.stdout + fine.stderr


@pytest.mark.parametrize(
    ("without", "said"),
    [("openstack.username", "openstack.username"), ("openstack.container", "openstack.container"), ("", "private/")],
)
def test_what_the_page_requires_is_required(tmp_path: Path, double: Rackspace, without: str, said: str) -> None:
    settings = {"provider": "rackspace.com", "username": "carol", "container": "blobs", "url": double.url}
    lines = [line for line in PAGE.format(**settings).splitlines() if not (without and line.startswith(without))]
    refused = check(tmp_path / "node", "\n".join(lines) + "\n", rackspace.KEY if without else None)
    assert refused.returncode == 3, refused.stdout + refused.stderr
    assert said in refused.stdout + refused.stderr
    assert "Traceback" not in refused.stderr


def test_another_provider_is_refused(tmp_path: Path) -> None:
    settings = {"provider": "example.com", "username": "carol", "container": "blobs", "url": "http://127.0.0.1:1/v2.0"}
    refused = check(tmp_path / "node", PAGE.format(**settings), rackspace.KEY)
    assert refused.returncode == 3
    assert "rackspace.com, rackspace.co.uk" in refused.stdout + refused.stderr
