"""The memory backend keeps every promise of the seam."""

from __future__ import annotations

import pytest

from gateway.api import Values
from gateway.plugins.memory import MemoryBackend
from gateway.testing import BackendContract


class TestMemory(BackendContract):
    @pytest.fixture
    def backend(self) -> MemoryBackend:
        return MemoryBackend(Values.of(MemoryBackend.settings, {}))
