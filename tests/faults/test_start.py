"""A gateway starts although one of its locations does not answer; that one is opened when it does."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
import treq
from botocore.exceptions import ClientError
from twisted.internet import reactor as global_reactor
from twisted.internet import task
from twisted.internet.threads import deferToThread
from twisted.web.client import Agent

from gateway.model import ListRequest
from gateway.node.read import read_node
from gateway.node.service import Node
from gateway.plugins.marker import MARKER, claim
from gateway.settings import ConfigurationFaults
from tests.faults.conftest import Cloud
from tests.faults.nodes import HEAD, MEMORY, client_of, command, section, write
from tests.servers import faults

reactor: Any = global_reactor


def with_cold(folder: Path, cloud: Cloud) -> Path:
    return write(folder, HEAD + MEMORY + section(cloud), {f"cold.{name}": text for name, text in cloud.secrets.items()})


async def fetch(node: Node, path: str) -> tuple[int, Any]:
    reply = await treq.get(node.urls[0] + path, agent=Agent(reactor), timeout=60)
    text = await reply.content()
    return reply.code, json.loads(text) if text[:1] == b"{" else text.decode()


async def until(node: Node, path: str, status: int) -> Any:
    while True:
        code, said = await fetch(node, path)
        if code == status:
            return said
        await task.deferLater(reactor, 0.02)


@pytest_twisted.async_yield_fixture
async def cold(cloud_of: Callable[[str], Cloud]) -> AsyncIterator[Cloud]:
    """A cloud whose server cannot be reached at first."""
    cloud = cloud_of("s3")
    await cloud.proxy.stop()
    yield cloud


async def serves_the_rest(node: Node, cold: Cloud) -> None:
    """503 at once for what lives in cold, and all is well elsewhere."""
    s3 = await client_of(node)
    before = len(cold.proxy.requests)
    there = {"LocationConstraint": "cold"}
    await deferToThread(s3.create_bucket, Bucket="attic", CreateBucketConfiguration=there)
    with pytest.raises(ClientError) as raised:
        await deferToThread(s3.put_object, Bucket="attic", Key="k", Body=b"x" * 100)
    told = raised.value.response
    assert (told["Error"]["Code"], told["ResponseMetadata"]["HTTPStatusCode"]) == ("ServiceUnavailable", 503)
    await deferToThread(s3.create_bucket, Bucket="porch", CreateBucketConfiguration={"LocationConstraint": "storage"})
    await deferToThread(s3.put_object, Bucket="porch", Key="k", Body=b"x" * 100)
    got = await deferToThread(lambda: s3.get_object(Bucket="porch", Key="k")["Body"].read())
    assert got == b"x" * 100
    assert len(cold.proxy.requests) == before, "nobody asked a service that is not there"
    s3.close()


@pytest_twisted.ensureDeferred
async def test_it_starts_without_a_location_and_opens_it_when_it_answers(cold: Cloud, tmp_path: Path) -> None:
    node = Node(read_node(with_cold(tmp_path, cold)), reactor)
    await node.open()
    try:
        code, said = await fetch(node, "/_/ready")
        assert code == 503 and said["ready"] is False
        assert any(reason.startswith("cold: BackendDown") for reason in said["reasons"])
        await until(node, "/_/ready?location=storage", 200)
        assert (await fetch(node, "/_/ready?location=attic"))[0] == 503
        code, said = await fetch(node, "/_/healthcheck")
        assert code == 503
        told = {name: (row["code"], row.get("error")) for name, row in said["locations"].items()}
        assert told == {"storage": (200, None), "cold": (503, "BackendDown")}
        assert 'gateway_backend_up{backend="cold"} 0.0' in (await fetch(node, "/_/metrics"))[1]
        await serves_the_rest(node, cold)
        cold.proxy.listen()
        await until(node, "/_/ready", 200)
        assert 'gateway_backend_up{backend="cold"} 1.0' in (await fetch(node, "/_/metrics"))[1]
        calm = cold.location()
        await calm.open()
        assert MARKER in [blob.name for blob in (await calm.list(ListRequest())).blobs]
        await calm.close()
        await cold.proxy.stop()  # what was open may go away again, and come back
        said = await until(node, "/_/ready", 503)
        assert said["reasons"][0].startswith("cold: ")
        cold.proxy.listen()
        await until(node, "/_/ready", 200)
    finally:
        await node.close()


@pytest_twisted.ensureDeferred
async def test_a_storage_that_turns_out_to_be_anothers_stays_shut(cold: Cloud, tmp_path: Path) -> None:
    node = Node(read_node(with_cold(tmp_path, cold)), reactor)
    await node.open()
    try:
        past_the_proxy = cold.location(**{"s3.url": cold.proxy.upstream})
        await past_the_proxy.open()
        await claim(past_the_proxy, "somebody else's")
        await past_the_proxy.close()
        cold.proxy.listen()
        while True:
            reasons = (await fetch(node, "/_/ready"))[1].get("reasons", [""])
            if "belongs to another gateway" in reasons[0]:
                break
            await task.deferLater(reactor, 0.02)
        assert (await fetch(node, "/_/healthcheck"))[1]["locations"]["cold"]["error"] == "BackendUnfit"
    finally:
        await node.close()


@pytest_twisted.ensureDeferred
async def test_what_does_not_pass_by_itself_stops_the_start(cloud_of: Callable[[str], Cloud], tmp_path: Path) -> None:
    """Another gateway's storage, a bucket that is not there, a key that is refused: one line each, as ever."""
    cloud = cloud_of("s3")
    calm = cloud.location()
    await calm.open()
    await claim(calm, "somebody else's")
    await calm.close()
    config = with_cold(tmp_path, cloud)
    for change, said in (
        (lambda text: text, "belongs to another gateway"),
        (lambda text: text.replace("s3.bucket = ", "s3.bucket = no-"), "NoSuchBucket"),
    ):
        config.write_text(change(HEAD + MEMORY + section(cloud)))
        node = Node(read_node(config), reactor)
        with pytest.raises(ConfigurationFaults) as raised:
            await node.open()
        (line,) = str(raised.value).splitlines()
        assert said in line and line.startswith(f"{config}:")
    strict = cloud_of("azure")
    strict.proxy.faults["comp=list"] = faults.status(403, {"x-ms-error-code": "AuthenticationFailed"})
    config = with_cold(tmp_path, strict)
    with pytest.raises(ConfigurationFaults, match="account key"):
        await Node(read_node(config), reactor).open()


