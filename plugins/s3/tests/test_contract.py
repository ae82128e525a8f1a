"""Every promise of the seam, on every S3 server that can be had."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from gateway_s3 import S3Backend

from gateway.testing import BackendContract


class OnAServer(BackendContract):
    patience = 120.0  # seconds; parts have 5 MiB, and the servers share the machine with the tests

    @pytest.fixture
    def target(self) -> Any:
        raise NotImplementedError

    @pytest.fixture
    def bucket(self, target: Any) -> str:
        return str(target.bucket())

    @pytest.fixture
    def backend(self, target: Any, bucket: str) -> S3Backend:
        return target.backend(bucket)

    @pytest.fixture
    def reopen(self, target: Any, bucket: str) -> Callable[[], S3Backend]:
        return lambda: target.backend(bucket)

    @pytest.fixture
    def secrets(self, target: Any) -> Sequence[str]:
        return (target.secret_key,)


class TestMoto(OnAServer):
    @pytest.fixture
    def target(self, moto: Any) -> Any:
        return moto


class TestSwift(OnAServer):
    @pytest.fixture
    def target(self, swift: Any) -> Any:
        return swift


class TestRgw(OnAServer):
    @pytest.fixture
    def target(self, rgw: Any) -> Any:
        return rgw


class TestOurselves(OnAServer):
    @pytest.fixture
    def target(self, ourselves: Any) -> Any:
        return ourselves
