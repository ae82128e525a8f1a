"""A live gateway comes up with keys of its own, says why where it cannot, and goes when it is told."""

from __future__ import annotations

import os
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

from gateway.testing import LiveGateway
from gateway.testing.server import ServerFault


def client(live: Any) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=live.endpoint,
        aws_access_key_id=live.access_key,
        aws_secret_access_key=live.secret_key,
        region_name=live.region,
        config=Config(retries={"total_max_attempts": 1}, proxies={}),
    )


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_it_comes_goes_and_comes_back_with_what_it_kept(tmp_path: Path) -> None:
    live = LiveGateway(tmp_path, backend="local", gateway={"region": "eu-north-1"})
    with live:
        pid = live.pid
        assert is_running(pid)
        s3 = client(live)
        s3.create_bucket(Bucket="kept")
        s3.put_object(Bucket="kept", Key="key", Body=b"data")
        s3.close()
    assert live.pid == 0
    assert not is_running(pid)
    keys = live.access_key, live.secret_key
    live.start()
    s3 = client(live)
    assert s3.get_object(Bucket="kept", Key="key")["Body"].read() == b"data"
    s3.close()
    assert (live.access_key, live.secret_key) == keys
    live.kill()
    with LiveGateway(tmp_path) as again:
        s3 = client(again)
        assert s3.get_object(Bucket="kept", Key="key")["Body"].read() == b"data"
        s3.close()


@pytest.mark.parametrize(
    "wrong", [{"gateway": {"no_such_key": "1"}}, {"storage": {"memory.limit": "much"}}, {"backend": "tape"}]
)
def test_it_says_why_it_cannot_start(tmp_path: Path, wrong: dict[str, Any]) -> None:
    live = LiveGateway(tmp_path, **wrong)
    with pytest.raises(ServerFault, match=r"no_such_key|memory\.limit|tape"):
        live.start()
    assert live.pid == 0


def test_secrets_are_files_for_our_eyes_only(tmp_path: Path) -> None:
    live = LiveGateway(tmp_path, secrets={"s3secret": "geheim"})
    with live, urllib.request.urlopen(f"{live.endpoint}/_/live") as reply:
        assert reply.status == 200
    file = tmp_path / "private" / "s3secret"
    assert file.read_text() == "geheim\n"
    assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)


def test_the_pytest_plugin_imports_nothing_of_the_gateway() -> None:
    """It is loaded in every pytest run of whoever has us installed: no reactor, no slow import."""
    code = (
        "import sys, gateway.testing.pytest_plugin\n"
        "print(sorted(name for name in sys.modules if name.startswith(('gateway', 'twisted'))))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.strip() == "['gateway', 'gateway.testing', 'gateway.testing.pytest_plugin']"
