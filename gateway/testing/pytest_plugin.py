"""Fixtures for whoever has txgateway installed. pytest loads this file always: it imports nothing of the gateway."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

for _theme in ("stage", *(f"promises_{name}" for name in "blobs bodies conditions keeping names uploads".split())):
    pytest.register_assert_rewrite(f"gateway.testing.{_theme}")  # a failed promise shows both sides


@pytest.fixture(scope="session")
def gateway_s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A live S3 endpoint in memory, one for the whole run: ``.endpoint .access_key .secret_key .region``."""
    from gateway.testing.server import LiveGateway

    with LiveGateway(tmp_path_factory.mktemp("gateway")) as live:
        yield live
