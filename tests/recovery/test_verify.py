"""`gateway verify` finds every flipped bit and every missing file, beside a gateway that serves and without one."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from typing import Any

import pytest

from tests.localfolder import Blob, blobs
from tests.recovery.conftest import Shop, upload

FLIPS = 50 if os.environ.get("GATEWAY_LONG") == "1" else 4  # of each file


def stored(shop: Shop) -> dict[str, Blob]:
    """All blobs by their names, without the marker."""
    found = [*blobs(shop.folder / "storage"), *blobs(shop.folder / "cold")]
    return {blob.name: blob for blob in found if not blob.name.startswith("gateway")}


def verify(shop: Shop, *words: str, code: int = 0) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(shop.run("verify", "--json", *words, code=code))
    return told


def fill(shop: Shop) -> None:
    s3, bob = shop.client(), shop.client(1)
    s3.create_bucket(Bucket="one")
    bob.create_bucket(Bucket="cold", CreateBucketConfiguration={"LocationConstraint": "cold"})
    for number, size in enumerate((0, 1, 70_000, 2_500_000)):
        s3.put_object(
            Bucket="one", Key=f"put {number}", Body=random.Random(number).randbytes(size), Metadata={"a": "b"}
        )
    s3.copy_object(Bucket="one", Key="copy", CopySource={"Bucket": "one", "Key": "put 3"})
    bob.complete_multipart_upload(**upload(bob, "cold", "multi"))
    upload(bob, "cold", "under way")


def test_nothing_is_wrong_with_what_was_just_written(local: Shop) -> None:
    fill(local)
    told = verify(local)
    assert (told["versions"], told["faults"]) == (6, [])
    assert told["strays"] == {"storage": [], "cold": []}
    local.stop()
    assert verify(local) == told | {"after": told["after"]}
    stray = local.folder / "cold" / "blobs" / "0123456789abcdef" / "000000"
    stray.parent.mkdir(parents=True)
    stray.write_bytes(b"?")
    assert verify(local)["strays"] == {"storage": [], "cold": ["0123456789abcdef/000000"]}
    assert stray.exists()


def test_every_flipped_bit_is_found_wherever_it_is(local: Shop) -> None:
    """Bytes, the manifest beside them, manifests of their own, the files' trailers: one bit of each file at a time."""
    fill(local)
    local.stop()
    keys = owners(local)
    files = {name: blob for name, blob in stored(local).items() if name in keys}
    kept = {name: blob.read_bytes() for name, blob in files.items()}
    chance = random.Random(20261127)
    for turn in range(FLIPS):
        flipped = {}
        for name, blob in files.items():
            size = len(blob.read_bytes())
            at = chance.randrange(size) if turn % 2 else max(0, size - 1 - chance.randrange(min(size, 600)))
            flipped[name] = at, 1 << chance.randrange(8)
            blob.flip(*flipped[name])
        named = told_of(verify(local, code=5)["faults"])
        missed = {name: place for name, place in flipped.items() if named.get(name) != keys[name]}
        assert not missed and named.keys() == files.keys()
        for name, whole in kept.items():
            files[name].write_bytes(whole)
    assert verify(local)["faults"] == []


def told_of(faults: list[dict[str, str]]) -> dict[str, set[tuple[str, str]]]:
    """Blob -> the objects that are told of."""
    found: dict[str, set[tuple[str, str]]] = {}
    for fault in faults:
        found.setdefault(fault["blob"], set()).add((fault["bucket"], fault["key"]))
    return found


def owners(shop: Shop) -> dict[str, set[tuple[str, str]]]:
    """Blob -> the objects that need it, as the catalogue has it."""
    import apsw

    connection = apsw.Connection(str(shop.folder / "data" / "catalogue.sqlite"))
    found: dict[str, set[tuple[str, str]]] = {}
    sql = (
        "SELECT p.blob, b.name, v.key FROM pieces p"
        " JOIN versions v ON v.id = p.version JOIN buckets b ON b.id = v.bucket"
    )
    for blob, bucket, key in connection.execute(sql):
        found.setdefault(str(blob), set()).add((str(bucket), bytes(key).decode()))  # type: ignore[arg-type]
    connection.close()
    return found


def test_every_missing_and_every_cut_file_is_named(local: Shop) -> None:
    fill(local)  # and it serves on
    keys = owners(local)
    files = {name: path for name, path in stored(local).items() if name in keys}
    kept = {name: path.read_bytes() for name, path in files.items()}
    for kinds, left in (({"missing"}, None), ({"unreadable", "short"}, 0.5)):
        for name, path in files.items():
            path.unlink()
            if left is not None:
                path.write_bytes(kept[name][: int(len(kept[name]) * left)])
        faults = verify(local, code=5)["faults"]
        assert told_of(faults) == keys
        assert {fault["kind"] for fault in faults} <= kinds
        for name, path in files.items():
            path.write_bytes(kept[name])
    assert verify(local)["faults"] == []


def test_a_run_that_was_ended_goes_on_where_it_was(local: Shop) -> None:
    """The first run is slow and is killed on its way; what it had found is not lost, nor read again."""
    s3 = local.client()
    s3.create_bucket(Bucket="one")
    for number in range(230):
        s3.put_object(Bucket="one", Key=f"{number:03d}", Body=bytes([number]) * 1000)
    first = next(name for name, keys in owners(local).items() if ("one", "007") in keys)
    stored(local)[first].unlink()
    words = [sys.executable, "-m", "gateway", "verify", "--rate", "60KB", "-c", str(local.folder / "tahoe.cfg")]
    slow = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    cursor = local.folder / "data" / "verify.json"
    end = time.monotonic() + 120
    while not cursor.exists() and time.monotonic() < end:
        time.sleep(0.02)
    slow.send_signal(signal.SIGKILL)
    slow.wait()
    half = json.loads(cursor.read_text())
    assert 0 < half["versions"] < 230
    told = verify(local, code=5)
    assert told["versions"] == 230 and not cursor.exists()
    assert [fault["key"] for fault in told["faults"]] == ["007"]


@pytest.mark.parametrize("rate", ["nonsense", "0"])
def test_a_rate_that_is_none_is_a_fault_of_usage(local: Shop, rate: str) -> None:
    assert "expected" in local.run("verify", "--rate", rate, code=2)
