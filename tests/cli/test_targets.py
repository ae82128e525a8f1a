"""Whom the file commands ask, and as whom; share, env and completion, which tell others."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

PAIR = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")


def without(keys: dict[str, str], *names: str) -> dict[str, str]:
    """What ``Porch.run`` takes to unset variables."""
    return {**keys, **dict.fromkeys(names, "")}


def test_the_aws_environment_names_the_gateway(porch: Any, bucket: str, tmp_path: Path) -> None:
    run = porch.run
    assert f"{bucket}\n" in run("ls", cwd=tmp_path).stdout
    assert "AWS_ENDPOINT_URL" in run("ls", cwd=tmp_path, code=2, AWS_ENDPOINT_URL="").stderr
    for url, code in (("localhost:8000", 2), ("http://127.0.0.1:1", 4), ("http://no-such-host.invalid", 4)):
        told = run("ls", cwd=tmp_path, code=code, AWS_ENDPOINT_URL=url).stderr
        assert url in told and len(told.splitlines()) == (4 if code == 2 else 1), told
    told = run("ls", cwd=tmp_path, code=4, AWS_ENDPOINT_URL=f"https://127.0.0.1:{porch.port}").stderr
    assert told.startswith(f"gateway: nobody answers at https://127.0.0.1:{porch.port} (")
    (line,) = run("ls", cwd=tmp_path, code=1, AWS_SECRET_ACCESS_KEY="another").stderr.splitlines()
    assert "SignatureDoesNotMatch" in line and "gateway trace --errors" in line
    (line,) = run("ls", cwd=tmp_path, code=1, AWS_ACCESS_KEY_ID="GWNOBODY").stderr.splitlines()
    assert "InvalidAccessKeyId" in line and "gateway key list" in line
    nobody = porch.commands.run("gateway", "ls", cwd=tmp_path, code=2)
    assert "Give -c tahoe.cfg, or set AWS_ACCESS_KEY_ID" in " ".join(nobody.stderr.split())


def test_an_aws_profile_names_it_too(porch: Any, bucket: str, tmp_path: Path) -> None:
    pair = "\n".join(f"{name.lower()} = {porch.keys[name]}" for name in PAIR)
    url = porch.keys["AWS_ENDPOINT_URL"]
    (tmp_path / "credentials").write_text(f"[porch]\n{pair}\n")
    files = {
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "credentials"),
        "AWS_CONFIG_FILE": str(tmp_path / "config"),
        "AWS_PROFILE": "porch",
    }
    ours = without(files, *porch.keys)
    for config in (
        f"[profile porch]\nregion = eu-north-1\nendpoint_url = {url}\n",
        f"[profile porch]\nservices = near\n[services near]\ns3 =\n  max_attempts = 2\n  endpoint_url = {url}\n",
    ):
        (tmp_path / "config").write_text(config)
        assert f"{bucket}\n" in porch.run("ls", cwd=tmp_path, **ours).stdout
    (line,) = porch.run("ls", cwd=tmp_path, code=3, **{**ours, "AWS_PROFILE": "prch"}).stderr.splitlines()
    assert "seen prch" in line and "aws configure --profile prch" in line
    (tmp_path / "credentials").write_text("no section\n")
    assert str(tmp_path / "credentials") in porch.run("ls", cwd=tmp_path, code=3, **ours).stderr


def test_a_certificate_of_its_own_is_trusted_by_who_has_its_configuration(command: Any, tmp_path: Path) -> None:
    for name in ("cert", "other"):
        call = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        call += ["-keyout", f"{name}.key", "-out", f"{name}.pem", "-days", "2", "-subj", "/CN=porch"]
        call += ["-addext", "subjectAltName=IP:127.0.0.1"]
        subprocess.run(call, cwd=tmp_path, check=True, capture_output=True)
    port = command.free_port()
    listen = f"ssl:{port}:interface=127.0.0.1:privateKey={tmp_path}/cert.key:certKey={tmp_path}/cert.pem"
    command.run("gateway", "init", "porch", "--listen", listen, cwd=tmp_path)
    at = ("-c", "porch/tahoe.cfg")
    command.start("gateway", "run", *at, cwd=tmp_path, until="log  ")
    assert command.run("gateway", "ls", *at, cwd=tmp_path).stderr == "gateway: no buckets yet\n"
    keys = json.loads(command.run("gateway", "env", "--json", *at, cwd=tmp_path).stdout)
    assert keys["AWS_CA_BUNDLE"] == f"{tmp_path}/cert.pem"
    command.run("gateway", "ls", cwd=tmp_path, **keys)
    (line,) = command.run(
        "gateway", "ls", cwd=tmp_path, code=4, **{**keys, "AWS_CA_BUNDLE": f"{tmp_path}/other.pem"}
    ).stderr.splitlines()
    assert "certificate" in line
    plain = {**keys, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}"}
    (line,) = command.run("gateway", "ls", cwd=tmp_path, code=1, **plain).stderr.splitlines()
    assert "Use an https:// URL" in line


def test_a_shared_link_fetches_one_object_for_a_while(porch: Any, bucket: str, tmp_path: Path) -> None:
    key = "2026/älbum & more/a+b.txt"
    (tmp_path / "f").write_text("for friends")
    porch.run("put", "f", f"{bucket}/{key}", cwd=tmp_path)
    told = json.loads(porch.run("share", "--json", f"{bucket}/{key}", cwd=tmp_path).stdout)
    assert 3590 < time.mktime(time.strptime(told["expires"], "%Y-%m-%dT%H:%M:%SZ")) - time.timezone - time.time() < 3601
    (url,) = porch.run("share", f"{bucket}/{key}", "--expires", "2s", cwd=tmp_path).stdout.splitlines()
    made = time.time()
    for link in (told["url"], url):
        if shutil.which("curl"):
            assert subprocess.run(["curl", "-fsS", link], capture_output=True, check=True).stdout == b"for friends"
        assert urllib.request.urlopen(link, timeout=30).read() == b"for friends"
    assert status(url.replace("a%2Bb", "other")) == 403
    time.sleep(max(0.0, made + 3.1 - time.time()))
    assert status(url) == 403
    for expires, code in (("8d", 2), ("soon", 2), ("0s", 2)):
        porch.run("share", f"{bucket}/{key}", "--expires", expires, cwd=tmp_path, code=code)
    assert "NoSuchKey" in porch.run("share", f"{bucket}/absent", cwd=tmp_path, code=1).stderr
    porch.run("share", bucket, cwd=tmp_path, code=2)


def status(url: str) -> int:
    try:
        return int(urllib.request.urlopen(url, timeout=30).status)
    except urllib.error.HTTPError as refusal:
        with refusal:
            return refusal.code


def test_env_speaks_to_shells(porch: Any, bucket: str, tmp_path: Path) -> None:
    at = f"-c '{porch.config}'"
    for shell in ("sh", "bash", "zsh"):
        if shutil.which(shell):
            script = (
                f'eval "$(gateway env {at})"; gateway ls; python3 -c "import os; print(os.environ[\'AWS_REGION\'])"'
            )
            done = porch.commands.run(shell, "-c", script, cwd=tmp_path)
            assert f"{bucket}\n" in done.stdout and done.stdout.endswith("us-east-1\n")
    odd = porch.run("env", "--shell", "fish", cwd=tmp_path, AWS_SECRET_ACCESS_KEY="it's \\odd $x").stdout
    assert "set -gx AWS_SECRET_ACCESS_KEY 'it\\'s \\\\odd $x'\n" in odd
    if shutil.which("fish"):
        done = porch.commands.run("fish", "-c", f"gateway env --shell fish {at} | source; gateway ls", cwd=tmp_path)
        assert f"{bucket}\n" in done.stdout


def completed(porch: Any, line: str, cwd: Path, **extra: str) -> list[str]:
    """What bash offers at the end of a line."""
    words = line.split(" ")
    script = f"""
        eval "$(gateway completion bash)"
        COMP_WORDS=({" ".join(f"'{word}'" for word in words)}) COMP_CWORD={len(words) - 1}
        _gateway_completion gateway
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    done = porch.commands.run("bash", "-c", script, cwd=cwd, **{**porch.keys, **extra})
    assert done.stderr == ""
    return [word for word in done.stdout.splitlines() if word]


