"""T139 and T142: a file system that is really full, and a process that has no descriptors left, met by a real gateway.

What was acknowledged stays, reads and deletes go on, and it all works again without a restart.
"""

from __future__ import annotations

import os
import resource
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.campaign.signing import Answer, NoAnswer
from tests.campaign.subject import PATIENCE, Subject

MIB = 1024 * 1024
SIZE = 24 * MIB


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a tmpfs of 24 MiB; skipped, with the reason, for whoever may not mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounting = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(folder)]
    done = subprocess.run(mounting, capture_output=True, text=True, check=False)
    if done.returncode:
        reason = f"no tmpfs may be mounted (be root): {done.stderr.strip()}"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


class Gateway(Subject):
    def settle(self, *lines: str) -> None:
        """Some more settings of [gateway] and [storage]."""
        file = self.folder / "tahoe.cfg"
        text = file.read_text().replace("reap_interval = 3600", "reap_interval = 0.2\nprobe_interval = 0.2")
        file.write_text(text + "\n".join(lines) + "\n")

    def ask(self, method: str, path: str, body: bytes = b"") -> Answer:
        client = self.client()
        try:
            return client.ask(method, path, body)
        finally:
            client.close()

    def ready(self) -> bool:
        return self.ask("GET", "/_/ready").status == 200


def wait(until: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not until():
        assert time.monotonic() < end, "it does not recover"
        time.sleep(0.05)


def put(gateway: Gateway, key: str, body: bytes) -> int:
    answer = gateway.ask("PUT", f"/bucket/{key}", body)
    assert answer.status in (200, 507), answer
    assert answer.status == 200 or answer.texts("Code") == ["InsufficientStorage"]
    return answer.status


def fill(gateway: Gateway, kept: dict[str, bytes]) -> None:
    """PUT until there is no room, not even for little."""
    for size in (MIB, 65_536, 1):
        while put(gateway, key := f"k{len(kept):04d}", body := os.urandom(size)) == 200:
            kept[key] = body


def check(gateway: Gateway, kept: dict[str, bytes]) -> None:
    listed = gateway.ask("GET", "/bucket").texts("Key")
    assert listed == sorted(kept)
    for key, body in kept.items():
        assert gateway.ask("GET", f"/bucket/{key}").body == body


def test_a_full_disk_refuses_writes_only_and_recovers_by_itself(small_disk: Path) -> None:
    gateway = Gateway(small_disk / "gateway")
    gateway.settle("local.reserve = 4MiB")
    kept: dict[str, bytes] = {}
    try:
        gateway.start()
        assert gateway.ask("PUT", "/bucket").status == 200
        fill(gateway, kept)
        assert len(kept) >= 10
        check(gateway, kept)
        wait(lambda: not gateway.ready())
        old = gateway.ask("GET", "/bucket/k0003")
        # no more than what is read and dropped behind a refusal: who is still sending then hears a broken pipe
        assert put(gateway, "k0003", os.urandom(MIB)) == 507
        assert gateway.ask("GET", "/bucket/k0003").headers["etag"] == old.headers["etag"]
        for key in list(kept)[:5]:
            kept.pop(key)
            assert gateway.ask("DELETE", f"/bucket/{key}").status == 204
        check(gateway, kept)
        wait(gateway.ready)
        wait(lambda: put(gateway, "again", b"a" * MIB) == 200)
        kept["again"] = b"a" * MIB
        fill(gateway, kept)
        check(gateway, kept)
        gateway.kill()
        gateway.command("reap", "--now", "-c", str(gateway.folder / "tahoe.cfg"))
    finally:
        gateway.kill()


def test_somebody_else_fills_the_disk_to_its_last_block(small_disk: Path) -> None:
    """Now the catalogue has no room either: nothing can be changed, all can be read."""
    gateway = Gateway(small_disk / "gateway")
    gateway.settle("local.reserve = 0")
    kept = {"a": b"first" * 1000, "b": os.urandom(MIB)}
    try:
        gateway.start()
        assert gateway.ask("PUT", "/bucket").status == 200
        for key, body in kept.items():
            assert put(gateway, key, body) == 200
        with (small_disk / "theirs").open("wb", buffering=0) as file, pytest.raises(OSError, match="No space"):
            for piece in [b"x" * MIB] * 64 + [b"x" * 4096] * 1024:
                file.write(piece)
        assert os.statvfs(small_disk).f_bavail == 0
        codes = {put(gateway, f"late{number}", b"y" * 5000) for number in range(30)}
        assert codes == {507}
        for _ in range(30):  # what the log has room for in its last blocks may still be done
            answer = gateway.ask("DELETE", "/bucket/a")
            assert answer.status in (204, 507)
            if answer.status == 204:
                kept.pop("a", None)
        check(gateway, kept)
        wait(lambda: not gateway.ready())
        (small_disk / "theirs").unlink()
        wait(gateway.ready)
        assert put(gateway, "late", b"y" * 5000) == 200
        kept["late"] = b"y" * 5000
        assert gateway.ask("DELETE", "/bucket/b").status == 204
        kept.pop("b")
        check(gateway, kept)
        assert "Traceback" not in gateway.said()
        gateway.stop()
    finally:
        gateway.kill()


def test_without_descriptors_nothing_is_lost_and_new_ones_are_used(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path / "gateway")
    gateway.settle()
    idle: list[socket.socket] = []
    kept = {f"k{number}": os.urandom(70_000) for number in range(4)}
    try:
        gateway.start()
        assert gateway.ask("PUT", "/bucket").status == 200
        for key, body in kept.items():
            assert put(gateway, key, body) == 200
        used = len(os.listdir(f"/proc/{gateway.pid}/fd"))
        hard = resource.prlimit(gateway.pid, resource.RLIMIT_NOFILE)[1]
        steady = gateway.client()
        assert steady.ask("GET", "/bucket/k0").status == 200
        resource.prlimit(gateway.pid, resource.RLIMIT_NOFILE, (used + 20, hard))
        where = urlsplit(gateway.endpoint)
        for _ in range(60):
            idle.append(socket.create_connection((where.hostname, where.port), timeout=PATIENCE))
        time.sleep(0.2)
        statuses = set()
        for number in range(20):
            try:
                answer = steady.ask("PUT", f"/bucket/late{number}", b"z" * 70_000)
            except NoAnswer:  # its connection was lost, and no new one is accepted
                break
            statuses.add(answer.status)
            if answer.status == 200:
                kept[f"late{number}"] = b"z" * 70_000
        assert statuses and statuses <= {200, 503}, statuses
        assert statuses == {503} or len(statuses) == 2, "there were descriptors enough: this proves nothing"
        steady.close()
        for connection in idle:
            connection.close()
        wait(lambda: answered(gateway, "GET", "/bucket/k0") == 200)
        wait(lambda: answered(gateway, "PUT", "/bucket/after") == 200)
        kept["after"] = b""
        check(gateway, kept)
        wait(gateway.ready)
        gateway.stop()
    finally:
        for connection in idle:
            connection.close()
        gateway.kill()


def answered(gateway: Gateway, method: str, path: str) -> int:
    try:
        return gateway.ask(method, path).status
    except NoAnswer:
        return 0
