"""What one process of a gateway is given by the whole. A gateway of one process has everything for itself."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Set
from dataclasses import dataclass
from typing import Any

from gateway.catalogue import Slots
from gateway.node.lock import DataLock
from gateway.observe import Metrics


async def own_figures(metrics: Metrics) -> bytes:
    """Prometheus' text of this process alone, which is the whole gateway."""
    return metrics.text()


def unheard(word: str) -> None:
    """Nobody else has to know."""


@dataclass(frozen=True)
class Seat:
    """One of ``workers`` processes.

    ``lock``: the data lock, where the supervisor took it. ``doors``: the reactor whose ``listenTCP`` and the like give
    the doors that it opened. ``slots``: the memory in which all tell each other what they write. ``figures`` gives the
    metrics of all. ``duties``: what only one may do is ours from the start.

    ``found``: how many changes the catalogue had when the gateway started, None where it starts now; ``verified``: the
    locations that were found to be this catalogue's since then; ``verify`` tells the others of one more. ``doubt``
    tells them that the catalogue is not to be believed.
    """

    workers: int = 1
    lock: DataLock | None = None
    doors: Any = None
    slots: Slots | None = None
    figures: Callable[[Metrics], Awaitable[bytes]] = own_figures
    duties: bool = True
    found: int | None = None
    verified: Set[str] = frozenset()
    verify: Callable[[str], None] = unheard
    doubt: Callable[[str], None] = unheard

    def share(self, whole: int) -> int:
        """Our part of a limit that is one for all."""
        return -(-whole // self.workers)


ALONE = Seat()
