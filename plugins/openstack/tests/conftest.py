"""A real Swift with its own users (tempauth), one behind a real Keystone, and a Ceph that speaks Swift's API."""

from __future__ import annotations

import secrets as random_names
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import pytest_twisted
from gateway_openstack import OpenStackBackend
from gateway_openstack.identity import KEY
from twisted.internet.defer import ensureDeferred

from gateway.api import Values
from tests.servers import ceph, keystone
from tests.servers import swift as servers
from tests.servers.ceph import Ceph
from tests.servers.keystone import Cloud
from tests.servers.swift import Swift

CONTAINER = "blobs"


def _make_container(token: str, storage: str, name: str) -> None:
    asked = urllib.request.Request(f"{storage}/{name}", method="PUT", headers={"X-Auth-Token": token})
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(asked, timeout=60) as reply:
        assert reply.status in (201, 202)


def _values(secret: str, **written: Any) -> Values:
    """``written`` are settings without their prefix."""
    settings = {"openstack.container": CONTAINER} | {f"openstack.{name}": text for name, text in written.items()}
    return Values.of(OpenStackBackend.settings, settings, secrets={KEY: secret})


def _build(secret: str, **written: Any) -> OpenStackBackend:
    """A backend, not opened."""
    return OpenStackBackend(_values(secret, **written))


Build = Callable[..., OpenStackBackend]


@pytest.fixture(scope="session")
def build() -> Build:
    return _build


@pytest.fixture(scope="session")
def values() -> Callable[..., Values]:
    return _values


@pytest.fixture
def folder() -> str:
    """The first segment of blob names that nobody else uses."""
    return "own" + random_names.token_hex(5)


@pytest.fixture(scope="session")
def swift() -> Iterator[Swift]:
    with Swift() as running:
        _make_container(*running.token(), CONTAINER)
        yield running


@pytest.fixture(scope="session")
def cloud() -> Iterator[Cloud]:
    with Cloud() as running:
        _make_container(*running.token(), CONTAINER)
        yield running


@pytest.fixture(scope="session")
def rgw() -> Iterator[Ceph]:
    with Ceph() as running:
        _make_container(*running.token(), CONTAINER)
        yield running


@pytest.fixture
def on_rgw(rgw: Ceph) -> Callable[[], OpenStackBackend]:
    """Builds backends, not opened, on the same container of a RADOS Gateway."""
    return lambda: _build(ceph.SWIFT_KEY, url=rgw.auth_url, username=ceph.SWIFT_USER)


@pytest.fixture(scope="session")
def credential(cloud: Cloud) -> tuple[str, str]:
    """Id and secret of an application credential."""
    return cloud.keystone.application_credential(keystone.USER, keystone.PASSWORD, keystone.PROJECT)


@pytest.fixture
def tempauth(swift: Swift) -> Callable[[], OpenStackBackend]:
    """Builds backends, not opened, on the same container."""
    return lambda: _build(servers.KEY, url=swift.auth_url, username=servers.USER)


@pytest.fixture
def opened(tempauth: Callable[[], OpenStackBackend]) -> Iterator[OpenStackBackend]:
    backend = tempauth()
    pytest_twisted.blockon(ensureDeferred(backend.open()))
    yield backend
    pytest_twisted.blockon(ensureDeferred(backend.close()))


@pytest.fixture(scope="session")
def make_container() -> Callable[[str, str, str], None]:
    """Called with a token, the account's URL and a name."""
    return _make_container


def _names_in(token: str, storage: str, container: str) -> list[str]:
    asked = urllib.request.Request(f"{storage}/{container}?limit=10000", headers={"X-Auth-Token": token})
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(asked, timeout=60) as reply:
        return [name for name in reply.read().decode().split("\n") if name]


@pytest.fixture(scope="session")
def names_in() -> Callable[[str, str, str], list[str]]:
    """What really lies in a container; called with a token, the account's URL and a name."""
    return _names_in


@pytest.fixture
def stored(swift: Swift) -> Callable[[str], list[str]]:
    """What really lies in the container, segments included, under a blob name's first segment."""
    return lambda folder: [name for name in _names_in(*swift.token(), CONTAINER) if folder in name]
