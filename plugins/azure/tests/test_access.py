"""Who we are and where we go: wrong keys, tokens without rights, containers that are not there."""

from __future__ import annotations

import base64
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import pytest
import pytest_twisted
from gateway_azure import AzureBackend

from gateway.api import (
    BackendDenied,
    BackendError,
    BackendUnfit,
    BytesBody,
    CreateMPURequest,
    DeleteRequest,
    GetRequest,
    HeadRequest,
    ListRequest,
    PutRequest,
    Values,
)
from tests.servers.azurite import Azurite

Opened = Callable[..., AbstractAsyncContextManager[AzureBackend]]
KEY = base64.b64encode(b"a key of somebody else").decode()
SAS = "sv=2025-11-05&se=2030-01-01T00:00:00Z&sig=abc"


def build(secrets: dict[str, str], **written: str) -> AzureBackend:
    keys = {"account": "account1", "container": "container1", **written}
    values = {f"azure.{key}": value for key, value in keys.items()}
    return AzureBackend(Values.of(AzureBackend.settings, values, secrets=secrets))


@pytest_twisted.ensureDeferred
async def test_a_wrong_key_is_denied(opened: Opened) -> None:
    with pytest.raises(BackendDenied, match="account key"):
        async with opened({"azure_account_key": KEY}):
            pass


@pytest_twisted.ensureDeferred
async def test_a_token_that_was_changed_is_denied_and_not_shown(
    opened: Opened, azurite: Azurite, container: str
) -> None:
    token = azurite.sas(container).replace("sp=rcwdl", "sp=racwdl")
    with pytest.raises(BackendDenied) as refused:
        async with opened({"azure_sas": token}):
            pass
    assert "sig" not in str(refused.value)


@pytest_twisted.ensureDeferred
async def test_a_token_that_has_expired_is_denied(opened: Opened, azurite: Azurite, container: str) -> None:
    with pytest.raises(BackendDenied):
        async with opened({"azure_sas": azurite.sas(container, seconds=-60)}):
            pass


@pytest_twisted.ensureDeferred
async def test_a_token_of_another_container_is_denied(opened: Opened, azurite: Azurite) -> None:
    azurite.make_container("another")
    with pytest.raises(BackendDenied):
        async with opened({"azure_sas": azurite.sas("another")}):
            pass


@pytest_twisted.ensureDeferred
async def test_each_missing_right_is_denied_where_it_is_needed(
    opened: Opened, azurite: Azurite, container: str
) -> None:
    async with opened() as whole:
        await whole.put(PutRequest(name="there", body=BytesBody(b"data"), size=4))
    async with opened({"azure_sas": azurite.sas(container, "l")}) as backend:
        for refused in (
            backend.put(PutRequest(name="new", body=BytesBody(b"data"), size=4)),
            backend.get(GetRequest(name="there")),
            backend.head(HeadRequest(name="there")),
            backend.delete(DeleteRequest(name="there")),
            backend.createMPU(CreateMPURequest(name="new")),
        ):
            with pytest.raises(BackendDenied, match="SAS lacks a right"):
                await refused
        assert [blob.name for blob in (await backend.list(ListRequest())).blobs] == ["there"]


@pytest_twisted.ensureDeferred
async def test_a_container_that_is_not_there_is_unfit(opened: Opened) -> None:
    with pytest.raises(BackendUnfit) as unfit:
        async with opened(container="nobody-made-it"):
            pass
    assert (unfit.value.key, bool(unfit.value.fix)) == ("azure.container", True)


@pytest.mark.parametrize(
    ("key", "wrong"),
    [
        ("account", "Account"),
        ("account", "a.evil.example/"),
        ("account", "x"),
        ("container", "a--b"),
        ("container", "ab"),
        ("container", "../x"),
        ("container", "-abc"),
        ("container", "c" * 64),
        ("prefix", "/abs"),
        ("prefix", "a/../b"),
        ("prefix", "a//b"),
        ("prefix", ".uploads/"),
        ("prefix", "é/"),
        ("prefix", "p" * 201),
    ],
)
def test_settings_that_cannot_be_are_unfit(key: str, wrong: str) -> None:
    with pytest.raises(BackendUnfit) as unfit:
        build({"azure_account_key": KEY}, **{key: wrong})
    assert unfit.value.key == f"azure.{key}"


@pytest.mark.parametrize("prefix", ["", "a", "a/", "a.b/c_d-e/", "A/B"])
def test_prefixes_that_can_be(prefix: str) -> None:
    build({"azure_account_key": KEY}, prefix=prefix)


@pytest.mark.parametrize(
    "secrets",
    [{}, {"azure_account_key": KEY, "azure_sas": SAS}, {"azure_account_key": "no key"}, {"azure_sas": "no token"}],
)
def test_there_is_exactly_one_good_secret(secrets: dict[str, str]) -> None:
    with pytest.raises(BackendUnfit) as unfit:
        build(secrets)
    assert unfit.value.fix
    assert not any(secret in str(unfit.value) + unfit.value.fix for secret in secrets.values())


def test_the_service_is_azures_own_by_default() -> None:
    assert "https://account1.blob.core.windows.net" in repr(build({"azure_sas": SAS})._container._service)


@pytest_twisted.ensureDeferred
async def test_a_server_that_is_not_there_is_down(opened: Opened) -> None:
    with pytest.raises(BackendError, match="no connection"):
        async with opened(url="http://127.0.0.1:1/account1"):
            pass
