"""How to ask an authentication service for a token, and what its answer says. Nothing here waits or sends.

v1: https://docs.openstack.org/swift/latest/overview_auth.html (and Rackspace's old API); v2: Keystone's and Rackspace's
v2.0, the latter with RAX-KSKEY:apiKeyCredentials; v3: https://docs.openstack.org/api-ref/identity/v3/.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from keystoneauth1 import access, exceptions

from gateway.api import BackendDown, BackendUnfit, Reply, Values, read_json

RACKSPACE = {
    "rackspace.com": "https://identity.api.rackspacecloud.com/v2.0",
    "rackspace.co.uk": "https://lon.identity.api.rackspacecloud.com/v2.0",
}
KEY = "openstack_api_key"
KINDS = ("v1", "v2", "v3", "v3applicationcredential")
_VERSIONS = {"v1": "", "v2": "/v2.0", "v3": "/v3"}
_TOKENS = {"v1": "", "v2": "/tokens", "v3": "/auth/tokens"}
_JSON = {"Content-Type": "application/json", "Accept": "application/json"}


@dataclass(frozen=True, slots=True)
class Token:
    """``url``: the account's storage; ``life``: seconds that the token is good for, None where nobody said."""

    text: str = field(repr=False)
    url: str
    life: float | None


class Identity:
    """One way to prove who we are: ask ``url`` for ``path``, by ``method``, with ``headers()`` and ``body()``."""

    def __init__(self, values: Values) -> None:
        self._values = values
        written = values["openstack.url"]
        url = written or RACKSPACE[values["openstack.provider"]]
        self.kind: str = values["openstack.auth"] or _told_by(url)
        version = self.kind[:2]
        if written is None and version != "v2":
            raise BackendUnfit(
                f"Rackspace is asked in v2, not in {self.kind}",
                key="openstack.auth",
                fix="remove openstack.auth, or set openstack.url to another service",
            )
        if self.kind == "v3" and values["openstack.project"] is None:
            raise BackendUnfit("v3 needs a project", key="openstack.project", fix="set openstack.project")
        known = version == "v1" or url.rpartition("/")[2].startswith(version)
        self.url: str = url if known else url + _VERSIONS[version]
        self.path = _TOKENS[version]
        self.method = "GET" if version == "v1" else "POST"

    def headers(self) -> Mapping[str, str]:
        if self.kind != "v1":
            return _JSON
        return {"X-Auth-User": self._values["openstack.username"], "X-Auth-Key": self._secret()}

    def body(self) -> bytes | None:
        return None if self.kind == "v1" else json.dumps({"auth": self._proof()}).encode()

    def read(self, reply: Reply) -> Token:
        """What the service answered. Raises BackendDown, and BackendUnfit where it has no storage for us."""
        token = _read_v1(reply) if self.kind == "v1" else self._read_catalog(reply)
        if not token.url.startswith("https:" if self.url.startswith("https:") else ("http:", "https:")):
            raise BackendDown(f"{self.url} names the storage {token.url!r}: tokens are not sent there")
        return token

    def _read_catalog(self, reply: Reply) -> Token:
        document = read_json(reply.content)
        try:
            found = access.create(body=dict(document), auth_token=reply.headers.get("x-subject-token"))
            token, expires = found.auth_token, found.expires
            regions = {
                str(each["region"]): str(each.get("url") or each.get("publicURL"))
                for each in found.service_catalog.get_endpoints("object-store", "public").get("object-store", ())
                if each is not None
            }
            rackspace = document.get("access", {}).get("user", {}).get("RAX-AUTH:defaultRegion")
            since = found.issued if "token" in document else None  # v2.0 need not tell it, and Rackspace does not
            life = expires.timestamp() - (since.timestamp() if since else time.time()) if expires else None
        except (exceptions.ClientException, LookupError, TypeError, ValueError, AttributeError) as fault:
            raise BackendDown(f"{self.url} answered with something that is no token: {fault!r}") from fault
        if not token:
            raise BackendDown(f"{self.url} answered without a token")
        return Token(token, self._storage(regions, rackspace), life)

    def _storage(self, regions: Mapping[str, str], usual: str | None) -> str:
        """The one storage that we are meant to use; never a guess where the service knows several."""
        region: str | None = self._values["openstack.region"] or (usual if usual in regions else None)
        if region is None and len(regions) == 1:
            return next(iter(regions.values()))
        if region is not None and region in regions:
            return regions[region]
        there = ", ".join(sorted(regions))
        if there:
            raise BackendUnfit(
                f"the account has storage in {there}", key="openstack.region", fix=f"set it to one of {there}"
            )
        raise BackendUnfit(
            f"{self.url} knows no object store for this account",
            key="openstack.username" if self._values["openstack.project"] is None else "openstack.project",
            fix="name the account or project that the container belongs to",
        )

    def _proof(self) -> object:
        values = self._values
        user, project = values["openstack.username"], values["openstack.project"]
        if self.kind == "v2" and project is None:
            return {"RAX-KSKEY:apiKeyCredentials": {"username": user, "apiKey": self._secret()}}
        if self.kind == "v2":
            return {"passwordCredentials": {"username": user, "password": self._secret()}, "tenantName": project}
        if self.kind == "v3applicationcredential":
            proof = {"id": user, "secret": self._secret()}
            return {"identity": {"methods": ["application_credential"], "application_credential": proof}}
        who = {"name": user, "domain": {"name": values["openstack.user_domain"]}, "password": self._secret()}
        scope = {"project": {"name": project, "domain": {"name": values["openstack.project_domain"]}}}
        return {"identity": {"methods": ["password"], "password": {"user": who}}, "scope": scope}

    def _secret(self) -> str:
        return self._values.secret(KEY) or ""


def _told_by(url: str) -> str:
    """The version that the URL ends with; else v2, as Rackspace has it."""
    last = url.rpartition("/")[2]
    return next((version for version in _VERSIONS if last.startswith(version)), "v2")


def _read_v1(reply: Reply) -> Token:
    token, url = reply.headers.get("x-auth-token", ""), reply.headers.get("x-storage-url", "")
    if not token or not url:
        raise BackendDown("the authentication service answered without a token or a storage URL")
    life = reply.headers.get("x-auth-token-expires", "")
    return Token(token, url, float(life) if life.isdecimal() else None)
