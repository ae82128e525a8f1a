"""What a gateway is put on: ``with kept_on("cloud.azure") as kept: LiveGateway(folder, kept.backend, ...)``.

STORAGES has a row for each backend that is used every day, on the real server that judges it best for its time, and
MORE those on further servers. The name before ``@`` is the backend's type.
"""

from __future__ import annotations

import json
import platform
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field

import boto3
from botocore.config import Config

from tests.servers import azurite, ceph, moto, swift
from tests.servers.process import PYTHON

NAME = "acceptance"  # of the bucket or container


@dataclass(frozen=True, slots=True)
class Kept:
    """Lines of ``[storage]`` and files of private/; ``server`` says where the bytes really are, with its version."""

    backend: str
    server: str
    settings: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)


@contextmanager
def _in_memory() -> Iterator[Kept]:
    yield Kept("memory", "the process itself")


@contextmanager
def _in_a_folder() -> Iterator[Kept]:
    yield Kept("local", f"a folder, {platform.system()} {platform.release().split('-')[0]}")


def _bucket(url: str, access_key: str, secret_key: str) -> None:
    config = Config(retries={"total_max_attempts": 1}, proxies={}, s3={"addressing_style": "path"})
    keys = {"aws_access_key_id": access_key, "aws_secret_access_key": secret_key, "region_name": "us-east-1"}
    client = boto3.client("s3", endpoint_url=url, config=config, **keys)  # type: ignore[call-overload]
    client.create_bucket(Bucket=NAME)
    client.close()


def _s3(server: str, url: str, access_key: str, secret_key: str) -> Kept:
    _bucket(url, access_key, secret_key)
    settings = {"s3.url": url, "s3.bucket": NAME, "s3.access_key_id": access_key}
    return Kept("cloud.s3", server, settings, {"s3secret": secret_key})


@contextmanager
def _s3_on_ceph() -> Iterator[Kept]:
    with ceph.Ceph() as running:
        yield _s3(f"Ceph RADOS Gateway {running.version}", running.url, ceph.ACCESS_KEY, ceph.SECRET_KEY)


@contextmanager
def _s3_on_swift() -> Iterator[Kept]:
    with swift.Swift() as running:
        yield _s3(f"OpenStack Swift {_version(running.url + '/info')}, s3api", running.url, swift.USER, swift.KEY)


@contextmanager
def _s3_on_moto() -> Iterator[Kept]:
    with moto.Moto() as running:
        found = next((PYTHON.parent.parent / "lib").glob("python3*/site-packages/moto-*.dist-info"))
        version = found.name.removesuffix(".dist-info").removeprefix("moto-")
        yield _s3(f"moto {version}", running.url, moto.ACCESS_KEY, moto.SECRET_KEY)


def _openstack(server: str, auth_url: str, user: str, key: str, token: tuple[str, str]) -> Kept:
    asked = urllib.request.Request(f"{token[1]}/{NAME}", method="PUT", headers={"X-Auth-Token": token[0]})
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(asked, timeout=60):
        settings = {"openstack.url": auth_url, "openstack.username": user, "openstack.container": NAME}
        return Kept("cloud.openstack", server, settings, {"openstack_api_key": key})


@contextmanager
def _openstack_on_swift() -> Iterator[Kept]:
    with swift.Swift() as running:
        server = f"OpenStack Swift {_version(running.url + '/info')}"
        yield _openstack(server, running.auth_url, swift.USER, swift.KEY, running.token())


@contextmanager
def _openstack_on_ceph() -> Iterator[Kept]:
    with ceph.Ceph() as running:
        server = f"Ceph RADOS Gateway {running.version}, Swift API"
        yield _openstack(server, running.auth_url, ceph.SWIFT_USER, ceph.SWIFT_KEY, running.token())


@contextmanager
def _azure_on_azurite() -> Iterator[Kept]:
    with azurite.Azurite() as running:
        running.make_container(NAME)
        settings = {"azure.account": running.account, "azure.container": NAME, "azure.url": running.url}
        version = json.loads((azurite.PROGRAM.parents[3] / "package.json").read_text())["version"]
        yield Kept("cloud.azure", f"Azurite {version}", settings, {"azure_account_key": running.key})


@contextmanager
def _gcp_on_ceph() -> Iterator[Kept]:
    with ceph.Ceph() as running:
        _bucket(running.url, ceph.ACCESS_KEY, ceph.SECRET_KEY)
        keys = {"gcp.url": running.url, "gcp.bucket": NAME, "gcp.access_key_id": ceph.ACCESS_KEY}
        server = f"Ceph RADOS Gateway {running.version}, with an HMAC key"
        yield Kept("cloud.gcp", server, {**keys, "gcp.region": "us-east-1"}, {"gcpsecret": ceph.SECRET_KEY})


Start = Callable[[], AbstractContextManager[Kept]]
STORAGES: Mapping[str, Start] = {
    "memory": _in_memory,
    "local": _in_a_folder,
    "cloud.s3": _s3_on_ceph,
    "cloud.openstack": _openstack_on_swift,
    "cloud.azure": _azure_on_azurite,
    "cloud.gcp": _gcp_on_ceph,
}
MORE: Mapping[str, Start] = {
    "cloud.s3@swift": _s3_on_swift,
    "cloud.s3@moto": _s3_on_moto,
    "cloud.openstack@ceph": _openstack_on_ceph,
}


def kept_on(name: str) -> AbstractContextManager[Kept]:
    return {**STORAGES, **MORE}[name]()


def _version(url: str) -> str:
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=60) as reply:
        return str(json.loads(reply.read())["swift"]["version"])
