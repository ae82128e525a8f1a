from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from gateway_sftp import SftpBackend
from sshd import built

from gateway.testing import BackendContract


class TestSftpBackend(BackendContract):  # every promise of a backend is a test of this class
    @pytest.fixture
    def backend(self, sshd: Any) -> SftpBackend:
        return built(sshd)

    @pytest.fixture
    def reopen(self, sshd: Any) -> Callable[[], SftpBackend]:
        return lambda: built(sshd)

    @pytest.fixture
    def secrets(self, sshd: Any) -> tuple[str, ...]:
        return (sshd.key, sshd.key.splitlines()[1])
