"""Digests of a body while it flows: small ones at once, large ones in a thread beside the writing."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from queue import SimpleQueue
from threading import Thread
from typing import ClassVar, cast

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads
from twisted.python.failure import Failure

from gateway.model import Body
from gateway.wire import checksums

# MD5 does about half a GB/s: up to 64 KiB is 0.1 ms on the reactor thread, about what a thread's hop costs.
_INLINE = 64 * 1024
_BATCH = 1024 * 1024
_FEW = 8  # bodies; while more are hashed, threads have enough to do, and what each body holds adds up
_THREADS = min(os.cpu_count() or 1, 10)


class Digests:
    """Several digests over the same bytes. ``await add(chunk)`` in order, then ``await finish()``.

    A batch is hashed in a thread while the next one is collected; where few bodies come, one more waits, so that the
    thread need not. ``blocks``: the CRCs of the body's blocks are taken as well, while its bytes are in the processor's
    cache. ``running`` counts the bodies of this process that are with a thread, or wait for one.
    """

    running: ClassVar[int] = 0

    def __init__(self, algorithms: Iterable[str], size: int | None, blocks: checksums.BlockCrcs | None = None) -> None:
        self._digests = {name: checksums.new(name) for name in algorithms}
        self._all: list[checksums.Digest | checksums.BlockCrcs] = [*self._digests.values()]
        if blocks is not None:
            self._all.append(blocks)
        self._inline = size is not None and size <= _INLINE
        self._collected: list[bytes] = []
        self._held = 0
        self._batches: deque[list[bytes]] = deque()  # the first one is with the thread
        self._busy = False
        self._fault: Failure | None = None
        self._waiter: Deferred[None] | None = None
        self.count = 0

    async def add(self, chunk: bytes) -> None:
        self.count += len(chunk)
        if self._inline:
            self._update([chunk])
            return
        self._collected.append(chunk)
        self._held += len(chunk)
        few = Digests.running < _FEW
        if self._held >= (_BATCH if few else _BATCH // 2):
            await self._until(int(few))
            self._hand_over()

    async def finish(self) -> Mapping[str, bytes]:
        """Algorithm -> raw digest of all that was added."""
        if self._held > _INLINE:
            self._hand_over()
        await self._until(0)
        self._update(self._collected)
        self._collected = []
        return {name: digest.digest() for name, digest in self._digests.items()}

    def _update(self, chunks: list[bytes]) -> None:
        for chunk in chunks:
            for each in self._all:
                each.update(chunk)

    def _hand_over(self) -> None:
        self._batches.append(self._collected)
        self._collected, self._held = [], 0
        if not self._busy:
            self._start()

    def _start(self) -> None:
        self._busy = True
        Digests.running += 1
        _hashers.ask(self)

    def hash_one(self) -> bool:
        """In a thread: hash the batch that has waited longest. Whether one more waits."""
        from twisted.internet import reactor  # importing it makes it, so not before somebody wants it

        tell = cast(IReactorFromThreads, reactor).callFromThread
        try:
            self._update(self._batches[0])
            self._batches.popleft()
        except BaseException as fault:  # not swallowed: who gives bytes to this body is told
            tell(self._left, Failure(fault))  # type: ignore[no-untyped-call]
            return False
        if self._batches:
            tell(self._go_on)
            return True
        tell(self._left, None)
        return False

    def _left(self, fault: Failure | None) -> None:
        """No thread has this body any more. What came for one since then asks for one again."""
        Digests.running -= 1
        self._busy = False
        self._fault = fault
        if fault is None and self._batches:
            self._start()
        self._go_on()

    def _go_on(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.called:
            waiter.callback(None)

    async def _until(self, most: int) -> None:
        """Wait until at most so many batches are not hashed. Raises what the thread raised."""
        while self._fault is None and len(self._batches) > most:
            self._waiter = Deferred()
            await self._waiter
        if self._fault is not None:
            self._fault.raiseException()


class _Hashers:
    """The threads that hash, one per processor: more would push each other's bytes out of the caches.

    Bodies take turns, a batch each; one whose next batch is there goes to the end of the queue without a word to the
    reactor.
    """

    def __init__(self) -> None:
        self._bodies: SimpleQueue[Digests] = SimpleQueue()
        self._threads = 0

    def ask(self, body: Digests) -> None:
        """From the reactor's thread. The first body of a process starts the threads: none would outlive a fork."""
        while self._threads < _THREADS:
            self._threads += 1
            Thread(target=self._run, name="hash", daemon=True).start()
        self._bodies.put(body)

    def _run(self) -> None:
        while True:
            body = self._bodies.get()
            if body.hash_one():
                self._bodies.put(body)
            del body  # what it holds is not for this thread to keep


_hashers = _Hashers()


class Tally:
    """A body that passes through unchanged while its digests are taken; ask ``results`` after the end."""

    def __init__(self, body: Body, algorithms: Iterable[str]) -> None:
        self.size = body.size
        self.results: Mapping[str, bytes] = {}
        self._body = body
        self._digests = Digests(algorithms, body.size)
        self.md5: Callable[[], str] | None = self._md5 if "MD5" in algorithms else None

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._body:
            await self._digests.add(chunk)
            yield chunk
        self.results = await self._digests.finish()

    def _md5(self) -> str:
        return self.results["MD5"].hex()

    def close(self) -> None:
        self._body.close()


class Measured:
    """A body that passes through unchanged while one CRC32C per MiB is taken; ``crcs()`` after the end.

    ``md5`` is that of the body, where it has one.
    """

    def __init__(self, body: Body) -> None:
        self.size = body.size
        self.md5: Callable[[], str] | None = getattr(body, "md5", None)
        self._body = body
        self._blocks = checksums.BlockCrcs()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._body:
            self._blocks.update(chunk)
            yield chunk

    def crcs(self) -> bytes:
        """4 bytes, big endian, per started MiB."""
        return self._blocks.crcs()

    def close(self) -> None:
        self._body.close()
