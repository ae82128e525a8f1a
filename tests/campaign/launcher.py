"""The process that gateways are forked from: `gateway` commands as they are, or broken on purpose.

It imports what a gateway needs, but no reactor, and then does what it reads, a line of JSON each (``nursery.py`` asks):
a command begins in a child of its own, held before its first step until it may go. From there on the child is what
``python -m gateway`` is after its imports; thousands of starts need not read the same modules again.

The controls show that the campaign can fail. They live here, so that no gateway that anyone installs has a switch.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import signal
import socket
import sys
from contextlib import suppress
from typing import Any

REACTOR = "twisted.internet.reactor"  # whoever imports it has made one, and one is not for two processes
IMPORTED = """
    gateway.cli.program gateway.cli.run gateway.cli.reap gateway.cli.init gateway.cli.offline gateway.node.read
    gateway.node.rooms gateway.node.health gateway.node.service gateway.observe.metrics gateway.reaper gateway.pages
    gateway.operations.copy gateway.operations.delete gateway.operations.list_objects gateway.operations.put
    gateway.operations.upload_lists gateway.gate gateway.http.connection gateway.http.exchange gateway_local httptools
    prometheus_client twisted.application.service twisted.internet.default twisted.internet.endpoints
    twisted.internet.epollreactor twisted.internet.stdio twisted.python.logfile twisted.python.systemd
""".split()


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


def no_file_sync() -> None:
    """Blobs are told to be safe while they wait in the kernel's memory (the catalogue is still synced)."""
    from gateway.sqlitefile import SqliteFile

    real = SqliteFile.connect

    def connect(self: SqliteFile, **more: Any) -> Any:
        connection = real(self, **more)
        connection.pragma("synchronous", "off")
        return connection

    SqliteFile.connect = connect  # type: ignore[method-assign]
    os.fsync = os.fdatasync = lambda descriptor: None  # type: ignore[assignment]


def outliving_workers() -> None:
    """Workers that do not notice the end of their supervisor, once they are open."""
    from gateway.workers import worker

    real = worker.Worker._stop_reactor

    def stays(self: worker.Worker) -> None:
        if self._node is None:
            real(self)

    worker._die_with_the_supervisor = lambda descriptor, ending: None  # type: ignore[assignment]
    worker.Worker._stop_reactor = stays  # type: ignore[method-assign]


CONTROLS = {
    "none": lambda: None,
    "commit-before-blob": commit_before_blob,
    "answer-before-commit": answer_before_commit,
    "stale-reads": stale_reads,
    "unchecked-conditions": unchecked_conditions,
    "forgotten-sweep": forgotten_sweep,
    "no-file-sync": no_file_sync,
    "outliving-workers": outliving_workers,
}


def prepare() -> None:
    """Import everything that makes no reactor; what does is left for each child."""
    sys.modules[REACTOR] = None  # type: ignore[assignment]
    for name in IMPORTED:
        with suppress(ImportError):
            importlib.import_module(name)
    del sys.modules[REACTOR]
    gc.freeze()


def child_of(request: dict[str, Any], hold: int) -> None:
    """Become the command: its output goes to a file, and it waits for its go."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    said = os.open(request["said"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    for old, new in ((nothing, 0), (said, 1), (said, 2)):
        os.dup2(old, new)
    os.closerange(3, hold)
    os.closerange(hold + 1, 4096)
    os.write(hold, b"?")  # from here on whatever happens, happens to the command
    os.read(hold, 1)
    os.close(hold)
    CONTROLS[request["control"]]()
    if request["control"] != "none":
        from gateway.workers import birth

        birth.PROGRAM = ("-P", __file__, request["control"])  # type: ignore[assignment]
    sys.argv = ["gateway", *request["words"]]


def serve() -> bool:
    """Fork, let go and bury until nobody asks any more; True in a child that is to run its command."""
    holds: dict[int, int] = {}
    for line in iter(sys.stdin.buffer.readline, b""):
        request = json.loads(line)
        if "words" in request:
            hold, go = (each.detach() for each in socket.socketpair())
            pid = os.fork()
            if pid == 0:
                child_of(request, hold)
                return True
            os.close(hold)
            os.read(go, 1)
            holds[pid] = go
            answer = pid
        elif "go" in request:
            answer = os.write(holds[request["go"]], b"!")
        else:
            os.close(holds.pop(request["bury"]))
            answer = os.waitstatus_to_exitcode(os.waitpid(request["bury"], 0)[1])
        os.write(1, b"%d\n" % answer)
    for pid in holds:
        os.kill(pid, signal.SIGKILL)
    return False


def work_broken(control: str, config: str, number: str, descriptor: str) -> None:
    """Be a worker, as ``python -m gateway.workers`` is, with that control."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    CONTROLS[control]()
    from pathlib import Path

    from gateway.workers.worker import work

    work(Path(config), int(number), int(descriptor))


if __name__ == "__main__" and len(sys.argv) > 1:
    work_broken(*sys.argv[1:])
elif __name__ == "__main__":
    prepare()
    os.write(1, b"0\n")
    if serve():
        from gateway.cli import main

        main()
