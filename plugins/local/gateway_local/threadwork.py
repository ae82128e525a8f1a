"""Work in threads that tells the truth: it is waited for although it was cancelled, and its OSErrors are named."""

from __future__ import annotations

import errno
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import ParamSpec, TypeVar, cast

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorFromThreads
from twisted.internet.threads import deferToThread, deferToThreadPool
from twisted.python.threadpool import ThreadPool

from gateway.api import BackendBusy, BackendDenied, BackendDown, BackendError, BackendFull

P = ParamSpec("P")
T = TypeVar("T")

_KINDS: Mapping[int, type[BackendError]] = MappingProxyType(
    {
        errno.ENOSPC: BackendFull,
        errno.EDQUOT: BackendFull,
        errno.EROFS: BackendDenied,
        errno.EACCES: BackendDenied,
        errno.EPERM: BackendDenied,
        errno.EMFILE: BackendBusy,
        errno.ENFILE: BackendBusy,
    }
)
_FOREIGN = (errno.ELOOP, errno.ENOTDIR, errno.EISDIR)


def kind_of(code: int) -> type[BackendError]:
    """The backend error that an errno means."""
    return _KINDS.get(code, BackendDown)


def named(fault: OSError) -> BackendError:
    """The backend error that says what this OSError means."""
    if fault.errno in _FOREIGN:
        return BackendDenied(f"a link or another thing that is not ours lies where a blob belongs: {fault}")
    return kind_of(fault.errno or 0)(str(fault))


class ThreadWork(Deferred[T]):
    """A thread's answer. A system call cannot be called back, so ``cancel`` only takes note for who awaits it."""

    cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class Threads:
    """A pool of threads; calling it runs a call there. ``start`` it once; once stopped, it stays so."""

    def __init__(self, name: str, most: int) -> None:
        self._pool = ThreadPool(0, most, name)
        self._running = False

    def start(self) -> None:
        self._running = True
        self._pool.start()

    async def stop(self) -> None:
        """Wait for all calls; fine twice, and before the start."""
        if self._running:
            self._running = False
            await deferToThread(self._pool.stop)

    def __call__(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> ThreadWork[T]:
        """Fires once the call has ended. Its OSError becomes a BackendError; BackendDown where no thread runs."""
        from twisted.internet import reactor  # not at import: who loads a plugin has yet to choose the reactor

        def told() -> T:
            try:
                return call(*args, **kwargs)
            except OSError as fault:
                raise named(fault) from fault

        work: ThreadWork[T] = ThreadWork()
        if self._running:
            deferToThreadPool(cast(IReactorFromThreads, reactor), self._pool, told).chainDeferred(work)
        else:
            work.errback(BackendDown("this location is not open"))
        return work


class Behind:
    """Calls in threads, one at a time and in order, each while its caller already prepares the next one."""

    def __init__(self, threads: Threads) -> None:
        self._threads = threads
        self._work: ThreadWork[object] | None = None

    async def call(self, call: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> None:
        """Start it once the one before has ended. Raises what ``ended`` does."""
        await self.ended()
        self._work = self._threads(call, *args, **kwargs)

    async def ended(self) -> None:
        """Wait for the one that runs. Raises what it did, and CancelledError where its caller was cancelled."""
        work, self._work = self._work, None
        if work is not None:
            await work
            if work.cancelled:
                raise CancelledError()