@pytest_twisted.ensureDeferred
async def test_the_commands_tell_what_does_not_answer(cold: Cloud, tmp_path: Path) -> None:
    config = with_cold(tmp_path, cold)
    done = await command("check", "-c", config)
    (line,) = done.stderr.replace("gateway: ", "").splitlines()
    assert done.returncode == 5 and f"{config}:8: " in line and "'cold'" in line and "no connection" in line
    alone = write(tmp_path, HEAD + section(cold, "storage"), dict(cold.secrets))
    for verb in ("check", "run"):
        done = await command(verb, "-c", alone)
        (line,) = done.stderr.splitlines()
        assert done.returncode == 4 and f"{alone}:6: " in line and "no connection" in line


@pytest_twisted.ensureDeferred
async def test_a_stop_does_not_wait_for_a_storage_that_hangs(cloud_of: Callable[[str], Cloud], tmp_path: Path) -> None:
    """The reaper's deletes end at once; the probe's answer is waited for no longer than any; nothing more is asked."""
    cloud = cloud_of("s3")
    text = section(cloud)
    config = write(tmp_path, HEAD + MEMORY + text, {f"cold.{name}": word for name, word in cloud.secrets.items()})
    node = Node(read_node(config), reactor)
    await node.open()
    await until(node, "/_/ready", 200)
    assert node.catalogue is not None
    names = [await node.catalogue.blobs.name("cold") for _ in range(20)]
    before = len(cloud.proxy.requests)
    cloud.proxy.faults[cloud.storage["s3.bucket"]] = faults.hang
    await node.catalogue.blobs.dispose("cold", names)
    while len(cloud.proxy.requests) < before + 9:  # eight deletes at once, and the probe
        await task.deferLater(reactor, 0.02)
    before = len(cloud.proxy.requests)
    await node.close()
    assert len(cloud.proxy.requests) < before + 8, "twelve more names were waiting"
