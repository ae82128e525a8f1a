"""The typed face of a location: whatever a plugin does, an error of the contract or a true result comes out."""

from __future__ import annotations

import time
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.defer import CancelledError, Deferred, ensureDeferred, succeed

from gateway import model
from gateway.api import Values
from gateway.bodies import BytesBody, EmptyBody
from gateway.errors import BackendBusy, BackendDown, BackendUnfit, BlobMissing, ClientGone, S3Error
from gateway.plugins.fitness import PluginUnfit
from gateway.plugins.hookspecs import HOOKS, MPU_HOOKS, hookimpl
from gateway.plugins.location import Location
from gateway.plugins.memory import MemoryBackend
from gateway.plugins.wrapping import Answer, Wrapper
from gateway.testing.pours import Pour

REQUESTS: dict[str, Any] = {
    "put": lambda: model.PutRequest(name="a/b", body=EmptyBody(), size=0),
    "get": lambda: model.GetRequest(name="a/b"),
    "delete": lambda: model.DeleteRequest(name="a/b"),
    "head": lambda: model.HeadRequest(name="a/b"),
    "list": lambda: model.ListRequest(),
    "healthcheck": lambda: model.HealthcheckRequest(probe="probe"),
    "createMPU": lambda: model.CreateMPURequest(name="a/b"),
    "uploadPart": lambda: model.UploadPartRequest(name="a/b", token="t", number=1, body=EmptyBody(), size=0),
    "completeMPU": lambda: model.CompleteMPURequest(name="a/b", token="t", parts=()),
    "abortMPU": lambda: model.AbortMPURequest(name="a/b"),
}


def native(behave: Any) -> Any:
    """A backend whose ten hooks all do ``behave(request)``."""

    def hook(self: Any, request: Any) -> Any:
        return behave(request)

    body = {name: hookimpl(_copy(hook)) for name in HOOKS}
    return type("Native", (), {"settings": (), "capabilities": model.Capabilities(shared=False), **body})()


def _copy(function: Any) -> Any:
    return lambda self, request: function(self, request)


def without(*hooks: str) -> MemoryBackend:
    """A memory backend that lacks some hooks."""
    lacking = type("Lacking", (MemoryBackend,), dict.fromkeys(hooks))
    backend: MemoryBackend = lacking(Values.of(MemoryBackend.settings, {}))
    return backend


async def coroutine(result: Any) -> Any:
    return result


async def failing(error: BaseException) -> Any:
    raise error


@pytest.mark.parametrize("hook", HOOKS)
@pytest.mark.parametrize("answer", [lambda r: None, lambda r: coroutine(None), lambda r: succeed(None)])
@pytest_twisted.ensureDeferred
async def test_no_answer_is_an_error(hook: str, answer: Any) -> None:
    location = Location("cold", native(answer))
    with pytest.raises(BackendDown, match=f"^cold: {hook} answered NoneType instead of [A-Za-z]+Result$"):
        await getattr(location, hook)(REQUESTS[hook]())


@pytest.mark.parametrize("hook", HOOKS)
@pytest_twisted.ensureDeferred
async def test_an_answer_of_another_kind_is_an_error(hook: str) -> None:
    location = Location("cold", native(lambda request: coroutine({"size": 3})))
    with pytest.raises(BackendDown, match=f"^cold: {hook} answered dict"):
        await getattr(location, hook)(REQUESTS[hook]())


@pytest.mark.parametrize("hook", HOOKS)
@pytest_twisted.ensureDeferred
async def test_a_foreign_exception_becomes_BackendDown_and_names_its_cause(hook: str) -> None:
    cause = OSError(5, "Input/output error")
    location = Location("cold", native(lambda request: failing(cause)))
    with pytest.raises(BackendDown, match=rf"^cold: {hook} failed: OSError: \[Errno 5\]") as raised:
        await getattr(location, hook)(REQUESTS[hook]())
    assert raised.value.__cause__ is cause


@pytest_twisted.ensureDeferred
async def test_a_synchronous_raise_becomes_BackendDown() -> None:
    location = Location("cold", native(lambda request: 1 / 0))
    with pytest.raises(BackendDown, match=r"^cold: head failed: ZeroDivisionError"):
        await location.head(model.HeadRequest(name="a"))


