"""Promises about bodies: all or nothing, errors unchanged, cancels that tell the truth, no reading far ahead."""

from __future__ import annotations

import contextlib
import gc
import os
import tracemalloc
from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred, DeferredList, ensureDeferred

from gateway.errors import BackendError, ClientGone, S3Error
from gateway.model import GetRequest, GetResult, PutRequest, PutResult
from gateway.testing.pours import KI, MI, Pour, sample
from gateway.testing.stage import Stage, promise, turns

AHEAD = 4 * MI
ROUNDS = 40
SPARE = 20  # a pool may keep some connections; a leak takes one each round


class BodyPromises(Stage):
    @pytest.mark.parametrize("where", ["start", "middle", "end"])
    @pytest.mark.parametrize("size", [100, 3 * MI])
    @promise
    async def test_a_failing_body_leaves_nothing(self, subject: Any, folder: str, size: int, where: str) -> None:
        """When a body raises, undo what was begun, and let its exception through unchanged."""
        error = S3Error("BadDigest") if where == "end" else ClientGone("went away")
        await self._fail(subject, f"{folder}/blob", size, where, error)
        await self.assert_nothing(subject, f"{folder}/blob")
        await self.keep(subject, f"{folder}/blob", b"after the failure")
        assert await self.fetch(subject, f"{folder}/blob") == b"after the failure"

    @promise
    async def test_a_failing_body_leaves_the_old_blob(self, subject: Any, folder: str) -> None:
        """Touch the old blob only when the whole new one is there: write beside it, then change over in one step."""
        before = await self.keep(subject, f"{folder}/blob", b"old", metadata={"age": "old"})
        await self._fail(subject, f"{folder}/blob", 2 * MI, "middle", ClientGone("went away"))
        assert await self.fetch(subject, f"{folder}/blob", expect=before) == b"old", "the old blob was touched"

    async def _fail(self, subject: Any, name: str, size: int, where: str, error: Exception) -> None:
        stop_at = {"start": 0, "middle": size // 2, "end": size - 1}[where]
        body = Pour(sample(size), stop_at=stop_at, then=error)
        putting = ensureDeferred(subject.put(PutRequest(name=name, body=body, size=size)))
        ((succeeded, outcome),) = await DeferredList([putting], consumeErrors=True)
        body.close()
        assert not succeeded, "put succeeded although its body raised an exception"
        assert outcome.value is error, f"the body raised {error!r}, put {outcome.value!r}: let it through unchanged"

    @pytest.mark.parametrize(("given", "promised"), [(99, 100), (0, 1), (101, 100), (MI, 3 * MI), (1, 0)])
    @promise
    async def test_a_body_of_another_size_is_refused(
        self, subject: Any, folder: str, given: int, promised: int
    ) -> None:
        """Count the body's bytes; where they are not as many as announced, keep nothing and raise BackendDown."""
        body = Pour(sample(given), size=promised)
        try:
            await subject.put(PutRequest(name=f"{folder}/blob", body=body, size=promised))
        except BackendError:
            await self.assert_nothing(subject, f"{folder}/blob")
        else:
            pytest.fail(f"a body of {given} bytes was kept for one of {promised}: count, and raise BackendDown")
        finally:
            body.close()

    @pytest.mark.parametrize("size", [1000, 3 * MI])
    @promise
    async def test_a_cancelled_put_leaves_nothing(self, subject: Any, folder: str, size: int) -> None:
        """When a put is cancelled, stop reading, undo what was begun, wait for that, then raise CancelledError."""
        never: Deferred[None] = Deferred()
        body = Pour(sample(size), stop_at=size // 2, then=never)
        running = ensureDeferred(subject.put(PutRequest(name=f"{folder}/blob", body=body, size=size)))
        await self.within(body.reached, "put, up to the middle of its body,")
        running.cancel()
        with pytest.raises(CancelledError):
            await self.within(running, "a cancelled put")
        body.close()
        await self.assert_nothing(subject, f"{folder}/blob")
        await turns(5, 0.02)
        await self.assert_nothing(subject, f"{folder}/blob")

    @pytest.mark.parametrize("after", [0, 1, 2, 3, 5, 8, 13])
    @promise
    async def test_a_cancelled_put_tells_the_truth(self, subject: Any, folder: str, after: int) -> None:
        """When a put is cancelled, wait for what cannot be stopped, and say what came of it: kept or CancelledError."""
        data = sample(MI + 1)
        body = Pour(data)
        running = ensureDeferred(subject.put(PutRequest(name=f"{folder}/blob", body=body, size=len(data))))
        await turns(after)
        running.cancel()
        try:
            result = await self.within(running, "a cancelled put")
            assert isinstance(result, PutResult), f"put answered {result!r}: return a PutResult"
            told: int | None = len(data)
        except CancelledError:
            told = None
        finally:
            body.close()
        for _ in range(3):
            size = await self.size_of(subject, f"{folder}/blob")
            assert size == told, f"put {'kept' if told else 'kept nothing'}, it said, and head finds {size}: wait first"
            await turns(3, 0.02)

    @promise
    async def test_closing_an_unread_body_frees_it(self, subject: Any, folder: str) -> None:
        """Free in close() what get opened, also where nobody began to read: no finally of a generator runs then."""
        await self.keep(subject, f"{folder}/blob", sample(2 * MI))
        before = _descriptors()
        for _ in range(ROUNDS):
            result = await self.begin(subject, f"{folder}/blob")
            _close_twice(result)
        await turns(3)
        held = _descriptors() - before
        assert held < SPARE, f"{held} descriptors are open after {ROUNDS} unread bodies were closed: free them there"
        assert len(await self.fetch(subject, f"{folder}/blob")) == 2 * MI

    @promise
    async def test_closing_a_half_read_body_frees_it(self, subject: Any, folder: str) -> None:
        """Free in the body's close() what get opened, also half-way through it."""
        await self.keep(subject, f"{folder}/blob", sample(2 * MI))
        before = _descriptors()
        for _ in range(ROUNDS):
            result = await self.begin(subject, f"{folder}/blob")
            if result.body is not None:
                await anext(aiter(result.body))
            _close_twice(result)
        await turns(3)
        held = _descriptors() - before
        assert held < SPARE, f"{held} descriptors are open after {ROUNDS} half-read bodies were closed"

    @promise
    async def test_a_cancelled_get_frees_what_it_took(self, subject: Any, folder: str) -> None:
        """When a get is cancelled, close what it had opened until then."""
        await self.keep(subject, f"{folder}/blob", sample(MI))
        before = _descriptors()
        for number in range(ROUNDS):
            running = ensureDeferred(subject.get(GetRequest(name=f"{folder}/blob")))
            await turns(number % 5)
            running.cancel()
            with contextlib.suppress(CancelledError):
                _close_twice(await self.within(running, "a cancelled get"))
        await turns(5, 0.01)
        held = _descriptors() - before
        assert held < SPARE, f"{held} descriptors are open after {ROUNDS} gets were cancelled"
        assert len(await self.fetch(subject, f"{folder}/blob")) == MI

    @promise
    async def test_a_slow_reader_is_not_outrun(self, subject: Any, folder: str) -> None:
        """Read ahead 4 MiB at most: pause the transport, or read each chunk when it is asked for."""
        size = 16 * MI
        await self.keep(subject, f"{folder}/blob", sample(size))
        gc.collect()
        tracemalloc.start()
        try:
            result = await self.begin(subject, f"{folder}/blob")
            first = b""
            if result.body is not None:
                first = await anext(aiter(result.body))
            await turns(10, 0.03)
            held = tracemalloc.get_traced_memory()[0] - len(first)
        finally:
            tracemalloc.stop()
        _close_twice(result)
        assert held <= AHEAD + 256 * KI, (
            f"{held / MI:.1f} MiB are in memory while the reader waits: read ahead 4 MiB at most (pause the transport)"
        )


def _close_twice(result: GetResult) -> None:
    for _ in range(2):
        if result.body is not None:
            result.body.close()
        if result.region is not None:
            result.region.close()


def _descriptors() -> int:
    gc.collect()
    try:
        return len(os.listdir("/proc/self/fd"))
    except FileNotFoundError:  # no /proc: the other tests must do
        return 0
