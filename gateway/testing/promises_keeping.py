"""Promises about the backend as a whole: health, other processes, restarts, quiet ends, declarations."""

from __future__ import annotations

import gc
import inspect
import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from twisted.internet import reactor

from gateway import model
from gateway.plugins.fitness import check_class, implemented
from gateway.plugins.location import Location
from gateway.settings import Secret
from gateway.testing.pours import MI, sample
from gateway.testing.promises_conditions import race
from gateway.testing.promises_uploads import begin, complete, send
from gateway.testing.stage import Stage, declaration, promise, turns

Reopen = Callable[[], Any] | None


class KeepingPromises(Stage):
    @promise
    async def test_a_healthcheck_leaves_nothing(self, subject: Any, folder: str) -> None:
        """Write and delete the probe in healthcheck, and answer a HealthcheckResult whose details are texts."""
        for _ in range(2):
            result = await subject.healthcheck(model.HealthcheckRequest(probe=f"{folder}/probe"))
            assert isinstance(result, model.HealthcheckResult), f"healthcheck answered {result!r}"
            assert all(isinstance(text, str) for pair in result.details.items() for text in pair), "details are texts"
            await self.assert_nothing(subject, f"{folder}/probe")

    @promise
    async def test_a_healthcheck_clears_a_probe_left_behind(self, subject: Any, folder: str) -> None:
        """Overwrite a probe that is there already: a check that died left it."""
        await self.keep(subject, f"{folder}/probe", b"left by a check that died")
        await subject.healthcheck(model.HealthcheckRequest(probe=f"{folder}/probe"))

    @promise
    async def test_shared_is_true(self, opened: Any, folder: str, reopen: Reopen) -> None:
        """Let all who opened the storage see each write at once, or declare shared=False."""
        if not opened.capabilities.shared:
            pytest.skip("declared shared=False: one process only, nothing to prove")
        assert reopen is not None, (
            "capabilities.shared is True: prove it with a fixture `reopen` that returns a callable, "
            "which builds another backend (not opened) on the very same storage"
        )
        other = reopen()
        await self.open(other)
        try:
            here, there = self.around(opened), self.around(other)
            await self.keep(here, f"{folder}/one", b"written here")
            assert await self.fetch(there, f"{folder}/one") == b"written here", "the other one does not see it"
            await there.delete(model.DeleteRequest(name=f"{folder}/one"))
            await self.assert_nothing(here, f"{folder}/one")
            await race([here, there], self.fetch, f"{folder}/race")
            data = sample(max(here.capabilities.smallest_part, 1000))
            token = await begin(here, f"{folder}/upload")
            part = await send(there, f"{folder}/upload", token, 1, data)
            result = await complete(there, f"{folder}/upload", token, [part])
            assert await complete(here, f"{folder}/upload", token, [part]) == result, "an upload belongs to all"
        finally:
            await self.close(other)

    @promise
    async def test_blobs_survive_close_and_reopen(self, backend: Any, blob: str, reopen: Reopen) -> None:
        """Write through to the storage: bytes, metadata and fingerprint are there for the next process."""
        if reopen is None:
            pytest.skip("no fixture `reopen`: this storage ends with its process, or test_shared_is_true asks for one")
        await self.open(backend)
        fingerprint = await self.keep(backend, blob, sample(MI + 1), metadata={"kept": "yes"})
        await self.close(backend)
        again = reopen()
        await self.open(again)
        try:
            assert await self.fetch(again, blob, expect=fingerprint) == sample(MI + 1), "other bytes after reopening"
            assert dict((await again.head(model.HeadRequest(name=blob))).metadata) == {"kept": "yes"}
        finally:
            await self.sweep(again, blob)
            await self.close(again)

    @promise
    async def test_nothing_is_pending_after_close(self, backend: Any, blob: str) -> None:
        """End in close() every timer, connection and thread of yours, and wait for their end."""
        before = set(_pending())
        await self.open(backend)
        location = self.around(backend)
        await self.keep(location, blob, sample(2 * MI))
        assert len(await self.fetch(location, blob)) == 2 * MI
        await location.delete(model.DeleteRequest(name=blob))
        await self.close(backend)
        gc.collect()
        left: list[str] = []
        for _ in range(20):
            left = sorted(what for thing, what in _pending().items() if thing not in before)
            if not left:
                break
            await turns(1, 0.05)
        assert not left, f"after close() there is still: {', '.join(left)}: end it and wait for it in close()"

    @declaration
    def test_hooks_are_coroutines(self, backend: Any) -> None:
        """Write every hook as `async def`: a limit can hold back what starts when it is awaited, and only that."""
        plain = [hook for hook in implemented(backend) if not inspect.iscoroutinefunction(getattr(backend, hook))]
        assert not plain, f"write `async def` for {', '.join(sorted(plain))}"

    @declaration
    def test_the_gateway_takes_it(self, backend: Any) -> None:
        """Declare settings and capabilities; mark with @hookimpl six hooks of blobs, and four of uploads or none."""
        check_class(type(backend).__name__, type(backend))
        Location("kit", backend)

    @declaration
    def test_capabilities_make_sense(self, backend: Any) -> None:
        """Declare limits that fit each other: at least 1, or None for no limit."""
        declared = backend.capabilities
        assert isinstance(declared, model.Capabilities), "capabilities is a Capabilities record"
        assert isinstance(declared.shared, bool), "capabilities.shared is True or False"
        for name in ("largest_blob", "smallest_part", "largest_part", "most_parts"):
            limit = getattr(declared, name)
            assert limit is None or limit >= 1, f"capabilities.{name} is {limit}: at least 1, or None for no limit"
        largest = declared.largest_part
        assert largest is None or largest >= declared.smallest_part, "smallest_part is larger than largest_part"

    @declaration
    def test_settings_are_documented(self, backend: Any) -> None:
        """Write a help of one sentence for every setting and every secret, and declare each once."""
        declared = [*backend.settings, *getattr(backend, "secrets", ())]
        names = [each.file if isinstance(each, Secret) else each.key for each in declared]
        assert len(set(names)) == len(names), f"a setting is declared twice: {names}"
        for name, each in zip(names, declared, strict=True):
            sentence = len(each.help) >= 15 and each.help[-1] in ".!?)"
            assert sentence, f"{name}: write its help as a sentence"

    @declaration
    def test_no_repr_shows_a_secret(self, backend: Any, secrets: Sequence[str]) -> None:
        """Keep secrets out of every repr and str, and give the kit those that the backend was built with."""
        if getattr(backend, "secrets", ()):
            assert secrets, "the backend declares secrets: write a fixture `secrets` with those that it was built with"
        for secret in secrets:
            for shown in (repr(backend), str(backend), repr(backend.capabilities)):
                assert secret not in shown, "a repr shows a secret"


def _pending() -> dict[object, str]:
    """Delayed calls, what the reactor watches, and threads that are not the reactor's own, each with its description.

    They are told from those of an earlier test by what they are: two of them may look alike.
    """
    functions = {call: repr(getattr(call, "func", call)) for call in reactor.getDelayedCalls()}
    found: dict[object, str] = {
        call: f"a delayed call of {text}" for call, text in functions.items() if "Stage.within" not in text
    }
    found |= {each: f"the reader or writer {each!r}" for each in (*reactor.getReaders(), *reactor.getWriters())}
    found |= {each: f"the thread {each.name}" for each in threading.enumerate() if "reactor" not in each.name}
    return found
