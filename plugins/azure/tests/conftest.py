"""One Azurite for the whole run, and a container for each test that asks for one."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest

from tests.servers.azurite import Azurite


@pytest.fixture(scope="session")
def azurite() -> Iterator[Azurite]:
    with Azurite() as running:
        yield running


@pytest.fixture
def container(azurite: Azurite) -> str:
    name = f"kit{secrets.token_hex(6)}"
    azurite.make_container(name)
    return name
