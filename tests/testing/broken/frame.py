"""What every broken backend is made of."""

from __future__ import annotations

from typing import Any

import pytest

from gateway import model
from gateway.api import BytesBody, Values
from gateway.plugins.memory import MemoryBackend
from gateway.testing import BackendContract


class Broken(BackendContract):
    """The contract on ``kind``, and what must come of it: ``fails`` fails and no other test, and its author reads
    ``says``. Where the fault is ``broad``, other tests may fail as well."""

    patience = 3.0
    kind: type[MemoryBackend] = MemoryBackend
    fails = ""
    says = ""
    broad = False

    @pytest.fixture
    def backend(self) -> Any:
        return self.kind(Values.of(self.kind.settings, {}))


async def gathered(body: Any) -> bytes:
    return b"".join([chunk async for chunk in body])


async def keep(backend: MemoryBackend, name: str, data: bytes, **more: Any) -> model.PutResult:
    return await MemoryBackend.put(backend, model.PutRequest(name=name, body=BytesBody(data), size=len(data), **more))
