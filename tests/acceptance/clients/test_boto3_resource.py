"""boto3's resources and its managed transfers (the client itself has the suites one folder up)."""

from __future__ import annotations

import filecmp
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.acceptance.clients.shown import Shown

SIZE = 20 * 1000 * 1000 + 17
MIB = 1024 * 1024
PARTS = TransferConfig(multipart_threshold=5 * MIB, multipart_chunksize=5 * MIB, max_concurrency=4)


@pytest.fixture
def resource(live: Any, request: pytest.FixtureRequest) -> Callable[..., Any]:
    """``resource(aws_secret_access_key=...)``; as its page shows, but for one try."""

    def make(**keys: str) -> Any:
        service, settings = Shown("boto3", live).call("boto3.client")
        once = Config(retries={"total_max_attempts": 1}, read_timeout=30)
        made = boto3.resource(*service, **{**settings, **keys, "config": settings["config"].merge(once)})
        request.addfinalizer(made.meta.client.close)
        return made

    return make


@pytest.fixture
def s3(resource: Callable[..., Any], name: str) -> Any:
    made = resource()
    made.create_bucket(Bucket=name)
    return made


def test_the_story(s3: Any, name: str, file: Any, wild_keys: tuple[str, ...], tmp_path: Path) -> None:
    place, back = s3.Bucket(name), tmp_path / "back"
    assert name in [found.name for found in s3.buckets.all()]
    place.put_object(Key="small", Body=b"0123456789")
    assert s3.Object(name, "small").get(Range="bytes=2-4")["Body"].read() == b"234"

    big = file("big", SIZE)
    place.upload_file(str(big), "dir/big", Config=PARTS)
    place.download_file("dir/big", str(back), Config=PARTS)
    assert filecmp.cmp(big, back, shallow=False)
    found = s3.Object(name, "dir/big")
    assert (found.content_length, found.e_tag.endswith('-4"')) == (SIZE, True)

    for key in wild_keys:
        place.put_object(Key=f"odd/{key}", Body=key.encode())
    listed = list(place.objects.filter(Prefix="odd/").page_size(3))
    assert sorted(one.key for one in listed) == sorted(f"odd/{key}" for key in wild_keys)
    assert all(one.get()["Body"].read().decode() == one.key.removeprefix("odd/") for one in listed)

    place.copy({"Bucket": name, "Key": "dir/big"}, "copied", Config=PARTS)  # UploadPartCopy
    sink = io.BytesIO()
    place.download_fileobj("copied", sink)
    assert sink.getvalue() == big.read_bytes()
    place.put_object(Key="copied", Body=b"new")
    assert s3.ObjectSummary(name, "copied").size == 3

    told = place.objects.all().delete()
    assert sum(len(page["Deleted"]) for page in told) == len(wild_keys) + 3
    place.delete()
    place.wait_until_not_exists()


def test_an_upload_by_hand(s3: Any, name: str) -> None:
    upload = s3.Object(name, "k").initiate_multipart_upload(Metadata={"tone": "blue"})
    bodies = [b"a" * (5 * MIB), b"end"]
    for number, body in enumerate(bodies, start=1):
        upload.Part(number).upload(Body=body)
    parts = list(upload.parts.all())
    assert [(part.part_number, part.size) for part in parts] == [(1, 5 * MIB), (2, 3)]
    assert [one.object_key for one in s3.Bucket(name).multipart_uploads.all()] == ["k"]
    done = upload.complete(MultipartUpload={"Parts": [{"PartNumber": p.part_number, "ETag": p.e_tag} for p in parts]})
    assert done.get()["Body"].read() == b"".join(bodies)
    assert done.metadata == {"tone": "blue"}


def test_many_are_deleted_page_by_page(s3: Any, name: str) -> None:
    place = s3.Bucket(name)
    for number in range(30):
        place.put_object(Key=f"{number:03}")
    place.objects.page_size(7).delete()
    assert list(place.objects.all()) == []


def test_a_stream_upwards(s3: Any, name: str) -> None:
    s3.Bucket(name).upload_fileobj(io.BytesIO(b"z" * (6 * MIB)), "piped", Config=PARTS)
    assert s3.Object(name, "piped").content_length == 6 * MIB


def test_a_wrong_key_is_told(resource: Callable[..., Any], name: str) -> None:
    for keys, code in (
        ({"aws_secret_access_key": "wrong"}, "SignatureDoesNotMatch"),
        ({"aws_access_key_id": "nobody"}, "InvalidAccessKeyId"),
        ({}, "NoSuchBucket"),
    ):
        with pytest.raises(ClientError) as caught:
            list(resource(**keys).Bucket(name).objects.all())
        assert caught.value.response["Error"]["Code"] == code
