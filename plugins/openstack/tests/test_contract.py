"""Every promise of the seam on a real Swift: with its own users (v1), and with Keystone's (v3)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from gateway_openstack import OpenStackBackend

from gateway.testing import BackendContract
from tests.servers import swift

Reopen = Callable[[], OpenStackBackend]
Build = Callable[..., OpenStackBackend]


class OnSwift(BackendContract):
    @pytest.fixture
    def backend(self, reopen: Reopen) -> OpenStackBackend:
        return reopen()


class TestTempauth(OnSwift):
    @pytest.fixture
    def reopen(self, swift: swift.Swift, build: Build) -> Reopen:
        return lambda: build("testing", url=swift.auth_url, username="test:tester")

    @pytest.fixture
    def secrets(self) -> Sequence[str]:
        return ("testing",)
