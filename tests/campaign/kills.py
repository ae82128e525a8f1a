"""The kill campaign: the gateway dies, starts again, and must have kept its word.

A round is one folder. Its gateway dies many times and keeps what it stored, so that each check looks at everything
that was ever told since the round began, not only at the last operation.
"""

from __future__ import annotations

import itertools
import random
import shutil
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from tests.campaign.actor import Actor, Upload
from tests.campaign.history import History
from tests.campaign.launcher import CONTROLS
from tests.campaign.stories import BUCKET, STORIES, Scene, Story
from tests.campaign.subject import MUTATING, SETTINGS, Broken, Died, Subject
from tests.campaign.verify import read_back, unsound

CLIENTS = 8
START_CALLS = "pwrite64 fsync fdatasync linkat unlinkat mkdirat ftruncate rmdir write".split()


@dataclass(slots=True)
class Tally:
    """What a campaign did and found."""

    kills: int = 0  # in the middle of an operation
    lives: int = 0  # of gateways with several workers
    idle: int = 0  # the operation was answered before its call came
    violations: list[str] = field(default_factory=list)
    slowest: float = 0.0  # seconds from a start to serving
    work: float = 0.0  # seconds of a processor for the start that took most of them

    def add(self, other: Tally) -> None:
        self.kills += other.kills
        self.lives += other.lives
        self.idle += other.idle
        self.violations += other.violations
        self.slowest = max(self.slowest, other.slowest)
        self.work = max(self.work, other.work)


Told = Callable[[Tally], None]


def nobody(tally: Tally) -> None:
    """Hears nothing of how far it is."""


