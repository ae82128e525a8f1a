"""What plugin authors test with: the conformance kit, faults to wrap around a backend, a live gateway.

Ten lines inherit every promise of the seam as a test::

    import pytest
    from gateway.api import Values
    from gateway.testing import BackendContract
    from gateway_mine import MineBackend

    class TestMine(BackendContract):
        @pytest.fixture
        def backend(self, tmp_path):
            return MineBackend(Values.of(MineBackend.settings, {"mine.path": tmp_path}))

The names below are imported when they are first asked for, so that the pytest plugin costs nothing to those who only
have it installed.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gateway.plugins.location import Location
    from gateway.plugins.memory import MemoryBackend
    from gateway.testing.contract import KIT_VERSION, BackendContract
    from gateway.testing.server import LiveGateway

__all__ = ["KIT_VERSION", "BackendContract", "LiveGateway", "Location", "MemoryBackend"]

_HOMES = {
    "KIT_VERSION": "gateway.testing.contract",
    "BackendContract": "gateway.testing.contract",
    "LiveGateway": "gateway.testing.server",
    "Location": "gateway.plugins.location",  # a wrapper is tried in a location, around a backend
    "MemoryBackend": "gateway.plugins.memory",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
