"""Two blobs of one key are in the storage: which is newer is known, or said not to be. The reaper never came."""

from __future__ import annotations

import http.client
import json
import os
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from tests.recovery.conftest import Shop, upload


@pytest.fixture
def unreaped(local: Shop) -> Shop:
    """Whatever is deleted or replaced stays in the storage."""
    local.set("reap_interval = 200ms", "reap_interval = 1h")
    s3 = local.client()
    for name in ("one", "early"):
        s3.create_bucket(Bucket=name)
    s3.put_object(Bucket="early", Key="early", Body=b"under the lease that later blobs have too")
    local.run("snapshot")
    return local


class SlowPut:
    """A PUT that has begun, and of which the last byte is still to come."""

    def __init__(self, shop: Shop, target: str, body: bytes) -> None:
        request = AWSRequest("PUT", shop.live.endpoint + target, data=body)
        S3SigV4Auth(Credentials(*shop.pairs[0]), "s3", "us-east-1").add_auth(request)
        self._connection = http.client.HTTPConnection(urlsplit(shop.live.endpoint).netloc, timeout=60)
        self._connection.putrequest("PUT", target)
        for name, value in request.headers.items():
            self._connection.putheader(name, value)
        self._connection.putheader("Content-Length", str(len(body)))
        self._connection.endheaders(body[:-1])
        self._last = body[-1:]

    def finish(self) -> int:
        self._connection.send(self._last)
        status = self._connection.getresponse().status
        self._connection.close()
        return status


def restored(shop: Shop, *words: str) -> dict[str, Any]:
    """Killed as a disk dies: nothing is handed back, nothing reaped."""
    shop.live.kill()
    shop.lose_data()
    told: dict[str, Any] = json.loads(shop.run(*(words or ("restore",)), "--json", code=5))
    if not told["owners"]:  # else there is no account yet
        shop.live.start()
    return told


def body(shop: Shop, key: str) -> bytes:
    data: bytes = shop.client().get_object(Bucket="one", Key=key)["Body"].read()
    return data


@pytest.mark.parametrize("words", [("restore",), ("rebuild", "--manifests-only")], ids=" ".join)
def test_of_writes_one_after_the_other_the_last_one_counts(unreaped: Shop, words: tuple[str, ...]) -> None:
    s3 = unreaped.client()
    for number in range(5):
        s3.put_object(Bucket="one", Key="replaced", Body=b"%d" % number)
        s3.put_object(Bucket="one", Key="put again", Body=b"%d" % number)
        if number < 4:
            s3.delete_object(Bucket="one", Key="put again")
    s3.complete_multipart_upload(**upload(s3, "one", "multi after put"))
    s3.put_object(Bucket="one", Key="put after multi", Body=b"before")
    s3.complete_multipart_upload(**upload(s3, "one", "put after multi"))
    s3.put_object(Bucket="one", Key="put after multi", Body=b"after")
    told = restored(unreaped, *words)
    assert told["undecided"] == [] and told["objects"] == 5
    if words[0] == "restore":  # else there are no accounts
        assert (body(unreaped, "replaced"), body(unreaped, "put again")) == (b"4", b"4")
        assert body(unreaped, "put after multi") == b"after"
        assert s3.meta and unreaped.client().head_object(Bucket="one", Key="multi after put")["ETag"].endswith('-2"')


def test_writes_at_the_same_time_are_left_to_the_operator(unreaped: Shop) -> None:
    s3 = unreaped.client()
    slow = SlowPut(unreaped, "/one/both", b"slow")
    s3.put_object(Bucket="one", Key="both", Body=b"quick")
    s3.put_object(Bucket="one", Key="alone", Body=b"x")
    assert slow.finish() == 200
    assert body(unreaped, "both") == b"slow"
    told = restored(unreaped)
    (item,) = told["undecided"]
    assert (item["bucket"], item["key"], len(item["blobs"])) == ("one", "both", 2)
    assert body(unreaped, "alone") == b"x"
    unreaped.set("reap_interval = 1h", "reap_interval = 200ms")
    unreaped.stop()
    strays = json.loads(unreaped.run("verify", "--json"))["strays"]["storage"]
    assert set(item["blobs"]) <= set(strays), "the bytes are still there"


def test_a_write_after_writes_at_the_same_time_is_newer_than_both(unreaped: Shop) -> None:
    s3 = unreaped.client()
    slow = SlowPut(unreaped, "/one/key", b"slow")
    s3.put_object(Bucket="one", Key="key", Body=b"quick")
    assert slow.finish() == 200
    s3.put_object(Bucket="one", Key="key", Body=b"last")
    assert restored(unreaped)["undecided"] == []
    assert body(unreaped, "key") == b"last"


def test_what_the_clock_says_does_not_count(unreaped: Shop) -> None:
    """The newer write was made by a gateway whose clock stood a year earlier."""
    unreaped.client().put_object(Bucket="one", Key="key", Body=b"first" * 10_000)
    for path in (unreaped.folder / "storage" / "blobs").rglob("*"):
        if path.is_file():
            os.utime(path, (4_000_000_000, 4_000_000_000))
    unreaped.client().put_object(Bucket="one", Key="key", Body=b"second")
    assert restored(unreaped)["undecided"] == []
    assert body(unreaped, "key") == b"second"


def test_a_deleted_object_that_was_not_reaped_is_listed_not_hidden(unreaped: Shop) -> None:
    s3 = unreaped.client()
    s3.put_object(Bucket="one", Key="gone", Body=b"?")
    s3.delete_object(Bucket="one", Key="gone")
    told = restored(unreaped)
    assert [item["key"] for item in told["from_manifests"]] == ["gone"]
    assert "deleted" in told["notes"][0]


def test_a_bucket_that_was_deleted_takes_its_objects_along(unreaped: Shop) -> None:
    s3 = unreaped.client()
    s3.put_object(Bucket="one", Key="of the old one", Body=b"?")
    s3.delete_object(Bucket="one", Key="of the old one")
    s3.delete_bucket(Bucket="one")
    s3.create_bucket(Bucket="one")
    s3.put_object(Bucket="one", Key="of the new one", Body=b"!")
    assert [item["key"] for item in restored(unreaped)["from_manifests"]] == ["of the new one"]


def test_bytes_that_are_not_what_their_client_told_are_not_brought_back(unreaped: Shop) -> None:
    unreaped.client().put_object(Bucket="one", Key="key", Body=b"these very bytes" * 3000)
    (path,) = [
        path
        for path in (unreaped.folder / "storage" / "blobs").rglob("*")
        if path.is_file() and path.read_bytes().startswith(b"these very bytes")
    ]
    path.write_bytes(path.read_bytes().replace(b"these very", b"those very"))
    told = restored(unreaped)
    assert [item["key"] for item in told["damaged"]] == ["key"] and told["objects"] == 1