class Round:
    """One folder, one history, one gateway that is killed and started again."""

    settings: Mapping[str, str] = SETTINGS  # of [gateway]
    cut_ends = False  # see History

    def __init__(self, folder: Path, control: str = "", twistd: bool = False) -> None:
        assert not control or control in CONTROLS
        folder.mkdir(parents=True)
        self.tally = Tally()
        self.subject = Subject(folder / "gateway", control, twistd, self.settings)
        self.history = History(folder / "journal", cut_ends=self.cut_ends)
        self._uploads: list[Upload] = []
        self._names = itertools.count(1)
        try:
            self.subject.start()
            actor = self._actor()
            actor.create_bucket(BUCKET)
            actor.client.close()
        except BaseException:
            self.__exit__()
            raise

    def __enter__(self) -> Round:
        return self

    def __exit__(self, *fault: object) -> None:
        self.subject.kill()
        self.history.close()

    def _actor(self) -> Actor:
        return Actor(self.subject.client(), self.history)

    def scene(self, story: Story) -> Scene:
        """A scene of its own for a story, prepared."""
        scene = Scene(self._actor(), f"k{next(self._names):05d}")
        story.prepare(scene)
        return scene

    def act(self, story: Story, scene: Scene) -> None:
        try:
            story.act(scene)
        finally:
            scene.actor.client.close()
            self._uploads += scene.uploads

    def count(self, story: Story) -> dict[str, int]:
        """The system calls of a story: call -> how often the busiest thread makes it."""
        scene = self.scene(story)
        self.subject.count()
        self.act(story, scene)
        time.sleep(0.05)  # what follows the answer
        return self.subject.counted()

    def die_in(self, name: str, call: str, number: int) -> None:
        """Kill the gateway at a system call of a story, start it again, and check."""
        story = STORIES[name]
        scene = self.scene(story)
        self.subject.aim(call, number)
        self.act(story, scene)
        died = self.subject.dead(0.05)
        self.subject.kill()
        self.tally.kills += died
        self.tally.idle += not died
        self._recover(f"{name}, killed at {call} {number}")

    def die_between(self, first: str, second: str, call: str, number: int) -> None:
        """Two stories about the same names, one after the other; the kill is in the second."""
        scene = self.scene(STORIES[first])
        self.act(STORIES[first], scene)
        following = Scene(self._actor(), scene.name)
        STORIES[second].prepare(following)
        self.subject.aim(call, number)
        self.act(STORIES[second], following)
        died = self.subject.dead(0.05)
        self.subject.kill()
        self.tally.kills += died
        self.tally.idle += not died
        self._recover(f"{first}, then {second}, killed at {call} {number}")

    def die_at_start(self, call: str, number: int) -> None:
        """Kill it while it starts, with a dead process's names and doomed blobs to reap."""
        self._leave_work()
        ready = self.subject.start(lambda subject: subject.aim(call, number))
        died = self.subject.dead(0.3) if ready else True
        self.subject.kill()
        self.tally.kills += died
        self.tally.idle += not died
        self._recover(f"start, killed at {call} {number}")

    def count_start(self) -> dict[str, int]:
        """The system calls of a start that recovers and reaps."""
        self._leave_work()
        self.subject.start(lambda subject: subject.count())
        time.sleep(0.3)
        counted = self.subject.counted()
        self.subject.kill()
        self.history.died()
        self.subject.start()
        return counted

    def die_in_reap(self, call: str, number: int) -> None:
        """Kill `gateway reap --now` after a gateway that died; the next one must end what it began."""
        self._leave_work()
        died = False
        try:
            self.subject.reap(lambda subject: subject.aim(call, number))
        except Died:
            died = True
        self.tally.kills += died
        self.tally.idle += not died
        what = f"reap --now, killed at {call} {number}"
        self._reap(what)
        self._recover(what)

    def count_reap(self) -> dict[str, int]:
        """The system calls of a `gateway reap --now` that has something to do."""
        self._leave_work()
        self.subject.reap(lambda subject: subject.count())
        counted = self.subject.counted()
        self.subject.start()
        return counted

    def _leave_work(self) -> None:
        """Doomed blobs, parts that were replaced, an upload in the middle, and then the gateway dies."""
        for name in ("overwrite", "overwrite of a file by a row", "delete of many", "abort", "upload part"):
            self.act(STORIES[name], self.scene(STORIES[name]))
        self.subject.kill()
        self.history.died()

    def _reap(self, what: str) -> None:
        found = []
        try:
            self.subject.reap()
        except Broken as refused:
            found.append(str(refused))
        found += unsound(self.subject.folder, reaped=True)
        self.tally.violations += [f"{what}, then `gateway reap --now`: {each}" for each in found]

    def die_under_load(self, seconds: float, seed: int) -> None:
        """Eight clients at once on few keys, and the end comes at a random moment."""
        with self.clients(seed):
            time.sleep(seconds)
            self.subject.kill()
        self.tally.kills += 1
        self._recover(f"eight clients, killed after {seconds:.3f} s, seed {seed}")

    def call(self, scene: Scene, draw: random.Random, prefix: str) -> None:
        """What a client does again and again."""
        random_call(scene, draw, prefix)

    @contextmanager
    def clients(self, seed: int) -> Iterator[None]:
        """Eight at once on few keys, as long as anybody listens."""
        ended = threading.Event()
        prefix = f"{BUCKET}/r{next(self._names):05d}"
        scenes: list[Scene] = []

        def work(number: int) -> None:
            draw = random.Random(seed * CLIENTS + number)
            scene = Scene(self._actor(), f"{prefix.partition('/')[2]}-{number}")
            scenes.append(scene)
            while not (ended.is_set() or scene.actor.client.refused):
                self.call(scene, draw, prefix)
            scene.actor.client.close()

        with ThreadPoolExecutor(CLIENTS) as threads:
            working = [threads.submit(work, number) for number in range(CLIENTS)]
            try:
                yield
            finally:
                ended.set()
        for each in working:
            each.result()
        self._uploads += [upload for scene in scenes for upload in scene.uploads]

    def _recover(self, what: str) -> None:
        """It is dead. Start it again, and check."""
        self.history.died()
        self.subject.start()
        seconds, work = self.subject.recoveries[-1]
        self.tally.slowest = max(self.tally.slowest, seconds)
        self.tally.work = max(self.tally.work, work)
        self._check(what)

    def _check(self, what: str) -> None:
        """Everything that was told must be so."""
        actor = self._actor()
        read_back(actor, self._uploads)
        actor.client.close()
        found = self.history.violations() + unsound(self.subject.folder, reaped=False)
        self.history.problems.clear()
        self.tally.violations += [f"{what}: {each}" for each in found]

    def end(self) -> Tally:
        """Kill it once more, reap, and look for what nobody knows."""
        self.subject.kill()
        self.history.died()
        self._reap("killed")
        return self.tally


