"""How many processes are to serve, and what is started for that."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from gateway.node.read import NodeSettings
from gateway.node.rooms import build
from gateway.node.served import Served
from gateway.settings import ConfigurationFault

if TYPE_CHECKING:
    from gateway.workers.birth import Born

MOST = 8  # where nobody says how many


def crew(settings: NodeSettings) -> tuple[int, str]:
    """What is written, or one for each processor that we may use; and why not more, where a storage forbids them."""
    written: int | None = settings.gateway["workers"]
    wanted = written if written is not None else min(MOST, len(os.sched_getaffinity(0)))
    if wanted == 1:
        return 1, ""
    try:
        alone = [place for place in settings.places if not build(place).capabilities.shared]
    except ConfigurationFault:
        return 1, ""  # the start of one tells it, with everything else that is wrong
    if alone:
        return 1, f"location {alone[0].name}: what {alone[0].kind} keeps is there in one process only"
    return wanted, ""


def whole(settings: NodeSettings, reactor: Any, workers: int, born: Sequence[Born] = ()) -> Served:
    """The gateway: one process serves, or supervises those that do. Imports what that takes, and no more.

    ``born``: workers that are there already.
    """
    if workers == 1:
        from gateway.node.service import Node

        return Node(settings, reactor)
    from gateway.workers.supervisor import Supervisor

    return Supervisor(settings, reactor, workers, born)
