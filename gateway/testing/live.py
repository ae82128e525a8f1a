"""The kit on a location that an operator configured: under names that nobody else has, swept up at the end.

``try_promises`` runs pytest in this process, on this very file and without whatever else pytest would load; what comes
of it is told promise by promise, in the order of the kit.
"""

from __future__ import annotations

import os
import re
import secrets as random_names
import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted  # type: ignore[import-untyped]
from twisted.internet.defer import ensureDeferred

from gateway import model
from gateway.errors import BackendError
from gateway.node.read import Place
from gateway.plugins.location import Location
from gateway.plugins.wrapping import Answer, Wrapper
from gateway.testing.contract import BackendContract
from gateway.testing.stage import turns

# a Failure inside another exception shows its whole way
_FAILURE = re.compile(r"\[Failure instance: Traceback: <class '([^']+)'>: (.*?) /\S+:\d+:.*")


@dataclass(slots=True)
class Promise:
    """One test of the kit: how many of its cases were tried, and what the failing ones said."""

    name: str
    tried: int = 0
    faults: list[str] = field(default_factory=list)
    skipped: str = ""

    @property
    def state(self) -> str:
        return "broken" if self.faults else "kept" if self.tried else "skipped"


@dataclass(slots=True)
class Outcome:
    """``prefix`` begins every blob name of the run; ``left``: what could not be swept up, empty where all was."""

    prefix: str
    promises: list[Promise] = field(default_factory=list)
    left: str = ""


class Trial:
    """A pytest plugin: gives the tests below their place, and counts what they find."""

    def __init__(self, place: Place, patience: float, tell: Callable[[Promise], None]) -> None:
        self.outcome = Outcome(f"kit{random_names.token_hex(3)}")
        self.fault: BackendError | None = None
        self._place = place
        self._tell = tell
        self._before: dict[int, Any] = {}
        TestPlace.patience = patience

    @pytest.fixture(scope="session")
    def place(self, request: pytest.FixtureRequest) -> Place:
        """A place that answers; else the run ends here, not with the same failure in every test."""
        pytest_twisted.blockon(turns(1))
        self._heed_signals(request.session)
        try:
            pytest_twisted.blockon(ensureDeferred(self._knock()))
        except BackendError as fault:
            self.fault = fault
            pytest.exit("the location does not answer")
        return self._place

    async def _knock(self) -> None:
        location = Location(self._place.name, made(self._place))
        try:
            await location.open()
            await location.healthcheck(model.HealthcheckRequest(probe=f"{self.outcome.prefix}probe"))
        finally:
            await location.close()

    @pytest.fixture(scope="session")
    def swept(self, place: Place) -> Iterator[str]:
        """The first letters of every blob name of this run; whatever bears them is deleted at the end."""
        yield self.outcome.prefix
        try:
            pytest_twisted.blockon(ensureDeferred(self._sweep()))
        except BackendError as fault:
            self.outcome.left = f"{type(fault).__name__}: {fault}"

    async def _sweep(self) -> None:
        stage, backend = TestPlace(), made(self._place)
        await stage.open(backend)
        try:
            await stage.sweep(backend, self.outcome.prefix)
            left = await stage.listed(backend, self.outcome.prefix)
            self.outcome.left = " ".join(blob.name for blob in left)
        finally:
            await stage.close(backend)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        name = re.sub(r"\[.*", "", report.nodeid.rpartition("::")[2], flags=re.DOTALL).removeprefix("test_")
        if not self.outcome.promises or self.outcome.promises[-1].name != name:
            self._told()
            self.outcome.promises.append(Promise(name))
        promise = self.outcome.promises[-1]
        promise.tried += report.when == "call" and not report.skipped
        if report.failed:
            promise.faults.append(f"{report.nodeid.rpartition('::')[2].removeprefix('test_')}: {_said(report)}")
        elif report.skipped and isinstance(report.longrepr, tuple):
            promise.skipped = report.longrepr[2].removeprefix("Skipped: ")

    def _heed_signals(self, session: pytest.Session) -> None:
        """Ctrl-C and SIGTERM end the run after the test that runs; the second one, at once.

        To be called when the reactor runs: it would swallow the one, and stop for the other with nobody told.
        """

        def stop(number: int, frame: object) -> None:
            session.shouldstop = "asked to stop"
            signal.signal(number, signal.SIG_DFL)

        self._before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}

    def pytest_sessionfinish(self) -> None:
        for number, handling in self._before.items():
            signal.signal(number, handling)
        self._told()

    def _told(self) -> None:
        if self.outcome.promises:
            self._tell(self.outcome.promises[-1])