def test_bash_completes_commands_options_and_names(porch: Any, bucket: str, tmp_path: Path) -> None:
    (tmp_path / "f").write_text("f")
    porch.run("put", "f", f"{bucket}/notes/f", cwd=tmp_path)
    assert completed(porch, "gateway co", tmp_path) == ["completion"]
    assert {"put", "plugins"} == set(completed(porch, "gateway p", tmp_path))
    assert "--recursive" in completed(porch, "gateway put --re", tmp_path)
    assert set(completed(porch, "gateway env --shell ", tmp_path)) == {"sh", "fish"}
    assert completed(porch, f"gateway get {bucket[:12]}", tmp_path) == [f"{bucket}/"]
    assert completed(porch, f"gateway rm {bucket}/no", tmp_path) == [f"{bucket}/notes/"]
    assert completed(porch, f"gateway share {bucket}/notes/", tmp_path) == [f"{bucket}/notes/f"]
    assert completed(porch, "gateway ls ", tmp_path, AWS_ENDPOINT_URL="http://127.0.0.1:1") == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_has_its_completion(porch: Any, tmp_path: Path, shell: str) -> None:
    script = porch.run("completion", shell, cwd=tmp_path).stdout
    assert f"_GATEWAY_COMPLETE={shell}_complete" in script
    if shutil.which(shell):
        (tmp_path / "script").write_text(script)
        subprocess.run([shell, "-n", "script"], cwd=tmp_path, check=True, env=dict(os.environ))
