"""Where the promises are tried: fixtures, deadlines, and the few moves that every test of the kit makes."""

from __future__ import annotations

import functools
import inspect
import secrets as random_names
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Concatenate, ParamSpec, TypeVar

import pytest
import pytest_twisted  # type: ignore[import-untyped]
from twisted.internet import reactor, task
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.python.failure import Failure

from gateway import model
from gateway.bodies import contents
from gateway.errors import BlobMissing
from gateway.plugins.fitness import PluginUnfit
from gateway.plugins.location import Location
from gateway.plugins.wrapping import Wrapper
from gateway.testing.pours import Pour

P = ParamSpec("P")
S = TypeVar("S", bound="Stage")
T = TypeVar("T")


@contextmanager
def _advice(test: Callable[..., object]) -> Iterator[None]:
    """Whatever goes wrong inside ends with the test's docstring: what the author is to do."""
    try:
        yield
    except BaseException as reason:  # pytest's own are no Exceptions
        if not isinstance(reason, pytest.skip.Exception):
            reason.add_note(f"What to do: {inspect.getdoc(test)}")
        raise


def promise(
    test: Callable[Concatenate[S, P], Coroutine[Deferred[Any], Any, None]],
) -> Callable[Concatenate[S, P], Coroutine[Deferred[Any], Any, None]]:
    """Marks a test that awaits Deferreds; it fails when it takes longer than the class's ``patience``."""

    @functools.wraps(test)
    async def run(self: S, *args: P.args, **kwargs: P.kwargs) -> None:
        with _advice(test):
            await self.within(test(self, *args, **kwargs), "the whole test", self.patience)

    marked: Callable[Concatenate[S, P], Coroutine[Deferred[Any], Any, None]] = pytest_twisted.ensureDeferred(run)
    return marked


