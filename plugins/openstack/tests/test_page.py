"""Every setting and secret of Tahoe-LAFS's page on OpenStack and Rackspace, word for word."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from gateway_openstack import OpenStackBackend

from gateway.api import REQUIRED

PAGE = (Path(__file__).parent / "pages" / "tahoe-lafs-openstack.rst").read_text()
DECLARED = {setting.key: setting for setting in OpenStackBackend.settings}


def test_the_page_names_no_key_that_we_lack() -> None:
    keys = dict(re.findall(r"^``(openstack\.[a-z_]+) = \(([A-Za-z ]+, [a-z]+)\)``$", PAGE, re.MULTILINE))
    assert keys == {
        "openstack.provider": "string, optional",
        "openstack.username": "string, required",
        "openstack.container": "string, required",
        "openstack.url": "URL string, optional",
    }
    for key, said in keys.items():
        assert (DECLARED[key].default is REQUIRED) == said.endswith("required"), key
    assert DECLARED["openstack.url"].kind == "url"
    assert "backend = cloud.openstack" in PAGE
    assert set(re.findall(r"private/([a-z_]+)``", PAGE)) == {secret.file for secret in OpenStackBackend.secrets}


def test_the_providers_are_those_of_the_page() -> None:
    (listed,) = re.findall(r"supported providers are ``(\S+)`` and ``(\S+)``", PAGE)
    (default,) = re.findall(r"The default is ``(\S+)``\.", PAGE)
    provider = DECLARED["openstack.provider"]
    assert (provider.choices, provider.default) == (listed, default)


@pytest.mark.parametrize(
    ("provider", "host"),
    [
        (None, "identity.api.rackspacecloud.com"),
        ("rackspace.com", "identity.api.rackspacecloud.com"),
        ("rackspace.co.uk", "lon.identity.api.rackspacecloud.com"),
    ],
)
def test_the_provider_chooses_the_service_and_the_url_overrides_it(
    build: Callable[..., Any], provider: str | None, host: str
) -> None:
    chosen = {} if provider is None else {"provider": provider}
    assert build("key", username="carol", **chosen)._storage._account._identity.url == f"https://{host}/v2.0"
    other = build("key", username="carol", url="https://auth.example.com/v2.0", **chosen)
    assert other._storage._account._identity.url == "https://auth.example.com/v2.0"
