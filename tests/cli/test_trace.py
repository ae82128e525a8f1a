"""`gateway trace`: requests as they end, wherever their log is moved, and why a signature was refused."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.cli.client import Client, Refused, Text, path_of
from gateway.cli.follow import lines
from gateway.cli.target import Target
from gateway.cli.trace import Filter

sys.path.insert(0, str(Path(__file__).parent))
from middle import Middle


@contextmanager
def tracing(porch: Any, *args: str) -> Iterator[Callable[[str], str]]:
    """A trace that runs; ``until(word)`` gives its next line with that word. It ends by Ctrl-C, and well."""
    running = subprocess.Popen(
        ["gateway", "trace", "-c", str(porch.config), *args],
        cwd=porch.here, env=porch.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert running.stdout is not None
    out = running.stdout

    def until(word: str) -> str:
        for line in out:
            if word in line:
                return line.rstrip("\n")
        raise AssertionError(f"it ended before {word}")

    try:
        yield until
    finally:
        running.send_signal(signal.SIGINT)
        _, told = running.communicate(timeout=60)
    assert (running.returncode, told) == (0, "")


def put(porch: Any, bucket: str, key: str) -> None:
    with porch.client() as client:
        client.ask("PUT", path_of(bucket, key), body=Text(b"12345")).read()


def fail(porch: Any, bucket: str, key: str) -> None:
    with porch.client() as client, pytest.raises(Refused):
        client.ask("GET", path_of(bucket, key))


def test_requests_are_shown_as_they_end_across_a_rotation(porch: Any, bucket: str) -> None:
    log = porch.config.parent / "log" / "access.log"
    put(porch, bucket, "first")
    with tracing(porch, "--last", "1000", "--bucket", bucket) as until:
        line = until("PutObject")
        assert f"  {bucket}/first  " in line and "  200  " in line and "  in " in line and "admin@127.0.0.1" in line
        put(porch, bucket, "second")
        assert f"{bucket}/second" in until("PutObject")
        log.rename(log.with_suffix(".1"))
        put(porch, bucket, "third")
        assert f"{bucket}/third" in until("PutObject")
        put(porch, bucket, "odd\x1b[31m\u202ekey")
        assert f"{bucket}/odd\\x1b[31m\\u202ekey" in until("PutObject")
        fail(porch, bucket, "absent")
        assert "NoSuchKey" in until("  404  ")


def test_filters_and_json(porch: Any, bucket: str) -> None:
    at = ("trace", "-c", str(porch.config), "--no-follow")
    put(porch, bucket, "fine")
    for number in range(12):
        fail(porch, bucket, f"absent-{number}")

    def rows(*args: str) -> list[dict[str, Any]]:
        text = porch.commands.run("gateway", *at, "--json", "--bucket", bucket, *args, cwd=porch.here).stdout
        return [json.loads(line) for line in text.splitlines()]

    end = time.monotonic() + 60
    while len(rows("--last", "100")) < 14 and time.monotonic() < end:
        time.sleep(0.1)
    # each worker writes a few times a second, so lines of different ones need not be in the order of time
    assert len({row["key"] for row in rows("--errors")}) == 10
    assert {row["key"] for row in rows("--errors", "--last", "100")} == {f"absent-{number}" for number in range(12)}
    assert len(rows("--errors", "--last", "100")) == len(rows("--status", "4xx", "--last", "100")) == 12
    assert [row["key"] for row in rows("--operation", "putobject")] == ["fine"]
    assert rows("--status", "403") == rows("--account", "nobody-else") == rows("--slower", "3600") == []
    assert len(rows("--account", "admin", "--last", "3")) == 3
    porch.commands.run("gateway", *at, "--status", "6xx", cwd=porch.here, code=2)
    text = porch.commands.run("gateway", *at, "--bucket", bucket, "--errors", "--last", "1", cwd=porch.here).stdout
    assert "absent-1" in text and "\x1b" not in text and len(text.splitlines()) == 1


def test_a_signature_that_does_not_match_is_explained(porch: Any, bucket: str) -> None:
    keys = porch.keys
    middle = Middle(porch.port, up=lambda data, before: data.replace(b"host: 127.0.0.1", b"host: inner.example"))
    with tracing(porch, "--errors", "--bucket", bucket, "--last", "1000") as until:
        for url, secret, why in (
            (middle.url, keys["AWS_SECRET_ACCESS_KEY"], "a proxy changed Host"),
            (keys["AWS_ENDPOINT_URL"], keys["AWS_SECRET_ACCESS_KEY"] + "\n", "a line end"),
        ):
            time.sleep(0.25)  # a diagnosis is made a few times a second and no more
            client = Client(Target(url, "us-east-1", keys["AWS_ACCESS_KEY_ID"], secret))
            with pytest.raises(Refused, match="SignatureDoesNotMatch"):
                client.ask("GET", path_of(bucket))
            client.close()
            assert why in until("SignatureDoesNotMatch")
    middle.close()


def test_what_cannot_be_traced_is_told(porch: Any, tmp_path: Path) -> None:
    run = porch.commands.run
    run("gateway", "init", "fresh", cwd=tmp_path)
    told = run("gateway", "trace", "-c", "fresh/tahoe.cfg", "--no-follow", cwd=tmp_path)
    assert told.stderr.startswith("gateway: no ") and told.stdout == ""
    run("gateway", "trace", "-c", "nowhere.cfg", cwd=tmp_path, code=3)


def test_a_log_is_followed_whatever_happens_to_it(tmp_path: Path) -> None:
    path = tmp_path / "log"
    following = lines(path, past=False)
    assert next(following) is None
    file = path.open("a", buffering=1)
    file.write("1\n2\nhal")
    file.flush()
    assert [next(following) for _ in range(3)] == ["1", "2", None]
    file.write("f\n")
    assert next(following) == "half"
    path.rename(tmp_path / "log.1")
    assert next(following) is None
    file.write("4\n")  # the writer has not seen it yet
    assert [next(following), next(following)] == ["4", None]
    file.write("5\n")
    path.write_text("6\n")
    assert [next(following) for _ in range(3)] == ["5", "6", None]
    path.write_text("")  # copied and cut
    assert next(following) is None
    path.write_text("7\n")
    assert [next(following), next(following)] == ["7", None]
    path.unlink()
    assert next(following) is None
    path.write_text("8\n")
    assert next(following) == "8"
    file.close()
    following.close()
    late = lines(path, past=False)
    assert next(late) is None
    os.write(fd := os.open(path, os.O_WRONLY | os.O_APPEND), b"9\n")
    os.close(fd)
    assert next(late) == "9"
    late.close()


def test_what_broke_off_is_an_error_too() -> None:
    assert Filter(errors=True).passes({"status": 200, "whole": False})
    assert not Filter(errors=True).passes({"status": 200, "whole": True})
