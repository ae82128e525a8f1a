"""A client of a gateway whose cloud misbehaves: never a wrong 2xx, never other bytes, the right error, nothing left."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest_twisted
from botocore.exceptions import BotoCoreError, ClientError
from twisted.internet import reactor as global_reactor
from twisted.internet import task
from twisted.internet.defer import DeferredList
from twisted.internet.threads import deferToThread

from gateway.node.read import read_node
from gateway.node.service import Node
from gateway.plugins.location import Location
from gateway.plugins.marker import MARKER
from gateway.testing.pours import KI, MI, sample
from tests.faults.conftest import Cloud, Trap
from tests.faults.nodes import HEAD, MEMORY, client_of, section, write
from tests.faults.watchdog import Watchdog
from tests.servers import faults
from tests.servers.fault_proxy import Fault

reactor: Any = global_reactor
SLOW_DOWN, UNAVAILABLE, INTERNAL = "SlowDown", "ServiceUnavailable", "InternalError"
SIZES = (40 * KI, 300 * KI, 2 * MI + 5)
LONG = os.environ.get("GATEWAY_LONG") == "1"
PATIENCE = 0.5  # seconds
EVERYTHING = ""  # a word that every target has


@dataclass(frozen=True)
class Case:
    fault: Fault
    code: str  # what a client reads
    sizes: tuple[int, ...] = SIZES


def cases(away: str) -> dict[str, Case]:
    return {
        "late": Case(faults.late, UNAVAILABLE),
        "reset inside": Case(faults.reset_inside, UNAVAILABLE),
        "truncated": Case(faults.truncated, UNAVAILABLE),
        "length + 1": Case(faults.wrong_length(1), UNAVAILABLE),
        "length - 1": Case(faults.wrong_length(-1), UNAVAILABLE),
        "flipped": Case(faults.flipped(7), INTERNAL),
        "damaged on the way in": Case(faults.damaged(7, 8 * KI), UNAVAILABLE),
        "429": Case(faults.status(429), SLOW_DOWN),
        "503 with Retry-After": Case(faults.status(503, {"Retry-After": "3600"}), SLOW_DOWN),
        "500": Case(faults.status(500), UNAVAILABLE),
        "502": Case(faults.status(502, acts=True), UNAVAILABLE),
        "200 with an error": Case(faults.status(200), UNAVAILABLE),
        "hang": Case(faults.hang_late, UNAVAILABLE, SIZES[:1]),
        "drip": Case(faults.drip, UNAVAILABLE, SIZES[1:2]),
        "garbage": Case(faults.garbage, UNAVAILABLE),
        "fat headers": Case(faults.fat, UNAVAILABLE),
        "another host": Case(faults.status(307, {"Location": away}), UNAVAILABLE),
    }


@dataclass
class Scene:
    cloud: Cloud
    node: Node
    s3: Any

    async def call(self, operation: str, **words: Any) -> Any:
        """The answer; or the code of an error, "cut" where the connection broke off in a body."""

        def do() -> Any:
            answer = getattr(self.s3, operation)(Bucket="attic", **words)
            return answer["Body"].read() if operation == "get_object" else answer

        try:
            return await deferToThread(do)
        except ClientError as refused:
            status = refused.response["ResponseMetadata"]["HTTPStatusCode"]
            return f"{status} {refused.response['Error']['Code']}"
        except BotoCoreError:
            return "cut"

    async def surely(self, operation: str, **words: Any) -> Any:
        """Tried again where a busy machine took longer than we wait for it."""
        for _ in range(5):
            answer = await self.call(operation, **words)
            if not isinstance(answer, str) or answer.startswith("404"):
                break
        return answer


@pytest_twisted.async_yield_fixture(params=["s3", "openstack", "azure", "gcp"] if LONG else ["s3", "azure"])
async def scene(request: Any, cloud_of: Callable[[str], Cloud], tmp_path: Path) -> AsyncIterator[Scene]:
    cloud = cloud_of(request.param)
    head = HEAD.replace("probe_interval = 100ms", "").replace("= 100ms", "= 1s")
    config = write(tmp_path, head + section(cloud, "storage", PATIENCE), cloud.secrets)
    made = Scene(cloud, Node(read_node(config), reactor), None)
    await made.node.open()
    made.s3 = await client_of(made.node)
    await made.surely("create_bucket")
    yield made
    made.s3.close()
    await made.node.close()


def allowed(answer: Any, data: bytes, code: str) -> bool:
    """What a GET may give: the bytes, an error, or a body that breaks off."""
    return answer in (data, "cut") or (isinstance(answer, str) and answer[4:] in (code, UNAVAILABLE, INTERNAL))


async def suffer(scene: Scene, name: str, case: Case) -> list[str]:
    wrong: list[str] = []
    proxy, expected = scene.cloud.proxy, f"{500 if case.code == INTERNAL else 503} {case.code}"
    for size in case.sizes:
        key, data = f"{name}/{size}", sample(size, size)
        await scene.surely("put_object", Key=f"{key}/before", Body=data)
        proxy.faults[EVERYTHING] = case.fault
        got = await scene.call("get_object", Key=f"{key}/before")
        put = await scene.call("put_object", Key=key, Body=data)
        del proxy.faults[EVERYTHING]
        if not allowed(got, data, case.code):
            wrong.append(f"{key}: GET gave {got[:60]!r}, {len(got)} long")
        if isinstance(put, str) and put != expected:
            wrong.append(f"{key}: PUT gave {put} instead of {expected}")
        found = await scene.surely("get_object", Key=key)
        if found != ("404 NoSuchKey" if isinstance(put, str) else data):
            wrong.append(f"{key}: after a PUT that gave {put}, GET gives {found[:60]!r}")
        if await scene.surely("get_object", Key=f"{key}/before") != data:
            wrong.append(f"{key}: the other object was harmed")
    return wrong


async def upload(scene: Scene, name: str, case: Case) -> list[str]:
    """Every step of an upload fails, or does not, and a client that tries again gets what it wants."""
    proxy, data = scene.cloud.proxy, sample(60 * KI, 5)
    steps: list[str] = []

    async def stubborn(operation: str, **words: Any) -> Any:
        proxy.faults[EVERYTHING] = case.fault
        answer = await scene.call(operation, Key=name, **words)
        del proxy.faults[EVERYTHING]
        if isinstance(answer, str):
            steps.append(answer)
            answer = await scene.surely(operation, Key=name, **words)
        return answer

    created = await stubborn("create_multipart_upload")
    which = {"UploadId": created["UploadId"]}
    sent = await stubborn("upload_part", **which, PartNumber=1, Body=data)
    parts = {"Parts": [{"PartNumber": 1, "ETag": sent["ETag"]}]}
    done = await stubborn("complete_multipart_upload", **which, MultipartUpload=parts)
    wrong = [f"{name}: an upload met {step}" for step in steps if step[:3] not in ("500", "503")]
    if isinstance(done, str) or await scene.surely("get_object", Key=name) != data:
        wrong.append(f"{name}: the upload gave {done}")
    return wrong


async def left(location: Location) -> list[str]:
    """Everything that lies there besides the marker, what the backend hides as well."""
    backend = location._backend
    if hasattr(backend, "_storage"):
        names = [name async for name in backend._storage.names("")]
    elif hasattr(backend, "_container"):
        names = [blob.name for blob in (await backend._container.page("", "", 5000))[0]]
    else:
        page = await backend._page({"list-type": "2"}, "ListBucketResult")
        uploads = await backend._page({"uploads": ""}, "ListMultipartUploadsResult")
        names = [row.findtext("Key") or "" for row in (*page.iter("Contents"), *uploads.iter("Upload"))]
    return [name for name in names if name != MARKER]


@pytest_twisted.ensureDeferred
async def test_what_a_client_sees_and_what_is_left(scene: Scene, trap: Trap) -> None:
    wrong: list[str] = []
    with Watchdog(reactor) as dog:
        for number, (name, case) in enumerate(cases(trap.url).items()):
            wrong += await suffer(scene, name, case)
            if number % 3 == 0:
                wrong += await upload(scene, name, case)
    assert not wrong, "\n".join(wrong)
    assert trap.visits == 0
    assert dog.counted and not dog.slow
    for row in (await scene.surely("list_objects_v2"))["Contents"]:
        await scene.surely("delete_object", Key=row["Key"])
    await scene.node.close()  # what this process left undecided is swept by the next one
    scene.node = Node(scene.node.settings, reactor)
    await scene.node.open()
    calm = scene.cloud.location()
    await calm.open()
    for _ in range(600):
        names = await left(calm)
        if not names:
            break
        await task.deferLater(reactor, 0.1)
    await calm.close()
    assert not names


@pytest_twisted.ensureDeferred
async def test_a_location_that_hangs_holds_up_no_other(cloud_of: Callable[[str], Cloud], tmp_path: Path) -> None:
    cloud = cloud_of("s3")
    secrets = {f"cold.{file}": word for file, word in cloud.secrets.items()}
    config = write(tmp_path, HEAD + MEMORY + section(cloud).replace("= 1.0s", "= 3600s"), secrets)
    node = Node(read_node(config), reactor)
    await node.open()
    s3 = await client_of(node)
    for bucket, place in (("cold", "cold"), ("warm", "storage")):
        there = {"LocationConstraint": place}
        await deferToThread(s3.create_bucket, Bucket=bucket, CreateBucketConfiguration=there)
    cloud.proxy.faults[EVERYTHING] = faults.hang
    before = len(cloud.proxy.requests)
    hanging = [deferToThread(s3.put_object, Bucket="cold", Key=f"k{n}", Body=b"x") for n in range(5)]
    while len(cloud.proxy.requests) < before + len(hanging):
        await task.deferLater(reactor, 0.02)
    for n in range(20):
        await deferToThread(s3.put_object, Bucket="warm", Key=f"k{n}", Body=b"y" * n)
        assert (await deferToThread(lambda n=n: s3.get_object(Bucket="warm", Key=f"k{n}")["Body"].read())) == b"y" * n
    assert not any(each.called for each in hanging)
    await cloud.proxy.stop()
    for fine, outcome in await DeferredList(hanging, consumeErrors=True):
        assert not fine and outcome.value.response["Error"]["Code"] == UNAVAILABLE
    s3.close()
    await node.close()
