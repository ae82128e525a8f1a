"""A real OpenStack Keystone for tests (identity API v3), and a Swift that accepts its tokens.

``with Cloud() as cloud``: ``cloud.auth_url`` is Keystone's, ``cloud.swift`` the Swift behind it. The user ``tester``
has the password ``testing`` and the role ``member`` in the project ``files``; ``stranger`` has no role there.
"""

from __future__ import annotations

import json
import secrets
import urllib.request
from contextlib import ExitStack
from typing import Any, Self

from tests.servers.process import ServerProcess, need
from tests.servers.swift import Swift

REGION = "RegionOne"
USER, PASSWORD, PROJECT = "tester", "testing", "files"
STRANGER = "stranger"
DOMAIN = "default"


class Keystone(ServerProcess):
    """``token_life``: seconds until its tokens end."""

    def __init__(self, token_life: int = 3600) -> None:
        need("keystone")
        need("waitress")
        self.password = secrets.token_hex(8)
        options = {"token_life": token_life, "password": self.password, "region": REGION}
        super().__init__("keystone_process.py", options)
        self.url = ""
        self._token = ""

    def __enter__(self) -> Self:
        super().__enter__()
        self.url = f"http://127.0.0.1:{self.said['port']}/v3"
        self._token = self.login("admin", self.password, "admin")[0]
        return self

    def login(self, user: str, password: str, project: str) -> tuple[str, Any]:
        """A token, and what Keystone tells about it."""
        domain = {"id": DOMAIN}
        who = {"user": {"name": user, "domain": domain, "password": password}}
        scope = {"project": {"name": project, "domain": domain}}
        asked = {"auth": {"identity": {"methods": ["password"], "password": who}, "scope": scope}}
        return self._ask("POST", "/auth/tokens", asked)

    def ask(self, method: str, path: str, document: object = None) -> Any:
        """Call the identity API as the administrator; the reply's document."""
        return self._ask(method, path, document, self._token)[1]

    def _ask(self, method: str, path: str, document: object, token: str = "") -> tuple[str, Any]:
        data = None if document is None else json.dumps(document).encode()
        headers = {"Content-Type": "application/json", **({"X-Auth-Token": token} if token else {})}
        asked = urllib.request.Request(self.url + path, data, headers, method=method)
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with direct.open(asked, timeout=60) as reply:
            text = reply.read()
            return reply.headers.get("X-Subject-Token", ""), json.loads(text) if text else None

    def add_user(self, name: str, password: str, project: str = "", role: str = "") -> str:
        """A user of the default domain; gives the id."""
        made = {"name": name, "password": password, "domain_id": DOMAIN}
        user = str(self.ask("POST", "/users", {"user": made})["user"]["id"])
        if project:
            found = self.ask("GET", f"/roles?name={role}")["roles"][0]["id"]
            self.ask("PUT", f"/projects/{project}/users/{user}/roles/{found}")
        return user

    def add_project(self, name: str) -> str:
        made = {"name": name, "domain_id": DOMAIN}
        return str(self.ask("POST", "/projects", {"project": made})["project"]["id"])

    def add_service(self, kind: str, region: str, url: str) -> None:
        """A line of the catalogue that comes with each token."""
        service = self.ask("POST", "/services", {"service": {"type": kind, "name": f"{kind} in {region}"}})
        endpoint = {"service_id": service["service"]["id"], "interface": "public", "region_id": region, "url": url}
        self.ask("POST", "/endpoints", {"endpoint": endpoint})

    def application_credential(self, user: str, password: str, project: str) -> tuple[str, str]:
        """The id and the secret of a new application credential of that user."""
        token, answer = self.login(user, password, project)
        path = f"/users/{answer['token']['user']['id']}/application_credentials"
        asked = {"application_credential": {"name": f"gateway-{secrets.token_hex(4)}"}}
        made = self._ask("POST", path, asked, token)[1]["application_credential"]
        return made["id"], made["secret"]


class Cloud:
    """Keystone and a Swift that asks it about every token."""

    def __init__(self, token_life: int = 3600) -> None:
        self._token_life = token_life
        self._running = ExitStack()

    def __enter__(self) -> Self:
        try:
            self.keystone = self._running.enter_context(Keystone(self._token_life))
            self._fill()
        except BaseException:
            self._running.close()
            raise
        return self

    def __exit__(self, *fault: object) -> None:
        self._running.close()

    @property
    def auth_url(self) -> str:
        return self.keystone.url

    def token(self, user: str = USER, password: str = PASSWORD) -> tuple[str, str]:
        """A token, and the URL of the account that it opens."""
        token, answer = self.keystone.login(user, password, PROJECT)
        found = [
            endpoint["url"]
            for service in answer["token"]["catalog"]
            for endpoint in service["endpoints"]
            if service["type"] == "object-store" and endpoint["region"] == REGION
        ]
        return token, str(found[0])

    def _fill(self) -> None:
        keystone = self.keystone
        service = {"url": keystone.url, "username": "swift", "password": secrets.token_hex(8), "project": "service"}
        keystone.add_user("swift", service["password"], keystone.add_project("service"), "admin")
        files = keystone.add_project(PROJECT)
        keystone.add_user(USER, PASSWORD, files, "member")
        keystone.add_user(STRANGER, PASSWORD)
        self.swift = self._running.enter_context(Swift(keystone=service))
        keystone.ask("POST", "/regions", {"region": {"id": "Elsewhere"}})
        keystone.add_service("object-store", "Elsewhere", "http://127.0.0.1:1/v1/AUTH_$(project_id)s")
        keystone.add_service("object-store", REGION, f"{self.swift.url}/v1/AUTH_$(project_id)s")
