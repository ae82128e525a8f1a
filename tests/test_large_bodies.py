"""Large bodies end to end: what the kernel is asked to do for them, and what `verify` does about damage."""

from __future__ import annotations

import hashlib
import os
import random
import re
import shutil
import signal
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from prometheus_client.parser import text_string_to_metric_families

from gateway.testing import LiveGateway
from tests.authority import Authority

MIB = 1024 * 1024
SIZE = 64 * MIB
LITTLE = MIB // 16
ALONE = {"workers": "1"}  # its system calls are those of one process


def client(live: LiveGateway, endpoint: str = "", verify: Any = None) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=endpoint or live.endpoint,
        aws_access_key_id=live.access_key,
        aws_secret_access_key=live.secret_key,
        region_name=live.region,
        verify=verify,
        config=Config(
            retries={"total_max_attempts": 1},
            proxies={},
            s3={"addressing_style": "path"},
            response_checksum_validation="when_required",  # else it would notice damage by itself
        ),
    )


def fetch(s3: Any, key: str, **more: str) -> tuple[int, str]:
    """Size and MD5 of what comes."""
    digest, size = hashlib.md5(), 0
    for chunk in s3.get_object(Bucket="large", Key=key, **more)["Body"].iter_chunks(MIB):
        digest.update(chunk)
        size += len(chunk)
    return size, digest.hexdigest()


def md5(data: bytes) -> str:
    return hashlib.md5(data).hexdigest()


@pytest.fixture(scope="module")
def data() -> bytes:
    return random.Random(7).randbytes(SIZE)


# ---------------------------------------------------------------- system calls


@pytest.fixture(scope="module")
def strace() -> str:
    found = shutil.which("strace")
    with subprocess.Popen(["sleep", "60"]) as other:
        words = ["timeout", "-s", "INT", "1", found or "false", "-p", str(other.pid)]
        works = "attached" in subprocess.run(words, capture_output=True, text=True).stderr
        other.kill()
    if not works:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)("no strace that may attach to a process")
    return str(found)


@contextmanager
def traced(strace: str, live: LiveGateway, log: Path) -> Iterator[list[tuple[str, str, int]]]:
    """Fills with (system call, its first words, its result) of what the gateway does meanwhile."""
    names = "read,pread64,readv,preadv,preadv2,recvfrom,sendfile,sendto,writev,fsync,sync_file_range"
    words = [strace, "-f", "-y", "-s", "0", "-e", f"trace={names}", "-o", str(log), "-p", str(live.pid)]
    tracer = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
    assert tracer.stderr is not None and "attached" in tracer.stderr.readline()
    calls: list[tuple[str, str, int]] = []
    try:
        yield calls
    finally:
        tracer.send_signal(signal.SIGINT)
        tracer.communicate(timeout=30)
    text = re.sub(r" <unfinished \.\.\.>\n", "\n", log.read_text())
    begun: dict[str, str] = {}
    for line in text.splitlines():
        pid, _, rest = line.partition(" ")
        rest = rest.strip()
        if resumed := re.match(r"<\.\.\. \w+ resumed>(.*)", rest):
            rest = begun.pop(pid, "") + resumed[1]
        elif " = " not in rest:
            begun[pid] = rest
            continue
        if found := re.match(r"(\w+)\((.*)\) += (-?\d+)", rest):
            calls.append((found[1], found[2], int(found[3])))


def moved(calls: list[tuple[str, str, int]], names: str, words: str = "") -> tuple[int, int]:
    """How often such a call was made with success, and how many bytes it moved."""
    found = [count for name, said, count in calls if name in names.split() and words in said and count > 0]
    return len(found), sum(found)


READS = "read pread64 readv preadv preadv2"


@pytest.mark.parametrize("verify", ["always", "scrub"])
def test_the_kernel_is_asked_little_for_a_large_body(strace: str, tmp_path: Path, data: bytes, verify: str) -> None:
    with LiveGateway(tmp_path / "gateway", "local", gateway={**ALONE, "verify": verify}) as live:
        s3 = client(live)
        s3.create_bucket(Bucket="large")
        folder = str(tmp_path / "gateway" / "storage")
        with traced(strace, live, tmp_path / "put") as calls:
            s3.put_object(Bucket="large", Key="key", Body=data)
        received = moved(calls, "recvfrom read readv")
        assert received[0] < SIZE / (128 * 1024)
        assert moved(calls, "writev")[0] <= SIZE / MIB + 2
        early = [said for name, said, _ in calls if name == "sync_file_range"]
        assert len(early) >= SIZE / MIB - 2, "the disk begins before the end"
        with traced(strace, live, tmp_path / "get") as calls:
            assert fetch(s3, "key") == (SIZE, md5(data))
        reads, sent = moved(calls, READS, folder), moved(calls, "sendto")
        if verify == "scrub":
            assert reads[1] < LITTLE, "nothing but where it is, and whether that is in the page cache"
            assert moved(calls, "sendfile", folder)[1] == SIZE
            assert sent[1] < LITTLE
        else:
            assert SIZE <= reads[1] < SIZE + LITTLE
            assert moved(calls, "sendfile")[0] == 0
            assert sent[0] < 4 * SIZE / MIB


