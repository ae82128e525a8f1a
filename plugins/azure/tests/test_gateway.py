"""A whole gateway on cloud.azure, made and started as an operator would, with boto3 in front of it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from gateway.testing.server import LiveGateway
from tests.servers.azurite import Azurite

PART = 5 * 1024 * 1024


def client(live: LiveGateway) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=live.endpoint,
        aws_access_key_id=live.access_key,
        aws_secret_access_key=live.secret_key,
        region_name=live.region,
        config=Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}),
    )


def on_azure(folder: Path, azurite: Azurite, container: str) -> LiveGateway:
    return LiveGateway(
        folder,
        backend="cloud.azure",
        storage={"azure.account": azurite.account, "azure.container": container, "azure.url": azurite.url},
        secrets={"azure_account_key": azurite.key},
    )


@pytest.fixture(scope="module")
def live(azurite: Azurite, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveGateway]:
    azurite.make_container("gateway")
    with on_azure(tmp_path_factory.mktemp("azure") / "node", azurite, "gateway") as running:
        client(running).create_bucket(Bucket="box")
        yield running


@pytest.mark.parametrize("size", [0, 1, 70_000, 3 * PART])
def test_what_was_put_comes_back(live: LiveGateway, size: int) -> None:
    s3, data = client(live), os.urandom(size)
    s3.put_object(Bucket="box", Key="a key", Body=data, Metadata={"of": "mine"}, ContentType="text/plain")
    got = s3.get_object(Bucket="box", Key="a key")
    assert (got["Body"].read(), got["Metadata"], got["ContentType"]) == (data, {"of": "mine"}, "text/plain")
    if size > 10:
        part = s3.get_object(Bucket="box", Key="a key", Range="bytes=3-9")
        assert (part["Body"].read(), part["ContentRange"]) == (data[3:10], f"bytes 3-9/{size}")
        assert s3.get_object(Bucket="box", Key="a key", Range="bytes=-5")["Body"].read() == data[-5:]
    s3.delete_object(Bucket="box", Key="a key")
    with pytest.raises(ClientError, match="NoSuchKey"):
        s3.get_object(Bucket="box", Key="a key")


def test_multipart(live: LiveGateway) -> None:
    s3, data = client(live), os.urandom(2 * PART + 1000)
    upload = s3.create_multipart_upload(Bucket="box", Key="big", Metadata={"of": "mine"})["UploadId"]
    parts = []
    for number in (3, 1, 2):
        piece = data[(number - 1) * PART : number * PART]
        sent = s3.upload_part(Bucket="box", Key="big", UploadId=upload, PartNumber=number, Body=piece)
        parts.append({"PartNumber": number, "ETag": sent["ETag"]})
    chosen = {"Parts": sorted(parts, key=lambda part: part["PartNumber"])}
    done = s3.complete_multipart_upload(Bucket="box", Key="big", UploadId=upload, MultipartUpload=chosen)
    assert done["ETag"].endswith('-3"')
    again = s3.complete_multipart_upload(Bucket="box", Key="big", UploadId=upload, MultipartUpload=chosen)
    assert again["ETag"] == done["ETag"]
    assert s3.get_object(Bucket="box", Key="big")["Body"].read() == data
    middle = s3.get_object(Bucket="box", Key="big", Range=f"bytes={PART - 2}-{PART + 1}")
    assert middle["Body"].read() == data[PART - 2 : PART + 2]
    s3.delete_object(Bucket="box", Key="big")


def test_an_aborted_upload_is_gone(live: LiveGateway) -> None:
    s3 = client(live)
    upload = s3.create_multipart_upload(Bucket="box", Key="gone")["UploadId"]
    s3.upload_part(Bucket="box", Key="gone", UploadId=upload, PartNumber=1, Body=b"x" * 1000)
    s3.abort_multipart_upload(Bucket="box", Key="gone", UploadId=upload)
    with pytest.raises(ClientError, match="NoSuchUpload"):
        s3.upload_part(Bucket="box", Key="gone", UploadId=upload, PartNumber=2, Body=b"x")


def test_lists(live: LiveGateway) -> None:
    s3 = client(live)
    keys = ["a/1", "a/2", "b", "z", "č/ž"]
    for key in keys:
        s3.put_object(Bucket="box", Key=key, Body=key.encode())
    found = s3.list_objects_v2(Bucket="box")
    assert [each["Key"] for each in found["Contents"]] == keys
    page = s3.list_objects_v2(Bucket="box", Delimiter="/", MaxKeys=2)
    assert [each["Prefix"] for each in page["CommonPrefixes"]] + [each["Key"] for each in page["Contents"]] == [
        "a/",
        "b",
    ]
    s3.delete_objects(Bucket="box", Delete={"Objects": [{"Key": key} for key in keys]})


def test_a_restart_finds_everything_and_the_key_is_in_no_log(azurite: Azurite, container: str, tmp_path: Path) -> None:
    with on_azure(tmp_path / "node", azurite, container) as running:
        client(running).create_bucket(Bucket="box")
        client(running).put_object(Bucket="box", Key="kept", Body=b"data")
    with on_azure(tmp_path / "node", azurite, container) as running:
        assert client(running).get_object(Bucket="box", Key="kept")["Body"].read() == b"data"
        said = running.log()
    assert azurite.key not in said
