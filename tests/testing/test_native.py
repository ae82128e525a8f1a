"""The kit's own native-multipart backend keeps every promise: the kit fits those who join parts themselves."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from gateway.api import Capabilities, Values
from gateway.testing import BackendContract
from gateway.testing.native import NativeMemory
from gateway.testing.promises_keeping import KeepingPromises


class TestNative(BackendContract):
    @pytest.fixture
    def backend(self) -> NativeMemory:
        return NativeMemory(Values.of(NativeMemory.settings, {}))


class TestOneStorage(KeepingPromises):
    """As a shared storage that outlives its processes, played by one object."""

    @pytest.fixture
    def backend(self) -> NativeMemory:
        class Shared(NativeMemory):
            capabilities = Capabilities(shared=True)

        return Shared(Values.of(NativeMemory.settings, {}))

    @pytest.fixture
    def reopen(self, backend: NativeMemory) -> Callable[[], NativeMemory]:
        return lambda: backend
