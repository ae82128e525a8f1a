"""Snapshots: whole or not used, the older one where the newer one is damaged, a few kept, and taken by themselves."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from typing import Any

from tests.localfolder import Blob, blobs
from tests.recovery.conftest import Shop

FLIPS = 200 if os.environ.get("GATEWAY_LONG") == "1" else 6


def snapshots(shop: Shop, location: str = "storage") -> list[str]:
    """The snapshots in a location, oldest first."""
    return sorted({blob.name.split("/")[1] for blob in blobs(shop.folder / location, "gatewaysnapshot/")})


def part(shop: Shop, snapshot: str, name: str, location: str = "storage") -> Blob:
    return Blob(shop.folder / location, f"gatewaysnapshot/{snapshot}/{name}")


def filled(shop: Shop, *keys: str) -> None:
    s3 = shop.client()
    s3.create_bucket(Bucket="one")
    for key in keys:
        s3.put_object(Bucket="one", Key=key, Body=key.encode())


def test_a_few_are_kept_and_an_unfinished_one_goes(local: Shop) -> None:
    for turn in range(5):
        filled(local, f"key {turn}")
        if turn == 3:  # as a gateway leaves it that is killed before the index
            part(local, snapshots(local)[-1], "index").unlink()
        local.run("snapshot")
    kept = snapshots(local)
    assert len(kept) == 3 and all(part(local, snapshot, "index").exists() for snapshot in kept)
    assert snapshots(local, "cold")[-1][:12] == kept[-1][:12]


def test_a_snapshot_that_is_killed_midway_leaves_the_older_one(local: Shop) -> None:
    filled(local, "old")
    local.run("snapshot")
    (first,) = snapshots(local)
    filled(local, "new")
    words = [sys.executable, "-m", "gateway", "snapshot", "-c", str(local.folder / "tahoe.cfg")]
    calls = "linkat,link,rename,renameat,renameat2,fdatasync"  # each that lets a blob (or the copy) appear
    strace = ["strace", "-f", "-qq", "-o", os.devnull, "-e", f"trace={calls}"]
    for number in range(1, 20):
        kill = f"inject={calls}:signal=KILL:when={number}"
        done = subprocess.run([*strace, "-e", kill, *words], capture_output=True, text=True, timeout=120)
        assert part(local, first, "index").exists()
        if done.returncode == 0:
            break
    assert number > 2, "nothing was killed: this proves nothing"
    local.stop()
    for location in ("storage", "cold"):
        for newer in snapshots(local, location)[1:]:
            index = part(local, newer, "index", location)
            if index.exists():
                index.unlink()
    local.lose_data()
    told = json.loads(local.run("restore", "--json", code=5))
    assert told["source"].startswith(f"gatewaysnapshot/{first[:12]}") and told["objects"] == 2
    assert not list((local.folder / "data").glob("*.copy*"))


def test_every_flipped_bit_and_every_cut_of_a_snapshot_is_noticed(local: Shop) -> None:
    filled(local, "old")
    local.run("snapshot")
    filled(local, "new")
    local.run("snapshot")
    local.stop()
    local.lose_data()
    chance = random.Random(5)
    places = [(location, name) for location in ("storage", "cold") for name in ("00000000", "index")]
    for turn in range(FLIPS):
        kept = {}
        for location in ("storage", "cold"):  # the newest is damaged in both
            blob = part(local, snapshots(local, location)[-1], places[turn % 2][1], location)
            kept[blob] = blob.read_bytes()
            data = bytearray(kept[blob])
            data[chance.randrange(len(data) - 40)] ^= 1 << chance.randrange(8)
            blob.write_bytes(bytes(data if turn < FLIPS - 1 else data[: len(data) // 2]))
        told = json.loads(local.run("restore", "--dry-run", "--json", code=5))
        assert len([fault for fault in told["faults"] if "cannot be used" in fault]) == 2, told["faults"]
        assert told["source"].startswith(f"gatewaysnapshot/{snapshots(local)[0][:12]}")
        assert told["objects"] == 2, "the newer object comes from its manifest"
        for blob, whole in kept.items():
            blob.write_bytes(whole)


def test_parts_of_two_snapshots_do_not_mix(local: Shop) -> None:
    """A blob that is whole and sealed by us, at another snapshot's place."""
    filled(local, "old")
    local.run("snapshot")
    filled(local, "new")
    local.run("snapshot")
    local.stop()
    local.lose_data()
    for location in ("storage", "cold"):
        old, new = snapshots(local, location)
        part(local, new, "00000000", location).becomes(part(local, old, "00000000", location))
    told = json.loads(local.run("restore", "--dry-run", "--json", code=5))
    assert len(told["faults"]) == 2 and all("for this place" in fault for fault in told["faults"])


def test_another_gateways_key_opens_nothing(local: Shop) -> None:
    filled(local, "old")
    local.run("snapshot")
    local.stop()
    local.lose_data()
    (local.folder / "private" / "seal").write_text("ab" * 32 + "\n")
    assert "sealed" in local.run("restore", code=1)
    told = json.loads(local.run("rebuild", "--json", code=5))
    assert told["objects"] == 0 and any("does not open" in fault for fault in told["faults"])


def test_a_gateway_takes_them_by_itself_where_something_changed(local: Shop) -> None:
    local.set("snapshot_interval = 0", "snapshot_interval = 500ms")

    def wait_for(what: Any) -> None:
        end = time.monotonic() + 60
        while not what():
            assert time.monotonic() < end, "it never came"
            time.sleep(0.05)

    filled(local, "first")
    wait_for(lambda: len(snapshots(local)) > 0)
    settled: list[str] = []

    def is_quiet() -> bool:
        nonlocal settled
        before, settled = settled, snapshots(local)
        time.sleep(2)  # four turns
        return before == settled

    wait_for(is_quiet)
    filled(local, "second")
    wait_for(lambda: snapshots(local)[-1] != settled[-1])
    wait_for(is_quiet)  # else the kill may leave an unfinished one, which makes the restore uncertain
    local.live.kill()
    local.lose_data()
    assert json.loads(local.run("restore", "--json"))["objects"] == 2
