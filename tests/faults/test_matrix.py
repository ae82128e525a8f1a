"""Every fault, times every hook, times every cloud: no wrong success, no mixed body, and never more tries than three.

`make test` does a fixed sixth of it, in which every cloud meets every fault; with GATEWAY_LONG=1 everything, and the
strict S3 server as well.
"""

from __future__ import annotations

import os
import random
import secrets
import statistics
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred, DeferredList, DeferredSemaphore

from gateway.errors import BackendBusy, BackendDown, BackendError
from gateway.model import HealthcheckRequest
from gateway.plugins.location import Location
from gateway.testing.pours import KI, sample
from tests.faults.conftest import CLOUDS, Cloud, Trap
from tests.faults.deeds import DEEDS, Deed
from tests.faults.watchdog import Watchdog
from tests.servers import faults
from tests.servers.fault_proxy import Fault, first

LONG = os.environ.get("GATEWAY_LONG") == "1"
IMPATIENT = 0.4  # seconds, where the service says nothing
AT_ONCE = 8
TRIES = 3  # what reliability asks for, whatever the code says
SHARE = 6


@dataclass(frozen=True)
class Case:
    """A fault and what is special about it: ``errors`` it may lead to, ``silent`` ones are not waited for long.

    ``blind``: deeds whose success nobody can tell from a failure by what HTTP says.
    """

    fault: Fault
    errors: tuple[type[BackendError], ...] = (BackendDown, BackendBusy)
    silent: bool = False
    harmless: bool = False
    blind: tuple[str, ...] = ()


def cases(away: str, azure: bool) -> dict[str, Case]:
    busy, down = (BackendBusy,), (BackendDown,)
    soon = {"Retry-After": "0"}
    made = {
        "latency": Case(faults.latency, harmless=True),
        "lost": Case(faults.lost, down),
        "late": Case(faults.late, down),
        "reset inside": Case(faults.reset_inside, down),
        "truncated": Case(faults.truncated, down),
        "length + 1": Case(faults.wrong_length(1), down),
        "length - 1": Case(faults.wrong_length(-1), down),
        "length + 1000": Case(faults.wrong_length(1000), down),
        # a document, or a body, whose bits are others is one like any other; the gateway's own checksums tell
        "flipped": Case(faults.flipped(1), blind=("get", "list", "createMPU", "abortMPU")),
        # Azurite tells no digest of a block, and compares only those that are announced: of small ones
        "damaged on the way in": Case(faults.damaged(2), down, blind=("uploadPart",) if azure else ()),
        "429": Case(faults.status(429), busy),
        "429 with Retry-After": Case(faults.status(429, soon), busy),
        "503 with Retry-After": Case(faults.status(503, soon), busy),
        "503 with a long Retry-After": Case(faults.status(503, {"Retry-After": "3600"}), busy),
        **{f"{code}": Case(faults.status(code), down) for code in (500, 502, 503, 504)},
        **{f"{code} late": Case(faults.status(code, acts=True), down) for code in (500, 504)},
        "503 without a document": Case(faults.status(503, content=b""), down),
        "200 with an error": Case(faults.status(200), down),
        "204 with nothing": Case(faults.status(204, content=b""), down, blind=("delete", "abortMPU")),
        "garbage": Case(faults.garbage, down),
        "fat headers": Case(faults.fat, down),
        "twice": Case(faults.twice, harmless=True),
        "hang": Case(faults.hang, down, silent=True),
        "hang late": Case(faults.hang_late, down, silent=True),
        "hang inside": Case(faults.hang_inside, down, silent=True),
        "drip": Case(faults.drip, down, silent=True),
    }
    for code in (301, 302, 307, 308):
        made[f"{code} to another host"] = Case(faults.status(code, {"Location": away}), down)
    return made


@dataclass
class Scene:
    cloud: Cloud
    calm: Location
    suffering: Location
    impatient: Location
    trap: Trap


@pytest.fixture(scope="module", params=[name for name in CLOUDS if LONG or name != "s3-strict"])
def scene(request: pytest.FixtureRequest, cloud_of: Callable[[str], Cloud], trap: Trap) -> Iterator[Scene]:
    cloud = cloud_of(request.param)
    made = Scene(cloud, cloud.location(), cloud.location(), cloud.location(**cloud.patience(IMPATIENT)), trap)
    places = (made.calm, made.suffering, made.impatient)

    async def each(what: str) -> None:
        for place in places:
            await getattr(place, what)()

    async def probe() -> None:  # as every node does at its start: what is told of an upload is believed from here on
        for place in places:
            await place.healthcheck(HealthcheckRequest(probe=f"probe{secrets.token_hex(6)}"))

    pytest_twisted.blockon(Deferred.fromCoroutine(each("open")))
    pytest_twisted.blockon(Deferred.fromCoroutine(probe()))
    yield made
    pytest_twisted.blockon(Deferred.fromCoroutine(each("close")))


