"""The kit on Azure itself: GATEWAY_LIVE_AZURE=ACCOUNT/CONTAINER, and GATEWAY_LIVE_AZURE_KEY=FILE with its key."""

from __future__ import annotations

import os
import secrets as random_names
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from gateway_azure import AzureBackend

from gateway.api import Values
from gateway.testing import BackendContract

WHERE = os.environ.get("GATEWAY_LIVE_AZURE", "")

if WHERE:
    PREFIX = f"gateway-kit-{random_names.token_hex(6)}/"
    KEY = Path(os.environ["GATEWAY_LIVE_AZURE_KEY"]).read_text().strip()

    class TestAzure(BackendContract):
        patience = 300.0

        @pytest.fixture
        def reopen(self) -> Callable[[], AzureBackend]:
            account, _, container = WHERE.partition("/")
            written = {"azure.account": account, "azure.container": container, "azure.prefix": PREFIX}
            if url := os.environ.get("GATEWAY_LIVE_AZURE_URL"):
                written["azure.url"] = url
            secrets = {"azure_account_key": KEY}
            return lambda: AzureBackend(Values.of(AzureBackend.settings, written, secrets=secrets))

        @pytest.fixture
        def backend(self, reopen: Callable[[], AzureBackend]) -> AzureBackend:
            return reopen()

        @pytest.fixture
        def secrets(self) -> Sequence[str]:
            return [KEY]

else:

    @pytest.mark.skip(reason="needs an account: set GATEWAY_LIVE_AZURE and GATEWAY_LIVE_AZURE_KEY")
    def test_the_kit_on_azure_itself() -> None:
        """Never run so far: see the README."""
