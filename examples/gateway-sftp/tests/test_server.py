"""What can go wrong with a server: the wrong one, one that refuses us, one that hangs, one that comes back."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import pytest
import pytest_twisted
from sshd import Sshd, built
from twisted.conch.ssh.keys import Key
from twisted.internet import reactor, task
from twisted.internet.defer import CancelledError, Deferred, ensureDeferred

from gateway import api
from gateway.api import BackendDenied, BackendDown, BackendUnfit

DATA = bytes(range(256)) * 8192


def a_put(name: str = "kit/blob", **more: Any) -> api.PutRequest:
    return api.PutRequest(name=name, body=api.BytesBody(DATA), size=len(DATA), **more)


async def fetched(backend: Any, name: str = "kit/blob") -> bytes:
    body = (await backend.get(api.GetRequest(name=name))).body
    try:
        return b"".join([chunk async for chunk in body])
    finally:
        body.close()


@pytest.fixture
def own(sshd: Any) -> Iterator[Sshd]:
    """A server that a test may treat badly, where there can be one at all."""
    with Sshd() as server:
        yield server


def another_key() -> str:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return str(Key(Ed25519PrivateKey.generate()).toString("OPENSSH").decode())


@pytest_twisted.ensureDeferred
async def test_another_server_is_not_talked_to(sshd: Any) -> None:
    wrong = Key.fromString(another_key().encode()).public().toString("OPENSSH").decode()
    backend = built(sshd, host_key=wrong)
    with pytest.raises(BackendUnfit, match="another key") as raised:
        await backend.open()
    assert raised.value.key == "sftp.host_key"
    assert sshd.host_key.split()[1] in str(raised.value), "the operator can compare"
    await backend.close()


@pytest_twisted.ensureDeferred
async def test_a_key_that_the_server_does_not_know(sshd: Any) -> None:
    backend = built(sshd, key=another_key())
    with pytest.raises(BackendDenied, match="refuses the key"):
        await backend.open()
    await backend.close()


@pytest_twisted.ensureDeferred
async def test_a_folder_that_is_not_there(sshd: Any) -> None:
    backend = built(sshd, path="attic")
    with pytest.raises(BackendUnfit) as raised:
        await backend.open()
    assert raised.value.key == "sftp.path"
    await backend.close()


@pytest.mark.parametrize(("key", "value"), [("host_key", "ssh-ed25519 AAAA"), ("key", "no key")])
def test_keys_are_read_before_anything_is_sent(sshd: Any, key: str, value: str) -> None:
    with pytest.raises(BackendUnfit, match="is no p"):
        built(sshd, **{key: value})


@pytest_twisted.ensureDeferred
async def test_a_server_that_is_gone_and_comes_back(own: Any) -> None:
    backend = built(own)
    await backend.open()
    await backend.put(a_put())
    own.stop()
    with pytest.raises(BackendDown):
        await backend.put(a_put("kit/other"))
    waiting = set(reactor.getDelayedCalls())  # type: ignore[attr-defined]
    with pytest.raises(BackendDown):
        await fetched(backend)
    assert set(reactor.getDelayedCalls()) <= waiting, "something waits for a line that never was"  # type: ignore[attr-defined]
    own.start()
    assert await fetched(backend) == DATA
    page = await backend.list(api.ListRequest())
    assert [blob.name for blob in page.blobs] == ["kit/blob"]
    await backend.close()


@pytest_twisted.ensureDeferred
async def test_a_server_that_hangs_is_left(own: Any) -> None:
    backend = built(own, timeout="1s")
    await backend.open()
    await backend.put(a_put())
    reading = (await backend.get(api.GetRequest(name="kit/blob"))).body
    own.signal(signal.SIGSTOP)
    try:
        with pytest.raises(BackendDown):
            await backend.put(a_put("kit/other"))
        with pytest.raises(BackendDown):
            async for _ in reading:
                pass
        reading.close()
    finally:
        own.signal(signal.SIGCONT)
    assert await fetched(backend) == DATA
    await backend.close()


@pytest_twisted.ensureDeferred
async def test_a_cancelled_put_leaves_no_draft(own: Any) -> None:
    backend = built(own)
    await backend.open()
    never: Deferred[None] = Deferred()

    async def chunks() -> Any:
        yield DATA
        await never

    body = api.StreamBody(chunks(), 2 * len(DATA), lambda: None)
    running = ensureDeferred(backend.put(api.PutRequest(name="kit/blob", body=body, size=2 * len(DATA))))
    drafts = own.home / "drafts"
    while not list(drafts.iterdir()):
        await task.deferLater(reactor, 0.01)
    running.cancel()
    with pytest.raises(CancelledError):
        await running
    assert list(drafts.iterdir()) == []
    assert list((own.home / "blobs").iterdir()) == []
    await backend.close()


@pytest_twisted.ensureDeferred
async def test_old_drafts_are_swept_and_young_ones_left(own: Any) -> None:
    drafts = own.home / "drafts"
    first = built(own)
    await first.open()
    for name, age in (("old", 25 * 3600), ("young", 3600)):
        (drafts / name).write_bytes(b"half")
        os.utime(drafts / name, (time.time() - age,) * 2)
    second = built(own)
    await second.open()
    assert [path.name for path in drafts.iterdir()] == ["young"]
    await second.close()
    await first.close()


@pytest_twisted.ensureDeferred
async def test_what_is_no_blob_of_ours_is_told(own: Any) -> None:
    backend = built(own)
    await backend.open()
    (own.home / "blobs" / "stranger").write_bytes(b"hello")
    with pytest.raises(BackendDown, match="no blob of ours"):
        await backend.head(api.HeadRequest(name="stranger"))
    await backend.close()


@pytest_twisted.ensureDeferred
async def test_what_a_put_kept_was_synced_before_and_after_it_got_its_name(own: Any) -> None:
    """The order of the requests is what survives a power cut: written, synced, renamed, synced."""
    backend = built(own)
    await backend.open()
    session = await backend._line.session()
    sent: list[str] = []
    real = session.sendPacket
    names = {3: "open", 6: "write", 18: "rename", 200: "extended", 4: "close"}

    def send(kind: int, data: bytes) -> None:
        word = names.get(kind, str(kind))
        if word == "extended":
            word = data[8 : 8 + int.from_bytes(data[4:8], "big")].decode().partition("@")[0]
        if not sent or sent[-1] != word:
            sent.append(word)
        real(kind, data)

    session.sendPacket = send
    for absent in (False, True):
        await backend.put(a_put("blob" if absent else "other", if_absent=absent))
    assert sent == [
        *("open", "write", "fsync", "posix-rename", "fsync", "close"),
        *("open", "write", "fsync", "rename", "fsync", "close"),
    ]
    await backend.close()


@pytest.fixture
def small_disk(own: Any) -> Iterator[None]:
    """The user's home is a file system of 1 MiB."""
    if os.geteuid() != 0 or subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode:
        if os.environ.get("CI") == "true":
            pytest.fail("mounting needs root")
        pytest.skip("mounting needs root")
    words = ["mount", "-t", "tmpfs", "-o", "size=1m,mode=777", "tmpfs", str(own.home)]
    subprocess.run(words, check=True, capture_output=True)
    yield
    subprocess.run(["umount", "-l", str(own.home)], check=True, capture_output=True)


@pytest_twisted.ensureDeferred
async def test_a_full_disk_is_told_apart_and_leaves_nothing(own: Any, small_disk: None) -> None:
    backend = built(own)
    await backend.open()
    small = api.PutRequest(name="small", body=api.BytesBody(b"small"), size=5)
    await backend.put(small)
    with pytest.raises(api.BackendFull, match="bytes left"):
        await backend.put(a_put())
    assert list((own.home / "drafts").iterdir()) == []
    assert await fetched(backend, "small") == b"small"
    await backend.delete(api.DeleteRequest(name="small"))
    await backend.put(api.PutRequest(name="small", body=api.BytesBody(b"again"), size=5))
    await backend.close()
