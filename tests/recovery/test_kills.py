"""Kill -9 at the system calls of `gateway snapshot`, of a gateway's own snapshot, and of `gateway restore`.

What was acknowledged before comes back whole, by running the command again or by starting; a catalogue that is half
made is never served. A fixed sample in `make test`, every call in `make test-long`.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.campaign.nursery import nursery
from tests.campaign.subject import MUTATING, PATIENCE, Broken, Subject, Watch, can_trace, counts, nobody
from tests.campaign.verify import unsound
from tests.localfolder import blobs

SEED, SAMPLE = 5, 4
ALL = os.environ.get("GATEWAY_LONG") == "1"
CALLS = [call for call in MUTATING if call not in ("openat", "sendto")]
TWO_BLOBS = 8 * 1024 * 1024 + 1000
Point = tuple[str, int]


class Shop(Subject):
    """A gateway that takes no snapshot by itself. ``wares``: what it acknowledged, by key."""

    def __init__(self, folder: Path, wares: dict[str, bytes] | None = None) -> None:
        super().__init__(folder)
        self.wares = dict(wares or {})
        self.config = folder / "tahoe.cfg"

    def copy(self, folder: Path, *, data: bool) -> Shop:
        """Another one, with the same storage; ``data`` False: its data folder is gone."""
        shutil.copytree(self.folder, folder)
        if not data:
            shutil.rmtree(folder / "data")
        return Shop(folder, self.wares)

    def every(self, interval: str) -> None:
        """How often it takes a snapshot from its next start on."""
        text = re.sub(r"(snapshot_interval =).*", rf"\1 {interval}", self.config.read_text())
        self.config.write_text(text)

    def put(self, key: str, body: bytes) -> None:
        client = self.client()
        assert client.ask("PUT", f"/bucket/{key}", body).status == 200
        client.close()
        self.wares[key] = body

    def say(self, *words: str, watch: Watch = nobody) -> tuple[int, str]:
        """The exit code of a command (negative: the signal that ended it), and what it printed."""
        said = self.folder / "command.out"
        self._child = child = nursery().child([*words, "-c", str(self.config)], said)
        watch(self)
        child.go()
        code = child.end(PATIENCE)
        self.kill()
        return code, said.read_text()

    def judge(self, *, restored: bool = False) -> None:
        """Start it; everything that was acknowledged is there, and when it was reaped nothing else is.

        ``restored``: blobs that its catalogue does not know may lie there, which the reaper leaves alone.
        """
        self.start()
        self.look()
        self.stop()
        self.reap()
        assert unsound(self.folder, reaped=not restored) == []

    def look(self) -> None:
        client = self.client()
        for key, body in self.wares.items():
            answer = client.ask("GET", f"/bucket/{key}")
            assert (answer.status, answer.body == body) == (200, True), key
        listed = client.ask("GET", "/bucket").body
        client.close()
        assert listed.count(b"<Key>") == len(self.wares)

    def judge_without_data(self, folder: Path) -> None:
        """Were its data folder lost now, `gateway restore` would bring everything back."""
        other = self.copy(folder, data=False)
        code, said = other.say("restore")
        assert code in (0, 5), said
        other.judge(restored=True)
        shutil.rmtree(folder)

    def leftovers(self) -> list[str]:
        """Files of its data folder that a copy or a draft left."""
        return [path.name for path in (self.folder / "data").iterdir() if ".copy" in path.name or "draft" in path.name]


@pytest.fixture(scope="module")
def traced() -> None:
    if reason := can_trace():
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(reason)


@pytest.fixture(scope="module")
def stage(traced: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """A gateway that is stopped: some objects are in its snapshot, and newer ones are not."""
    shop = Shop(tmp_path_factory.mktemp("stage") / "gateway")
    shop.config.write_text(shop.config.read_text().replace("[storage]", "snapshot_interval = 0\n\n[storage]"))
    shop.start()
    client = shop.client()
    assert client.ask("PUT", "/bucket").status == 200
    client.close()
    for number in range(3):
        shop.put(f"old{number}", b"old" * number)
    shop.put("large", os.urandom(TWO_BLOBS))
    shop.stop()
    assert shop.say("snapshot")[0] == 0
    shop.start()
    for number in range(3):
        shop.put(f"new{number}", b"new" * number)
    shop.put("old2", b"replaced")
    shop.stop()
    yield shop
    shop.kill()


def sample(counted: dict[str, int]) -> list[Point]:
    """Some of the calls to die at, or all; the later ones of a kind as likely as the first."""
    points = [(call, number) for call in CALLS for number in range(1, counted.get(call, 0) + 1)]
    assert len(points) > SAMPLE, "nothing was written: this proves nothing"
    return points if ALL else random.Random(SEED).sample(points, SAMPLE)


def counting(shop: Subject) -> None:
    shop.count(CALLS)


def aiming(point: Point) -> Callable[[Subject], None]:
    return lambda shop: shop.aim(*point)


def counted_in(shop: Shop, *words: str) -> dict[str, int]:
    """The system calls of a command."""
    code, said = shop.say(*words, watch=counting)
    assert code in (0, 5), said
    return counts((shop.folder / "calls").read_text())


def test_a_snapshot_that_is_killed_anywhere_harms_nothing(stage: Shop, tmp_path: Path) -> None:
    first = stage.copy(tmp_path / "first", data=True)
    killed = 0
    for point in sample(counted_in(first, "snapshot")):
        shop = stage.copy(tmp_path / "shop", data=True)
        code, _ = shop.say("snapshot", watch=aiming(point))
        killed += code == -signal.SIGKILL
        shop.judge_without_data(tmp_path / "lost")
        code, said = shop.say("snapshot")
        assert (code, shop.leftovers()) == (0, []), (point, said)
        shop.judge()
        shutil.rmtree(shop.folder)
    assert killed >= SAMPLE // 2


def test_a_gateway_that_is_killed_in_its_own_snapshot_starts_again(stage: Shop, tmp_path: Path) -> None:
    first = serving(stage, tmp_path / "first", counting)
    assert takes_a_snapshot(first, stage)
    points = sample(first.counted())
    first.kill()
    killed = 0
    for point in points:
        shop = serving(stage, tmp_path / "shop", aiming(point))
        killed += not takes_a_snapshot(shop, stage)
        shop.kill()
        shop.judge_without_data(tmp_path / "lost")
        shop.every("0")
        code, said = shop.say("snapshot")
        assert (code, shop.leftovers()) == (0, []), (point, said)
        shop.judge()
        shutil.rmtree(shop.folder)
    assert killed >= SAMPLE // 2


def serving(stage: Shop, folder: Path, watch: Watch) -> Shop:
    """A gateway that serves, is watched, and will take a snapshot soon; on a slow machine somewhat later."""
    for interval in (15, 60, 240):  # the first comes after a tenth of it
        shop = stage.copy(folder, data=True)
        shop.every(f"{interval}s")
        shop.start()
        shop.put("acknowledged", b"just before")
        watch(shop)
        if indexes(shop) == indexes(stage):
            return shop
        shop.kill()
        shutil.rmtree(folder)
    pytest.fail("its first snapshot always came before it was watched")


def takes_a_snapshot(shop: Shop, stage: Shop) -> bool:
    """Wait for its snapshot (True), or its end."""
    end = time.monotonic() + PATIENCE
    while not shop.dead(0.05):
        assert time.monotonic() < end, "it never came"
        if indexes(shop) != indexes(stage):
            return not shop.dead(0.3)
    return False


def indexes(shop: Shop) -> set[str]:
    """The snapshots of its storage that are complete."""
    found = blobs(shop.folder / "storage", "gatewaysnapshot/")
    return {blob.name.split("/")[1] for blob in found if blob.name.endswith("/index")}


def test_a_restore_that_is_killed_anywhere_is_done_or_can_be_done_again(stage: Shop, tmp_path: Path) -> None:
    first = stage.copy(tmp_path / "first", data=False)
    killed = 0
    for number, point in enumerate(sample(counted_in(first, "restore"))):
        for start_first in (False, True) if ALL else (number % 2 == 1,):
            shop = stage.copy(tmp_path / "shop", data=False)
            code, _ = shop.say("restore", watch=aiming(point))
            killed += code == -signal.SIGKILL
            if not (start_first and starts(shop)):
                code, said = shop.say("restore")
                done = code == 1 and not start_first and "holds a catalogue" in said
                assert code in (0, 5) or done, (point, said)
            shop.judge(restored=True)
            assert shop.leftovers() == [], point
            shutil.rmtree(shop.folder)
    assert killed >= SAMPLE // 2


def starts(shop: Shop) -> bool:
    """Does it serve (then everything), or refuse to start in a line?"""
    try:
        shop.start()
    except Broken:
        assert "belongs to another gateway" in (shop.folder / "server.out").read_text()
        shop.kill()
        return False
    shop.look()
    shop.stop()
    return True
