"""Every fault of a configuration is one line with its place, what was seen, what was expected and what mends it."""

from __future__ import annotations

import json
import re
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.node import declared
from gateway.node.read import read, read_node
from gateway.plugins import loading
from gateway.settings import ConfigurationFaults

SEAL = "ab" * 32
GOOD = "[gateway]\nlisten = tcp:0:interface=127.0.0.1\n[storage]\nbackend = local\nlocal.path = storage\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "private").mkdir(mode=0o700)
    seal = tmp_path / "private" / "seal"
    seal.write_text(SEAL + "\n")
    seal.chmod(0o600)
    (tmp_path / "tahoe.cfg").write_text(GOOD)
    return tmp_path


def faults_of(folder: Path, text: str) -> list[str]:
    (folder / "tahoe.cfg").write_text(text)
    with pytest.raises(ConfigurationFaults) as raised:
        read_node(folder / "tahoe.cfg")
    return str(raised.value).replace(f"{folder}/", "").splitlines()


def test_a_good_file_becomes_settings(folder: Path) -> None:
    more = "[location cold]\nbackend = memory\nconcurrency = 3\n[endpoint s3.cold.example.com]\nlocation = cold\n"
    (folder / "tahoe.cfg").write_text(GOOD + more)
    settings = read_node(folder / "tahoe.cfg")
    assert [(place.name, place.kind, place.concurrency) for place in settings.places] == [
        ("storage", "local", 64),
        ("cold", "memory", 3),
    ]
    assert settings.places[0].values["local.path"] == folder / "storage"
    assert settings.hosts == {"s3.cold.example.com": "cold"}
    assert settings.gateway["data"] == folder / "data"
    assert SEAL not in repr(settings) and repr(bytes.fromhex(SEAL)) not in repr(settings)


def test_the_example_of_the_design_is_read(folder: Path) -> None:
    text = """
[gateway]
listen = tcp:8000:interface=127.0.0.1   ; any Twisted server endpoint; several, one a line
domain = s3.example.com                 ; host suffixes for virtual-host style
region = us-east-1
data = data                             ; catalogue and state, relative to this file
signature_v2 = no
metrics = tcp:9100:interface=127.0.0.1  ; default: /_/metrics on the S3 port, loopback peers only

[storage]                               ; the default location
backend = local
local.path = storage
"""
    (folder / "tahoe.cfg").write_text(text)
    settings = read_node(folder / "tahoe.cfg")
    assert settings.listen == ((3, "tcp:8000:interface=127.0.0.1"),)
    assert settings.gateway["metrics"] == "tcp:9100:interface=127.0.0.1"


def test_a_tahoe_nodes_own_keys_are_left_alone_with_a_notice(folder: Path) -> None:
    tahoe = (
        "[node]\nnickname = porch\ntub.port = tcp:1\n[client]\nshares.happy = 1\n[storageclient.plugins.x]\nany = 1\n"
    )
    (folder / "tahoe.cfg").write_text(tahoe + GOOD + "reserved_space = 1G\n")
    notices = read_node(folder / "tahoe.cfg").notices
    assert "[node] nickname" in notices and "[storage] reserved_space" in notices and len(notices) == 5


CASES = [
    (GOOD.replace("listen", "lisen"), ["tahoe.cfg:2: seen unknown key lisen .* did you mean listen\\?"]),
    (GOOD.replace("[storage]", "[storge]"), [r"tahoe.cfg:3: seen unknown section \[storge\].* mean \[storage\]\?"]),
    (GOOD + "[locatoin cold]\n", [r"tahoe.cfg:6: .*did you mean \[location cold\]\?"]),
    (GOOD.replace("backend", "bakend"), ["tahoe.cfg:4: seen unknown key bakend .* did you mean backend"]),
    (GOOD.replace("= local", "= locla"), ["tahoe.cfg:4: seen backend = locla; .* did you mean local"]),
    (GOOD + "[location cold]\nbackend = memory\nmemory.limit = lots\n", ["tahoe.cfg:8: seen memory.limit = 'lots'"]),
    (GOOD + "[location storage]\nbackend = memory\n", [r"tahoe.cfg:6: seen \[location storage\]"]),
    (GOOD + "[location cold]\nbackend = local\nlocal.path = storage\n", ["tahoe.cfg:7: .*a storage of its own"]),
    (GOOD + "[endpoint h.example.com]\nlocation = cold\n", ["tahoe.cfg:7: .*add \\[location cold\\]"]),
    ("[gateway]\n", ["tahoe.cfg: seen no \\[storage\\]"]),
    ("[gateway]\nworkers = 0\n" + GOOD[10:], ["tahoe.cfg:2: seen workers = '0'; expected a whole number from 1 to 64"]),
    ("[gateway]\nregion = us east/1\n" + GOOD[10:], ["tahoe.cfg:2: seen region 'us east/1'"]),
    (GOOD.replace("[storage]", "[storage"), [r"tahoe.cfg:3: seen the line '\[storage'; .* close it: \[storage\]"]),
    ("x = 1\n", ["tahoe.cfg:1: seen the line 'x = 1'"]),
    ("[gateway]\nregion = \0\n[storage]\nbackend = local\n", ["tahoe.cfg:2: seen a NUL byte"]),
    ("[gateway]\ndomain = a_b\n" + GOOD[10:], ["tahoe.cfg:2: seen domain 'a_b'"]),
    ("[node]\nnikname = x\n" + GOOD, ["tahoe.cfg:2: .*did you mean nickname"]),
    (
        "[gateway]\nlisten =\nworkers = 99\nlisten = 2\nregion\n[storage]\nbackend = nothing\n[moon]\n",
        [":2: ", ":3: seen workers", ":4: seen listen for the second", ":5: seen the line", ":7: ", ":8: "],
    ),
]


