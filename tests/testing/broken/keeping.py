"""Backends that break promises_keeping.py."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet import reactor
from twisted.internet.defer import ensureDeferred

from gateway import model
from gateway.api import Capabilities, Secret, Setting, Values, hookimpl
from gateway.plugins.memory import MemoryBackend
from tests.testing.broken.frame import Broken, keep


class TestLeavesItsProbe(Broken):
    fails, says = "test_a_healthcheck_leaves_nothing", "undo what was begun"

    class kind(MemoryBackend):  # noqa: N801
        @hookimpl
        async def healthcheck(self, request: Any) -> Any:
            await keep(self, request.probe, b"probe")
            return model.HealthcheckResult()


class TestStumblesOverAnOldProbe(Broken):
    fails, says = "test_a_healthcheck_clears_a_probe_left_behind", "Overwrite a probe that is there already"

    class kind(MemoryBackend):  # noqa: N801
        @hookimpl
        async def healthcheck(self, request: Any) -> Any:
            await keep(self, request.probe, b"probe", if_absent=True)
            self._forget(request.probe)
            return model.HealthcheckResult()


class Shared(MemoryBackend):
    capabilities = Capabilities(shared=True)


class TestClaimsToBeShared(Broken):
    fails, says = "test_shared_is_true", "Let all who opened the storage see each write"
    broad = True
    kind = Shared

    @pytest.fixture
    def reopen(self) -> Callable[[], Any]:
        return lambda: Shared(Values.of(Shared.settings, {}))


class TestDoesNotProveToBeShared(Broken):
    fails, says = "test_shared_is_true", "prove it with a fixture `reopen`"
    kind = Shared


class TestForgets(Broken):
    fails, says = "test_blobs_survive_close_and_reopen", "Write through to the storage"

    @pytest.fixture
    def reopen(self) -> Callable[[], Any]:
        return lambda: MemoryBackend(Values.of(MemoryBackend.settings, {}))


class TestLeavesATimer(Broken):
    fails, says = "test_nothing_is_pending_after_close", "a delayed call of"

    class kind(MemoryBackend):  # noqa: N801
        async def open(self) -> None:
            reactor.callLater(5, print, "still here")


class TestLeavesAThread(Broken):
    fails, says = "test_nothing_is_pending_after_close", "the thread keeper"

    class kind(MemoryBackend):  # noqa: N801
        async def open(self) -> None:
            threading.Thread(target=threading.Event().wait, args=(5,), daemon=True, name="keeper").start()


class TestHasAPlainHook(Broken):
    fails, says = "test_hooks_are_coroutines", "write `async def` for head"

    class kind(MemoryBackend):  # noqa: N801
        @hookimpl
        def head(self, request: Any) -> Any:
            return ensureDeferred(super().head(request))


class TestJoinsHalfWay(Broken):
    fails, says = "test_the_gateway_takes_it", "add uploadPart, completeMPU, abortMPU"

    class kind(MemoryBackend):  # noqa: N801
        @hookimpl
        async def createMPU(self, request: Any) -> Any: ...


class TestDeclaresNonsense(Broken):
    fails, says = "test_capabilities_make_sense", "smallest_part is larger than largest_part"

    class kind(MemoryBackend):  # noqa: N801
        capabilities = Capabilities(shared=False, smallest_part=10, largest_part=5)


class TestExplainsNothing(Broken):
    fails, says = "test_settings_are_documented", "write its help as a sentence"

    class kind(MemoryBackend):  # noqa: N801
        settings = (*MemoryBackend.settings, Setting("odd.key", kind="text", default="", help="key"))


class Secretive(MemoryBackend):
    secrets = (Secret("oddsecret", help="What opens the odd storage."),)

    def __repr__(self) -> str:
        return "<Secretive, opened with geheim123>"


class TestShowsItsSecret(Broken):
    fails, says = "test_no_repr_shows_a_secret", "a repr shows a secret"
    kind = Secretive

    @pytest.fixture
    def secrets(self) -> list[str]:
        return ["geheim123"]


class TestHidesItsSecrets(Broken):
    fails, says = "test_no_repr_shows_a_secret", "write a fixture `secrets`"
    kind = Secretive


class TestReadsTheStorageWhenItOpens(Broken):
    """What others write meanwhile it does not see; what it wrote itself is in the storage when it closes."""

    fails, says = "test_shared_is_true", "Let all who opened the storage see each write"

    class kind(Shared):  # noqa: N801
        stored: dict[str, Any] = {}  # noqa: RUF012 - the storage

        async def open(self) -> None:
            self._blobs = dict(self.stored)

        async def close(self) -> None:
            self.stored.clear()
            self.stored.update(self._blobs)

    @pytest.fixture
    def reopen(self) -> Callable[[], Any]:
        return lambda: self.kind(Values.of(self.kind.settings, {}))
