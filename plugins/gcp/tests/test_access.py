"""Who we are: tokens and their ends, accounts and keys that are not taken, settings that cannot be."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import pytest_twisted
from cryptography.hazmat.primitives.asymmetric import rsa
from gateway_gcp import GoogleBackend
from twisted.internet import reactor, task
from twisted.internet.defer import DeferredList, ensureDeferred

from gateway.api import (
    BackendDenied,
    BackendUnfit,
    BlobChanged,
    BytesBody,
    DeleteRequest,
    GetRequest,
    HeadRequest,
    PutRequest,
    Values,
)

SECRET = "c2VjcmV0LW9mLWFuLWhtYWMta2V5"


@asynccontextmanager
async def opened(backend: GoogleBackend) -> AsyncIterator[GoogleBackend]:
    await backend.open()
    try:
        yield backend
    finally:
        await backend.close()


async def put(backend: GoogleBackend, name: str) -> str:
    return (await backend.put(PutRequest(name=name, body=BytesBody(b"data"), size=4))).fingerprint


@pytest_twisted.ensureDeferred
async def test_one_token_serves_all(google: Any) -> None:
    before = google.granted()
    async with opened(google.backend(google.bucket())) as backend:
        backend._sign.forget()  # the one that open() got
        writing = [ensureDeferred(put(backend, f"n{number}")) for number in range(20)]
        await DeferredList(writing, fireOnOneErrback=True, consumeErrors=True)
    assert google.granted() == before + 2


@pytest_twisted.ensureDeferred
async def test_a_token_is_renewed_before_it_ends(forgetful: Any) -> None:
    async with opened(forgetful.backend(forgetful.bucket())) as backend:
        for number in range(6):
            await put(backend, f"n{number}")
            await task.deferLater(reactor, 0.4, lambda: None)
    assert forgetful.granted() > 1


@pytest_twisted.ensureDeferred
async def test_a_token_that_is_revoked_is_replaced(google: Any) -> None:
    async with opened(google.backend(google.bucket())) as backend:
        await put(backend, "one")
        google.revoke()
        with pytest.raises(BackendDenied):
            await backend.head(HeadRequest(name="one"))
        assert (await backend.head(HeadRequest(name="one"))).size == 4


@pytest_twisted.ensureDeferred
async def test_a_key_that_is_not_the_accounts_is_denied(google: Any) -> None:
    stranger = google.key_file(rsa.generate_private_key(public_exponent=65537, key_size=2048))
    backend = google.backend(google.bucket(), secret=stranger)
    with pytest.raises(BackendDenied, match="service account"):
        await backend.open()


@pytest_twisted.ensureDeferred
async def test_a_wrong_secret_is_denied(swift: Any) -> None:
    """Swift's s3api checks signatures for itself, without botocore."""
    values = {"gcp.bucket": swift.bucket(), "gcp.url": swift.url, "gcp.access_key_id": swift.access_key}
    values["gcp.region"] = "us-east-1"
    backend = GoogleBackend(Values.of(GoogleBackend.settings, values, secrets={"gcpsecret": SECRET}))
    with pytest.raises(BackendDenied) as denied:
        await backend.open()
    assert SECRET not in str(denied.value)


@pytest.mark.parametrize("server", ["google", "moto", "swift"])
@pytest_twisted.ensureDeferred
async def test_a_bucket_that_is_not_there_is_unfit(server: str, request: pytest.FixtureRequest) -> None:
    with pytest.raises(BackendUnfit) as unfit:
        await request.getfixturevalue(server).backend("nobody-made-this-one").open()
    assert (unfit.value.key, bool(unfit.value.fix)) == ("gcp.bucket", True)


@pytest_twisted.ensureDeferred
async def test_a_delete_with_expect_names_the_generation(google: Any) -> None:
    """Between our look and our delete nobody can put another blob there."""
    async with opened(google.backend(google.bucket())) as backend:
        seen = []
        ask = backend._service.ask

        async def overtaken(method: str, path: str = "", **more: Any) -> Any:
            if method == "DELETE":
                seen.append(more["headers"])
                await ask("PUT", path, headers={"content-type": "text/plain"}, body=b"of somebody else")
            return await ask(method, path, **more)

        fingerprint = await put(backend, "blob")
        backend._service.ask = overtaken  # type: ignore[method-assign]
        with pytest.raises(BlobChanged):
            await backend.delete(DeleteRequest(name="blob", expect=fingerprint))
        assert list(seen[0]) == ["x-goog-if-generation-match"]
        found = await backend.get(GetRequest(name="blob"))
        assert found.body is not None
        found.body.close()
        assert found.size == len(b"of somebody else")


def build(secrets: dict[str, str], **written: str) -> GoogleBackend:
    values = {f"gcp.{key}": value for key, value in {"bucket": "a-bucket", **written}.items()}
    return GoogleBackend(Values.of(GoogleBackend.settings, values, secrets=secrets))


@pytest.mark.parametrize(
    ("key", "wrong"),
    [("bucket", "A"), ("bucket", "../x"), ("bucket", "a"), ("prefix", "/a"), ("prefix", "a//b"), ("prefix", "../")],
)
def test_settings_that_cannot_be_are_unfit(key: str, wrong: str) -> None:
    with pytest.raises(BackendUnfit) as unfit:
        build({"gcpsecret": SECRET}, **{"access_key_id": "GOOG1", key: wrong})
    assert unfit.value.key == f"gcp.{key}"


def test_there_is_a_key_or_an_account_and_not_both(google: Any) -> None:
    account = {"gcp_service_account": google.secret}
    for secrets, written in (
        ({}, {}),
        ({"gcpsecret": SECRET}, {}),
        ({}, {"access_key_id": "GOOG1"}),
        (account, {"access_key_id": "GOOG1"}),
        ({**account, "gcpsecret": SECRET}, {"access_key_id": "GOOG1"}),
    ):
        with pytest.raises(BackendUnfit) as unfit:
            build(secrets, **written)
        assert unfit.value.fix


def test_a_key_file_that_is_none_is_unfit_and_not_shown(google: Any) -> None:
    whole = json.loads(google.secret)
    for wrong in (
        "no json",
        "[]",
        "{}",
        json.dumps({**whole, "private_key": "secret text"}),
        json.dumps({name: value for name, value in whole.items() if name != "client_email"}),
        json.dumps({**whole, "token_uri": "http://evil.example/token"}),
    ):
        with pytest.raises(BackendUnfit) as unfit:
            build({"gcp_service_account": wrong})
        assert "secret text" not in str(unfit.value) + unfit.value.fix
