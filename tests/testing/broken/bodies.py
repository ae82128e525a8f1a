"""Backends that break promises_bodies.py."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred, ensureDeferred

from gateway import model
from gateway.api import BackendDown, BackendError, BytesBody, StreamBody, hookimpl
from gateway.errors import S3Error
from gateway.plugins.memory import MemoryBackend
from gateway.testing.stage import turns
from tests.testing.broken.frame import Broken, gathered, keep


class TestKeepsHalf(Broken):
    fails, says = "test_a_failing_body_leaves_nothing", "undo what was begun"
    broad = True

    class kind(MemoryBackend):  # noqa: N801
        @hookimpl
        async def put(self, request: Any) -> Any:
            data = b""
            try:
                async for chunk in request.body:
                    data += chunk
            finally:
                await keep(self, request.name, data, metadata=request.metadata, if_absent=request.if_absent)
            return model.PutResult(self._blobs[request.name].fingerprint)


class TestHidesTheBodysError(Broken):
    fails, says = "test_a_failing_body_leaves_nothing", "let it through unchanged"
    broad = True

    class kind(MemoryBackend):  # noqa: N801
        @hookimpl
        async def put(self, request: Any) -> Any:
            try:
                return await super().put(request)
            except BackendError:
                raise
            except Exception as reason:
                raise BackendDown("the body failed") from reason


class TestDeletesTheOldBlobFirst(Broken):
    fails, says = "test_a_failing_body_leaves_the_old_blob", "BlobMissing"

    class kind(MemoryBackend):  # noqa: N801
        @hookimpl
        async def put(self, request: Any) -> Any:
            if not request.if_absent:
                self._forget(request.name)
            return await super().put(request)


class TestBelievesSizes(Broken):
    fails, says = "test_a_body_of_another_size_is_refused", "count, and raise BackendDown"

    class kind(MemoryBackend):  # noqa: N801
        @hookimpl
        async def put(self, request: Any) -> Any:
            data = await gathered(request.body)
            return await super().put(replace(request, body=BytesBody(data), size=len(data)))


class TestKeepsWhatWasCancelled(Broken):
    fails, says = "test_a_cancelled_put_leaves_nothing", "undo what was begun"

    class kind(MemoryBackend):  # noqa: N801
        @hookimpl
        async def put(self, request: Any) -> Any:
            data = b""
            try:
                async for chunk in request.body:
                    data += chunk
            except CancelledError:
                reactor.callLater(0.03, lambda: ensureDeferred(keep(self, request.name, data)))
                raise
            return await super().put(replace(request, body=BytesBody(data)))


class TestCannotBeCancelled(Broken):
    fails, says = "test_a_cancelled_put_leaves_nothing", "a cancelled put did not end within 0.25 s"
    broad = True
    patience = 0.5

    class kind(MemoryBackend):  # noqa: N801
        @hookimpl
        async def put(self, request: Any) -> Any:
            try:
                return await super().put(request)
            except CancelledError:
                await Deferred(lambda cancelled: None)


class TestDoesNotWaitForItsThread(Broken):
    fails, says = "test_a_cancelled_put_tells_the_truth", "wait first"

    class kind(MemoryBackend):  # noqa: N801
        @hookimpl
        async def put(self, request: Any) -> Any:
            data = await gathered(request.body)
            waiting: Deferred[Any] = Deferred(lambda cancelled: None)  # the thread goes on

            def thread() -> None:
                work = ensureDeferred(super(type(self), self).put(replace(request, body=BytesBody(data))))
                work.addBoth(lambda outcome: None if waiting.called else waiting.callback(outcome))

            reactor.callLater(0.01, thread)
            return await waiting


class TestLeaksUnreadBodies(Broken):
    fails, says = "test_closing_an_unread_body_frees_it", "free them there"

    class kind(MemoryBackend):  # noqa: N801
        @hookimpl
        async def get(self, request: Any) -> Any:
            await turns(8)
            result = await super().get(request)
            held = os.open(os.devnull, os.O_RDONLY)

            async def stream() -> AsyncIterator[bytes]:
                try:
                    async for chunk in result.body:
                        yield chunk
                finally:
                    os.close(held)  # never runs where the stream was not begun

            return replace(result, body=StreamBody(stream(), result.body.size, lambda: None))


class TestLeaksHalfReadBodies(Broken):
    fails, says = "test_closing_a_half_read_body_frees_it", "half-read bodies were closed"

    class kind(MemoryBackend):  # noqa: N801
        @hookimpl
        async def get(self, request: Any) -> Any:
            result = await super().get(request)

            async def stream() -> AsyncIterator[bytes]:
                held = os.open(os.devnull, os.O_RDONLY)
                async for chunk in result.body:
                    yield chunk
                os.close(held)

            return replace(result, body=StreamBody(stream(), result.body.size, lambda: None))


class TestLeaksCancelledGets(Broken):
    fails, says = "test_a_cancelled_get_frees_what_it_took", "gets were cancelled"

    class kind(MemoryBackend):  # noqa: N801
        @hookimpl
        async def get(self, request: Any) -> Any:
            held = os.open(os.devnull, os.O_RDONLY)
            await turns(8)
            os.close(held)
            return await super().get(request)


class TestReadsItAllAhead(Broken):
    fails, says = "test_a_slow_reader_is_not_outrun", "pause the transport"

    class kind(MemoryBackend):  # noqa: N801
        @hookimpl
        async def get(self, request: Any) -> Any:
            result = await super().get(request)
            chunks = [chunk async for chunk in result.body]

            async def stream() -> AsyncIterator[bytes]:
                for chunk in chunks:
                    yield chunk

            return replace(result, body=StreamBody(stream(), sum(map(len, chunks)), lambda: None))


class TestBelievesTheLastByte(Broken):
    fails, says = "test_a_failing_body_leaves_nothing", "undo what was begun"

    class kind(MemoryBackend):  # noqa: N801
        @hookimpl
        async def put(self, request: Any) -> Any:
            data = b""
            try:
                async for chunk in request.body:
                    data += chunk
            except S3Error:  # a digest that is wrong, once every byte is there
                await keep(self, request.name, data)
                raise
            return await super().put(replace(request, body=BytesBody(data)))