@pytest.mark.parametrize(
    "error", [BlobMissing("a"), BackendBusy("b", 3.0), S3Error("BadDigest"), ClientGone(), CancelledError()]
)
@pytest.mark.parametrize("how", [failing, lambda error: _raise(error)])
@pytest_twisted.ensureDeferred
async def test_errors_of_the_contract_pass_unchanged(error: Exception, how: Any) -> None:
    location = Location("cold", native(lambda request: how(error)))
    for hook in HOOKS:
        with pytest.raises(type(error)) as raised:
            await getattr(location, hook)(REQUESTS[hook]())
        assert raised.value is error
        assert raised.value.__cause__ is None


def _raise(error: Exception) -> None:
    raise error


@pytest.mark.parametrize("hook", ["put", "uploadPart"])
@pytest.mark.parametrize(
    "behave", [lambda r: None, lambda r: failing(OSError()), lambda r: coroutine(model.PutResult("f")), lambda r: 1 / 0]
)
@pytest_twisted.ensureDeferred
async def test_the_body_is_closed_in_every_case(hook: str, behave: Any) -> None:
    location = Location("cold", native(behave))
    body = Pour(b"data")
    more = {} if hook == "put" else {"token": "t", "number": 1}
    kind: Any = model.PutRequest if hook == "put" else model.UploadPartRequest
    running = ensureDeferred(getattr(location, hook)(kind(name="a", body=body, size=4, **more)))
    running.addErrback(lambda reason: str(reason.trap(BackendDown)))
    await running
    assert body.closed == 1


@pytest_twisted.ensureDeferred
async def test_the_body_of_a_cancelled_put_is_closed(location: Location) -> None:
    never: Deferred[None] = Deferred()
    body = Pour(b"data", stop_at=0, then=never)
    running = ensureDeferred(location.put(model.PutRequest(name="a", body=body, size=4)))
    await body.reached
    running.cancel()
    with pytest.raises(CancelledError):
        await running
    assert body.closed == 1


@pytest_twisted.ensureDeferred
async def test_get_answers_with_exactly_one_of_body_and_region() -> None:
    class Stretch:
        fd, offset, length, closed = 0, 0, 0, False

        def close(self) -> None:
            self.closed = True

    body, region = Pour(b""), Stretch()
    for result, says in (
        (model.GetResult(0, "f"), "neither"),
        (model.GetResult(0, "f", body=body, region=region), "both"),
    ):
        location = Location("cold", native(lambda request, result=result: coroutine(result)))
        with pytest.raises(BackendDown, match=says):
            await location.get(model.GetRequest(name="a"))
    assert (body.closed, region.closed) == (1, True)


@pytest_twisted.ensureDeferred
async def test_a_foreign_exception_while_a_body_is_read_becomes_BackendDown() -> None:
    for error, expected in ((KeyError("x"), BackendDown), (BackendBusy(), BackendBusy), (CancelledError(),) * 2):
        body = Pour(b"data", chunk=2, stop_at=2, then=error if isinstance(error, BaseException) else None)
        result = model.GetResult(4, "f", body=body)
        location = Location("cold", native(lambda request, result=result: coroutine(result)))
        got = (await location.get(model.GetRequest(name="a"))).body
        assert got is not None
        assert got.size == 4
        with pytest.raises(expected if isinstance(expected, type) else type(expected)):
            [chunk async for chunk in got]
        got.close()
        assert body.closed == 1


@pytest_twisted.ensureDeferred
async def test_a_name_that_the_backend_refuses_never_reaches_it() -> None:
    asked: list[Any] = []
    backend = native(asked.append)
    backend.capabilities = model.Capabilities(shared=False, refuses=lambda name: "no dots" if "." in name else None)
    location = Location("cold", backend)
    body = Pour(b"")
    with pytest.raises(BackendUnfit, match=r"^cold cannot keep a blob named 'a.b': no dots$"):
        await location.put(model.PutRequest(name="a.b", body=body, size=0))
    with pytest.raises(BackendUnfit):
        await location.createMPU(model.CreateMPURequest(name="a.b"))
    assert (asked, body.closed) == ([], 1)


@pytest.mark.parametrize("hook", [hook for hook in HOOKS if hook not in MPU_HOOKS])
def test_a_missing_hook_is_a_fault_at_start(hook: str) -> None:
    with pytest.raises(PluginUnfit, match=f"^location 'cold': Lacking lacks the hook {hook}: .*$"):
        Location("cold", without(hook))


@pytest.mark.parametrize("missing", MPU_HOOKS)
def test_a_part_of_the_multipart_hooks_is_refused(missing: str) -> None:
    backend = native(lambda request: None)
    setattr(type(backend), missing, None)
    with pytest.raises(PluginUnfit, match=f"only a part of the multipart hooks: add {missing},"):
        Location("cold", backend)


