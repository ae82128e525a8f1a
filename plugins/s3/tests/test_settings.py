"""Every setting and secret of Tahoe-LAFS's page on S3, word for word, and ours besides."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from gateway_s3 import S3Backend

from gateway.api import REQUIRED, BackendUnfit, Values
from gateway.settings import ConfigurationFault

PAGE = (Path(__file__).parent / "pages" / "tahoe-lafs-s3.rst").read_text()
DECLARED = {setting.key: setting for setting in S3Backend.settings}


def build(written: dict[str, object], **secrets: str) -> S3Backend:
    return S3Backend(Values.of(S3Backend.settings, {"s3.bucket": "attic", **written}, secrets=secrets))


def test_the_page_names_no_key_that_we_lack() -> None:
    keys = dict(re.findall(r"^``(s3\.[a-z_]+) = \(([A-Za-z ]+, [a-z]+)\)``$", PAGE, re.MULTILINE))
    assert set(keys) == {"s3.access_key_id", "s3.bucket", "s3.url"} <= set(DECLARED)
    assert "backend = cloud.s3" in PAGE
    assert DECLARED["s3.bucket"].default is REQUIRED and keys["s3.bucket"] == "string, required"
    assert DECLARED["s3.url"].kind == "url" and keys["s3.url"] == "URL string, optional"
    files = set(re.findall(r"private/([a-z0-9]+)``", PAGE))
    assert files == {secret.file for secret in S3Backend.secrets}


def test_the_default_url_is_the_pages_over_tls() -> None:
    (default,) = re.findall(r"defaults to ``http://(\S+)``", PAGE)
    assert DECLARED["s3.url"].default == f"https://{default}"


@pytest.mark.parametrize(
    ("written", "secrets", "key"),
    [
        ({}, {"s3secret": "x"}, "s3.access_key_id"),
        ({"s3.access_key_id": "A"}, {}, "s3.access_key_id"),
        ({"s3.access_key_id": "A"}, {"s3secret": "x", "s3usertoken": "u"}, "s3.access_key_id"),
        ({"s3.access_key_id": "A", "s3.bucket": "a/b"}, {"s3secret": "x"}, "s3.bucket"),
        ({"s3.access_key_id": "A", "s3.bucket": ".."}, {"s3secret": "x"}, "s3.bucket"),
        ({"s3.access_key_id": "A", "s3.prefix": "../x"}, {"s3secret": "x"}, "s3.prefix"),
        ({"s3.access_key_id": "A", "s3.prefix": "x" * 300}, {"s3secret": "x"}, "s3.prefix"),
    ],
)
def test_what_cannot_work_names_the_setting(written: dict[str, object], secrets: dict[str, str], key: str) -> None:
    with pytest.raises(BackendUnfit) as raised:
        build(written, **secrets)
    assert raised.value.key == key and raised.value.fix


@pytest.mark.parametrize("written", [{"s3.url": "ftp://x"}, {"s3.encryption": "rot13"}, {"s3.idle_timeout": "never"}])
def test_what_cannot_be_read_is_a_fault(written: dict[str, object]) -> None:
    with pytest.raises(ConfigurationFault):
        build({"s3.access_key_id": "A", **written}, s3secret="x")


@pytest.fixture
def profiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "credentials"
    file.write_text(
        "[default]\naws_access_key_id = AK1\naws_secret_access_key = %secret1\n"
        "[session]\naws_access_key_id=AK2\naws_secret_access_key=secret2\naws_session_token=token2\n"
        "[half]\naws_access_key_id = AK3\n"
    )
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    return file


def test_a_profile_replaces_the_key(profiles: Path) -> None:
    from gateway_s3.signing import from_profile

    first, second = from_profile("default"), from_profile("session")
    assert (first.access_key, first.secret_key, first.token) == ("AK1", "%secret1", None)
    assert (second.access_key, second.secret_key, second.token) == ("AK2", "secret2", "token2")
    assert "secret" not in repr(first) and "token2" not in repr(second)


@pytest.mark.parametrize("profile", ["half", "nobody"])
@pytest_twisted.ensureDeferred
async def test_a_profile_that_lacks_something_is_told(profiles: Path, profile: str) -> None:
    with pytest.raises(BackendUnfit, match=profile) as raised:
        await build({"s3.profile": profile}).open()
    assert raised.value.key == "s3.profile"


@pytest_twisted.ensureDeferred
async def test_a_broken_profile_file_is_told_without_its_content(profiles: Path) -> None:
    for content in ("aws_secret_access_key = hidden", "\xff"):
        profiles.write_bytes(content.encode("latin-1"))
        with pytest.raises(BackendUnfit) as raised:
            await build({"s3.profile": "default"}).open()
        assert "hidden" not in str(raised.value)
    profiles.unlink()
    with pytest.raises(BackendUnfit, match="cannot read"):
        await build({"s3.profile": "default"}).open()


@pytest_twisted.ensureDeferred
async def test_a_profile_serves(profiles: Path, moto: Any) -> None:
    backend = S3Backend(
        Values.of(
            S3Backend.settings, {"s3.profile": "default", "s3.bucket": moto.bucket(), "s3.url": moto.url}, secrets={}
        )
    )
    await backend.open()
    await backend.close()
    await backend.close()


@pytest_twisted.ensureDeferred
async def test_a_missing_bucket_is_told(moto: Any, swift: Any, rgw: Any) -> None:
    for target in (moto, swift, rgw):
        with pytest.raises(BackendUnfit) as raised:
            await target.backend("no-such-bucket-here").open()
        assert raised.value.key == "s3.bucket" and "bucket" in raised.value.fix


@pytest.mark.parametrize("server", ["swift", "rgw"])
@pytest.mark.parametrize(("key", "secret", "word"), [("", "wrong", "secret"), ("nobody", "x", "key")])
@pytest_twisted.ensureDeferred
async def test_wrong_credentials_are_told(request: Any, server: str, key: str, secret: str, word: str) -> None:
    target = request.getfixturevalue(server)
    written = {"s3.url": target.url, "s3.bucket": target.bucket(), "s3.access_key_id": key or target.access_key}
    backend = S3Backend(Values.of(S3Backend.settings, written, secrets={"s3secret": secret}))
    with pytest.raises(BackendUnfit) as raised:
        await backend.open()
    assert raised.value.key in ("s3.access_key_id", "s3.bucket") and word in raised.value.fix
