"""The data folder is gone: what comes back through S3 is what was there, and what could not be known is listed."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest

from tests.recovery.conftest import ODD_KEYS, Shop, upload


def fill(shop: Shop) -> dict[str, Any]:
    """Everything that the snapshot will know; gives what completes an upload that stays open."""
    s3, bob = shop.client(), shop.client(1)
    s3.create_bucket(Bucket="one")
    bob.create_bucket(Bucket="bobs", CreateBucketConfiguration={"LocationConstraint": "cold"})
    for number in range(4):
        s3.put_object(Bucket="one", Key=f"kept/{number}", Body=os.urandom(number * 40_000), Metadata={"n": str(number)})
        bob.put_object(Bucket="bobs", Key=f"kept/{number}", Body=os.urandom(100), ContentType="text/plain")
    for key in ("replaced", "deleted", "copied over", "deleted and put again"):
        s3.put_object(Bucket="one", Key=key, Body=b"the first " + key.encode(), StorageClass="STANDARD_IA")
    s3.copy_object(Bucket="one", Key="a copy", CopySource={"Bucket": "one", "Key": "kept/1"})
    s3.complete_multipart_upload(**upload(s3, "one", "multi", Metadata={"m": "1"}, ChecksumAlgorithm="CRC32"))
    bob.create_bucket(Bucket="again")
    bob.put_object(Bucket="again", Key="of the first", Body=b"1")
    return upload(bob, "bobs", "completed later", ContentType="x/y")


def change(shop: Shop, opened: dict[str, Any]) -> None:
    """What only manifests know."""
    s3, bob = shop.client(), shop.client(1)
    for key in ODD_KEYS:
        s3.put_object(Bucket="one", Key=key, Body=key.encode() if key != "zero" else b"", Metadata={"key": "odd"})
    headers = {"ContentType": "text/html", "CacheControl": "no-store", "ContentLanguage": "eo"}
    s3.put_object(Bucket="one", Key="replaced", Body=b"the second", Metadata={"x": "y" * 1800}, **headers)
    s3.put_object(Bucket="one", Key="replaced", Body=b"the third", Metadata={"x": "y" * 1800}, **headers)
    s3.put_object(Bucket="one", Key="checked", Body=b"123", ChecksumAlgorithm="SHA256")
    s3.delete_object(Bucket="one", Key="deleted")
    s3.delete_object(Bucket="one", Key="deleted and put again")
    s3.put_object(Bucket="one", Key="deleted and put again", Body=b"again")
    bob.complete_multipart_upload(**opened)
    bob.create_bucket(Bucket="new", CreateBucketConfiguration={"LocationConstraint": "cold"})
    bob.complete_multipart_upload(**upload(bob, "new", "multi of new", parts=3))
    bob.delete_object(Bucket="again", Key="of the first")
    bob.delete_bucket(Bucket="again")
    s3.create_bucket(Bucket="again")
    s3.put_object(Bucket="again", Key="of the second", Body=b"2")


def without_settings(seen: dict[str, Any]) -> dict[str, Any]:
    """A bucket that only manifests know comes back without its location constraint."""
    return {key: value if isinstance(value, dict) else value[0] for key, value in seen.items()}


@pytest.mark.parametrize("shop", ["local", "azure"], indirect=True)
def test_a_snapshot_and_newer_manifests_bring_everything_back(shop: Shop) -> None:
    opened = fill(shop)
    shop.run("snapshot")
    change(shop, opened)
    before = shop.everything()
    shop.stop()
    shop.lose_data()
    tried = json.loads(shop.run("restore", "--dry-run", "--json", code=5))
    assert not (shop.folder / "data" / "catalogue.sqlite").exists()
    told = json.loads(shop.run("restore", "--json", code=5))
    assert tried == told
    assert told["undecided"] == told["damaged"] == told["faults"] == told["owners"] == told["uploads"] == []
    assert {(item["bucket"], item["key"]) for item in told["gone"]} == {("one", "deleted")}
    assert len(told["buckets"]) == 3 and told["objects"] == sum(isinstance(each, dict) for each in before.values())
    shop.live.start()
    assert without_settings(shop.everything()) == without_settings(before)
    client = shop.client()
    client.put_object(Bucket="again", Key="after", Body=b"it goes on")
    shop.stop()
    assert "0 blobs wait" in shop.run("reap"), "and the reaper took nothing that a row needs:"
    shop.live.start()
    assert without_settings(shop.everything()).keys() - before.keys() == {"again/after"}


@pytest.mark.parametrize("shop", ["local", "s3"], indirect=True)
def test_manifests_alone_bring_back_every_object_that_was_written(shop: Shop) -> None:
    opened = fill(shop)
    change(shop, opened)
    before = shop.everything()
    owners = [shop.client(account).list_buckets()["Owner"]["ID"] for account in range(2)]
    shop.stop()
    shop.lose_data()
    shop.run("restore", code=1)  # there is no snapshot
    told = json.loads(shop.run("rebuild", "--json", code=5))
    assert sorted(told["owners"]) == sorted(owners)
    assert told["undecided"] == told["damaged"] == told["gone"] == told["faults"] == []
    for account, (access, secret) in enumerate(shop.pairs):
        (shop.folder / "secret").write_text(secret)
        shop.run("account", "add", f"back{account}", "--canonical-id", owners[account])
        pair = ("--access-key", access, "--secret-file", str(shop.folder / "secret"))
        shop.run("key", "add", "--account", f"back{account}", *pair)
    shop.live.start()
    after = without_settings(shop.everything())
    del before["one/a copy"]  # a copy is rows alone
    assert after == without_settings(before)


def test_a_backup_taken_while_serving_brings_everything_back(local: Shop) -> None:
    fill(local)
    file = local.folder / "kept.sqlite"
    told = json.loads(local.run("backup", str(file), "--json"))
    before = local.everything()
    assert (file.stat().st_mode & 0o777, told["size"]) == (0o600, file.stat().st_size)
    local.stop()
    assert "none is ever replaced" in local.run("restore", "--from", str(file), code=1)
    local.lose_data()
    told = json.loads(local.run("restore", "--from", str(file), "--json", code=5))
    assert [item["key"] for item in told["uploads"]] == ["completed later"]
    assert told["from_manifests"] == told["gone"] == []
    local.live.start()
    assert local.everything() == before
