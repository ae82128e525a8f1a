"""s3cmd (Debian), with Signature V4, and with V2 and the configuration file that Scalingo gave to its users.

Source of the latter: Scalingo's page on its shared filesystem add-on ("The case of 's3cmd'").
"""

from __future__ import annotations

import filecmp
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.clients.shown import Shown

REMEDY = "apt-get install s3cmd"
SIZE = 20 * 1000 * 1000 + 17
# As their users have it: no section, an unknown region, "/%(bucket)" without its "s". Only TLS is off.
SCALINGO = """
access_key = "ACCESS_KEY"
secret_key = "SECRET_KEY"
bucket_location = generic
host_base = 127.0.0.1:8000
host_bucket = 127.0.0.1:8000/%(bucket)
signature_v2 = True
use_https = False
"""


def configure_old(live: Any, home: Path) -> None:
    text = SCALINGO.replace("127.0.0.1:8000", live.endpoint.removeprefix("http://"))
    text = text.replace("ACCESS_KEY", live.access_key).replace("SECRET_KEY", live.secret_key)
    (home / ".s3cfg").write_text(text.strip() + "\n")


@pytest.fixture(params=["v4", "v2"])
def s3cmd(request: Any, home: Path, run: Callable[..., str], needs: Callable[[str, str], str]) -> Callable[..., str]:
    """``s3cmd("ls", ...)`` with each of the two configuration files."""
    program = needs("s3cmd", REMEDY)
    if request.param == "v4":
        Shown("s3cmd", request.getfixturevalue("live")).write(home)
    else:
        configure_old(request.getfixturevalue("old_live"), home)

    def call(*words: str, **more: Any) -> str:
        return run([program, "--no-progress", *words], **more)

    return call


def test_the_story(s3cmd: Any, name: str, file: Any, tmp_path: Path) -> None:
    place, back = f"s3://{name}", tmp_path / "back"
    assert "created" in s3cmd("mb", place)
    assert place in s3cmd("ls")
    small, big = file("small", 1000), file("big", SIZE)
    s3cmd("put", str(small), f"{place}/small")
    s3cmd("get", f"{place}/small", str(back))
    assert filecmp.cmp(small, back, shallow=False)

    s3cmd("put", "--multipart-chunk-size-mb=5", str(big), f"{place}/dir/big")
    back.write_bytes(big.read_bytes()[: SIZE - 12345])
    s3cmd("get", "--continue", f"{place}/dir/big", str(back))  # asks for the range that is missing
    assert filecmp.cmp(big, back, shallow=False)
    assert f"{SIZE + 1000} " in s3cmd("du", place)
    listed = s3cmd("ls", f"{place}/")
    assert "DIR" in listed
    assert f"1000  {place}/small" in listed

    s3cmd("cp", f"{place}/dir/big", f"{place}/copied")
    s3cmd("mv", f"{place}/copied", f"{place}/moved")
    assert f"File size: {SIZE}" in s3cmd("info", f"{place}/moved")
    s3cmd("put", str(small), f"{place}/moved")
    assert "File size: 1000" in s3cmd("info", f"{place}/moved")

    assert "BucketNotEmpty" in s3cmd("rb", place, ok=False)
    s3cmd("del", "--recursive", "--force", place)
    assert place not in s3cmd("la")
    s3cmd("rb", place)
    assert "NoSuchBucket" in s3cmd("ls", place, ok=False)


def test_odd_keys_there_and_back(s3cmd: Any, name: str, file: Any, odd_keys: tuple[str, ...], tmp_path: Path) -> None:
    place, back = f"s3://{name}", tmp_path / "back"
    s3cmd("mb", place)
    for key in odd_keys:
        file(f"tree/{key}", 100)
    s3cmd("sync", f"{tmp_path}/tree/", f"{place}/odd/")
    listed = s3cmd("ls", "--recursive", place)
    assert all(f"{place}/odd/{key}\n" in listed for key in odd_keys), listed
    back.mkdir()
    s3cmd("sync", f"{place}/odd/", f"{back}/")
    for key in odd_keys:
        assert filecmp.cmp(tmp_path / "tree" / key, back / key, shallow=False)
    (tmp_path / "tree" / "plain").unlink()
    s3cmd("sync", "--delete-removed", f"{tmp_path}/tree/", f"{place}/odd/")
    assert f"{place}/odd/plain" not in s3cmd("ls", "--recursive", place)


def test_metadata_is_kept_and_replaced(s3cmd: Any, name: str, file: Any) -> None:
    """``modify`` copies an object onto itself with the directive REPLACE."""
    url = f"s3://{name}/page"
    s3cmd("mb", f"s3://{name}")
    s3cmd("put", "--mime-type=text/css", "--add-header=x-amz-meta-tone:blue", str(file("page", 10)), url)
    told = s3cmd("info", url)
    assert "text/css" in told
    assert "x-amz-meta-tone: blue" in told
    s3cmd("modify", "--mime-type=text/html", "--add-header=x-amz-meta-tone:red", url)
    told = s3cmd("info", url)
    assert "text/html" in told
    assert "x-amz-meta-tone: red" in told


def test_any_location_may_be_asked_for(s3cmd: Any, name: str) -> None:
    """While the gateway has one location only. Scalingo's file asks for "generic"."""
    s3cmd("mb", "--bucket-location=moon-base-7", f"s3://{name}")
    assert "moon-base-7" in s3cmd("info", f"s3://{name}")


def test_a_wrong_secret_is_told(s3cmd: Any) -> None:
    assert "SignatureDoesNotMatch" in s3cmd("--secret_key=wrong", "ls", ok=False)
    assert "InvalidAccessKeyId" in s3cmd("--access_key=nobody", "ls", ok=False)


@pytest.mark.parametrize("s3cmd", ["v2"], indirect=True)
def test_a_signed_link(s3cmd: Any, name: str, file: Any) -> None:
    """``signurl`` signs with V2, whatever else s3cmd uses."""
    source = file("k", 100)
    s3cmd("mb", f"s3://{name}")
    s3cmd("put", str(source), f"s3://{name}/with space")
    url = s3cmd("signurl", f"s3://{name}/with space", "+60").strip()
    with urllib.request.urlopen(url, timeout=10) as reply:
        assert reply.read() == source.read_bytes()
