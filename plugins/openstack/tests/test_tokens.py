"""Tokens: cached, renewed before they end, renewed once for everybody when they end early; refusals that say why."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterator

import pytest
import pytest_twisted
from gateway_openstack import OpenStackBackend
from gateway_openstack.storage import Storage
from twisted.internet import defer, reactor, task
from twisted.python.failure import Failure

from gateway.api import (
    BackendBusy,
    BackendDenied,
    BackendDown,
    BackendUnfit,
    BytesBody,
    DeleteRequest,
    GetRequest,
    HeadRequest,
    PutRequest,
    StreamBody,
    Values,
)
from tests.servers import keystone, rackspace
from tests.servers.keystone import Cloud
from tests.servers.rackspace import Rackspace
from tests.servers.swift import Swift

Build = Callable[..., OpenStackBackend]
Make = Callable[[str, str, str], None]


@pytest.fixture
def double(swift: Swift) -> Iterator[Rackspace]:
    with Rackspace(swift) as running:
        yield running


async def put(backend: OpenStackBackend, name: str, data: bytes) -> None:
    await backend.put(PutRequest(name=name, body=BytesBody(data), size=len(data)))


async def fetch(backend: OpenStackBackend, name: str) -> bytes:
    result = await backend.get(GetRequest(name=name))
    assert result.body is not None
    try:
        return b"".join([chunk async for chunk in result.body])
    finally:
        result.body.close()


async def all_of(work: list[defer.Deferred[None]]) -> None:
    for good, outcome in await defer.DeferredList(work, consumeErrors=True):
        if not good and isinstance(outcome, Failure):
            outcome.raiseException()


@pytest_twisted.ensureDeferred
async def test_many_calls_share_one_token(double: Rackspace, build: Build, folder: str) -> None:
    backend = build(rackspace.KEY, url=double.url, username=rackspace.USER)

    async def one(number: int) -> None:
        await put(backend, f"{folder}/{number}", b"data")
        assert await fetch(backend, f"{folder}/{number}") == b"data"
        await backend.delete(DeleteRequest(name=f"{folder}/{number}"))

    await backend.open()
    try:
        await all_of([defer.ensureDeferred(one(number)) for number in range(30)])
        assert double.asked == 1
    finally:
        await backend.close()


@pytest_twisted.ensureDeferred
async def test_a_token_is_renewed_before_it_ends(double: Rackspace, values: Callable[..., Values]) -> None:
    double.life = 1000.0
    clock = task.Clock()
    settings = values(rackspace.KEY, url=double.url, username=rackspace.USER)
    storage = Storage(settings, clock=clock.seconds)
    await storage.open()
    try:
        clock.advance(1000 - 60 - 5)  # a minute before its end; what passes while a test runs counts as well
        await storage.find("none")
        assert double.asked == 1
        clock.advance(6)
        await all_of([defer.ensureDeferred(_find(storage)) for _ in range(20)])
        assert double.asked == 2
    finally:
        await storage.close()


async def _find(storage: Storage) -> None:
    assert await storage.find("none") is None


@pytest_twisted.ensureDeferred
async def test_tokens_that_end_early_under_load(build: Build, folder: str, make_container: Make) -> None:
    """Swift's tokens live two seconds, and the double says a day: each 401 is survived, by one renewal for all."""
    with Swift(token_life=2) as short, Rackspace(short) as double:
        make_container(*short.token(), "blobs")
        backend = build(rackspace.KEY, url=double.url, username=rackspace.USER)
        await backend.open()
        began = time.monotonic()
        done = 0

        async def work(worker: int) -> None:
            nonlocal done
            while time.monotonic() - began < 7:
                name = f"{folder}/{worker}"
                await put(backend, name, b"data%d" % done)
                assert (await fetch(backend, name)).startswith(b"data")
                await backend.head(HeadRequest(name=name))
                done += 1

        try:
            await all_of([defer.ensureDeferred(work(worker)) for worker in range(16)])
            lives = (time.monotonic() - began) / 2
            assert 3 <= double.asked <= lives + 2, f"{double.asked} tokens in {lives:.1f} lives, {done} rounds"
        finally:
            await backend.close()


@pytest_twisted.ensureDeferred
async def test_a_small_body_is_sent_again(build: Build, folder: str, make_container: Make) -> None:
    with Swift(token_life=2) as short, Rackspace(short) as double:
        make_container(*short.token(), "blobs")
        backend = build(rackspace.KEY, url=double.url, username=rackspace.USER)
        await backend.open()
        try:
            await task.deferLater(reactor, 3.5)  # Swift counts whole seconds
            await put(backend, f"{folder}/a", b"small")
            assert await fetch(backend, f"{folder}/a") == b"small"
            assert double.asked == 2
        finally:
            await backend.close()


