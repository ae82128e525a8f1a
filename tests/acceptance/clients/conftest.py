"""A live gateway for the clients that people use, and what every client's test needs around it.

Each client has a file of its own and tells the same short story as far as it can: make a bucket, store little and much,
read a range, list odd keys, copy, overwrite, delete many, be refused with a wrong key; then its own speciality.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import uuid
from collections.abc import Callable, Generator, Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import Any

import boto3
import pytest
from botocore.config import Config

from gateway.testing.server import LiveGateway

PATIENCE = 120  # seconds for one test, the slowest takes about ten
# Every kind of character that a client or server has been seen to mangle; all of them are legal file names, too.
ODD_KEYS = (
    "plain",
    "with space",
    "plus+sign",
    "per%20cent",
    "q?x=1&y=2#z",
    "quote'\"<>",
    "(paren)*!~;,@=$",
    "grün/ß/日本語",
    "deep/er/and/deeper",
)
# Legal in S3, but not as names of files.
WILD_KEYS = (*ODD_KEYS, "/leading", "trailing/", "a//b", "a/./b/../c", "tab\tand\nline")


@pytest.fixture(scope="session")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveGateway]:
    """The gateway of all clients: local backend, its settings as they come."""
    with LiveGateway(tmp_path_factory.mktemp("clients"), backend="local") as running:
        yield running


@pytest.fixture(scope="session")
def old_live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveGateway]:
    """A gateway that takes Signature V2, too."""
    settings = {"signature_v2": "yes"}
    with LiveGateway(tmp_path_factory.mktemp("old"), backend="local", gateway=settings) as running:
        yield running


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test that fails shows what its gateway logged."""
    report = yield
    if report.failed:
        for name in ("live", "old_live"):
            running = getattr(item, "funcargs", {}).get(name)
            if running is not None:
                report.sections.append((f"log of the gateway ({name})", running.log()))
    return report


@pytest.fixture(autouse=True)
def in_time() -> Iterator[None]:
    """A client that hangs is interrupted."""

    def too_late(number: int, frame: FrameType | None) -> None:
        raise TimeoutError(f"the client did not end within {PATIENCE} s")

    before = signal.signal(signal.SIGALRM, too_late)
    signal.alarm(PATIENCE)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home; the client finds nothing of ours or of another test's there."""
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    return folder


@pytest.fixture(scope="session")
def needs() -> Callable[[str, str], str]:
    """``needs("s3cmd", "apt-get install s3cmd")`` -> its path. Skips with that reason, but fails where CI=true."""

    def find(program: str, remedy: str) -> str:
        found = shutil.which(program)
        if found is None:
            reason = f"{program} is not installed: {remedy}"
            if os.environ.get("CI") == "true":
                pytest.fail(reason)
            pytest.skip(reason)
        return found

    return find


@pytest.fixture
def run(home: Path) -> Callable[..., str]:
    """``run([program, ...], ok=True, env={}, cwd=None, timeout=60)`` -> what it prints (where it fails: and its
    complaints). A surprise shows both."""

    def call(
        words: list[str],
        *,
        ok: bool = True,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        timeout: float = 60,
        text: bytes = b"",
    ) -> str:
        surroundings = {**os.environ, "HOME": str(home), "LC_ALL": "C.UTF-8", **(env or {})}
        try:
            done = subprocess.run(words, env=surroundings, cwd=cwd, capture_output=True, timeout=timeout, input=text)
        except subprocess.TimeoutExpired as late:
            pytest.fail(f"{words} did not end within {timeout} s\n{late.stdout!r}\n{late.stderr!r}")
        out, complaints = done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
        assert (done.returncode == 0) is ok, f"{words}: {done.returncode}\n{out}\n{complaints}"
        return out if ok else out + complaints

    return call


@pytest.fixture
def name() -> str:
    """A bucket's name that nobody else uses."""
    return f"clients-{uuid.uuid4().hex[:20]}"


@pytest.fixture(scope="session")
def odd_keys() -> tuple[str, ...]:
    return ODD_KEYS


@pytest.fixture(scope="session")
def wild_keys() -> tuple[str, ...]:
    return WILD_KEYS


@pytest.fixture
def file(tmp_path: Path) -> Callable[[str, int], Path]:
    """``file("a/b", 1000)`` -> a file of that name below tmp_path with that many bytes, no two alike."""

    def write(name: str, size: int) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(random.Random(f"{name} {size}").randbytes(size))
        return path

    return write


def client_of(running: LiveGateway) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=running.endpoint,
        aws_access_key_id=running.access_key,
        aws_secret_access_key=running.secret_key,
        region_name=running.region,
        config=Config(read_timeout=30, retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}),
    )


@pytest.fixture(scope="session")
def judge(live: LiveGateway) -> Iterator[Any]:
    """boto3's client, to see from outside what another client has done."""
    client = client_of(live)
    yield client
    client.close()


@pytest.fixture
def bucket(judge: Any, name: str) -> str:
    """A bucket for clients that cannot make one."""
    judge.create_bucket(Bucket=name)
    return name