# ---------------------------------------------------------------- damage


def figure(live: LiveGateway, name: str) -> float:
    with urllib.request.urlopen(f"{live.endpoint}/_/metrics", timeout=30) as reply:
        text = reply.read().decode()
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return float(next(sample.value for sample in samples if sample.name == name))


def eventually(condition: Any) -> None:
    until = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < until, "it never happened"
        time.sleep(0.1)


def serving(folder: Path, **lines: str) -> LiveGateway:
    """A gateway on the same folder, with other lines in [gateway]."""
    (folder / "tahoe.cfg").unlink(missing_ok=True)
    return LiveGateway(folder, "local", gateway=lines)


def flip(folder: Path, size: int, at: int) -> None:
    """Another byte in the file of the only blob that is so large."""
    [path] = [each for each in (folder / "storage").rglob("*") if each.is_file() and each.stat().st_size > size]
    with path.open("r+b") as file:
        file.seek(at)
        (byte,) = file.read(1)
        file.seek(at)
        file.write(bytes([byte ^ 16]))


def refused(s3: Any, **more: str) -> bool:
    with pytest.raises(ClientError) as caught:
        s3.get_object(Bucket="large", Key="key", **more)
    answer: Mapping[str, Any] = caught.value.response
    return (answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Code"]) == (500, "InternalError")


def test_damage_is_refused_always_and_with_scrub_once_it_was_found(tmp_path: Path) -> None:
    data = random.Random(1).randbytes(3 * MIB)
    damaged = bytearray(data)
    damaged[5] ^= 16
    folder = tmp_path / "gateway"
    with serving(folder, verify="scrub") as live:
        s3 = client(live)
        s3.create_bucket(Bucket="large")
        eventually(lambda: figure(live, "gateway_scrub_last_pass_timestamp_seconds"))  # the next one is in a month
        s3.put_object(Bucket="large", Key="key", Body=data)
        flip(folder, len(data), 5)
        assert fetch(s3, "key") == (len(data), md5(bytes(damaged)))
    with serving(folder, verify="always") as live:
        assert refused(client(live))
        assert fetch(client(live), "key", Range=f"bytes={MIB}-") == (2 * MIB, md5(data[MIB:]))
        assert figure(live, "gateway_scrub_read_bytes_total") == 0
    with serving(folder, verify="scrub", scrub_interval="500ms") as live:
        eventually(lambda: figure(live, "gateway_scrub_faults"))
        said = live.log()
        assert re.search(r"damaged: large/'key' is not as it was written: storage \S+: MiB 0 of the piece", said), said
        assert refused(client(live))
        assert fetch(client(live), "key", Range=f"bytes={MIB}-") == (2 * MIB, md5(data[MIB:]))
        client(live).put_object(Bucket="large", Key="key", Body=data)
        assert fetch(client(live), "key") == (len(data), md5(data))
        eventually(lambda: not figure(live, "gateway_scrub_faults"))


# ---------------------------------------------------------------- TLS


@pytest.mark.parametrize("verify", ["always", "scrub"])
def test_over_tls_a_large_file_comes_whole_and_in_ranges(tmp_path: Path, data: bytes, verify: str) -> None:
    folder = tmp_path / "gateway"
    folder.mkdir()
    authority = Authority(folder)
    authority.issue("server")
    listen = "ssl:0:privateKey=server-key.pem:certKey=server.pem:interface=127.0.0.1"
    listen = f"tcp:0:interface=127.0.0.1\n{listen}"
    with LiveGateway(folder, "local", gateway={"listen": listen, "verify": verify}) as live:
        found = re.search(r"https://[\w.]+:(\d+)", live.log())
        assert found is not None, live.log()
        s3 = client(live, f"https://localhost:{found[1]}", str(authority.file))
        s3.create_bucket(Bucket="large")
        whole = data[: 9 * MIB + 11]
        s3.put_object(Bucket="large", Key="key", Body=whole)
        assert fetch(s3, "key") == (len(whole), md5(whole))
        for start, stop in ((0, 1), (MIB - 1, MIB + 1), (5 * MIB + 3, 8 * MIB), (len(whole) - 70_000, len(whole))):
            part = md5(whole[start:stop])
            assert fetch(s3, "key", Range=f"bytes={start}-{stop - 1}") == (stop - start, part)
            assert fetch(client(live), "key", Range=f"bytes={start}-{stop - 1}") == (stop - start, part)
        assert s3.head_object(Bucket="large", Key="key")["ContentLength"] == len(whole)