def declaration(test: Callable[P, None]) -> Callable[P, None]:
    """Marks a test that awaits nothing: of what the class says of itself."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        with _advice(test):
            test(*args, **kwargs)

    return run


def turns(count: int, seconds: float = 0.0) -> Deferred[None]:
    """Let the reactor go round ``count`` times, ``seconds`` apart."""

    async def go() -> None:
        for _ in range(count):
            await task.deferLater(reactor, seconds, lambda: None)

    return ensureDeferred(go())


def failures(done: Sequence[tuple[bool, object]]) -> list[BaseException | None]:
    """What went wrong in a DeferredList that consumed its errors."""
    return [outcome.value for _, outcome in done if isinstance(outcome, Failure)]


class Stage:
    """What an author gives (``backend``, perhaps ``reopen`` and ``secrets``) and what the tests are given."""

    patience = 60.0  # seconds for one test; a slow cloud may need more

    @pytest.fixture
    def backend(self) -> Any:
        pytest.fail("write a fixture `backend` that returns your backend, built and not opened")

    @pytest.fixture
    def reopen(self) -> Callable[[], Any] | None:
        """Override it with a callable that builds another backend, not opened, on the very same storage."""
        return None

    @pytest.fixture
    def secrets(self) -> Sequence[str]:
        """Override it with the secrets that the fixture ``backend`` was built with."""
        return ()

    @pytest.fixture
    def opened(self, backend: Any) -> Iterator[Any]:
        """The author's backend, opened before and closed after the test."""
        pytest_twisted.blockon(ensureDeferred(self.open(backend)))
        yield backend
        pytest_twisted.blockon(ensureDeferred(self.close(backend)))

    @pytest.fixture
    def blob(self) -> str:
        """A blob name that nobody used; the test deletes what it puts there."""
        return f"kit{random_names.token_hex(5)}/blob"

    @pytest.fixture
    def folder(self, opened: Any) -> Iterator[str]:
        """A first segment that nobody used; whatever begins with it is deleted after the test."""
        name = "kit" + random_names.token_hex(5)
        yield name
        pytest_twisted.blockon(ensureDeferred(self.within(self.sweep(opened, name), "sweeping up after a test")))

    @pytest.fixture(params=["bare", "location"])
    def subject(self, request: pytest.FixtureRequest, opened: Any) -> Any:
        """The backend's own hooks, and the same behind the gateway's Location."""
        return opened if request.param == "bare" else request.getfixturevalue("location")

    @pytest.fixture
    def wrappers(self) -> Sequence[Wrapper]:
        """Override it with wrappers of your own: behind them every promise must still be kept."""
        return ()

    @pytest.fixture
    def location(self, opened: Any, wrappers: Sequence[Wrapper]) -> Location:
        return self.around(opened, wrappers)

    def around(self, backend: Any, wrappers: Sequence[Wrapper] = ()) -> Location:
        """The gateway's Location of a backend; where the gateway does not take it, one test tells why, for all."""
        try:
            return Location("kit", backend, wrappers)
        except PluginUnfit:
            pytest.skip("test_the_gateway_takes_it tells why the gateway does not")

    async def open(self, backend: Any) -> None:
        if hasattr(backend, "open"):
            await self.within(backend.open(), "open()")

    async def close(self, backend: Any) -> None:
        if hasattr(backend, "close"):
            await self.within(backend.close(), "close()")

    async def sweep(self, subject: Any, prefix: str) -> None:
        for blob in await self.listed(subject, prefix):
            await subject.delete(model.DeleteRequest(name=blob.name))

    async def within(self, work: Awaitable[T], what: str, seconds: float | None = None) -> T:
        """The result of ``work``, or a failure when it takes longer than ``seconds`` (default: half the patience)."""
        patience = self.patience / 2 if seconds is None else seconds
        done: Deferred[T] = Deferred()
        running = ensureDeferred(work) if isinstance(work, Coroutine) else work
        assert isinstance(running, Deferred), f"{what} gave {type(work).__name__}: give a coroutine or a Deferred"

        def late() -> None:
            running.addErrback(lambda reason: None)  # whatever comes now, the test has failed already
            done.errback(AssertionError(f"{what} did not end within {patience:g} s: something waits for ever"))
            running.cancel()

        def finish(result: Any) -> None:
            if timer.active():
                timer.cancel()
                done.callback(result)

        timer = reactor.callLater(patience, late)
        running.addBoth(finish)
        return await done

    async def keep(self, subject: Any, name: str, data: bytes, **more: Any) -> str:
        """Put a blob; gives its fingerprint."""
        body = Pour(data)
        try:
            result = await subject.put(model.PutRequest(name=name, body=body, size=len(data), **more))
        finally:
            body.close()
        assert isinstance(result, model.PutResult), f"put answered {result!r}: return a PutResult"
        fingerprint = result.fingerprint
        assert isinstance(fingerprint, str), "PutResult.fingerprint is text"
        assert fingerprint, "PutResult.fingerprint is never empty"
        return fingerprint

    async def fetch(self, subject: Any, name: str, **more: Any) -> bytes:
        """Get a blob or a range of it, to its end."""
        result = await self.begin(subject, name, **more)
        return await contents(result)

    async def begin(self, subject: Any, name: str, **more: Any) -> model.GetResult:
        result = await subject.get(model.GetRequest(name=name, **more))
        assert isinstance(result, model.GetResult), f"get answered {result!r}: return a GetResult"
        assert (result.body is None) != (result.region is None), "GetResult has exactly one of body and region"
        return result

    async def size_of(self, subject: Any, name: str) -> int | None:
        """The blob's size, None where there is no blob."""
        try:
            result = await subject.head(model.HeadRequest(name=name))
        except BlobMissing:
            return None
        assert isinstance(result, model.HeadResult), f"head answered {result!r}: return a HeadResult"
        return int(result.size)

    async def listed(self, subject: Any, prefix: str, limit: int = 1000, after: str = "") -> list[model.ListedBlob]:
        """Every blob under a prefix, page after page."""
        found: list[model.ListedBlob] = []
        place: str | None = after
        while place is not None:
            page = await subject.list(model.ListRequest(prefix=prefix, after=place, limit=limit))
            assert isinstance(page, model.ListResult), f"list answered {page!r}: return a ListResult"
            assert len(page.blobs) <= limit, f"list gave {len(page.blobs)} blobs, asked for {limit}: keep to the limit"
            found.extend(page.blobs)
            assert page.after != place, "ListResult.after does not move on: the pages never end"
            place = page.after
        return found

    async def assert_nothing(self, subject: Any, name: str) -> None:
        """No blob of that name: not for head, not for list."""
        assert await self.size_of(subject, name) is None, f"{name} is there, and nothing should be: undo what was begun"
        left = [blob.name for blob in await self.listed(subject, name)]
        assert left == [], f"list shows {left} after a failure: undo what was begun"
