"""Rows of hosts that pause, double, lie about the time or are set up carelessly, each met by real processes."""

from __future__ import annotations

import os
import re
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest
from pytest_twisted import ensureDeferred
from twisted.internet import reactor

from gateway.catalogue import CatalogueFault, open_catalogue
from gateway.catalogue.database import FILE
from gateway.model import NewVersion, Piece
from gateway.plugins.location import Location
from gateway.reaper import Reaper
from gateway.seal import Seal
from gateway.settings import Values
from tests.campaign.errors import Fault, Sick
from tests.campaign.nursery import nursery
from tests.campaign.signing import Answer
from tests.campaign.subject import PATIENCE, Subject, can_trace

KEY = b"k" * 32


class Gateway(Subject):
    def ask(self, method: str, path: str, body: bytes = b"") -> Answer:
        client = self.client()
        try:
            return client.ask(method, path, body)
        finally:
            client.close()

    def say(self, *words: str, file: str = "tahoe.cfg") -> tuple[int, str]:
        """The exit code of a command, and all that it printed."""
        said = self.folder / "command.out"
        said.write_text("")
        child = nursery().child([*words, "-c", str(self.folder / file)], said)
        child.go()
        return child.end(PATIENCE), said.read_text()

    def blobs(self) -> set[Path]:
        return {each for each in (self.folder / "storage" / "blobs").rglob("*") if each.is_file()}

    def stop_at(self, call: str, path: Path) -> None:
        """It is stopped (SIGSTOP) as it makes that call about ``path``."""
        stop = f"inject={call}:signal=STOP:when=1"
        self._attach("-o", str(self.folder / "struck"), "-P", str(path), "-e", f"trace={call}", "-e", stop)

    def is_stopped(self) -> bool:
        """Whether all of it stands still (being traced it does so for a moment at each call, which is not meant)."""
        return "stopped by SIGSTOP" in (self.folder / "struck").read_text()


@pytest.fixture
def traced() -> None:
    if reason := can_trace():
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    made = Gateway(tmp_path / "gateway")
    made.start()
    assert made.ask("PUT", "/bucket").status == 200
    yield made
    if made.pid:
        os.kill(made.pid, signal.SIGCONT)
    made.kill()


def wait(until: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not until():
        assert time.monotonic() < end
        time.sleep(0.02)


# ---------------------------------------------------------------- time


@ensureDeferred
async def test_t129_the_order_is_that_of_commits_whatever_the_clocks_say(tmp_path: Path) -> None:
    now = 1_800_000_000.0
    clocks = {"one": 0.0, "two": 600.0}
    open_as: dict[str, Any] = {
        name: open_catalogue(
            tmp_path / "data",
            Seal(KEY),
            clock=lambda name=name: now + clocks[name],  # type: ignore[misc]
            reactor=reactor,  # type: ignore[arg-type]
        )
        for name in clocks
    }
    bucket, _ = await open_as["one"].buckets.create("bucket", "o", "storage", "")
    made = []
    for number, name in enumerate(["two", "one", "two", "one", "one", "two", "one"]):
        clocks[name] += (-3600, 3600, -7200, 30)[number % 4]
        blob = await open_as[name].blobs.name("storage")
        new = NewVersion(
            bucket=bucket.id,
            key=b"key",
            owner="o",
            location="storage",
            size=1,
            stored=1,
            etag=f"{number}",
            pieces=(Piece(blob, 0, 1, b"crcs"),),
        )
        made.append(await open_as[name].versions.commit(new))
        for other in open_as.values():
            current = await other.versions.find(bucket.id, b"key")
            assert current is not None and current.etag == f"{number}"
    assert [each.id for each in made] == sorted(each.id for each in made)
    times = [each.modified for each in made]
    assert times == sorted(times), "Last-Modified of a key never goes back"
    for each in open_as.values():
        await each.close()


# ---------------------------------------------------------------- paused and doubled


@ensureDeferred
async def test_t130_a_pause_between_blob_and_commit_outlives_every_grace(
    traced: None, gateway: Gateway, tmp_path: Path
) -> None:
    answers: list[Answer] = []
    assert gateway.ask("PUT", "/bucket/warm", b"w" * 50_000).status == 200
    before = gateway.blobs()
    (lease,) = [each.parent for each in before if each.parent.name != "blobs"]
    gateway.stop_at("fsync", lease)
    asking = threading.Thread(target=lambda: answers.append(gateway.ask("PUT", "/bucket/key", b"b" * 50_000)))
    asking.start()
    wait(gateway.is_stopped)
    (blob,) = gateway.blobs() - before

    code, said = gateway.say("reap", "--now")
    assert code == 3 and f"in use by the gateway of process {gateway.pid}" in said
    # Past the lock of the folder, ten days later: what another process of a shared folder would do.
    from gateway_local import LocalBackend

    seal = bytes.fromhex((gateway.folder / "private" / "seal").read_text().strip())
    other = open_catalogue(
        gateway.folder / "data",
        Seal(seal),
        clock=lambda: time.time() + 864_000,
        reactor=reactor,  # type: ignore[arg-type]
    )
    location = Location(
        "storage", LocalBackend(Values.of(LocalBackend.settings, {"local.path": gateway.folder / "storage"})), ()
    )
    await location.open()
    reaped = await Reaper(other, {"storage": location}).reap()
    assert (reaped.leases, reaped.failed) == (0, 0)
    assert blob.exists(), "a paused process is not a dead one"
    await location.close()
    await other.close()

    assert not answers
    os.kill(gateway.pid, signal.SIGCONT)
    asking.join(PATIENCE)
    gateway.release()
    assert [answer.status for answer in answers] == [200]
    assert gateway.ask("GET", "/bucket/key").body == b"b" * 50_000
    gateway.stop()
    assert gateway.say("reap", "--now")[0] == 0
    assert blob.exists()


def test_t147_a_second_gateway_on_the_same_data_or_storage_refuses_to_start(gateway: Gateway) -> None:
    assert gateway.ask("PUT", "/bucket/key", b"first").status == 200
    os.kill(gateway.pid, signal.SIGSTOP)  # a lock does not lie, not even for one that does not answer
    before = {file: file.read_bytes() for file in gateway.blobs()}
    text = (gateway.folder / "tahoe.cfg").read_text()
    code, said = gateway.say("run")
    assert code == 3 and re.search(rf"seen .* in use by the gateway of process {gateway.pid}; .*fix: ", said), said
    (gateway.folder / "other.cfg").write_text(text.replace("[storage]", "data = data2\n[storage]"))
    code, said = gateway.say("run", file="other.cfg")
    assert code == 3 and "belongs to another gateway" in said and len(said.strip().splitlines()) == 1, said
    assert {file: file.read_bytes() for file in gateway.blobs()} == before
    os.kill(gateway.pid, signal.SIGCONT)
    assert gateway.ask("GET", "/bucket/key").body == b"first"


# ---------------------------------------------------------------- the disk


@pytest.mark.parametrize("fault", [Fault("fsync", "EIO", 1), Fault("fsync", "EIO", 1, lasting=True)], ids=str)
def test_t140_a_sync_of_a_blob_that_failed_is_no_success(traced: None, tmp_path: Path, fault: Fault) -> None:
    with Sick(tmp_path / "round") as this:
        this.fail_in("put of two blobs", fault)
        this.fail_in("put of 3 MiB", fault)
        assert this.end().violations == []
        assert this.tally.kills == 2


@pytest.mark.parametrize("error", ["EIO", "ENOSPC"])
def test_t141_a_sync_of_the_catalogue_that_failed_is_no_success(traced: None, tmp_path: Path, error: str) -> None:
    with Sick(tmp_path / "round") as this:
        for name in ("put", "delete", "complete"):
            this.fail_in(name, Fault("fdatasync", error, 1))
        this.fail_in("put", Fault("fdatasync", error, 1, lasting=True))
        this.fail_in("put", Fault("pwrite64", error, 1, lasting=True))
        assert this.end().violations == []
        assert this.tally.kills == 5


def test_t146_an_sqlite_that_may_corrupt_its_log_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apsw, "sqlite_lib_version", lambda: "3.51.2")
    with pytest.raises(CatalogueFault, match=r"3\.51\.2 may corrupt"):
        open_catalogue(tmp_path / "data", Seal(KEY), reactor=reactor)  # type: ignore[arg-type]
    assert (tmp_path / "data" / FILE).stat().st_size == 0