def test_a_misspelt_hook_is_refused() -> None:
    class Misspelt(MemoryBackend):
        @hookimpl
        async def createMpu(self, request: model.CreateMPURequest) -> None: ...

    with pytest.raises(PluginUnfit, match="createMpu"):
        Location("cold", Misspelt(Values.of(MemoryBackend.settings, {})))


def test_a_misspelt_argument_is_refused() -> None:
    class Misspelt(MemoryBackend):
        @hookimpl
        async def head(self, req: Any) -> Any: ...

    with pytest.raises(PluginUnfit, match="req") as raised:
        Location("cold", Misspelt(Values.of(MemoryBackend.settings, {})))
    assert "\n" not in str(raised.value)


def test_a_backend_declares_capabilities() -> None:
    backend = native(lambda request: None)
    backend.capabilities = {"shared": True}
    with pytest.raises(PluginUnfit, match="capabilities"):
        Location("cold", backend)


def test_native_multipart_is_told_from_the_hooks(location: Location) -> None:
    assert not location.native_multipart
    assert Location("cold", native(lambda request: None)).native_multipart


@pytest_twisted.ensureDeferred
async def test_native_multipart_is_never_shadowed() -> None:
    asked: list[Any] = []

    def create(request: Any) -> Any:
        asked.append(request)
        return coroutine(model.CreateMPUResult("native"))

    location = Location("cold", native(create))
    assert (await location.createMPU(model.CreateMPURequest(name="a"))).token == "native"
    assert asked == [model.CreateMPURequest(name="a")]


@pytest_twisted.ensureDeferred
async def test_wrappers_lie_around_each_other_in_their_order(memory: MemoryBackend) -> None:
    story: list[str] = []

    class Tell(Wrapper):
        def __init__(self, name: str) -> None:
            self.name = name

        async def around(self, hook: str, request: Any, answer: Answer) -> Any:
            story.append(f"{self.name} before")
            try:
                return await answer
            finally:
                story.append(f"{self.name} after")

    location = Location("cold", memory, [Tell("inner"), Tell("outer")])
    with pytest.raises(BlobMissing):
        await location.head(model.HeadRequest(name="a"))
    assert story == ["outer before", "inner before", "inner after", "outer after"]


@pytest_twisted.ensureDeferred
async def test_two_locations_of_one_type_are_strangers(put: Any, fetch: Any) -> None:
    one, two = (Location(name, MemoryBackend(Values.of(MemoryBackend.settings, {}))) for name in "ab")
    await put(one, "a/b", b"one")
    with pytest.raises(BlobMissing):
        await fetch(two, "a/b")


@pytest_twisted.ensureDeferred
async def test_open_and_close_are_optional_and_their_errors_named(memory: MemoryBackend) -> None:
    location = Location("cold", memory)
    await location.open()
    await location.close()
    for error, expected in ((BackendUnfit("no", key="k", fix="f"), BackendUnfit), (OSError("odd"), BackendDown)):
        backend: Any = native(lambda request: None)
        backend.open = backend.close = lambda error=error: failing(error)
        for method in ("open", "close"):
            with pytest.raises(expected):
                await getattr(Location("cold", backend), method)()


def test_a_location_shows_its_name_only(location: Location) -> None:
    assert repr(location) == "<Location storage>"


@pytest_twisted.ensureDeferred
async def test_a_call_costs_little(memory: MemoryBackend, location: Location) -> None:
    """The same machine calls the backend directly and through the location: no budget in seconds, a ratio."""
    await memory.put(model.PutRequest(name="a", body=BytesBody(b"x"), size=1))
    request = model.HeadRequest(name="a")

    async def best(subject: Any) -> float:
        times = []
        for _ in range(7):
            began = time.perf_counter()
            for _ in range(500):
                await subject.head(request)
            times.append(time.perf_counter() - began)
        return min(times)

    assert await best(location) < 12 * await best(memory)


@pytest_twisted.ensureDeferred
async def test_pages_that_never_end_are_refused() -> None:
    class Standing(MemoryBackend):
        @hookimpl
        async def list(self, request: model.ListRequest) -> model.ListResult:
            return model.ListResult((), request.after)

    location = Location("attic", Standing(Values.of(MemoryBackend.settings, {})))
    for after in ("", "a/b"):
        with pytest.raises(BackendDown, match=r"attic: list after .* goes on after .*, never ending"):
            await location.list(model.ListRequest(after=after))
