"""T126: sixty-four clients, one condition, one winner, and the object is the winner's."""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections import Counter
from typing import Any

import pytest
from pytest_twisted import ensureDeferred
from twisted.internet.defer import Deferred, gatherResults

from gateway.bodies import BytesBody
from gateway.model import Call

CLIENTS = 64
LONG = os.environ.get("GATEWAY_LONG") == "1"
LOST = {(412, "PreconditionFailed"), (409, "ConditionalRequestConflict"), (404, "NoSuchKey")}


def rounds(number: int) -> range:
    return range(number * 10 if LONG else number)


async def race(house: Any, requests: list[Any]) -> list[tuple[int, str]]:
    """All of them at once through the gate; (status, code) in their order."""

    async def one(number: int, request: Any) -> tuple[int, str]:
        path, _, query = request.target.partition("?")
        body = BytesBody(request.body)
        call = Call(
            f"{number:016X}", request.method, path, query, request.headers, body, "127.0.0.1", False, time.time()
        )
        reply = await house.gate.answer(call)
        return reply.status, reply.facts.code

    return await gatherResults([Deferred.fromCoroutine(one(*pair)) for pair in enumerate(requests)])


def the_winner(outcomes: list[tuple[int, str]], won: int = 200) -> int:
    count = Counter(outcomes)
    assert count[won, ""] == 1, count
    assert set(count) - {(won, "")} <= LOST, count
    return outcomes.index((won, ""))


def etag(body: bytes) -> str:
    return f'"{hashlib.md5(body).hexdigest()}"'


@pytest.mark.parametrize("backend", ["memory", "local"])
@ensureDeferred
async def test_put_of_an_absent_key(open_house: Any, tools: Any, backend: str) -> None:
    house = await open_house(backend)
    bodies = [b"%02d" % number for number in range(CLIENTS)]
    for number in rounds(200 if backend == "memory" else 20):
        target = f"/bucket/absent-{number}"
        signed = tools.sign("PUT", target, b"--", {"if-none-match": "*"}, payload="UNSIGNED-PAYLOAD")
        requests = [tools.request("PUT", target, signed.headers, body) for body in bodies]
        winner = the_winner(await race(house, requests))
        assert (await house.call("GET", target)).body == bodies[winner]


@pytest.mark.parametrize("backend", ["memory", "local"])
@ensureDeferred
async def test_put_over_the_version_that_was_seen(open_house: Any, tools: Any, backend: str) -> None:
    house = await open_house(backend)
    assert (await house.call("PUT", "/bucket/seen", b"start")).status == 200
    current = b"start"
    for number in rounds(200 if backend == "memory" else 20):
        headers = {"if-match": etag(current)}
        signed = tools.sign("PUT", "/bucket/seen", b"-----", headers, payload="UNSIGNED-PAYLOAD")
        bodies = [b"%02d%03d" % (client, number % 1000) for client in range(CLIENTS)]
        requests = [tools.request("PUT", "/bucket/seen", signed.headers, body) for body in bodies]
        current = bodies[the_winner(await race(house, requests))]
        assert (await house.call("GET", "/bucket/seen")).body == current


@pytest.mark.parametrize("condition", ["if-none-match", "if-match"])
@ensureDeferred
async def test_complete(house: Any, tools: Any, condition: str) -> None:
    for number in rounds(4):
        key = f"/bucket/upload-{number}"
        headers = {"if-none-match": "*"}
        if condition == "if-match":
            assert (await house.call("PUT", key, b"start")).status == 200
            headers = {"if-match": etag(b"start")}
        requests, bodies = [], []
        for client in range(CLIENTS):
            body = b"%02d" % client
            started = await house.call("POST", f"{key}?uploads")
            upload = re.search(rb"<UploadId>(.*?)<", started.body)[1].decode()  # type: ignore[index]
            tag = (await house.call("PUT", f"{key}?partNumber=1&uploadId={upload}", body)).headers["etag"]
            part = f"<Part><PartNumber>1</PartNumber><ETag>{tag}</ETag></Part>"
            document = f"<CompleteMultipartUpload>{part}</CompleteMultipartUpload>".encode()
            requests.append(tools.sign("POST", f"{key}?uploadId={upload}", document, headers))
            bodies.append(body)
        winner = the_winner(await race(house, requests))
        assert (await house.call("GET", key)).body == bodies[winner]


@pytest.mark.parametrize("condition", ["if-none-match", "if-match"])
@ensureDeferred
async def test_copy(house: Any, tools: Any, condition: str) -> None:
    sources = [b"source %02d" % client for client in range(CLIENTS)]
    for client, body in enumerate(sources):
        assert (await house.call("PUT", f"/bucket/source-{client}", body)).status == 200
    for number in rounds(20):
        key = f"/bucket/copy-{number}"
        headers = {"if-none-match": "*"}
        if condition == "if-match":
            assert (await house.call("PUT", key, b"start")).status == 200
            headers = {"if-match": etag(b"start")}
        requests = [
            tools.sign("PUT", key, b"", {**headers, "x-amz-copy-source": f"/bucket/source-{client}"})
            for client in range(CLIENTS)
        ]
        winner = the_winner(await race(house, requests))
        assert (await house.call("GET", key)).body == sources[winner]


@ensureDeferred
async def test_delete(house: Any, tools: Any) -> None:
    for _ in rounds(40):
        assert (await house.call("PUT", "/bucket/doomed", b"doomed")).status == 200
        requests = [tools.sign("DELETE", "/bucket/doomed", b"", {"if-match": etag(b"doomed")})] * CLIENTS
        the_winner(await race(house, requests), won=204)
        assert (await house.call("GET", "/bucket/doomed")).code == "NoSuchKey"


@ensureDeferred
async def test_all_kinds_at_once_over_sockets(open_house: Any, tools: Any) -> None:
    """Every client has a connection of its own; a PUT, a copy and a DELETE expect the same version."""
    house = await open_house("local")
    assert (await house.call("PUT", "/bucket/other", b"the other")).status == 200
    for number in rounds(5):
        start = b"start %d" % number
        assert (await house.call("PUT", "/bucket/raced", start)).status == 200
        condition = {"if-match": etag(start)}
        copy = {**condition, "x-amz-copy-source": "/bucket/other"}
        requests = []
        for client in range(CLIENTS):
            put = tools.sign("PUT", "/bucket/raced", b"put %02d" % client, condition)
            copied = tools.sign("PUT", "/bucket/raced", b"", copy)
            requests.append([put, copied, tools.sign("DELETE", "/bucket/raced", b"", condition)][client % 3])
        answers = await gatherResults([Deferred.fromCoroutine(house.send(request)) for request in requests])
        won = [(answer, request) for answer, request in zip(answers, requests, strict=True) if answer.status < 300]
        assert len(won) == 1
        assert {(answer.status, answer.code) for answer in answers if answer.status >= 300} <= LOST
        now = await house.call("GET", "/bucket/raced")
        request = won[0][1]
        expected = b"the other" if "x-amz-copy-source" in request.headers else request.body
        assert now.status == 404 if request.method == "DELETE" else now.body == expected
