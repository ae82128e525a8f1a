"""Real servers of every cloud behind fault proxies, and locations that reach them through these."""

from __future__ import annotations

import secrets as random_names
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor as global_reactor
from twisted.internet.defer import ensureDeferred
from twisted.internet.protocol import Factory, Protocol

from gateway.plugins import loading
from gateway.plugins.location import Location
from gateway.settings import Values
from tests.servers import moto as motos
from tests.servers import swift as swifts
from tests.servers.azurite import Azurite
from tests.servers.fault_proxy import FaultProxy
from tests.servers.moto import Moto, make_bucket
from tests.servers.swift import Swift

reactor: Any = global_reactor


@dataclass
class Cloud:
    """``storage`` are the keys of [storage] that lead through the proxy, ``secrets`` the files of private/."""

    kind: str
    proxy: FaultProxy
    storage: Mapping[str, str]
    secrets: Mapping[str, str]

    @property
    def prefix(self) -> str:
        """What the backend's own settings begin with."""
        return self.kind.partition(".")[2]

    def patience(self, seconds: float) -> dict[str, str]:
        """Settings for those who do not wait longer for an answer."""
        return {f"{self.prefix}.{name}_timeout": f"{seconds}s" for name in ("connect", "reply", "idle")}

    def location(self, name: str = "storage", **more: str) -> Location:
        backend = loading.find(self.kind).load()
        values = Values.of(backend.settings, {**self.storage, **more}, secrets=self.secrets)
        return Location(name, backend(values))


@pytest.fixture(scope="session")
def moto() -> Iterator[Moto]:
    with Moto() as running:
        yield running


@pytest.fixture(scope="session")
def swift() -> Iterator[Swift]:
    with Swift() as running:
        yield running


@pytest.fixture(scope="session")
def azurite() -> Iterator[Azurite]:
    with Azurite() as running:
        yield running


def _s3(proxy: FaultProxy, server: Moto) -> Cloud:
    bucket = make_bucket(server.url, motos.ACCESS_KEY, motos.SECRET_KEY)
    storage = {"s3.url": proxy.url, "s3.bucket": bucket, "s3.access_key_id": motos.ACCESS_KEY}
    return Cloud("cloud.s3", proxy, storage, {"s3secret": motos.SECRET_KEY})


def _strict(proxy: FaultProxy, server: Swift) -> Cloud:
    """Swift's s3api believes no signature and no checksum."""
    bucket = make_bucket(server.url, swifts.USER, swifts.KEY)
    storage = {"s3.url": proxy.url, "s3.bucket": bucket, "s3.access_key_id": swifts.USER}
    return Cloud("cloud.s3", proxy, storage, {"s3secret": swifts.KEY})


def _gcp(proxy: FaultProxy, server: Moto) -> Cloud:
    bucket = make_bucket(server.url, motos.ACCESS_KEY, motos.SECRET_KEY)
    storage = {"gcp.url": proxy.url, "gcp.bucket": bucket, "gcp.access_key_id": motos.ACCESS_KEY}
    return Cloud("cloud.gcp", proxy, {**storage, "gcp.region": "us-east-1"}, {"gcpsecret": motos.SECRET_KEY})


def _openstack(proxy: FaultProxy, server: Swift) -> Cloud:
    token, account = server.token()
    container = f"faults{random_names.token_hex(4)}"
    asked = urllib.request.Request(f"{account}/{container}", method="PUT", headers={"X-Auth-Token": token})
    urllib.request.build_opener(urllib.request.ProxyHandler({})).open(asked, timeout=60).close()
    storage = {
        "openstack.url": f"{proxy.url}/auth/v1.0",
        "openstack.auth": "v1",
        "openstack.username": swifts.USER,
        "openstack.container": container,
    }
    return Cloud("cloud.openstack", proxy, storage, {"openstack_api_key": swifts.KEY})


def _azure(proxy: FaultProxy, server: Azurite) -> Cloud:
    container = f"faults{random_names.token_hex(4)}"
    server.make_container(container)
    storage = {"azure.url": proxy.url, "azure.account": server.account, "azure.container": container}
    return Cloud("cloud.azure", proxy, storage, {"azure_account_key": server.key})


# name -> (the server's fixture, what makes a cloud of it)
CLOUDS: Mapping[str, tuple[str, Callable[[FaultProxy, Any], Cloud]]] = {
    "s3": ("moto", _s3),
    "openstack": ("swift", _openstack),
    "azure": ("azurite", _azure),
    "gcp": ("moto", _gcp),
    "s3-strict": ("swift", _strict),
}


@pytest.fixture(scope="session")
def cloud_of(request: pytest.FixtureRequest) -> Iterator[Callable[[str], Cloud]]:
    """Called with a name of CLOUDS: always another bucket or container, behind another proxy."""
    proxies: list[FaultProxy] = []

    def make(name: str) -> Cloud:
        fixture, maker = CLOUDS[name]
        server = request.getfixturevalue(fixture)
        proxy = FaultProxy(server.url)
        proxy.listen()
        proxies.append(proxy)
        return maker(proxy, server)

    yield make
    for proxy in proxies:
        pytest_twisted.blockon(ensureDeferred(proxy.stop()))


class Trap(Factory):
    """Another host, where nobody may go."""

    noisy = False

    def __init__(self) -> None:
        self.visits = 0
        self.port: Any = reactor.listenTCP(0, self, interface="127.0.0.1")

    @property
    def url(self) -> str:
        return f"http://localhost:{self.port.getHost().port}/elsewhere"

    def buildProtocol(self, addr: Any) -> Protocol:
        self.visits += 1
        return Protocol()


@pytest.fixture(scope="session")
def trap() -> Iterator[Trap]:
    made = Trap()
    yield made
    pytest_twisted.blockon(made.port.stopListening())
