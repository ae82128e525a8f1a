"""What third parties made is installed by pip beside the gateway, named by its configuration, and serves."""

from __future__ import annotations

import os
import sys
import sysconfig
import venv
from collections.abc import Iterator
from pathlib import Path
from shutil import copytree, ignore_patterns
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples"
sys.path[:0] = [str(EXAMPLES / "gateway-sftp"), str(EXAMPLES / "gateway-sftp" / "tests")]
NAMES = ("gateway-sftp", "gateway-slow")


@pytest.fixture
def sshd() -> Iterator[Any]:
    """The example's own server."""
    unpacked = ROOT / ".make" / "debian"
    if unpacked.is_dir():
        os.environ.setdefault("OPENSSH_ROOT", str(unpacked))
    from sshd import Missing, Sshd  # type: ignore[import-not-found]

    try:
        server = Sshd()
    except Missing as reason:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(reason))
    with server:
        yield server


@pytest.fixture
def gateway(tmp_path: Path, command: Any) -> Any:
    """Runs `gateway` in a fresh environment that sees our packages, with both examples installed by pip."""
    place = tmp_path / "environment"
    venv.create(place, with_pip=True)
    python = str(place / "bin" / "python")
    ours, theirs = sysconfig.get_paths()["purelib"], sysconfig.get_paths(vars={"base": str(place)})["purelib"]
    Path(theirs, "ours.pth").write_text(f"import site; site.addsitedir({ours!r})\n")
    pip = (python, "-m", "pip", "--quiet", "--disable-pip-version-check")
    for name in NAMES:
        source = tmp_path / name
        copytree(EXAMPLES / name, source, ignore=ignore_patterns("*.egg-info", "build", "__pycache__"))
        words = ("install", "--no-deps", "--no-build-isolation", str(source))
        command.run(*pip, *words, cwd=tmp_path)

    def run(*words: str, code: int = 0) -> str:
        done = command.run(python, "-m", "gateway", *words, cwd=tmp_path, code=code)
        return str(done.stdout + done.stderr)

    run.pip = lambda *words: command.run(*pip, *words, cwd=tmp_path)  # type: ignore[attr-defined]
    run.start = lambda *words, until: command.start(python, "-m", "gateway", *words, cwd=tmp_path, until=until)  # type: ignore[attr-defined]
    return run


def test_a_backend_and_a_wrapper_of_third_parties_serve(gateway: Any, sshd: Any, tmp_path: Path, command: Any) -> None:
    written = {
        "wrappers": "slow",
        "slow.delay": "5ms",
        "sftp.host": sshd.host,
        "sftp.port": str(sshd.port),
        "sftp.host_key": sshd.host_key,
        "sftp.user": sshd.user,
    }
    porch = tmp_path / "porch"
    (porch / "private").mkdir(parents=True, mode=0o700)
    (porch / "private").chmod(0o700)
    (porch / "private" / "sftp_key").touch(mode=0o600)
    (porch / "private" / "sftp_key").write_text(sshd.key)
    listen = f"tcp:{command.free_port()}:interface=127.0.0.1"
    lines = ["[gateway]", f"listen = {listen}", "[storage]", "backend = sftp"]
    config = porch / "tahoe.cfg"
    config.write_text("\n".join([*lines, *(f"{key} = {value}" for key, value in written.items()), ""]))
    at = ("-c", str(config))

    gateway("init", str(porch))
    listed = gateway("plugins", *at)
    assert "sftp\tgateway-sftp 0.1.0\tkit 2\tloaded: shared\n" in listed
    assert "wrapper slow\tgateway-slow 0.1.0\tkit -\tloaded\n" in listed
    assert "no faults" in gateway("check", *at)

    gateway.start("run", *at, until="endpoint")
    gateway("bucket", "add", "attic", *at)
    (tmp_path / "big").write_bytes(bytes(range(256)) * 20_000)
    gateway("put", str(tmp_path / "big"), "attic/", *at)
    gateway("get", "attic/big", str(tmp_path / "back"), *at)
    assert (tmp_path / "back").read_bytes() == (tmp_path / "big").read_bytes()
    kept = [path for path in (sshd.home / "blobs").rglob("*") if path.is_file()]
    assert max(path.stat().st_size for path in kept) > 256 * 20_000, "the bytes lie on the SFTP server"
    command.stop()

    config.write_text(config.read_text().replace("slow.delay = 5ms", "slow.delay = 3s\nslow.most = 2s"))
    assert "BackendBusy" in gateway("check", *at, code=4), "the wrapper is around the storage"
    gateway.pip("uninstall", "-y", *NAMES)
    told = gateway("check", *at, code=3)
    assert "backend = sftp" in told
    assert "sftp" not in gateway("plugins", "-c", str(config)).split()
