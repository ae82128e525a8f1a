"""Accounts and keys while the gateway serves: an account may have several, and a revoked one is refused at once."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest


@pytest.fixture
def keys(site: Any) -> Callable[..., str]:
    """Runs ``gateway key ...`` beside the serving gateway."""
    if not site.pid:
        pytest.skip("no tahoe.cfg: the gateway runs elsewhere")

    def run(*words: str) -> str:
        command = [sys.executable, "-m", "gateway", "key", *words, "-c", str(site.config)]
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout

    return run


def test_a_revoked_key_is_refused_at_once_and_the_other_key_goes_on(
    keys: Any, site: Any, make_client: Any, bucket: str, refuses: Any
) -> None:
    account = json.loads(keys("list", "--json"))
    name = next(row["account"] for row in account if row["access_key_id"] == site.access_key)
    made = json.loads(keys("add", "--account", name, "--json"))
    second = make_client(replace(site, access_key=made["access_key_id"], secret_key=made["secret_access_key"]))
    try:
        second.put_object(Bucket=bucket, Key="key", Body=b"data")
        assert second.get_object(Bucket=bucket, Key="key")["Body"].read() == b"data"
        keys("revoke", made["access_key_id"])
        with refuses("InvalidAccessKeyId", 403):
            second.get_object(Bucket=bucket, Key="key")
    finally:
        second.close()
    first = make_client(site)
    assert first.get_object(Bucket=bucket, Key="key")["Body"].read() == b"data"
    first.close()