# ---------------------------------------------------------------- careless settings


def test_t151_secrets_that_others_may_read_stop_the_start_and_are_never_told(gateway: Gateway) -> None:
    seal = gateway.folder / "private" / "seal"
    pair = (gateway.folder / "private" / "admin.credentials").read_text()
    (secret,) = re.findall(r"aws_secret_access_key\s*=\s*(\S+)", pair)
    assert gateway.ask("PUT", "/bucket/key", b"x").status == 200
    gateway.stop()
    canaries = (secret, seal.read_text().strip())
    (gateway.folder / "command.out").unlink()  # what `gateway init` shows once
    for path in gateway.folder.rglob("*"):
        if path.is_file() and "private" not in path.parts:
            data = path.read_bytes()
            assert not any(canary.encode() in data for canary in canaries), path
    for path, mode in ((seal, 0o640), (seal, 0o604), (seal.parent, 0o750)):
        kept = stat.S_IMODE(path.stat().st_mode)
        path.chmod(mode)
        for word in ("run", "check"):
            code, said = gateway.say(word)
            assert code == 3 and "private" in said and "fix: " in said, said
            assert not any(canary in said for canary in canaries)
        path.chmod(kept)
    assert gateway.say("check")[0] == 0


def test_t152_there_are_no_credentials_that_everybody_knows(gateway: Gateway, tmp_path: Path) -> None:
    other = Gateway(tmp_path / "other")
    assert gateway._account.access_key != other._account.access_key
    assert len(other._account.secret) >= 32 and other._account.secret != gateway._account.secret
    short = tmp_path / "short"
    short.write_text("tooshort\n")
    short.chmod(0o600)
    code, said = other.say("key", "add", "--account", "admin", "--access-key", "AKIDSHORT", "--secret-file", str(short))
    assert code in (1, 2) and "16" in said, said


def test_t154_a_plugin_that_raises_at_import_stops_only_what_needs_it(gateway: Gateway, tmp_path: Path) -> None:
    info = tmp_path / "site" / "broken_backend-1.2.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken-backend\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text("[gateway.backends]\nbroken = broken_backend:Backend\n")
    (tmp_path / "site" / "broken_backend.py").write_text("raise RuntimeError('smoke')\n")
    text = (gateway.folder / "tahoe.cfg").read_text()
    broken = text.replace("backend = local", "backend = broken").replace("local.path = storage\n", "")
    (gateway.folder / "broken.cfg").write_text(broken)
    gateway.stop()

    def check(file: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "gateway", "check", "-c", str(gateway.folder / file)]
        environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}
        return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=PATIENCE, check=False)

    assert check("tahoe.cfg").returncode == 0
    done = check("broken.cfg")
    (line,) = done.stderr.splitlines()
    assert done.returncode == 3 and "broken-backend 1.2" in line and "smoke" in line
