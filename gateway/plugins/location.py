"""The typed face of one location: ten async methods, the only caller of pluggy's hooks.

pluggy broadcasts and storage must not, hence one PluginManager for each location. What a plugin may get wrong (no
answer, an answer of another kind, an exception of its own) leaves this room as an error of ``gateway.errors``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any, TypeVar

import pluggy
from twisted.internet.defer import CancelledError

from gateway import model
from gateway.errors import BackendDown, BackendError, BackendUnfit, ClientGone, S3Error
from gateway.plugins.fitness import PluginUnfit, check_hooks
from gateway.plugins.hookspecs import PROJECT, Hooks
from gateway.plugins.parts import Parts
from gateway.plugins.wrapping import Wrapper

Result = TypeVar("Result")

# What a plugin may let through: the errors of its contract, and what a body raised or a caller wished.
UNCHANGED = (BackendError, S3Error, ClientGone, CancelledError)


class Blobs:
    """The six hooks on whole blobs. Of the ``wrappers`` the last one is outermost."""

    def __init__(self, name: str, backend: Any, wrappers: Sequence[Wrapper] = ()) -> None:
        self._who = f"location {name!r}: {type(backend).__name__}"
        self._manager = _gather(self._who, backend)
        self._hooks = self._manager.hook
        self.name = name
        self.wrappers = tuple(wrappers)
        self.capabilities = _capabilities(self._who, backend)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"

    async def put(self, request: model.PutRequest) -> model.PutResult:
        try:
            self._check_name(request.name)
            return await self._ask(self._hooks.put, request, model.PutResult)
        finally:
            request.body.close()

    async def get(self, request: model.GetRequest) -> model.GetResult:
        """The caller closes the body or the region that it gets."""
        result = await self._ask(self._hooks.get, request, model.GetResult)
        body, region = result.body, result.region
        if (body is None) == (region is None):
            if body is not None and region is not None:
                body.close()
                region.close()
            raise BackendDown(f"{self.name}: get answered {'both' if body else 'neither'} of body and region")
        if body is None:
            return result
        return model.GetResult(result.size, result.fingerprint, _Named(body, f"{self.name}: the body of a get"))

    async def delete(self, request: model.DeleteRequest) -> model.DeleteResult:
        return await self._ask(self._hooks.delete, request, model.DeleteResult)

    async def head(self, request: model.HeadRequest) -> model.HeadResult:
        return await self._ask(self._hooks.head, request, model.HeadResult)

    async def list(self, request: model.ListRequest) -> model.ListResult:
        """A page that goes on where it began is BackendDown: whoever asks for page after page would never end."""
        result = await self._ask(self._hooks.list, request, model.ListResult)
        if result.after is not None and result.after <= request.after:
            raise BackendDown(f"{self.name}: list after {request.after!r} goes on after {result.after!r}, never ending")
        return result

    async def healthcheck(self, request: model.HealthcheckRequest) -> model.HealthcheckResult:
        return await self._ask(self._hooks.healthcheck, request, model.HealthcheckResult)

    async def _ask(self, hook: pluggy.HookCaller, request: object, kind: type[Result]) -> Result:
        """Call one hook and vouch for what comes back."""
        try:
            answer = hook(request=request)
            if answer is not None:
                for wrapper in self.wrappers:
                    answer = wrapper.around(hook.name, request, answer)
            result = None if answer is None else await answer
        except UNCHANGED:
            raise
        except BaseException as reason:
            raise _down(f"{self.name}: {hook.name}", reason) from reason
        if type(result) is not kind and not isinstance(result, kind):
            raise BackendDown(f"{self.name}: {hook.name} answered {type(result).__name__} instead of {kind.__name__}")
        return result

    def _check_name(self, name: str) -> None:
        reason = self.capabilities.refuses(name)
        if reason is not None:
            raise BackendUnfit(f"{self.name} cannot keep a blob named {name!r}: {reason}")


class Location(Blobs):
    """One configured backend with its wrappers. Raises PluginUnfit where the backend does not keep the contract.

    ``native_multipart`` tells whether the backend joins parts itself, or ``parts.py`` keeps one blob per part.
    """

    def __init__(self, name: str, backend: Any, wrappers: Sequence[Wrapper] = ()) -> None:
        super().__init__(name, backend, wrappers)
        callers = self._manager.get_hookcallers(backend) or []
        self.native_multipart = check_hooks(self._who, (caller.name for caller in callers))
        if not self.native_multipart:
            # Below the wrappers: a limit that counted an uploadPart and the put inside it would wait for itself.
            self._manager.register(Parts(Blobs(name, backend)), name="parts")
        self._backend = backend

    async def open(self) -> None:
        """Prepare the storage. Raises BackendUnfit (settings) and the other backend errors."""
        await self._prepare("open")

    async def close(self) -> None:
        """Give back what open() and the hooks took."""
        await self._prepare("close")

    async def createMPU(self, request: model.CreateMPURequest) -> model.CreateMPUResult:
        self._check_name(request.name)
        return await self._ask(self._hooks.createMPU, request, model.CreateMPUResult)

    async def uploadPart(self, request: model.UploadPartRequest) -> model.UploadPartResult:
        try:
            return await self._ask(self._hooks.uploadPart, request, model.UploadPartResult)
        finally:
            request.body.close()

    async def completeMPU(self, request: model.CompleteMPURequest) -> model.CompleteMPUResult:
        return await self._ask(self._hooks.completeMPU, request, model.CompleteMPUResult)

    async def abortMPU(self, request: model.AbortMPURequest) -> model.AbortMPUResult:
        return await self._ask(self._hooks.abortMPU, request, model.AbortMPUResult)

    async def _prepare(self, method: str) -> None:
        """open() and close() are optional, and no hooks: nobody wraps them."""
        call = getattr(self._backend, method, None)
        if call is not None:
            try:
                await call()
            except UNCHANGED:
                raise
            except BaseException as reason:
                raise _down(f"{self.name}: {method}", reason) from reason


class _Named:
    """A get's body whose foreign exceptions come out as BackendDown, like those of the hooks."""

    __slots__ = ("_body", "_chunks", "_what", "size")

    def __init__(self, body: model.Body, what: str) -> None:
        self.size = body.size
        self._body = body
        self._chunks: AsyncIterator[bytes] | None = None
        self._what = what

    def __aiter__(self) -> AsyncIterator[bytes]:
        if self._chunks is None:
            self._chunks = aiter(self._body)
        return self

    async def __anext__(self) -> bytes:
        assert self._chunks is not None, "a body is read with `async for`"
        try:
            return await anext(self._chunks)
        except (StopAsyncIteration, *UNCHANGED):
            raise
        except BaseException as reason:
            raise _down(self._what, reason) from reason

    def close(self) -> None:
        self._body.close()


def _down(what: str, reason: BaseException) -> BackendDown:
    """What an exception outside the contract becomes; those that end a coroutine or the process stay themselves."""
    if not isinstance(reason, Exception):
        raise reason
    return BackendDown(f"{what} failed: {type(reason).__name__}: {reason}")


def _capabilities(who: str, backend: Any) -> model.Capabilities:
    declared = getattr(backend, "capabilities", None)
    if not isinstance(declared, model.Capabilities):
        raise PluginUnfit(f"{who} has no attribute 'capabilities' that is a Capabilities record")
    return declared


def _gather(who: str, backend: object) -> pluggy.PluginManager:
    """A PluginManager of this backend alone; PluginUnfit where its methods are not those of the contract."""
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(Hooks)
    try:
        manager.register(backend)
        manager.check_pending()
    except pluggy.PluginValidationError as reason:
        raise PluginUnfit(f"{who}: {reason}") from reason
    return manager
