"""A memory backend, a location on it, and the few moves that these tests make."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from gateway.api import GetRequest, PutRequest, Values
from gateway.bodies import BytesBody, contents
from gateway.plugins.location import Location
from gateway.plugins.memory import MemoryBackend


@pytest.fixture
def memory() -> MemoryBackend:
    return MemoryBackend(Values.of(MemoryBackend.settings, {}))


@pytest.fixture
def location(memory: MemoryBackend) -> Location:
    return Location("storage", memory)


Put = Callable[..., Coroutine[Any, Any, Any]]


@pytest.fixture
def put() -> Put:
    async def keep(location: Any, name: str, data: bytes, **more: Any) -> Any:
        return await location.put(PutRequest(name=name, body=BytesBody(data), size=len(data), **more))

    return keep


@pytest.fixture
def fetch() -> Put:
    async def read(location: Any, name: str, **more: Any) -> bytes:
        return await contents(await location.get(GetRequest(name=name, **more)))

    return read
