"""A real Ceph with its RADOS Gateway for tests (Debian: radosgw ceph-mon ceph-osd ceph-common), all in memory.

``with Ceph() as ceph``: ``ceph.url`` is the S3 endpoint (keys below; it verifies signatures and the body's SHA-256),
``ceph.auth_url`` Swift's v1.0. Both speak of the same account: buckets and containers are one.
"""

from __future__ import annotations

import os
import shutil
import urllib.request
from typing import Self

import pytest

from tests.servers.process import ServerProcess

ACCESS_KEY, SECRET_KEY = "RGWEXAMPLEEXAMPLE000", "a-secret-that-rgw-checks"
SWIFT_USER, SWIFT_KEY = "tester:swift", "a-key-that-rgw-checks"
PROGRAMS = {"ceph-mon": "ceph-mon", "ceph-osd": "ceph-osd", "radosgw": "radosgw", "ceph": "ceph-common"}


def need_ceph() -> None:
    """End the test where a program is missing: a failure on a machine (CI=true), else a skip."""
    absent = sorted(package for program, package in PROGRAMS.items() if shutil.which(program) is None)
    if absent:
        reason = f"no Ceph: apt-get install {' '.join(absent)}"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)


class Ceph(ServerProcess):
    def __init__(self) -> None:
        need_ceph()
        keys = {"access_key": ACCESS_KEY, "secret_key": SECRET_KEY}
        super().__init__("ceph_process.py", {**keys, "swift_user": SWIFT_USER, "swift_key": SWIFT_KEY})
        self.url = ""
        self.auth_url = ""
        self.version = ""

    def __enter__(self) -> Self:
        super().__enter__()
        self.url = f"http://127.0.0.1:{self.said['port']}"
        self.auth_url = f"{self.url}/auth/v1.0"
        self.version = self.said["version"]
        return self

    def token(self) -> tuple[str, str]:
        """The token and the account's storage URL, for Swift's API."""
        asked = urllib.request.Request(self.auth_url, headers={"X-Auth-User": SWIFT_USER, "X-Auth-Key": SWIFT_KEY})
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with direct.open(asked, timeout=60) as reply:
            return reply.headers["X-Auth-Token"], reply.headers["X-Storage-Url"]
