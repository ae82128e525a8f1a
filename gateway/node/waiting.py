"""What stands in for a location whose storage did not answer when the gateway started."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from gateway.api import BackendDown, BackendError, Capabilities, HealthcheckRequest, HealthcheckResult, hookimpl
from gateway.plugins.location import Location


class Waiting:
    """A backend that refuses everything at once, so that nobody waits for a storage that is not there.

    Each healthcheck calls ``attempt``, which opens the real location and puts it in our place, or says why not.
    """

    def __init__(
        self, capabilities: Capabilities, reason: BackendError, attempt: Callable[[], Awaitable[Location]]
    ) -> None:
        self.capabilities = capabilities
        self._reason = reason
        self._attempt = attempt

    async def _refuse(self, request: Any) -> Any:
        raise BackendDown(f"not open yet: {self._reason}")

    put = get = head = delete = list = hookimpl(_refuse)
    createMPU = uploadPart = completeMPU = abortMPU = hookimpl(_refuse)  # noqa: N815

    @hookimpl
    async def healthcheck(self, request: HealthcheckRequest) -> HealthcheckResult:
        try:
            location = await self._attempt()
        except BackendError as reason:
            self._reason = reason
            raise
        return await location.healthcheck(request)
