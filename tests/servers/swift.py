"""A real OpenStack Swift for tests, with tempauth (and S3 by its s3api), or with Keystone in front.

``with Swift() as swift``: ``swift.auth_url`` is tempauth's v1.0 (users below), ``swift.url`` also the S3 endpoint
(key id ``test:tester``, secret ``testing``, region us-east-1); it verifies signatures and the body's SHA-256.
"""

from __future__ import annotations

import urllib.request
from collections.abc import Mapping
from typing import Self

from tests.servers.process import ServerProcess, need

USER, KEY = "test:tester", "testing"
SAME_ACCOUNT = ("test:tester2", "testing2")
OTHER_ACCOUNT = ("test2:tester2", "testing2")
WITHOUT_RIGHTS = ("test:nobody", "nothing")


class Swift(ServerProcess):
    """``token_life``: seconds until tempauth's tokens end. ``keystone``: url, username, password, project of the
    service user; tokens are Keystone's then, and there is neither tempauth nor S3."""

    def __init__(self, token_life: int = 86400, keystone: Mapping[str, str] | None = None) -> None:
        need("swift")
        if keystone is not None:
            need("keystonemiddleware")
        super().__init__("swift_process.py", {"token_life": token_life, "keystone": keystone and dict(keystone)})
        self.url = ""
        self.auth_url = ""

    def __enter__(self) -> Self:
        super().__enter__()
        self.url = f"http://127.0.0.1:{self.said['port']}"
        self.auth_url = f"{self.url}/auth/v1.0"
        return self

    def token(self, user: str = USER, key: str = KEY) -> tuple[str, str]:
        """tempauth's answer: the token and the account's storage URL."""
        asked = urllib.request.Request(self.auth_url, headers={"X-Auth-User": user, "X-Auth-Key": key})
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with direct.open(asked, timeout=60) as reply:
            return reply.headers["X-Auth-Token"], reply.headers["X-Storage-Url"]
