"""The reaper beside operations."""

from __future__ import annotations

from typing import Any

from pytest_twisted import ensureDeferred
from twisted.internet import reactor
from twisted.internet.task import deferLater
from twisted.logger import globalLogPublisher


@ensureDeferred
async def test_a_stop_while_blobs_are_deleted_is_no_failed_pass(shop: Any) -> None:
    logged: list[str] = []

    def note(event: Any) -> None:
        logged.append(str(event.get("log_format")))

    for number in range(3):
        assert (await shop.call("PUT", f"/bucket/{number}", b"data" * 1000)).status == 200
        assert (await shop.call("DELETE", f"/bucket/{number}")).status == 204
    shop.trouble.hangs.add("delete")
    globalLogPublisher.addObserver(note)
    try:
        shop.reaper.start(3600, reactor)
        while shop.trouble.calls.count("delete") < 3:
            await deferLater(reactor, 0.01)
        await shop.reaper.stop()
    finally:
        globalLogPublisher.removeObserver(note)
    assert not [line for line in logged if "failed" in line]
