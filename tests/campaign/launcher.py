"""`gateway run` as it is, or broken on purpose: ``python launcher.py CONTROL run -c FILE``.

The controls show that the campaign can fail. They live here, so that no gateway that anyone installs has a switch.
"""

from __future__ import annotations

import sys
from typing import Any


def commit_before_blob() -> None:
    """The blob is written only after the version that refers to it is committed."""
    from twisted.internet import reactor, task

    from gateway import bodies, model
    from gateway.plugins.location import Location

    real = Location.put

    async def put(self: Location, request: model.PutRequest) -> model.PutResult:
        if request.if_absent:
            return await real(self, request)
        data = b"".join([chunk async for chunk in request.body])
        again = model.PutRequest(
            name=request.name, body=bodies.BytesBody(data), size=request.size, metadata=request.metadata
        )
        from twisted.internet.defer import ensureDeferred

        task.deferLater(reactor, 0.5, lambda: ensureDeferred(real(self, again)))
        return model.PutResult("later")

    Location.put = put  # type: ignore[assignment,method-assign]


def answer_before_commit() -> None:
    """PUT is answered while its transaction still waits."""
    from twisted.internet import reactor, task
    from twisted.internet.defer import ensureDeferred

    from gateway.operations import put

    real = put.commit

    async def commit(*args: Any) -> None:
        task.deferLater(reactor, 0.5, lambda: ensureDeferred(real(*args)))

    put.commit = commit  # type: ignore[assignment]


def stale_reads() -> None:
    """A cache of versions that a write in flight does not clear."""
    import time

    from gateway.catalogue.versions import Versions

    real, cache = Versions.find, dict[Any, Any]()

    async def find(self: Versions, bucket_id: int, key: bytes) -> Any:
        kept = cache.get((bucket_id, key))
        if kept is None or kept[0] < time.monotonic():
            kept = cache[bucket_id, key] = (time.monotonic() + 0.05, await real(self, bucket_id, key))
        return kept[1]

    Versions.find = find  # type: ignore[method-assign]


def unchecked_conditions() -> None:
    """Conditions are looked at when the request comes, and not again inside the transaction."""
    from gateway.catalogue.versions import Versions

    real = Versions.commit

    async def commit(self: Versions, new: Any, check: Any = None) -> Any:
        return await real(self, new)

    Versions.commit = commit  # type: ignore[method-assign]


def forgotten_sweep() -> None:
    """Blobs of a dead process are taken for known."""
    from gateway.catalogue.blobs import Blobs

    async def known(self: Blobs, location: str, names: Any) -> set[str]:
        return set(names)

    Blobs.known = known  # type: ignore[method-assign]


CONTROLS = {
    "none": lambda: None,
    "commit-before-blob": commit_before_blob,
    "answer-before-commit": answer_before_commit,
    "stale-reads": stale_reads,
    "unchecked-conditions": unchecked_conditions,
    "forgotten-sweep": forgotten_sweep,
}

if __name__ == "__main__":
    control, *words = sys.argv[1:]
    CONTROLS[control]()
    from gateway.cli import main

    sys.argv = ["gateway", *words]
    main()
