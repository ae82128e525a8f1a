"""Every promise of the seam, from the kit, on Azurite: with the account's key, with a SAS, and behind a prefix."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from gateway_azure import AzureBackend

from gateway.api import Values
from gateway.testing import BackendContract
from tests.servers.azurite import Azurite


class TestSharedKey(BackendContract):
    @pytest.fixture
    def reopen(self, azurite: Azurite, container: str) -> Callable[[], AzureBackend]:
        written = {"azure.account": azurite.account, "azure.container": container, "azure.url": azurite.url}
        secrets = {"azure_account_key": azurite.key}
        return lambda: AzureBackend(Values.of(AzureBackend.settings, written, secrets=secrets))

    @pytest.fixture
    def backend(self, reopen: Callable[[], AzureBackend]) -> AzureBackend:
        return reopen()

    @pytest.fixture
    def secrets(self, azurite: Azurite) -> Sequence[str]:
        return [azurite.key]


class TestSas(TestSharedKey):
    @pytest.fixture
    def token(self, azurite: Azurite, container: str) -> str:
        return azurite.sas(container)

    @pytest.fixture
    def reopen(self, azurite: Azurite, container: str, token: str) -> Callable[[], AzureBackend]:
        written = {
            "azure.account": azurite.account,
            "azure.container": container,
            "azure.url": azurite.url,
            "azure.prefix": "some_folder/of.ours-",
        }
        return lambda: AzureBackend(Values.of(AzureBackend.settings, written, secrets={"azure_sas": f"?{token}"}))

    @pytest.fixture
    def secrets(self, token: str) -> Sequence[str]:
        return [token, token.partition("sig=")[2]]