@pytest_twisted.ensureDeferred
async def test_a_body_on_its_way_when_the_token_ends(build: Build, folder: str, make_container: Make) -> None:
    """It cannot be sent again: the caller hears that it should come back, and finds a new token then."""

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(40):
            yield b"x" * 65536
            await task.deferLater(reactor, 0.001)

    with Swift(token_life=2) as short, Rackspace(short) as double:
        make_container(*short.token(), "blobs")
        backend = build(rackspace.KEY, url=double.url, username=rackspace.USER)
        await backend.open()
        try:
            await task.deferLater(reactor, 3.5)  # Swift counts whole seconds
            body = StreamBody(chunks(), 40 * 65536, lambda: None)
            with pytest.raises(BackendBusy):
                await backend.put(PutRequest(name=f"{folder}/a", body=body, size=40 * 65536))
            assert double.asked == 2
            body = StreamBody(chunks(), 40 * 65536, lambda: None)
            await backend.put(PutRequest(name=f"{folder}/a", body=body, size=40 * 65536))
            assert len(await fetch(backend, f"{folder}/a")) == 40 * 65536
            assert double.asked == 2
        finally:
            await backend.close()


@pytest_twisted.ensureDeferred
async def test_a_renewal_that_fails_fails_for_all_who_wait(
    double: Rackspace, values: Callable[..., Values], build: Build
) -> None:
    clock = task.Clock()
    storage = Storage(values(rackspace.KEY, url=double.url, username=rackspace.USER), clock=clock.seconds)
    await storage.open()
    try:
        clock.advance(90_000)
        double.broken = 403
        before = double.tried
        done = await defer.DeferredList([defer.ensureDeferred(_find(storage)) for _ in range(10)], consumeErrors=True)
        assert {type(reason.value) for _, reason in done} == {BackendDenied}  # type: ignore[attr-defined]
        assert double.tried == before + 1, "a service in trouble is not asked once for each who waits"
        double.broken = 0
        await _find(storage)
        assert double.asked == 2
    finally:
        await storage.close()


@pytest.mark.parametrize(
    ("wrong", "key"),
    [
        ({"secret": "wrong"}, "openstack.username"),
        ({"username": "test:nobody", "secret": "nothing"}, "openstack.username"),
        ({"container": "missing"}, "openstack.container"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_what_is_wrong_at_the_start_is_named(swift: Swift, build: Build, wrong: dict[str, str], key: str) -> None:
    written = {"secret": "testing", "username": "test:tester", "url": swift.auth_url, **wrong}
    backend = build(written.pop("secret"), **written)
    with pytest.raises(BackendUnfit) as unfit:
        await backend.open()
    assert (unfit.value.key, bool(unfit.value.fix)) == (key, True)
    assert "nothing" not in str(unfit.value).lower() and "testing" not in str(unfit.value)
    await backend.close()


@pytest_twisted.ensureDeferred
async def test_keystone_refusals_are_named(cloud: Cloud, build: Build) -> None:
    good = {"url": cloud.auth_url, "username": keystone.USER, "project": keystone.PROJECT, "region": keystone.REGION}
    for wrong, secret in (
        ({}, "wrong"),
        ({"username": keystone.STRANGER}, keystone.PASSWORD),
        ({"project": "unknown"}, keystone.PASSWORD),
        ({"user_domain": "unknown"}, keystone.PASSWORD),
    ):
        with pytest.raises(BackendUnfit) as unfit:
            await build(secret, **{**good, **wrong}).open()
        assert unfit.value.key == "openstack.username"
    with pytest.raises(BackendUnfit) as unfit:
        await build(keystone.PASSWORD, **{**good, "region": "nowhere"}).open()
    assert unfit.value.key == "openstack.region"


@pytest_twisted.ensureDeferred
async def test_a_service_that_is_not_there_is_down(build: Build) -> None:
    with pytest.raises(BackendDown):
        await build("s", url="http://127.0.0.1:1/auth/v1.0", username="me").open()


@pytest_twisted.ensureDeferred
async def test_rackspace_says_which_region_is_meant(double: Rackspace, build: Build) -> None:
    double.default_region = None
    with pytest.raises(BackendUnfit) as unfit:
        await build(rackspace.KEY, url=double.url, username=rackspace.USER).open()
    assert unfit.value.key == "openstack.region"
    backend = build(rackspace.KEY, url=double.url, username=rackspace.USER, region=rackspace.REGION)
    await backend.open()
    await backend.close()
