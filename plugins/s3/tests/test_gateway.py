"""A gateway whose storage is a bucket: started as an operator would, used by boto3, judged by what the bucket holds."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

from gateway.testing import LiveGateway
from gateway.testing.pours import MI, sample
from gateway.testing.server import ServerFault

# As the Tahoe-LAFS page has it, with a server that we can have.
PAGE = {"s3.access_key_id": "", "s3.bucket": "", "s3.url": ""}


def storage(target: Any, bucket: str) -> dict[str, str]:
    return {"s3.access_key_id": target.access_key, "s3.bucket": bucket, "s3.url": target.url}


@pytest.fixture(scope="module", params=["moto", "swift", "rgw"])
def behind(request: pytest.FixtureRequest) -> Any:
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="module")
def bucket(behind: Any) -> str:
    return str(behind.bucket())


@pytest.fixture(scope="module")
def live(behind: Any, bucket: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveGateway]:
    folder = tmp_path_factory.mktemp("over-s3")
    secrets = {"s3secret": behind.secret_key}
    with LiveGateway(folder, "cloud.s3", storage=storage(behind, bucket), secrets=secrets) as running:
        yield running


@pytest.fixture
def client(live: LiveGateway) -> Any:
    made = boto3.client(
        "s3",
        endpoint_url=live.endpoint,
        aws_access_key_id=live.access_key,
        aws_secret_access_key=live.secret_key,
        region_name=live.region,
        config=Config(retries={"total_max_attempts": 1}, proxies={}, s3={"addressing_style": "path"}),
    )
    made.create_bucket(Bucket="front")
    yield made
    made.close()


def test_the_keys_are_those_of_the_page() -> None:
    text = (Path(__file__).parent / "pages" / "tahoe-lafs-s3.rst").read_text()
    assert all(f"``{key} = " in text for key in PAGE)


@pytest.mark.parametrize("size", [0, 1, 70_000, 3 * MI + 1])
def test_what_is_put_comes_back(client: Any, size: int) -> None:
    key = f"odd//key ž/{size}"
    client.put_object(Bucket="front", Key=key, Body=sample(size), ContentType="text/x", Metadata={"a-b": "1"})
    got = client.get_object(Bucket="front", Key=key)
    assert got["Body"].read() == sample(size)
    assert (got["ContentType"], got["Metadata"]) == ("text/x", {"a-b": "1"})
    assert got["ETag"] == f'"{hashlib.md5(sample(size)).hexdigest()}"'
    if size > 10:
        part = client.get_object(Bucket="front", Key=key, Range=f"bytes=3-{size - 2}")
        assert part["Body"].read() == sample(size)[3 : size - 1]
    client.delete_object(Bucket="front", Key=key)


def test_a_multipart_upload_and_a_list(client: Any) -> None:
    data = sample(12 * MI + 5)
    upload = client.create_multipart_upload(Bucket="front", Key="large")["UploadId"]
    parts = []
    for number, at in enumerate(range(0, len(data), 6 * MI), 1):
        piece = data[at : at + 6 * MI]
        sent = client.upload_part(Bucket="front", Key="large", UploadId=upload, PartNumber=number, Body=piece)
        parts.append({"PartNumber": number, "ETag": sent["ETag"]})
    client.complete_multipart_upload(Bucket="front", Key="large", UploadId=upload, MultipartUpload={"Parts": parts})
    assert client.get_object(Bucket="front", Key="large")["Body"].read() == data
    client.copy_object(Bucket="front", Key="copy", CopySource={"Bucket": "front", "Key": "large"})
    page = client.list_objects_v2(Bucket="front")
    assert [(each["Key"], each["Size"]) for each in page["Contents"]] == [("copy", len(data)), ("large", len(data))]
    middle = client.get_object(Bucket="front", Key="copy", Range=f"bytes={6 * MI - 2}-{6 * MI + 2}")
    assert middle["Body"].read() == data[6 * MI - 2 : 6 * MI + 3]
    for key in ("copy", "large"):
        client.delete_object(Bucket="front", Key=key)


def test_an_aborted_upload_leaves_no_upload_behind(client: Any, behind: Any, bucket: str) -> None:
    upload = client.create_multipart_upload(Bucket="front", Key="dropped")["UploadId"]
    client.upload_part(Bucket="front", Key="dropped", UploadId=upload, PartNumber=1, Body=sample(1000))
    client.abort_multipart_upload(Bucket="front", Key="dropped", UploadId=upload)
    assert not behind.client().list_multipart_uploads(Bucket=bucket).get("Uploads")


def test_another_gateway_is_refused_the_bucket(live: LiveGateway, behind: Any, bucket: str, tmp_path: Path) -> None:
    """The page: "Multiple storage servers cannot share the same bucket"."""
    secrets = {"s3secret": behind.secret_key}
    other = LiveGateway(tmp_path, "cloud.s3", storage=storage(behind, bucket), secrets=secrets)
    with pytest.raises(ServerFault, match="another gateway"):
        other.start()


def test_a_missing_secret_is_one_line(behind: Any, bucket: str, tmp_path: Path) -> None:
    with pytest.raises(ServerFault) as raised:
        LiveGateway(tmp_path, "cloud.s3", storage=storage(behind, bucket)).start()
    assert "private/s3secret" in str(raised.value) and "Traceback" not in str(raised.value)
    assert f"{tmp_path}/tahoe.cfg:" in str(raised.value)


def test_the_secret_is_in_no_log(live: LiveGateway, behind: Any) -> None:
    assert behind.secret_key not in live.log().replace(behind.access_key, "")
