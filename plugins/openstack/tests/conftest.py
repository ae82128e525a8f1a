"""A real Swift with its own users (tempauth), and one behind a real Keystone; both for the whole run."""

from __future__ import annotations

import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from gateway_openstack import OpenStackBackend
from gateway_openstack.identity import KEY

from gateway.api import Values
from tests.servers import swift as servers
from tests.servers.keystone import Cloud
from tests.servers.swift import Swift

CONTAINER = "blobs"


def make_container(token: str, storage: str, name: str) -> None:
    asked = urllib.request.Request(f"{storage}/{name}", method="PUT", headers={"X-Auth-Token": token})
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(asked, timeout=60) as reply:
        assert reply.status in (201, 202)


def _build(secret: str, **written: Any) -> OpenStackBackend:
    """A backend, not opened; ``written`` are settings without their prefix."""
    settings = {"openstack.container": CONTAINER} | {f"openstack.{name}": text for name, text in written.items()}
    return OpenStackBackend(Values.of(OpenStackBackend.settings, settings, secrets={KEY: secret}))


Build = Callable[..., OpenStackBackend]


@pytest.fixture(scope="session")
def build() -> Build:
    return _build


@pytest.fixture(scope="session")
def swift() -> Iterator[Swift]:
    with Swift() as running:
        make_container(*running.token(), CONTAINER)
        yield running


@pytest.fixture(scope="session")
def cloud() -> Iterator[Cloud]:
    with Cloud() as running:
        make_container(*running.token(), CONTAINER)
        yield running


@pytest.fixture
def backend(swift: Swift) -> OpenStackBackend:
    return _build(servers.KEY, url=swift.auth_url, username=servers.USER)
