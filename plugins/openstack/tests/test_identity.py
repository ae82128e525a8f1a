"""What is asked of an authentication service, how its answers are read, and which settings are refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from gateway_openstack.identity import Identity

from gateway.api import BackendDown, BackendUnfit, EmptyBody, Reply, Values

Settings = Callable[..., Values]
PUBLIC = "https://storage.example/v1/AUTH_1"


def answer(document: Any, **headers: str) -> Reply:
    names = {name.replace("_", "-"): text for name, text in headers.items()}
    return Reply(200, names, EmptyBody(), json.dumps(document).encode())  # type: ignore[arg-type]


def v3(*regions: str, kind: str = "object-store", **more: Any) -> Any:
    endpoints = [
        {"interface": interface, "region": region, "region_id": region, "url": f"{url}/{region}", "id": region}
        for region in regions
        for interface, url in (("admin", "https://admin.example"), ("public", PUBLIC))
    ]
    token = {"issued_at": "2020-01-01T10:00:00.000000Z", "expires_at": "2020-01-01T12:00:00.000000Z", **more}
    return {"token": {**token, "catalog": [{"type": kind, "id": "1", "name": "x", "endpoints": endpoints}]}}


@pytest.mark.parametrize(
    ("written", "url", "path", "kind"),
    [
        ({}, "https://identity.api.rackspacecloud.com/v2.0", "/tokens", "v2"),
        ({"provider": "rackspace.com"}, "https://identity.api.rackspacecloud.com/v2.0", "/tokens", "v2"),
        ({"provider": "rackspace.co.uk"}, "https://lon.identity.api.rackspacecloud.com/v2.0", "/tokens", "v2"),
        ({"url": "https://a.example/v2.0"}, "https://a.example/v2.0", "/tokens", "v2"),
        ({"url": "https://a.example/auth/v1.0"}, "https://a.example/auth/v1.0", "", "v1"),
        ({"url": "https://a.example/auth", "auth": "v1"}, "https://a.example/auth", "", "v1"),
        ({"url": "https://a.example/v3", "project": "p"}, "https://a.example/v3", "/auth/tokens", "v3"),
        ({"url": "https://a.example:5000", "auth": "v3", "project": "p"}, "https://a.example:5000/v3", None, "v3"),
        ({"url": "https://a.example:5000", "auth": "v2", "project": "p"}, "https://a.example:5000/v2.0", None, "v2"),
    ],
)
def test_where_a_token_comes_from(
    values: Settings, written: dict[str, str], url: str, path: str | None, kind: str
) -> None:
    identity = Identity(values("secret", username="me", **written))
    assert (identity.url, identity.kind) == (url, kind)
    assert path is None or identity.path == path
    assert identity.method == ("GET" if kind == "v1" else "POST")


@pytest.mark.parametrize(
    ("written", "proof"),
    [
        ({}, {"RAX-KSKEY:apiKeyCredentials": {"username": "me", "apiKey": "secret"}}),
        (
            {"url": "https://a.example/v2.0", "project": "p"},
            {"passwordCredentials": {"username": "me", "password": "secret"}, "tenantName": "p"},
        ),
        (
            {"url": "https://a.example/v3", "auth": "v3applicationcredential"},
            {
                "identity": {
                    "methods": ["application_credential"],
                    "application_credential": {"id": "me", "secret": "secret"},
                }
            },
        ),
        (
            {"url": "https://a.example/v3", "project": "p", "user_domain": "U", "project_domain": "P"},
            {
                "identity": {
                    "methods": ["password"],
                    "password": {"user": {"name": "me", "domain": {"name": "U"}, "password": "secret"}},
                },
                "scope": {"project": {"name": "p", "domain": {"name": "P"}}},
            },
        ),
    ],
)
def test_how_we_prove_who_we_are(values: Settings, written: dict[str, str], proof: Any) -> None:
    identity = Identity(values("secret", username="me", **written))
    body = identity.body()
    assert body is not None
    assert json.loads(body) == {"auth": proof}
    assert "secret" not in str(identity.headers())


def test_v1_proves_it_in_headers(values: Settings) -> None:
    identity = Identity(values("secret", username="me", url="https://a.example/v1.0"))
    assert (dict(identity.headers()), identity.body()) == ({"X-Auth-User": "me", "X-Auth-Key": "secret"}, None)
    token = identity.read(answer({}, x_auth_token="t", x_storage_url=PUBLIC, x_auth_token_expires="77"))
    assert (token.text, token.url, token.life) == ("t", PUBLIC, 77.0)
    assert identity.read(answer({}, x_auth_token="t", x_storage_url=PUBLIC)).life is None
    for headers in ({}, {"x_auth_token": "t"}, {"x_storage_url": PUBLIC}, {"x_auth_token": "t", "x_storage_url": "no"}):
        with pytest.raises(BackendDown):
            identity.read(answer({}, **headers))


def test_v3_tells_life_and_storage(values: Settings) -> None:
    identity = Identity(values("s", username="me", url="https://a.example/v3", project="p"))
    token = identity.read(answer(v3("here"), x_subject_token="t"))
    assert (token.text, token.url, token.life) == ("t", f"{PUBLIC}/here", 7200.0)
    assert "'t'" not in repr(token)


def test_a_token_never_leaves_tls(values: Settings) -> None:
    plain = {"x_auth_token": "t", "x_storage_url": "http://storage.example/v1/AUTH_1"}
    with pytest.raises(BackendDown, match="not sent"):
        Identity(values("s", username="me", url="https://a.example/v1.0")).read(answer({}, **plain))
    without = Identity(values("s", username="me", url="http://a.example/v1.0"))
    assert without.read(answer({}, **plain)).url == plain["x_storage_url"]


def test_the_region_is_never_guessed(values: Settings) -> None:
    settings = {"username": "me", "url": "https://a.example/v3", "project": "p"}
    with pytest.raises(BackendUnfit) as unfit:
        Identity(values("s", **settings)).read(answer(v3("east", "west"), x_subject_token="t"))
    assert (unfit.value.key, "east, west" in unfit.value.fix) == ("openstack.region", True)
    chosen = Identity(values("s", **settings, region="west"))
    assert chosen.read(answer(v3("east", "west"), x_subject_token="t")).url == f"{PUBLIC}/west"
    with pytest.raises(BackendUnfit):
        chosen.read(answer(v3("east"), x_subject_token="t"))


def test_an_account_without_storage_is_told(values: Settings) -> None:
    identity = Identity(values("s", username="me", url="https://a.example/v3", project="p"))
    with pytest.raises(BackendUnfit) as unfit:
        identity.read(answer(v3("here", kind="volume"), x_subject_token="t"))
    assert unfit.value.key == "openstack.project"


@pytest.mark.parametrize(
    "document",
    [
        {},
        [],
        "text",
        None,
        {"token": {}},
        {"access": {}},
        {"token": {"catalog": 7}},
        {"access": {"token": {"id": "t"}}},
    ],
)
def test_nonsense_is_no_token(values: Settings, document: Any) -> None:
    identity = Identity(values("s", username="me", url="https://a.example/v3", project="p"))
    with pytest.raises((BackendDown, BackendUnfit)):
        identity.read(answer(document))


@pytest.mark.parametrize(
    ("written", "key"),
    [
        ({"auth": "v3", "project": "p"}, "openstack.auth"),
        ({"auth": "v1"}, "openstack.auth"),
        ({"url": "https://a.example/v3"}, "openstack.project"),
        ({"container": "a/b"}, "openstack.container"),
    ],
)
def test_settings_that_lead_nowhere(build: Callable[..., object], written: dict[str, str], key: str) -> None:
    with pytest.raises(BackendUnfit) as unfit:
        build("s", username="me", **written)
    assert (unfit.value.key, bool(unfit.value.fix)) == (key, True)
