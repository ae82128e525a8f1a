"""A gateway is copied while eight clients write, as docs/recovery.md tells it; then only the copy is left.

First `gateway backup`, then ``python -m gateway_local``. What the restored gateway gives for a key must be what the key
was at one moment between the beginning of the first and the end of the second: nothing from before is lost. Where the
report of `gateway restore` doubts a key, it may be any write of it that was under way meanwhile, even a refused one.
"""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from tests.campaign.actor import Actor
from tests.campaign.history import History
from tests.campaign.kills import Round, Tally, Told, in_rounds, nobody
from tests.campaign.linear import Op, explain
from tests.campaign.nursery import nursery
from tests.campaign.stories import Scene
from tests.campaign.subject import PATIENCE, Broken, Subject
from tests.campaign.verify import unsound

DOUBTS = ("from_manifests", "undecided")  # of the report
COPIES = 4  # of one folder: everything is read each time
PARTLY = 5  # the exit code of a restore that lists something, an upload that was open for instance


class Copied(Round):
    """A round whose gateway is copied, and each time lives on. Each copy counts as a kill."""

    settings: Mapping[str, str] = {"reap_interval": "3600"}  # what is replaced meanwhile may be what the backup has

    def copy(self, seed: int, backwards: bool = False) -> None:
        """``backwards``: the storage first, which is wrong."""
        draw, subject = random.Random(seed), self.subject
        copy = subject.folder.with_name(f"copy{seed}")
        shutil.copytree(subject.folder / "private", copy / "private")
        shutil.copy(subject.folder / "tahoe.cfg", copy)
        with self.clients(seed):
            time.sleep(draw.uniform(0.05, 1.0))
            begun = time.monotonic()
            steps = [self._back_up, self._copy_storage]
            for step in reversed(steps) if backwards else steps:
                step(copy)
                time.sleep(draw.choice([0.0, draw.uniform(0.0, 0.5)]))
            ended = time.monotonic()
        said = _say(copy, "restore", "--json", "--from", str(copy / "kept.sqlite"), "-c", str(copy / "tahoe.cfg"))
        report = json.JSONDecoder().raw_decode(said)[0]
        doubted = {name: {f"{item['bucket']}/{item['key']}" for item in report[name]} for name in DOUBTS}
        found = self._compare(copy, begun, ended, doubted)
        self.tally.kills += 1
        self.tally.violations += [f"copy, seed {seed}: {each}" for each in found]
        if not found:
            shutil.rmtree(copy)

    def _back_up(self, copy: Path) -> None:
        _say(copy, "backup", str(copy / "kept.sqlite"), "-c", str(self.subject.folder / "tahoe.cfg"))

    def _copy_storage(self, copy: Path) -> None:
        words = [sys.executable, "-m", "gateway_local", str(self.subject.folder / "storage"), str(copy / "storage")]
        subprocess.run(words, check=True, timeout=PATIENCE)

    def call(self, scene: Scene, draw: random.Random, prefix: str) -> None:
        """Every second call puts one of twenty keys of its own, which nobody deletes."""
        if draw.random() < 0.5:
            scene.actor.put(f"{prefix}/{scene.name}/{draw.randrange(20)}", draw.choice([10, 5000, 40_000]))
        else:
            super().call(scene, draw, prefix)

    def _compare(self, folder: Path, begun: float, ended: float, doubted: Mapping[str, set[str]]) -> list[str]:
        """Read everything from the copy."""
        told = History(folder / "journal")
        told.written, told.digests = self.history.written, self.history.digests
        restored = Subject(folder)
        try:
            restored.start()
            actor = Actor(restored.client(), told)
            keys = [each for each in self.history.registers if "/" in each and not each.startswith("upload ")]
            for key in keys:
                actor.get(key)
            actor.client.close()
            found = [*told.problems, *unsound(folder, reaped=False)]
        finally:
            restored.kill()
            told.close()
        for key in keys:
            ops = self.history.ops(key)
            for op in told.ops(key):
                if stuck := explain([*ops, replace(op, start=begun, end=ended)]):
                    meanwhile = [each for each in ops if each.start <= ended and each.end >= begun]
                    if not _doubtful(key, op, meanwhile, doubted):
                        found.append(f"{key}: {op.what}, which it was not then; nothing explains {stuck}")
        return found


def _doubtful(key: str, read: Op, meanwhile: Sequence[Op], doubted: Mapping[str, set[str]]) -> bool:
    """May it be what was read, because the report says that it is not sure?"""
    (value,) = read.steps[0].seen or ("",)
    if value is None:
        return key in doubted["undecided"]
    return key in doubted["from_manifests"] and any(value in op.what.split() for op in meanwhile)


def _say(folder: Path, *words: str) -> str:
    child = nursery().child([*words], folder / "command.out")
    child.go()
    code, said = child.end(PATIENCE), (folder / "command.out").read_text()
    if code not in (0, PARTLY):
        raise Broken(f"gateway {words[0]} ended with {code}: {said}")
    return said


def copies_of(number: int, seed: int) -> list[Callable[[Round], None]]:
    return [partial(_copy, seed * 1_000_000 + each) for each in range(number)]


def copied_rounds(folder: Path, jobs: Sequence[Callable[[Round], None]], told: Told = nobody) -> Tally:
    return in_rounds(folder, jobs, each=COPIES, told=told, kind=Copied)


def _copy(seed: int, this: Round) -> None:
    assert isinstance(this, Copied)
    this.copy(seed)