def _said(report: pytest.TestReport) -> str:
    """What a test said when it failed, on one line."""
    crash = getattr(report.longrepr, "reprcrash", None)
    said = " ".join((crash.message if crash else report.longreprtext).removeprefix("AssertionError: ").split())
    return _FAILURE.sub(r"\1: \2]", said)


def made(place: Place) -> Any:
    return place.backend(place.values)


class Uploads(Wrapper):
    """Remembers under which names multipart uploads were begun."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    async def around(self, hook: str, request: Any, answer: Answer) -> Any:
        if hook == "createMPU":
            self.names.add(request.name)
        return await answer


class TestPlace(BackendContract):
    """The kit, with names that can be told from those of another run."""

    @pytest.fixture
    def backend(self, place: Place) -> Any:
        return made(place)

    @pytest.fixture
    def reopen(self, place: Place) -> Callable[[], Any] | None:
        return (lambda: made(place)) if made(place).capabilities.shared else None

    @pytest.fixture
    def secrets(self, place: Place) -> Sequence[str]:
        declared = getattr(place.backend, "secrets", ())
        found = [secret for secret in (place.values.secret(each.file) for each in declared) if secret]
        if declared and not found:
            pytest.skip("none of the backend's secrets is set")
        return found

    @pytest.fixture
    def blob(self, swept: str) -> str:
        return f"{swept}{random_names.token_hex(2)}/blob"

    @pytest.fixture
    def folder(self, swept: str, opened: Any) -> Iterator[str]:
        name = swept + random_names.token_hex(2)  # as long as the kit's own: some names of it are as long as may be
        yield name
        pytest_twisted.blockon(ensureDeferred(self.within(self.sweep(opened, name), "sweeping up after a test")))

    @pytest.fixture
    def location(self, opened: Any) -> Iterator[Location]:
        """Uploads that a failed test left open do not list, and cost money in a cloud: they are ended by name."""
        uploads = Uploads()
        location = Location("kit", opened, [uploads])
        yield location

        async def end() -> None:
            for name in uploads.names:
                await location.abortMPU(model.AbortMPURequest(name=name))

        pytest_twisted.blockon(ensureDeferred(self.within(end(), "ending the uploads of a test")))


def try_promises(place: Place, patience: float, tell: Callable[[Promise], None]) -> Outcome | None:
    """Try them all, ``patience`` seconds each at most; ``tell`` hears of each. None where Ctrl-C ended it.

    Raises BackendError where the location does not even open and pass its healthcheck.
    """
    trial = Trial(place, patience, tell)
    for name in ("PYTEST_ADDOPTS", "PYTEST_PLUGINS"):
        os.environ.pop(name, None)
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # neither the plugins nor the options of somebody's project
    words = ["-p", "pytest_twisted", "-p", "gateway.testing.pytest_plugin", "-p", "no:terminal"]
    words += ["-p", "no:cacheprovider", "--noconftest", "-c", os.devnull, "--rootdir", str(Path(__file__).parent)]
    ended = pytest.main([*words, "--pyargs", __name__], plugins=[trial])
    if trial.fault is not None:
        raise trial.fault
    if ended == pytest.ExitCode.INTERRUPTED:
        return None
    if ended not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        raise RuntimeError(f"pytest ended with {ended!r}")
    return trial.outcome