async def suffer(scene: Scene, deed: Deed, hook: str, case: Case, once: bool) -> str:
    """Do the deed under the fault, and judge it; what is wrong, or ""."""
    await deed.prepare()
    word, proxy = deed.name.partition("/")[0], scene.cloud.proxy
    before = len(proxy.seen(word))
    proxy.faults[word] = first(case.fault) if once else case.fault
    wrong: list[str] = []
    fault: BackendError | None = None
    try:
        await deed.do(scene.impatient if case.silent else scene.suffering)
    except BackendError as raised:
        fault = raised
    finally:
        del proxy.faults[word]
    asked = Counter((seen.method, seen.target) for seen in proxy.seen(word)[before:])
    if fault is not None and type(fault) not in case.errors:
        wrong.append(f"it ended with {type(fault).__name__}: {fault}")
    if fault is not None and case.harmless:
        wrong.append(f"it failed although nothing was wrong: {fault}")
    if fault is not None and not once and max(asked.values(), default=0) > TRIES:
        wrong.append(f"asked too often: {asked}")
    if fault is None or hook not in case.blind:
        told = await deed.judge(fault is None)
        if told and hook not in case.blind:
            wrong.append(f"{told} ({'success' if fault is None else fault})")
    return "; ".join(wrong)


@pytest.mark.parametrize("hook", DEEDS)
@pytest_twisted.ensureDeferred
async def test_no_fault_becomes_a_wrong_answer(scene: Scene, hook: str) -> None:
    wanted = [
        (name, case, once)
        for name, case in cases(scene.trap.url, scene.cloud.kind == "cloud.azure").items()
        for once in (True, False)
    ]
    if not LONG:
        random.Random(scene.cloud.kind).shuffle(wanted)
        wanted = wanted[list(DEEDS).index(hook) % SHARE :: SHARE]
    few, wrong = DeferredSemaphore(AT_ONCE), []

    async def one(name: str, case: Case, once: bool) -> None:
        told = await suffer(scene, DEEDS[hook](scene.calm), hook, case, once)
        if told:
            wrong.append(f"{name}{', once' if once else ''}: {told}")

    with Watchdog(reactor) as dog:
        done = await DeferredList([few.run(one, *each) for each in wanted], consumeErrors=True)
    wrong += [str(outcome.value) for fine, outcome in done if not fine]
    assert not wrong, "\n".join(wrong)
    assert scene.trap.visits == 0
    assert dog.counted and not dog.slow


@pytest.mark.parametrize(
    ("hook", "size"), [("put", 5 * KI), ("put", 150 * KI), ("uploadPart", 5 * KI), ("uploadPart", 150 * KI)]
)
@pytest_twisted.ensureDeferred
async def test_what_is_damaged_on_the_way_in_is_not_acknowledged(scene: Scene, hook: str, size: int) -> None:
    if (scene.cloud.kind, hook, size) == ("cloud.azure", "uploadPart", 150 * KI):
        return  # Azurite tells no digest of a block; plugins/azure/tests has a service that does
    deed = DEEDS[hook](scene.calm)
    deed.data = sample(size, size)
    await deed.prepare()
    word = deed.name.partition("/")[0]
    scene.cloud.proxy.faults[word] = faults.damaged(size)
    try:
        with pytest.raises(BackendDown):
            await deed.do(scene.suffering)
    finally:
        del scene.cloud.proxy.faults[word]
    assert not await deed.judge(False)
    if hook == "put":
        assert await deed.stored() is None


@pytest_twisted.ensureDeferred
async def test_tries_come_with_jitter(scene: Scene) -> None:
    """So that a thousand clients of a service that fell over do not come back at the same moment."""
    pauses: list[float] = []

    async def one() -> None:
        deed, proxy = DEEDS["get"](scene.calm), scene.cloud.proxy
        await deed.prepare()
        word = deed.name.partition("/")[0]
        before = len(proxy.seen(word))
        proxy.faults[word] = faults.status(500)
        with pytest.raises(BackendDown):
            await deed.do(scene.suffering)
        del proxy.faults[word]
        first_try, second, third = (seen.when for seen in proxy.seen(word)[before:])
        pauses.extend((second - first_try, third - second))

    few = DeferredSemaphore(AT_ONCE)
    for fine, outcome in await DeferredList([few.run(one) for _ in range(16)], consumeErrors=True):
        assert fine, outcome
    assert min(pauses) * 2 < max(pauses) and statistics.pstdev(pauses) > statistics.mean(pauses) / 5
