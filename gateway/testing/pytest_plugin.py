"""Fixtures for whoever has txgateway installed. pytest loads this file always: it imports nothing of the gateway."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

for _theme in ("stage", *(f"promises_{name}" for name in "blobs bodies conditions keeping names uploads".split())):
    pytest.register_assert_rewrite(f"gateway.testing.{_theme}")  # a failed promise shows both sides


@pytest.fixture(scope="session")
def gateway_s3_endpoints() -> Iterator[Any]:
    """The process where the S3 endpoints of this run live: ``.open()`` gives a further one, ``.close(it)`` ends it."""
    from gateway.testing.endpoints import Endpoints

    endpoints = Endpoints()
    yield endpoints
    endpoints.end()


@pytest.fixture
def gateway_s3(gateway_s3_endpoints: Any) -> Iterator[Any]:
    """An empty S3 service of this test's own: ``.endpoint .access_key .secret_key .region``; ``.client`` is boto3's."""
    endpoint = gateway_s3_endpoints.open()
    yield endpoint
    gateway_s3_endpoints.close(endpoint)


@pytest.fixture
def gateway_s3_environment(gateway_s3: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """``gateway_s3``, and the AWS variables of this process name it: code that makes its own clients finds it."""
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    for name, value in gateway_s3.environment.items():
        monkeypatch.setenv(name, value)
    return gateway_s3
