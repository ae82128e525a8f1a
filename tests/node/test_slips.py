"""A configuration cannot surprise: one wrong character in any section or key is refused, and understood.

The file has every section and every key that the gateway and the backends of this project declare. A slip drops,
doubles, swaps, replaces or inserts one character. `make test` tries a fixed sample of the slips, `make test-long` all.
"""

from __future__ import annotations

import os
import random
import string
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from gateway.api import Wrapper
from gateway.node import declared
from gateway.node.read import read
from gateway.plugins import loading
from gateway.settings import REQUIRED, Setting

ALL = os.environ.get("GATEWAY_LONG") == "1"
SAMPLE = 1000
LETTERS = string.ascii_lowercase + string.digits + "._- :=[]#;$\\/é"
BACKENDS = ("local", "memory", "cloud.s3", "cloud.azure", "cloud.gcp", "cloud.openstack")
# Where no default says what a value may look like.
SAMPLES = {"url": "http://127.0.0.1:1", "seconds": "1s", "integer": "1", "size": "1", "boolean": "no", "lines": "a"}
WORDS = {"metrics": "tcp:0:interface=127.0.0.1", "domain": "s3.example.com"}
# For secrets that are read already here.
SECRET = "c2VjcmV0"


def value(setting: Setting) -> str:
    if setting.key in WORDS:
        return WORDS[setting.key]
    if setting.default is REQUIRED or not setting.default:
        return setting.choices[0] if setting.choices else SAMPLES.get(setting.kind, "word")
    return str(setting.default)


def lines_of(settings: Any, **given: str) -> list[str]:
    return [f"{setting.key} = {given.get(setting.key, value(setting))}" for setting in settings]


class Plain(Wrapper):
    """A wrapper, so that the key that names some has a value."""

    settings = ()


@pytest.fixture(scope="module")
def installed() -> Iterator[None]:
    """What is installed, looked up once; and the wrapper above."""
    plain = EntryPoint("a", f"{Plain.__module__}:Plain", loading.GROUPS["wrapper"])
    backends, wrappers = loading.installed(), (loading.Plugin("a", "tests", "1", plain, "wrapper"),)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loading, "installed", lambda kind="backend": backends if kind == "backend" else wrappers)
        yield


@pytest.fixture(scope="module")
def full(installed: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file with everything in it; it has no fault."""
    folder = tmp_path_factory.mktemp("full")
    private = folder / "private"
    private.mkdir(mode=0o700)
    secrets = {"seal": "ab" * 32}
    lines = ["[gateway]", *lines_of(declared.GATEWAY)]
    for number, kind in enumerate(BACKENDS):
        backend: Any = loading.find(kind).load()
        section = "storage" if kind == "local" else f"location place-{number}"
        own = {setting.key for setting in backend.settings}
        shared = [setting for setting in declared.PLACE if setting.key not in own]
        lines += ["", f"[{section}]", *lines_of([*shared, *backend.settings], backend=kind)]
        if kind != "local":
            lines += ["", f"[endpoint {kind}.example.com]", f"location = place-{number}"]
        for secret in getattr(backend, "secrets", ()):
            secrets[secret.file if section == "storage" else f"place-{number}.{secret.file}"] = SECRET
    for name, text in secrets.items():
        (private / name).touch(mode=0o600)
        (private / name).write_text(text)
    (folder / "tahoe.cfg").write_text("\n".join(lines) + "\n")
    assert [str(fault) for fault in read(folder / "tahoe.cfg").faults] == []
    return folder / "tahoe.cfg"


def slips(word: str) -> Iterator[str]:
    """Every word that is one slip away."""
    for at in range(len(word)):
        yield word[:at] + word[at + 1 :]
        yield word[:at] + word[at + 1 : at + 2] + word[at] + word[at + 2 :]
        yield from (word[:at] + letter + word[at + 1 :] for letter in LETTERS)
    for at in range(len(word) + 1):
        yield from (word[:at] + letter + word[at:] for letter in LETTERS)


def harmless(word: str, slip: str) -> bool:
    """Space behind a word means nothing, and a line that begins with # or ; is a comment: neither is a slip."""
    return slip.rstrip() == word or slip.lstrip()[:1] in ("#", ";")


def all_slips(text: str) -> list[tuple[int, str, str, str]]:
    """(line number, the word that was meant, what stands there instead, the whole line)"""
    found = []
    before = ""
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("["):
            word, _, rest = line[1:-1].partition(" ")
            mistaken = {f"{slip} {rest}".strip() for slip in slips(word) if not harmless(word, slip)}
            mistaken.add(f"{word}{rest}")
            found += [(number, word, f"[{slip}]", f"[{slip}]") for slip in sorted(mistaken - {line[1:-1]})]
            found += [(number, word, slip, slip) for slip in (line[1:], line[:-1], f" {line}") if number > 1]
        elif line:
            key, _, rest = line.partition(" = ")
            mistaken = {slip for slip in slips(key) if not harmless(key, slip)} - {key}
            if before.startswith("["):  # the first key of a section may be indented: nothing is there to go on with
                mistaken.discard(f" {key}")
            found += [(number, key, slip, f"{slip} = {rest}") for slip in sorted(mistaken)]
        before = line
    return found


def test_every_slip_is_refused_where_it_stands_and_understood(full: Path) -> None:
    text = full.read_text()
    tried = all_slips(text)
    assert len(tried) > 50_000
    if not ALL:
        short = [slip for slip in tried if slip[1] in ("data", "log")]  # the hardest to understand
        tried = random.Random(6).sample(tried, SAMPLE) + short
    lines = text.splitlines()
    wrong = []
    for number, meant, slip, line in tried:
        full.write_text("\n".join([*lines[: number - 1], line, *lines[number:]]))
        faults = read(full).faults
        here = [fault for fault in faults if fault.line == number]
        if not any(meant in fault.fix for fault in here):
            wrong.append((slip, meant, [str(fault) for fault in faults]))
    full.write_text(text)
    assert not wrong, f"{len(wrong)} of {len(tried)}: {wrong[:20]}"
