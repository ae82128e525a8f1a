"""A disk that fails while the gateway works: each system call of each operation, with each errno, once or until mended.

Nothing that was acknowledged may be lost, nothing wrong answered with success; the process lives on and serves again
by itself as soon as the disk does.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tests.campaign.actor import Actor, Upload
from tests.campaign.history import Pending
from tests.campaign.kills import Round, Tally, Told, in_rounds, nobody
from tests.campaign.linear import NOTHING
from tests.campaign.signing import Answer, NoAnswer
from tests.campaign.stories import BUCKET, STORIES, Story
from tests.campaign.subject import PATIENCE, Broken, Subject
from tests.campaign.verify import read_back, unsound

# errno -> what a client may be told of it
STATUSES = {"ENOSPC": {507, 503}, "EDQUOT": {507, 503}, "EIO": {500, 503}, "EROFS": {500, 503}, "EMFILE": {503}}
ERRORS = {
    "writev": ("ENOSPC", "EDQUOT", "EIO"),
    "pwrite64": ("ENOSPC", "EDQUOT", "EIO", "EROFS"),
    "fsync": ("EIO", "ENOSPC"),
    "fdatasync": ("EIO", "ENOSPC"),
    "openat": ("EMFILE", "ENOSPC", "EROFS", "EIO"),
    "linkat": ("ENOSPC", "EIO", "EROFS"),
    "mkdirat": ("ENOSPC", "EIO", "EROFS"),
    "unlinkat": ("EIO", "EROFS"),
    "rmdir": ("EIO",),
    "ftruncate": ("EIO",),
    "pread64": ("EIO",),
    "preadv2": ("EIO",),
}
READS: dict[str, Story] = {
    "get": Story(lambda s: s.actor.get(s.where), lambda s: s.actor.put(s.where, 2_500_000)),
    "get of a row": Story(lambda s: s.actor.get(s.where), lambda s: s.actor.put(s.where)),
    "head": Story(lambda s: s.actor.head(s.where), lambda s: s.actor.put(s.where)),
}
FAULTY = {**STORIES, **READS}


@dataclass(frozen=True, slots=True)
class Fault:
    """A system call that fails the ``number``-th time that a thread makes it. ``lasting``: and ever after."""

    call: str
    error: str
    number: int
    lasting: bool = False

    def __str__(self) -> str:
        return f"{self.error} at {self.call} {self.number}{' and after' if self.lasting else ''}"

    def strike(self, subject: Subject) -> None:
        subject.fail(self.call, self.error, self.number, lasting=self.lasting)


class Patient(Actor):
    """A client that takes the refusals that ``fault`` may cause: such an operation changed nothing."""

    fault: Fault | None = None

    def _ask(
        self, asked: Pending, method: str, path: str, body: bytes = b"", query: Any = None, **more: Any
    ) -> Answer | None:
        try:
            answer = self.client.ask(method, path, body, query or {}, **more)
        except NoAnswer:
            return None
        if answer.status < 500 or self.fault is None:
            if answer.status >= 500:
                self.history.problem(f"{asked.what}: {answer.status} without a fault: {answer.body[:200]!r}")
                return None
            return answer
        if answer.status not in STATUSES[self.fault.error]:
            self.history.problem(f"{asked.what}: {answer.status} for {self.fault}: {answer.body[:200]!r}")
        return None if method in ("GET", "HEAD") else answer

    def _refused(self, asked: Pending, answer: Answer) -> None:
        if answer.status >= 500:
            asked.answer = (NOTHING,)
        else:
            super()._refused(asked, answer)

    def create_upload(self, where: str) -> Upload | None:
        if self.fault is None:
            return super().create_upload(where)
        before = len(self.history.problems)
        upload = super().create_upload(where)
        if upload is None:
            del self.history.problems[before:]
        return upload


class Sick(Round):
    """A round whose gateway is never killed; its disk fails, and is mended."""

    # strace counts in each thread, so a probe may be struck as well: the next one must come soon
    settings: Mapping[str, str] = {"probe_interval": "1s"}
    fault: Fault | None = None

    def _actor(self) -> Patient:
        actor = Patient(self.subject.client(), self.history)
        actor.fault = self.fault
        return actor

    def fail_in(self, name: str, fault: Fault, after: float = 0.02) -> None:
        """Let a story meet a fault, mend the disk ``after`` seconds, and look whether all is well without a restart."""
        scene = self.scene(FAULTY[name])
        scene.actor.fault = self.fault = fault  # type: ignore[attr-defined]
        fault.strike(self.subject)
        self.act(FAULTY[name], scene)
        time.sleep(after)  # what follows the answer
        self._count(self.subject.struck())
        self._heal(f"{name}, {fault}")

    def fail_at_start(self, fault: Fault) -> None:
        """It may refuse to start, in words; the next start is a good one."""
        self.act(STORIES["overwrite"], self.scene(STORIES["overwrite"]))
        self.subject.kill()
        self.history.died()
        ready = self.subject.start(fault.strike)
        self._count(self.subject.struck())
        if not ready:
            self.subject.kill()
            self.subject.start()
        self._heal(f"start, {fault}")

    def fail_in_reap(self, fault: Fault) -> None:
        """`gateway reap --now` tells what it could not do; the next one can."""
        self.act(STORIES["overwrite"], self.scene(STORIES["overwrite"]))
        self.act(STORIES["delete of many"], self.scene(STORIES["delete of many"]))
        self.subject.kill()
        self.history.died()
        try:
            self.subject.reap(fault.strike)
        except Broken as told:
            if not re.search(r"ended with [135]: ", str(told)) or "Traceback" in str(told):
                self.tally.violations.append(f"reap, {fault}: {told}")
        self._count(True)
        self.subject.start()
        self._heal(f"reap, {fault}")

    def _works(self, actor: Patient) -> bool:
        """A bucket and an object can be made again (where the history does not look)."""
        there = actor.client.ask("PUT", f"/{BUCKET}-healed").status in (200, 409)
        return there and actor.client.ask("PUT", f"/{BUCKET}-healed/{next(self._names)}", b"?").status == 200

    def _count(self, struck: bool) -> None:
        self.tally.kills += struck
        self.tally.idle += not struck

    def _heal(self, what: str) -> None:
        begun, found = time.monotonic(), list[str]()
        self.fault = self.fault or Fault("none", "EIO", 1)
        waiting = self._actor()
        if self.subject.dead():
            found.append("the gateway is dead")
            self.subject.kill()
            self.subject.start()
        while not self._works(waiting):
            if time.monotonic() > begun + PATIENCE:
                found.append("it does not recover by itself")
                self.subject.kill()
                self.subject.start()
                break
            time.sleep(0.05)
        waiting.client.close()
        self.tally.slowest = max(self.tally.slowest, time.monotonic() - begun)
        self.fault = None
        actor = self._actor()
        read_back(actor, self._uploads)
        actor.client.close()
        found += self.history.violations() + unsound(self.subject.folder, reaped=False)
        if "Traceback" in self.subject.said():
            found.append(f"a traceback: {self.subject.said()[-1500:]}")
        self.history.problems.clear()
        self.tally.violations += [f"{what}: {each}" for each in found]


def faults(counted: dict[str, int]) -> Iterator[Fault]:
    """Every call that was made, with every errno, once and lasting."""
    for call, errors in ERRORS.items():
        for number in range(1, counted.get(call, 0) + 1):
            for error in errors:
                yield Fault(call, error, number)
                yield Fault(call, error, number, lasting=True)


def jobs_of(this: Sick) -> list[Callable[[Round], None]]:
    """A fault at every system call of every story, of a start and of a reaper's pass."""
    jobs: list[Callable[[Round], None]] = []
    for name, story in FAULTY.items():
        scene = this.scene(story)
        this.subject.count(tuple(ERRORS))
        this.act(story, scene)
        time.sleep(0.05)
        jobs += [partial(_in, name, fault) for fault in faults(this.subject.counted())]
    this.subject.kill()
    this.history.died()
    counted = dict.fromkeys(("pwrite64", "fsync", "fdatasync", "unlinkat", "pread64", "writev"), 6) | {"openat": 24}
    once = [fault for fault in faults(counted) if not fault.lasting]
    this.subject.start()
    return jobs + [partial(_at_start, fault) for fault in once] + [partial(_in_reap, fault) for fault in once]


def sick_rounds(folder: Path, jobs: Sequence[Callable[[Round], None]], told: Told = nobody) -> Tally:
    return in_rounds(folder, jobs, told=told, kind=Sick)


def _in(name: str, fault: Fault, this: Round) -> None:
    assert isinstance(this, Sick)
    this.fail_in(name, fault)


def _at_start(fault: Fault, this: Round) -> None:
    assert isinstance(this, Sick)
    this.fail_at_start(fault)


def _in_reap(fault: Fault, this: Round) -> None:
    assert isinstance(this, Sick)
    this.fail_in_reap(fault)
