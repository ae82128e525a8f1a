"""A gateway of two workers: one dies, then perhaps another, and in the end all, at once or with their supervisor.

Who lives goes on to serve meanwhile. What a dead process had not done by the time its connections ended is never done,
and nobody outlives the supervisor.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from tests.campaign.kills import Round, Tally, Told, in_rounds, nobody, points
from tests.campaign.stories import STORIES
from tests.campaign.subject import PATIENCE, Broken

SETTINGS: Mapping[str, str] = {"workers": "2", "reap_interval": "200ms"}  # the reaper's duty passes on as well
LIVES = 4  # of one folder: each begins two interpreters
MOST_WORKERS = 2  # that die in one life


class Crew(Round):
    """A round of such gateways. Each death of a worker, and the end of all, is a kill."""

    settings = SETTINGS
    cut_ends = True

    def live(self, seed: int) -> None:
        """Eight clients; a worker dies at a random moment, perhaps a second one; then the end, of either kind."""
        draw = random.Random(seed)
        what = f"two workers, seed {seed}"
        with self.clients(seed):
            for _ in range(draw.randint(1, MOST_WORKERS)):
                time.sleep(draw.uniform(0.01, 1.0))
                self.tally.kills += self.subject.kill_worker(draw)
            time.sleep(draw.choice([draw.uniform(0.0, 0.1), draw.uniform(0.1, 3.0)]))
            self.tally.kills += 1
            if draw.random() < 0.5:
                what += ", all killed at once"
                self.subject.kill()
            else:
                what += ", supervisor killed"
                self.subject.kill_first()
                if draw.random() < 0.5:  # else the next start meets those who still end
                    self.subject.buried()
        self.tally.lives += 1
        self._recover(what)

    def die_in(self, name: str, call: str, number: int) -> None:
        """Kill the worker that enters a system call of a story; the other one is asked at once what there is."""
        self._whole()
        scene = self.scene(STORIES[name])
        there = self.subject.workers()
        self.subject.aim(call, number)
        self.act(STORIES[name], scene)
        time.sleep(0.05)
        died = not set(there) <= set(self.subject.workers())
        self.subject.release()
        self.tally.kills += died
        self.tally.idle += not died
        self._check(f"{name}, a worker killed at {call} {number}")

    def _whole(self) -> None:
        """Wait until both serve."""
        until = time.monotonic() + PATIENCE
        while len(self.subject.serving()) < int(SETTINGS["workers"]):
            if time.monotonic() > until:
                raise Broken(f"a dead worker is not replaced: {self.subject.said()}")
            time.sleep(0.02)

    def _check(self, what: str) -> None:
        super()._check(what)
        left = self.subject.strangers()
        self.tally.violations += [f"{what}: process {pid} is left" for pid in left]
        if "Traceback" in self.subject.said():
            self.tally.violations.append(f"{what}: a traceback: {self.subject.said()[-1500:]}")


def lives_of(number: int, seed: int) -> list[Callable[[Round], None]]:
    return [partial(_live, seed * 1_000_000 + each) for each in range(number)]


def calls_of(this: Round, number: int, seed: int) -> list[Callable[[Round], None]]:
    """A random choice of the system calls of all stories, as one process makes them."""
    every = [(name, *point) for name, story in STORIES.items() for point in points(this.count(story))]
    return [partial(_in, *point) for point in random.Random(seed).sample(every, min(number, len(every)))]


def crew_rounds(folder: Path, jobs: Sequence[Callable[[Round], None]], control: str = "", told: Told = nobody) -> Tally:
    return in_rounds(folder, jobs, control, each=LIVES, told=told, kind=Crew)


def _in(name: str, call: str, number: int, this: Round) -> None:
    this.die_in(name, call, number)


def _live(seed: int, this: Round) -> None:
    assert isinstance(this, Crew)
    this.live(seed)
