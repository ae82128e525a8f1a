"""minio-py: streaming signatures, its own region look-up, composed objects, a POST form.

Source: https://min.io/docs/minio/linux/developers/python/API.html
"""

from __future__ import annotations

import filecmp
import io
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import urllib3
from minio import Minio
from minio.commonconfig import REPLACE, ComposeSource, CopySource
from minio.deleteobjects import DeleteObject
from minio.error import S3Error

from tests.acceptance.clients.shown import Shown

SIZE = 20 * 1000 * 1000 + 17
MIB = 1024 * 1024


@pytest.fixture
def minio(live: Any) -> Iterator[Callable[..., Any]]:
    """``minio(secret_key=...)`` -> a client that tries once."""
    pool = urllib3.PoolManager(timeout=urllib3.Timeout(connect=5, read=30), retries=False)

    def make(**keys: str) -> Minio:
        place, settings = Shown("minio-py", live).call("Minio")
        return Minio(*place, **{**settings, **keys, "http_client": pool})

    yield make
    pool.clear()


@pytest.fixture
def client(minio: Callable[..., Any], name: str) -> Any:
    made = minio()
    made.make_bucket(name)
    return made


def read(client: Any, name: str, key: str, **options: Any) -> bytes:
    reply = client.get_object(name, key, **options)
    try:
        return bytes(reply.read())
    finally:
        reply.close()
        reply.release_conn()


def test_the_story(client: Any, name: str, file: Any, wild_keys: tuple[str, ...], tmp_path: Path) -> None:
    assert client.bucket_exists(name)
    assert not client.bucket_exists(f"{name}-not")
    client.put_object(name, "small", io.BytesIO(b"0123456789"), 10)
    assert read(client, name, "small") == b"0123456789"
    assert read(client, name, "small", offset=2, length=3) == b"234"

    big = file("big", SIZE)
    client.fput_object(name, "dir/big", str(big), part_size=5 * MIB)
    client.fget_object(name, "dir/big", str(tmp_path / "back"))
    assert filecmp.cmp(big, tmp_path / "back", shallow=False)
    assert client.stat_object(name, "dir/big").size == SIZE

    keys = [key for key in wild_keys if "/../" not in key]  # minio-py itself refuses those
    for key in keys:
        client.put_object(name, f"odd/{key}", io.BytesIO(key.encode()), len(key.encode()))
    listed = [found.object_name for found in client.list_objects(name, "odd/", recursive=True)]
    assert sorted(listed) == sorted(f"odd/{key}" for key in keys)
    assert all(read(client, name, f"odd/{key}") == key.encode() for key in keys)
    assert sorted(found.object_name for found in client.list_objects(name)) == ["dir/", "odd/", "small"]

    client.copy_object(name, "copied", CopySource(name, "odd/grün/ß/日本語"))
    assert read(client, name, "copied") == "grün/ß/日本語".encode()
    client.put_object(name, "copied", io.BytesIO(b"new"), 3)
    assert read(client, name, "copied") == b"new"

    everything = [DeleteObject(found.object_name) for found in client.list_objects(name, recursive=True)]
    assert list(client.remove_objects(name, everything)) == []
    client.remove_bucket(name)
    assert name not in [found.name for found in client.list_buckets()]


def test_a_stream_of_unknown_length(client: Any, name: str) -> None:
    client.put_object(name, "k", io.BytesIO(b"y" * (11 * MIB)), -1, part_size=5 * MIB)
    assert client.stat_object(name, "k").etag.endswith("-3")
    assert read(client, name, "k", offset=10 * MIB) == b"y" * MIB


def test_composed_of_ranges_of_others(client: Any, name: str) -> None:
    """UploadPartCopy with ranges."""
    first, second = b"a" * (6 * MIB), b"b" * (6 * MIB)
    client.put_object(name, "first", io.BytesIO(first), len(first))
    client.put_object(name, "second", io.BytesIO(second), len(second))
    sources = [ComposeSource(name, "first", offset=MIB, length=5 * MIB), ComposeSource(name, "second", length=3)]
    client.compose_object(name, "both", sources, metadata={"tone": "blue"})
    assert read(client, name, "both") == b"a" * (5 * MIB) + b"bbb"
    assert client.stat_object(name, "both").metadata["x-amz-meta-tone"] == "blue"


def test_metadata(client: Any, name: str) -> None:
    client.put_object(name, "k", io.BytesIO(b"x"), 1, content_type="text/css", metadata={"tone": "blue"})
    found = client.stat_object(name, "k")
    assert (found.content_type, found.metadata["x-amz-meta-tone"]) == ("text/css", "blue")
    client.copy_object(name, "k", CopySource(name, "k"), metadata={"tone": "red"}, metadata_directive=REPLACE)
    assert client.stat_object(name, "k").metadata["x-amz-meta-tone"] == "red"


def test_signed_links(client: Any, name: str) -> None:
    put = client.presigned_put_object(name, "a b", expires=timedelta(minutes=1))
    with urllib3.PoolManager(timeout=10, retries=False) as pool:
        assert pool.request("PUT", put, body=b"hello").status == 200
        get = client.presigned_get_object(name, "a b", response_headers={"response-content-type": "text/css"})
        reply = pool.request("GET", get)
        assert (reply.data, reply.headers["Content-Type"]) == (b"hello", "text/css")
        assert pool.request("GET", get.replace("a%20b", "other")).status == 403


def test_a_wrong_key_is_told(minio: Callable[..., Any], name: str) -> None:
    with pytest.raises(S3Error) as wrong:
        minio(secret_key="wrong").list_buckets()
    assert wrong.value.code == "SignatureDoesNotMatch"
    with pytest.raises(S3Error) as unknown:
        minio(access_key="nobody").list_buckets()
    assert unknown.value.code == "InvalidAccessKeyId"
    with pytest.raises(S3Error) as missing:
        list(minio().list_objects(name))
    assert missing.value.code == "NoSuchBucket"