@pytest.mark.parametrize(("text", "expected"), CASES)
def test_each_fault_is_one_line_at_its_place(folder: Path, text: str, expected: list[str]) -> None:
    found = faults_of(folder, text)
    assert len(found) == len(expected), found
    for line, pattern in zip(found, expected, strict=True):
        assert re.search(pattern, line), line
        assert re.fullmatch(r"tahoe\.cfg(:\d+)?: seen .+; expected .+; fix: .+", line), line


def test_a_backend_of_ours_that_is_not_installed_is_told_with_its_distribution(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(loading.DISTRIBUTIONS, "cloud.moon", "txgateway-moon")
    (line,) = faults_of(folder, GOOD.replace("= local", "= cloud.moon"))
    assert re.fullmatch(r"tahoe\.cfg:4: seen backend = cloud\.moon; .+; fix: pip install txgateway-moon", line), line


def spoil_seal(how: str) -> Callable[[Path], Any]:
    actions: dict[str, Callable[[Path], Any]] = {
        "gone": lambda seal: seal.unlink(),
        "readable": lambda seal: seal.chmod(0o644),
        "nonsense": lambda seal: seal.write_text("xyz"),
        "open folder": lambda seal: seal.parent.chmod(0o755),
    }
    return actions[how]


@pytest.mark.parametrize("how", ["gone", "readable", "nonsense", "open folder"])
def test_the_seal_must_be_there_and_closed(folder: Path, how: str) -> None:
    spoil_seal(how)(folder / "private" / "seal")
    (line,) = faults_of(folder, GOOD)
    assert "private" in line and SEAL not in line


def test_a_typing_slip_in_any_key_is_refused_and_mostly_understood(folder: Path) -> None:
    """Each letter of each key dropped, doubled, replaced, or swapped with the next: all refused, 95 % understood."""
    tried = understood = 0
    for key in (setting.key for setting in declared.GATEWAY):
        for at in range(len(key)):
            slips = {key[:at] + key[at + 1 :], key[: at + 1] + key[at:], key[:at] + "x" + key[at + 1 :]}
            slips.add(key[:at] + key[at + 1 : at + 2] + key[at] + key[at + 2 :])
            for slip in slips - {setting.key for setting in declared.GATEWAY} - {""}:
                (folder / "tahoe.cfg").write_text(f"[gateway]\n{slip} = 1\n[storage]\nbackend = memory\n")
                (fault,) = read(folder / "tahoe.cfg").faults
                tried += 1
                understood += fault.fix == f"did you mean {key}?"
    assert tried > 400 and understood / tried >= 0.95, (tried, understood)


# ---- what only trying finds: through `gateway check`, as an operator asks


def check(command: Any, folder: Path, code: int = 3) -> list[str]:
    done: subprocess.CompletedProcess[str] = command.run("gateway", "check", cwd=folder, code=code)
    return done.stderr.splitlines()


def test_a_configuration_without_faults_says_so(folder: Path, command: Any) -> None:
    assert check(command, folder, 0) == []
    assert not (folder / "data").exists(), "a check makes no catalogue"


def test_check_finds_faults_of_every_kind_at_once(folder: Path, command: Any) -> None:
    foreign = folder / "foreign"
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        init = ("gateway", "init", "other", "--listen", "tcp:0:interface=127.0.0.1")
        command.run(*init, cwd=folder)
        text = (folder / "other" / "tahoe.cfg").read_text().replace("local.path = storage", f"local.path = {foreign}")
        (folder / "other" / "tahoe.cfg").write_text(text)
        command.start("gateway", "run", "-c", "other/tahoe.cfg", cwd=folder, until="log  ")
        command.stop()
        (folder / "plain").write_text("a file")
        (folder / "tahoe.cfg").write_text(
            f"[gateway]\nlisten = tcp:{port}:interface=127.0.0.1\n   tcp:99999\n   smoke:signals\n"
            "   ssl:0:privateKey=absent.pem\nlog = plain/log\ntypo = 1\n"
        )
        assert len(check(command, folder)) == 2  # no values, nothing to try: the typo and the missing [storage]
        (folder / "tahoe.cfg").write_text(
            f"[gateway]\nlisten = tcp:{port}:interface=127.0.0.1\n   tcp:99999\n   smoke:signals\n"
            "   ssl:0:privateKey=absent.pem\nlog = plain/log\n"
            f"[storage]\nbackend = local\nlocal.path = {foreign}\n"
            "[location cellar]\nbackend = local\nlocal.path = plain\n[moon]\n"
        )
        lines = check(command, folder)
    starts = [line.split(" ")[0] for line in lines]
    assert starts == [f"tahoe.cfg:{line}:" for line in (2, 3, 4, 5, 6, 8, 12, 13)], lines
    assert "Address already in use" in lines[0] and "0 to 65535" in lines[1] and "absent.pem" in lines[3]
    assert "another gateway" in lines[5]


def test_a_newer_or_foreign_catalogue_is_a_fault(folder: Path, command: Any) -> None:
    (folder / "data").mkdir()
    (folder / "data" / "catalogue.sqlite").write_bytes(b"no database at all" * 100)
    (line,) = check(command, folder)
    assert "catalogue" in line


def test_another_seal_does_not_open_the_catalogue(folder: Path, command: Any) -> None:
    command.run("gateway", "init", ".", cwd=folder)
    command.start("gateway", "run", cwd=folder, until="log  ")
    command.stop()
    (folder / "private" / "seal").write_text("cd" * 32)
    (line,) = check(command, folder)  # nor is it said that the storage is another gateway's: that cannot be known
    assert "another sealing key" in line
    (folder / "private" / "seal").unlink()
    (line,) = check(command, folder)
    assert "private/seal" in line


def test_a_file_that_cannot_be_read_is_one_fault_for_every_way_to_start(folder: Path, command: Any) -> None:
    (folder / "tahoe.cfg").unlink()
    (folder / "tahoe.cfg").mkdir()
    for verb in ("check", "run"):
        (line,) = command.run("gateway", verb, cwd=folder, code=3).stderr.splitlines()
        assert line.startswith("tahoe.cfg: seen no way to read it")
    told = command.run("twistd", "-n", "gateway", cwd=folder, code=1).stdout
    (line,) = (line for line in told.splitlines() if line.strip())
    assert "tahoe.cfg: seen no way to read it" in line


def test_doors_that_cannot_be_opened_are_faults_at_their_lines(folder: Path, command: Any) -> None:
    (folder / "key.pem").write_text("no key")
    listen = "listen = unix:nowhere/socket\n   ssl:0:privateKey=key.pem:certKey=key.pem"
    (folder / "tahoe.cfg").write_text(GOOD.replace("listen = tcp:0:interface=127.0.0.1", listen))
    lines = check(command, folder)
    assert [line.split(" ")[0] for line in lines] == ["tahoe.cfg:2:", "tahoe.cfg:3:"], lines
    assert "nowhere/socket" in lines[0] and "in PEM" in lines[1]


def test_a_broken_plugin_is_named_and_stops_nobody_else(folder: Path, command: Any) -> None:
    site = folder / "site"
    info = site / "broken_backend-1.2.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken-backend\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text("[gateway.backends]\nbroken = broken_backend:Backend\n")
    (site / "broken_backend.py").write_text("raise RuntimeError('smoke')\n")
    rows = json.loads(command.run("gateway", "plugins", "--json", cwd=folder, PYTHONPATH=str(site)).stdout)
    assert "broken" in {row["backend"] for row in rows}
    command.run("gateway", "check", cwd=folder, PYTHONPATH=str(site))
    (folder / "tahoe.cfg").write_text(GOOD.replace("= local", "= broken"))
    done = command.run("gateway", "check", cwd=folder, code=3, PYTHONPATH=str(site))
    (line,) = done.stderr.splitlines()
    assert line.startswith("tahoe.cfg:4: ") and "broken-backend 1.2" in line and "smoke" in line
