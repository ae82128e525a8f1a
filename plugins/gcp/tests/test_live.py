"""The kit on Google itself: GATEWAY_LIVE_GCP=BUCKET, and GATEWAY_LIVE_GCP_ACCOUNT=FILE with a service account's key."""

from __future__ import annotations

import os
import secrets as random_names
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from gateway_gcp import GoogleBackend

from gateway.api import Values
from gateway.testing import BackendContract

BUCKET = os.environ.get("GATEWAY_LIVE_GCP", "")

if BUCKET:
    PREFIX = f"gateway-kit-{random_names.token_hex(6)}/"
    ACCOUNT = Path(os.environ["GATEWAY_LIVE_GCP_ACCOUNT"]).read_text().strip()

    class TestGoogle(BackendContract):
        patience = 600.0

        @pytest.fixture
        def reopen(self) -> Callable[[], GoogleBackend]:
            written = {"gcp.bucket": BUCKET, "gcp.prefix": PREFIX}
            if url := os.environ.get("GATEWAY_LIVE_GCP_URL"):
                written["gcp.url"] = url
            secrets = {"gcp_service_account": ACCOUNT}
            return lambda: GoogleBackend(Values.of(GoogleBackend.settings, written, secrets=secrets))

        @pytest.fixture
        def backend(self, reopen: Callable[[], GoogleBackend]) -> GoogleBackend:
            return reopen()

        @pytest.fixture
        def secrets(self) -> Sequence[str]:
            return [ACCOUNT]

else:

    @pytest.mark.skip(reason="needs an account: set GATEWAY_LIVE_GCP and GATEWAY_LIVE_GCP_ACCOUNT")
    def test_the_kit_on_google_itself() -> None:
        """Never run so far: see the README."""
