"""Every promise of the seam on a real Swift: with its own users (v1), and with a real Keystone's (v3)."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from gateway_openstack import OpenStackBackend

from gateway.testing import BackendContract
from gateway.testing.promises_keeping import KeepingPromises
from gateway.testing.promises_uploads import UploadPromises
from tests.servers import ceph, keystone
from tests.servers.keystone import Cloud

Build = Callable[..., OpenStackBackend]
Reopen = Callable[[], OpenStackBackend]


class FromReopen:
    @pytest.fixture
    def backend(self, reopen: Reopen) -> OpenStackBackend:
        return reopen()


class TestTempauth(FromReopen, BackendContract):
    @pytest.fixture
    def reopen(self, tempauth: Reopen) -> Reopen:
        return tempauth

    @pytest.fixture
    def secrets(self) -> Sequence[str]:
        return ("testing",)


class TestRgw(FromReopen, BackendContract):
    """Ceph's RADOS Gateway by its Swift API (v1)."""

    @pytest.fixture
    def reopen(self, on_rgw: Reopen) -> Reopen:
        return on_rgw

    @pytest.fixture
    def secrets(self) -> Sequence[str]:
        return (ceph.SWIFT_KEY,)


class TestSmallManifests(FromReopen, UploadPromises):
    """Two segments in a manifest, and so manifests of manifests for whatever has three parts."""

    @pytest.fixture
    def reopen(self, tempauth: Reopen, monkeypatch: pytest.MonkeyPatch) -> Reopen:
        monkeypatch.setattr(OpenStackBackend, "manifest_limit", 2)
        return tempauth


class TestKeystonePassword(FromReopen, BackendContract):
    @pytest.fixture
    def reopen(self, cloud: Cloud, build: Build) -> Reopen:
        return lambda: build(
            keystone.PASSWORD,
            url=cloud.auth_url,
            username=keystone.USER,
            project=keystone.PROJECT,
            region=keystone.REGION,
        )

    @pytest.fixture
    def secrets(self) -> Sequence[str]:
        return (keystone.PASSWORD,)


# The kit never sees how a token came: every day a part of it, with GATEWAY_LONG=1 everything once more.
_KIT: Any = BackendContract if os.environ.get("GATEWAY_LONG") == "1" else KeepingPromises


class TestApplicationCredential(FromReopen, _KIT):  # type: ignore[misc]
    @pytest.fixture
    def reopen(self, credential: tuple[str, str], cloud: Cloud, build: Build) -> Reopen:
        return lambda: build(
            credential[1],
            url=cloud.auth_url,
            auth="v3applicationcredential",
            username=credential[0],
            region=keystone.REGION,
        )

    @pytest.fixture
    def secrets(self, credential: tuple[str, str]) -> Sequence[str]:
        return (credential[1],)