def random_call(scene: Scene, draw: random.Random, prefix: str) -> None:
    """One call on one of four keys that all clients share, or an upload of one's own."""
    where, other = (f"{prefix}/{draw.randrange(4)}" for _ in range(2))
    actor = scene.actor
    kind = draw.choices(
        ["put", "get", "head", "delete", "absent", "swap", "copy", "many", "upload"], [30, 20, 5, 12, 10, 8, 8, 4, 3]
    )[0]
    if kind == "put":
        actor.put(where, draw.choice([0, 10, 1000, 70_000]))
    elif kind == "get":
        actor.get(where)
    elif kind == "head":
        actor.head(where)
    elif kind == "delete":
        actor.delete(where)
    elif kind == "absent":
        actor.put(where, draw.choice([100, 40_000]), absent=True)
    elif kind == "copy":
        actor.copy(where, other)
    elif kind == "swap":
        value = actor.get(where)
        if value is not None and value.etag:
            actor.swap(where, value, draw.choice([100, 50_000]))
    elif kind == "many":
        actor.delete_many(BUCKET, [f"{prefix}/{number}".partition("/")[2] for number in range(3)])
    else:
        upload = actor.create_upload(where)
        if upload is not None and actor.part(upload, 1, draw.choice([10_000, 60_000])) and not actor.complete(upload):
            actor.complete(upload, again=True)  # of another process, if there is one


def points(counted: dict[str, int], calls: Sequence[str] = MUTATING) -> Iterator[tuple[str, int]]:
    """Every system call to die at; one beyond the last is a kill right after the answer."""
    for call in calls:
        for number in range(1, counted.get(call, 0) + 1):
            yield call, number
    yield "sendto", counted.get("sendto", 0) + 1


def in_rounds(
    folder: Path,
    jobs: Sequence[Callable[[Round], None]],
    control: str = "",
    each: int = 20,
    twistd: bool = False,
    told: Told = nobody,
    kind: type[Round] = Round,
) -> Tally:
    """Do the jobs, in a fresh folder after every ``each`` and after a violation; a control ends with its first.

    ``told`` hears the sum after each round. The folder of a round without violation goes.
    """
    tally, left = Tally(), deque(jobs)
    while left and not (control and tally.violations):
        place = folder / f"round{len(jobs) - len(left)}"
        with kind(place, control, twistd) as this:
            try:
                for _ in range(min(each, len(left))):
                    left.popleft()(this)
                    if this.tally.violations:
                        break
                this.end()
            except Broken as fault:  # it does not start again, for instance
                this.tally.violations.append(str(fault))
            tally.add(this.tally)
        if not this.tally.violations:
            shutil.rmtree(place)
        told(tally)
    return tally


def jobs_of(this: Round) -> list[Callable[[Round], None]]:
    """A kill at every system call of every story, of a start that finds work, and of `gateway reap --now`."""
    jobs: list[Callable[[Round], None]] = []
    for name, story in STORIES.items():
        jobs += [partial(_in, name, *point) for point in points(this.count(story))]
    jobs += [partial(_at_start, *point) for point in points(this.count_start(), START_CALLS)]
    return jobs + [partial(_in_reap, *point) for point in points(this.count_reap(), START_CALLS)]


def pairs_of(this: Round, number: int, seed: int) -> list[Callable[[Round], None]]:
    """A random choice of pairs of stories, with the kill in the second."""
    draw = random.Random(seed)
    counted = {name: list(points(this.count(story))) for name, story in STORIES.items()}
    jobs: list[Callable[[Round], None]] = []
    for _ in range(number):
        first, second = draw.choice(list(STORIES)), draw.choice(list(STORIES))
        jobs.append(partial(_between, first, second, *draw.choice(counted[second])))
    return jobs


def loads_of(number: int, seed: int) -> list[Callable[[Round], None]]:
    """Kills at random moments, 10 ms to 2 s after eight clients began."""
    draw = random.Random(seed)
    return [partial(_under_load, draw.uniform(0.01, 2.0), seed * 1_000_000 + each) for each in range(number)]


def _in(name: str, call: str, number: int, this: Round) -> None:
    this.die_in(name, call, number)


def _between(first: str, second: str, call: str, number: int, this: Round) -> None:
    this.die_between(first, second, call, number)


def _at_start(call: str, number: int, this: Round) -> None:
    this.die_at_start(call, number)


def _in_reap(call: str, number: int, this: Round) -> None:
    this.die_in_reap(call, number)


def _under_load(seconds: float, seed: int, this: Round) -> None:
    this.die_under_load(seconds, seed)
