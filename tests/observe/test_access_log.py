"""One JSON object a line; no secret, no half line, no stop when the disk is full."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.task import deferLater

from gateway.bodies import EmptyBody
from gateway.http import Traffic
from gateway.model import Call, Facts, Reply
from gateway.observe import AccessLog
from gateway.observe.access_log import line, redacted

TRAFFIC = Traffic(received=10, sent=20, seconds=0.5, first_byte=0.25, whole=True)


def call(query: str = "", **headers: str) -> Call:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Call("0123456789ABCDEF", "GET", "/b/k", query, named, EmptyBody(), "192.0.2.1", True, 1795173810.25)


def test_every_field_is_there() -> None:
    facts = Facts("GetObject", "b", "ä\n".encode(), "AK", "alice", "NoSuchKey", 'because "x"')
    text = line(call("a=b", host="h", user_agent="curl\t\x01"), Reply(404, facts=facts), TRAFFIC, 7)
    assert text.count("\n") == 1
    assert text.endswith("}\n")
    assert json.loads(text) == {
        "time": "2026-11-20T11:23:30.250Z",
        "pid": 7,
        "request_id": "0123456789ABCDEF",
        "peer": "192.0.2.1",
        "secure": True,
        "method": "GET",
        "target": "/b/k?a=b",
        "operation": "GetObject",
        "bucket": "b",
        "key": "ä\n",
        "status": 404,
        "code": "NoSuchKey",
        "sent": 20,
        "received": 10,
        "seconds": 0.5,
        "first_byte": 0.25,
        "whole": True,
        "account": "alice",
        "access_key": "AK",
        "host": "h",
        "user_agent": "curl\t\x01",
        "cause": 'because "x"',
    }


@pytest.mark.parametrize(
    "name",
    [
        "X-Amz-Signature",
        "x-amz-signature",
        "X-Amz-Credential",
        "X-Amz-Security-Token",
        "Signature",
        "AWSAccessKeyId",
        "X-Amz%2DSignature",
        "%58-Amz-Signature",
    ],
)
def test_t65_presigned_parameters_are_redacted(name: str) -> None:
    text = line(call(f"a=b&{name}=s3cret%2F&X-Amz-Date=now&{name}=s3cret"), Reply(200), TRAFFIC, 7)
    assert "s3cret" not in text
    assert "a=b&" in text
    assert "X-Amz-Date=now" in text


def test_t65_headers_with_secrets_are_not_logged() -> None:
    text = line(call(authorization="s3cret", x_amz_security_token="s3cret", cookie="s3cret"), Reply(200), TRAFFIC, 7)
    assert "s3cret" not in text


@pytest.mark.parametrize("query", ["", "acl", "a=b&c", "list-type=2&prefix=Signature"])
def test_other_queries_stay_as_they_are(query: str) -> None:
    assert redacted(query) == query


def written(path: Path) -> str:
    return path.read_text() if path.exists() else ""


async def lines(path: Path, count: int) -> list[dict[str, Any]]:
    """Wait until the file has so many whole lines."""
    for _ in range(1000):
        if written(path).count("\n") >= count:
            return [json.loads(row) for row in written(path).splitlines()]
        await deferLater(reactor, 0.01)
    raise AssertionError("the lines never came")


@pytest_twisted.ensureDeferred
async def test_lines_come_soon_in_order_and_all_at_the_end(tmp_path: Path) -> None:
    log = AccessLog(tmp_path / "access.log", every=0.01)
    log.open()
    for status in range(200, 300):
        log.replied(call(), Reply(status), TRAFFIC)
    assert [row["status"] for row in await lines(tmp_path / "access.log", 100)] == list(range(200, 300))
    log.replied(call(), Reply(300), TRAFFIC)
    await log.close()
    assert (tmp_path / "access.log").read_text().count("\n") == 101
    assert (tmp_path / "access.log").stat().st_mode & 0o077 == 0o040


@pytest_twisted.ensureDeferred
async def test_a_second_log_appends(tmp_path: Path) -> None:
    for _ in range(2):
        log = AccessLog(tmp_path / "access.log")
        log.open()
        log.replied(call(), Reply(200), TRAFFIC)
        await log.close()
    assert len(await lines(tmp_path / "access.log", 2)) == 2


@pytest_twisted.ensureDeferred
async def test_a_log_that_was_moved_away_is_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    log = AccessLog(path, every=0.01)
    log.open()
    log.replied(call(), Reply(200), TRAFFIC)
    await lines(path, 1)
    path.rename(tmp_path / "access.log.1")
    log.replied(call(), Reply(201), TRAFFIC)
    assert [row["status"] for row in await lines(path, 1)] == [201]
    await log.close()
    assert len(await lines(tmp_path / "access.log.1", 1)) == 1


@pytest_twisted.ensureDeferred
async def test_a_full_disk_loses_lines_not_the_server() -> None:
    log = AccessLog(Path("/dev/full"), every=0.01)
    log.open()
    log.replied(call(), Reply(200), TRAFFIC)
    for _ in range(1000):
        if log.lost:
            break
        await deferLater(reactor, 0.01)
    log.replied(call(), Reply(200), TRAFFIC)
    await log.close()
    assert log.lost == 2


@pytest_twisted.ensureDeferred
async def test_closing_gives_the_descriptor_back(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    log = AccessLog(tmp_path / "access.log")
    log.open()
    await log.close()
    assert len(os.listdir("/proc/self/fd")) == before
