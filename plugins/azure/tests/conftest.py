"""One Azurite for the whole run, a container for each test that asks for one, and backends on it."""

from __future__ import annotations

import secrets as random_names
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest
from gateway_azure import AzureBackend

from gateway.api import Values
from tests.servers.azurite import Azurite

Opened = Callable[..., AbstractAsyncContextManager[AzureBackend]]


@pytest.fixture(scope="session")
def azurite() -> Iterator[Azurite]:
    with Azurite() as running:
        yield running


@pytest.fixture
def container(azurite: Azurite) -> str:
    name = f"kit{random_names.token_hex(6)}"
    azurite.make_container(name)
    return name


@pytest.fixture
def opened(azurite: Azurite, container: str) -> Opened:
    """``async with opened(prefix="a/") as backend``: settings by their last word; ``secrets`` instead of the key."""

    @asynccontextmanager
    async def open_it(secrets: dict[str, str] | None = None, **written: Any) -> Any:
        keys = {"account": azurite.account, "container": container, "url": azurite.url, **written}
        values = {f"azure.{key}": value for key, value in keys.items()}
        kept = {"azure_account_key": azurite.key} if secrets is None else secrets
        backend = AzureBackend(Values.of(AzureBackend.settings, values, secrets=kept))
        await backend.open()
        try:
            yield backend
        finally:
            await backend.close()

    return open_it
