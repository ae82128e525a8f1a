"""`gateway check --online`: every step on every location, and the one thing that is wrong by its name."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor

from gateway.model import ListRequest
from gateway.node.read import read_node
from gateway.node.service import Node
from tests.faults.conftest import Cloud
from tests.faults.nodes import HEAD, MEMORY, command, section, write
from tests.servers import faults
from tests.servers.azurite import Azurite
from tests.servers.fault_proxy import Exchange, Fault, fine

STEPS = "open owner list put head get range delete".split()


def alone(folder: Path, cloud: Cloud, **more: str) -> Path:
    text = section(cloud, "storage").splitlines()
    for key, value in more.items():
        text = [f"{key} = {value}" if line.startswith(f"{key} = ") else line for line in text]
    return write(folder, HEAD + "\n".join(text) + "\n", cloud.secrets)


async def online(config: Path, code: int) -> list[str]:
    """The lines, standard output's first."""
    done = await command("check", "--online", "-c", config)
    assert done.returncode == code, done
    assert "Traceback" not in done.stdout + done.stderr
    return done.stdout.splitlines() + done.stderr.splitlines()


@pytest_twisted.ensureDeferred
async def test_every_location_is_tried_step_by_step(cloud_of: Callable[[str], Cloud], tmp_path: Path) -> None:
    clouds = {name: cloud_of(name) for name in ("s3", "openstack", "azure", "gcp")}
    text = HEAD + f"[storage]\nbackend = local\nlocal.path = {tmp_path}/kept\n"
    secrets = {}
    for name, cloud in clouds.items():
        text += section(cloud, f"location {name}").replace("= 1.0s", "= 30s")
        secrets |= {f"{name}.{file}": word for file, word in cloud.secrets.items()}
    lines = await online(write(tmp_path, text, secrets), 0)
    assert [line.partition(" (")[0] for line in lines] == ["storage", *clouds]
    for line in lines:
        assert re.findall(r"([a-z]+) \d+ ms", line) == STEPS, line
    for cloud in clouds.values():
        calm = cloud.location()
        await calm.open()
        assert (await calm.list(ListRequest())).blobs == ()
        await calm.close()


@pytest_twisted.ensureDeferred
async def test_beside_a_gateway_that_serves(cloud_of: Callable[[str], Cloud], tmp_path: Path) -> None:
    cloud = cloud_of("s3")
    secrets = {f"cold.{file}": word for file, word in cloud.secrets.items()}
    config = write(tmp_path, HEAD + MEMORY + section(cloud), secrets)
    node = Node(read_node(config), reactor)
    await node.open()
    try:
        storage, cold = await online(config, 0)
    finally:
        await node.close()
    assert storage == "storage (memory): only the gateway that serves can try it: see /_/healthcheck"
    assert re.findall(r"([a-z]+) \d+ ms", cold) == STEPS


@pytest.mark.parametrize(
    ("rights", "refused"),
    [("cwdl", "owner, head, get, range"), ("rdl", "put"), ("rcwl", "delete")],
)
@pytest_twisted.ensureDeferred
async def test_a_missing_right_is_named(
    cloud_of: Callable[[str], Cloud], azurite: Azurite, tmp_path: Path, rights: str, refused: str
) -> None:
    cloud = cloud_of("azure")
    cloud.secrets = {"azure_sas": azurite.sas(cloud.storage["azure.container"], rights)}
    (line,) = await online(alone(tmp_path, cloud), 1)
    assert line.startswith(f"{tmp_path}/tahoe.cfg:6: ") and f"that refuses {refused}: " in line
    assert f"fix: give these credentials the right to {refused} (fine: open " in line
    assert "sig" not in line


def refusing(*methods: str) -> Fault:
    """AccessDenied for some, as a bucket's policy would."""
    denied = faults.status(403, content=b"<Error><Code>AccessDenied</Code></Error>")

    async def refuse(exchange: Exchange) -> None:
        await (denied if exchange.method in methods else fine)(exchange)

    return refuse


@pytest_twisted.ensureDeferred
async def test_rights_of_a_bucket(cloud_of: Callable[[str], Cloud], tmp_path: Path) -> None:
    cloud = cloud_of("s3")
    for methods, refused in ((["PUT"], "put"), (["DELETE"], "delete"), (["PUT", "DELETE"], "put, delete")):
        cloud.proxy.faults["/check"] = refusing(*methods)
        (line,) = await online(alone(tmp_path, cloud), 1)
        assert f"that refuses {refused}: " in line
    cloud.proxy.faults["list-type"] = refusing("GET")
    (line,) = await online(alone(tmp_path, cloud), 3)
    assert "let this access key list the bucket" in line


@pytest.mark.parametrize(
    ("name", "change", "said", "code"),
    [
        ("s3-strict", {"s3.access_key_id": "nobody"}, "key", 3),
        ("s3", {"s3.bucket": "no-such-bucket"}, "NoSuchBucket", 3),
        ("azure", {"azure.container": "nobody-made-it"}, "ContainerNotFound", 3),
        ("openstack", {"openstack.container": "nobody-made-it"}, "no container", 3),
        ("openstack", {"openstack.username": "test:nobody"}, "private/openstack_api_key", 3),
        ("gcp", {"gcp.url": "http://127.0.0.1:1"}, "no connection", 4),
    ],
)
@pytest_twisted.ensureDeferred
async def test_what_is_wrong_is_one_line(
    cloud_of: Callable[[str], Cloud], tmp_path: Path, name: str, change: dict[str, Any], said: str, code: int
) -> None:
    (line,) = await online(alone(tmp_path, cloud_of(name), **change), code)
    assert said in line and line.startswith(f"{tmp_path}/tahoe.cfg:")


@pytest.mark.parametrize(("minutes", "told"), [(20, "20 minutes behind"), (-30, "30 minutes ahead of")])
@pytest_twisted.ensureDeferred
async def test_a_clock_that_is_wrong_is_told(
    cloud_of: Callable[[str], Cloud], tmp_path: Path, minutes: int, told: str
) -> None:
    theirs = {"Date": formatdate(time.time() + 60 * minutes, usegmt=True)}
    azure, s3 = cloud_of("azure"), cloud_of("s3")
    code = {"x-ms-error-code": "AuthenticationFailed"}
    azure.proxy.faults["comp=list"] = faults.status(403, {**theirs, **code})
    skewed = b"<Error><Code>RequestTimeTooSkewed</Code></Error>"
    s3.proxy.faults["list-type"] = faults.status(403, theirs, skewed)
    for cloud in (azure, s3):
        (line,) = await online(alone(tmp_path, cloud), 3)
        assert f"this machine's clock is {told} theirs" in line
