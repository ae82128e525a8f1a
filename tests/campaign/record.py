"""The whole campaign: ``python -m tests.campaign.record [--share 0.05] [--seed N] [PHASE ...]``.

Each phase keeps its lines in ``.make/campaign.json`` while it works, and ``docs/durability.md`` is drawn anew from that
file when it ends, so that phases may be run one by one, or several at once.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import platform
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from gateway.cli.offline import in_reactor
from tests.campaign import blocks, errors, page
from tests.campaign.copies import Copied, copied_rounds, copies_of
from tests.campaign.crews import SETTINGS as TWO_WORKERS
from tests.campaign.crews import calls_of, crew_rounds, lives_of
from tests.campaign.disk import is_of_rows
from tests.campaign.histories import history
from tests.campaign.kills import Round, Tally, in_rounds, jobs_of, loads_of, pairs_of
from tests.campaign.power import Outcome, check, is_directory, is_file, record, sqlite_normal
from tests.campaign.subject import SETTINGS, Subject

ROOT = Path(__file__).parents[2]
STATE = ROOT / ".make" / "campaign.json"
PAIRS, LOADS, TWISTD, HISTORIES, OPERATIONS = 1800, 2000, 100, 100, 2000
LIVES, CALLS_OF_WORKERS, COPIES = 400, 400, 100
STATES, STORIES_OF_POWER = 10_500, 21
IMAGES, STORIES_OF_BLOCKS = 1000, 4
TRIES = 200  # a control that is not caught within so many kills fails the campaign


@dataclass(frozen=True, slots=True)
class Plan:
    """``share`` of the full figures, the seed of everything random, and a folder for scratch.

    ``told`` keeps the lines of a phase that still works.
    """

    share: float
    seed: int
    folder: Path
    told: Callable[[list[Line]], None]

    def of(self, full: int) -> int:
        return max(1, round(full * self.share))


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the record: how many ``cases`` of what, and what was wrong with them."""

    what: str
    cases: int
    seconds: float
    violations: list[str]
    note: str = ""
    control: bool = False  # then violations are what was hoped for


def _killed(plan: Plan, what: str, jobs: list[Callable[[Round], None]], twistd: bool = False) -> list[Line]:
    begun = time.monotonic()

    def line(tally: Tally) -> Line:
        slowest = f"{tally.slowest:.1f} s, at most {tally.work:.1f} s of processor time"
        note = f"{tally.idle} more died only after the answer; slowest restart {slowest}"
        if tally.kills + tally.idle < len(jobs):
            note = f"{tally.kills + tally.idle:,} of {len(jobs):,} planned; {note}"
        return Line(what, tally.kills, time.monotonic() - begun, tally.violations, note)

    tally = in_rounds(plan.folder / "rounds", jobs, twistd=twistd, told=lambda tally: plan.told([line(tally)]))
    return [line(tally)]


def system_calls(plan: Plan) -> list[Line]:
    with Round(plan.folder / "count") as this:
        jobs = jobs_of(this)
    chosen = random.Random(plan.seed).sample(jobs, plan.of(len(jobs)))
    return _killed(plan, f"kills at a system call, {len(chosen)} of {len(jobs)}", chosen)


def pairs(plan: Plan) -> list[Line]:
    with Round(plan.folder / "count") as this:
        jobs = pairs_of(this, plan.of(PAIRS), plan.seed)
    return _killed(plan, "kills in the second of two operations", jobs)


def loads(plan: Plan) -> list[Line]:
    jobs = loads_of(plan.of(LOADS), plan.seed)
    return _killed(plan, "kills at a random moment under eight clients", jobs)


def twistd(plan: Plan) -> list[Line]:
    """The same, with every start from nothing."""
    jobs = loads_of(plan.of(TWISTD), plan.seed + 1)
    return _killed(plan, "the same, each time started by `twistd`", jobs, twistd=True)


def crews(plan: Plan) -> list[Line]:
    """Two workers, who die one by one and together."""
    begun, jobs = time.monotonic(), lives_of(plan.of(LIVES), plan.seed)

    def line(tally: Tally) -> Line:
        note = f"in {tally.lives} of {len(jobs)} lives; slowest restart {tally.slowest:.1f} s"
        what = "deaths of one of two workers, of their supervisor, of all"
        return Line(what, tally.kills, time.monotonic() - begun, tally.violations, note)

    tally = crew_rounds(plan.folder / "rounds", jobs, told=lambda tally: plan.told([line(tally)]))
    return [line(tally)]


def worker_calls(plan: Plan) -> list[Line]:
    """One of two workers dies in a system call, and the other one goes on."""
    with Round(plan.folder / "count") as this:
        jobs = calls_of(this, plan.of(CALLS_OF_WORKERS), plan.seed)
    begun = time.monotonic()

    def line(tally: Tally) -> Line:
        note = f"{tally.kills + tally.idle} of {len(jobs)} planned; {tally.idle} more died only after the answer"
        return Line(
            "kills of one of two workers at a system call",
            tally.kills,
            time.monotonic() - begun,
            tally.violations,
            note,
        )

    tally = crew_rounds(plan.folder / "rounds", jobs, told=lambda tally: plan.told([line(tally)]))
    return [line(tally)]


def copies(plan: Plan) -> list[Line]:
    """Copied while eight clients write, and restored."""
    begun, jobs = time.monotonic(), copies_of(plan.of(COPIES), plan.seed)

    def line(tally: Tally) -> Line:
        note = "`gateway backup`, `python -m gateway_local`, `gateway restore`; every key is read"
        return Line("copies under eight clients", tally.kills, time.monotonic() - begun, tally.violations, note)

    tally = copied_rounds(plan.folder / "rounds", jobs, told=lambda tally: plan.told([line(tally)]))
    return [line(tally)]


def disk_errors(plan: Plan) -> list[Line]:
    """A disk that fails and is mended, under a gateway that lives on."""
    begun = time.monotonic()
    with errors.Sick(plan.folder / "count") as this:
        jobs = errors.jobs_of(this)
    chosen = random.Random(plan.seed).sample(jobs, plan.of(len(jobs)))

    def line(tally: Tally) -> Line:
        note = f"{tally.idle} more did not strike; slowest recovery {tally.slowest:.1f} s"
        what = f"faults of the disk, {len(chosen)} of {len(jobs)}"
        return Line(what, tally.kills, time.monotonic() - begun, tally.violations, note)

    tally = errors.sick_rounds(plan.folder / "rounds", chosen, lambda tally: plan.told([line(tally)]))
    return [line(tally)]


def histories(plan: Plan, settings: Mapping[str, str] = SETTINGS) -> list[Line]:
    begun, total, wrong = time.monotonic(), 0, list[str]()
    number = plan.of(HISTORIES)
    subject = Subject(plan.folder / "histories", settings=settings)
    answered = f"eight clients, four keys, workers = {settings['workers']}"

    def line(done: int) -> Line:
        note = f"{done} histories, {answered}"
        return Line("operations in checked histories", total, time.monotonic() - begun, wrong, note)

    try:
        subject.start()
        for each in range(number):
            count, found = history(subject, plan.folder / "journal", OPERATIONS, plan.seed * 10_000 + each)
            total, wrong = total + count, wrong + found
            plan.told([line(each + 1)])
    finally:
        subject.kill()
    return [line(number)]


def shared_histories(plan: Plan) -> list[Line]:
    return histories(plan, TWO_WORKERS)


def controls(plan: Plan) -> list[Line]:
    """Each broken gateway must be found out."""
    lines = []
    with Round(plan.folder / "count") as this:
        jobs = jobs_of(this)
    for control in ("commit-before-blob", "answer-before-commit", "forgotten-sweep"):
        begun = time.monotonic()
        chosen = random.Random(plan.seed).sample(jobs, min(TRIES, len(jobs)))
        tally = in_rounds(plan.folder / control, chosen, control)
        lines.append(
            Line(
                control, tally.kills + tally.idle, time.monotonic() - begun, tally.violations[:1], "kills", control=True
            )
        )
    for control, name, settings in (
        ("stale-reads", "stale-reads", SETTINGS),
        ("unchecked-conditions", "unchecked-conditions", SETTINGS),
        ("stale-reads", "stale-reads, two workers", TWO_WORKERS),
        ("unchecked-conditions", "unchecked-conditions, two workers", TWO_WORKERS),
    ):
        begun, tries, wrong = time.monotonic(), 0, list[str]()
        subject = Subject(plan.folder / name, control, settings=settings)
        try:
            subject.start()
            while not wrong and tries < 5:
                tries += 1
                wrong = history(subject, plan.folder / "journal", 500, plan.seed * 10_000 + tries)[1]
        finally:
            subject.kill()
        lines.append(Line(name, tries, time.monotonic() - begun, wrong[:1], "histories", control=True))
    return [*lines, *_controls_of_crews(plan), _wrong_order(plan)]


def _controls_of_crews(plan: Plan) -> list[Line]:
    lines = []
    for control in ("answer-before-commit", "outliving-workers"):
        begun, jobs = time.monotonic(), lives_of(TRIES, plan.seed)
        tally = crew_rounds(plan.folder / f"{control} of two", jobs, control)
        name, found = f"{control}, two workers", tally.violations[:1]
        lines.append(Line(name, tally.kills, time.monotonic() - begun, found, "deaths", control=True))
    return lines


def _wrong_order(plan: Plan) -> Line:
    """The storage is copied first."""
    begun, found = time.monotonic(), list[str]()
    with Copied(plan.folder / "backwards") as this:
        while not found and this.tally.kills < TRIES:
            this.copy(plan.seed * 1_000_000 + this.tally.kills, backwards=True)
            found = this.tally.violations
        tries = this.tally.kills
    return Line("copied in the wrong order", tries, time.monotonic() - begun, found[:1], "copies", control=True)


def power(plan: Plan) -> list[Line]:
    """States after power loss, and gateways that sync too little; one reactor serves them all."""
    scratch = _memory() / "disk"
    number = plan.of(STORIES_OF_POWER)

    async def stories(reactor: Any, before: list[Line]) -> list[Line]:
        begun, total, lines = time.monotonic(), Outcome(), before
        for each in range(number):
            seed = plan.seed * 10_000 + each
            events = await record(scratch, reactor, seed, rounds=30)
            outcome = await check(events, scratch, reactor, seed=seed, most=STATES // STORIES_OF_POWER)
            total.states += outcome.states
            total.violations += [f"story {seed}: {wrong}" for wrong in outcome.violations]
            seconds = time.monotonic() - begun
            line = Line("states after power loss", total.states, seconds, total.violations, f"{each + 1} stories")
            lines = [*before, line]
            plan.told(lines)
        return lines

    async def control(reactor: Any, name: str, skips: Callable[[Any], bool], how: AbstractContextManager[None]) -> Line:
        begun = time.monotonic()
        with how:
            events = await record(scratch, reactor, plan.seed, rounds=14, skips=skips)
        found = await check(events, scratch, reactor, seed=plan.seed, most=1000, stop_early=True)
        return Line(name, found.states, time.monotonic() - begun, found.violations[:1], "states", control=True)

    async def work(reactor: Any) -> list[Line]:
        controls = [
            await control(reactor, "no file is synced", is_file, nullcontext()),
            await control(reactor, "no directory is synced", is_directory, nullcontext()),
            await control(reactor, "no row is synced", is_of_rows, nullcontext()),
            await control(reactor, "SQLite NORMAL", lambda file: False, sqlite_normal()),
        ]
        return await stories(reactor, controls)

    lines = in_reactor(work)
    shutil.rmtree(scratch.parent)
    return lines


def images(plan: Plan) -> list[Line]:
    """Power loss below ext4, and a gateway that does not sync its files there."""
    scratch, seed, number = _memory(), plan.seed * 10_000, plan.of(STORIES_OF_BLOCKS)
    begun = time.monotonic()
    tape = blocks.record(scratch / "control", seed, 10, "no-file-sync")
    found = blocks.check(tape, scratch / "control", seed=seed, most=TRIES, stop_early=True)
    seconds = time.monotonic() - begun
    lines = [Line("no file is synced, on ext4", found.states, seconds, found.violations[:1], "images", control=True)]
    begun, total = time.monotonic(), Outcome()
    for each in range(number):
        place = scratch / str(each)
        tape = blocks.record(place, seed + each, rounds=30)
        outcome = blocks.check(tape, place, seed=seed + each, most=plan.of(IMAGES) // number)
        total.states += outcome.states
        total.violations += [f"story {seed + each}: {wrong}" for wrong in outcome.violations]
        note = f"{each + 1} stories; ext4 replays its journal, the gateway starts"
        line = Line("images of a disk after power loss", total.states, time.monotonic() - begun, total.violations, note)
        plan.told([*lines, line])
    shutil.rmtree(scratch)
    return [*lines, line]


def _memory() -> Path:
    """A folder for disks that are only a model."""
    return Path(tempfile.mkdtemp(dir="/dev/shm" if Path("/dev/shm").is_dir() else None))


PHASES: dict[str, Callable[[Plan], list[Line]]] = {
    "controls": controls,
    "kills": system_calls,
    "pairs": pairs,
    "loads": loads,
    "twistd": twistd,
    "power": power,
    "images": images,
    "histories": histories,
    "crews": crews,
    "workercalls": worker_calls,
    "sharedhistories": shared_histories,
    "copies": copies,
    "errors": disk_errors,
}


def main() -> int:
    """0 where nothing was violated and every control was caught."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("phases", nargs="*", metavar="PHASE", help=f"some of {', '.join(PHASES)}; default: all")
    parser.add_argument("--share", type=float, default=1.0, help="how much of the full figures")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    if unknown := set(asked.phases) - set(PHASES):
        parser.error(f"no such phase: {', '.join(unknown)}")
    good = True
    for name in asked.phases or PHASES:
        folder = Path(tempfile.mkdtemp(prefix=f"campaign-{name}-"))
        if name == "images" and (reason := blocks.cannot()):
            sys.stdout.write(f"{name}: not here: {reason}\n")
            continue
        keep = partial(_keep, name, asked.seed, _commit())
        lines = PHASES[name](Plan(asked.share, asked.seed, folder, keep))
        fine = all(bool(line.violations) == line.control for line in lines)
        for line in lines:
            told = "; ".join(line.violations[:3])
            sys.stdout.write(f"{name}: {line.cases} {line.what} in {line.seconds:.0f} s {told}\n")
            sys.stdout.flush()
        state = keep(lines)
        (ROOT / "docs" / "durability.md").write_text(page.draw(state, list(PHASES)))
        good = good and fine
        if fine:
            shutil.rmtree(folder)
        else:
            sys.stdout.write(f"{name}: what it left is in {folder}\n")
    return 0 if good else 1


def _commit() -> str:
    """What is tried; with a + where something is not committed (the page that we draw does not count)."""

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()

    changed = git("status", "--porcelain", "-uno", "--", ".", ":!docs/durability.md")
    return git("rev-parse", "--short", "HEAD") + "+" * bool(changed)


def _keep(name: str, seed: int, commit: str, lines: list[Line]) -> dict[str, Any]:
    """Put the lines of a phase and seed into the state, which other phases may be writing to; the whole state."""
    STATE.parent.mkdir(exist_ok=True)
    with STATE.open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        state: dict[str, Any] = json.loads(file.read() or "{}")
        state[f"{name} {seed}"] = {
            "seed": seed,
            "commit": commit,
            "date": time.strftime("%Y-%m-%d", time.gmtime()),
            "machine": f"{os.cpu_count()} cores, Linux {platform.release().partition('-')[0]},"
            f" Python {platform.python_version()}",
            "load": os.getloadavg()[2],  # of the last 15 minutes
            "lines": [asdict(line) for line in lines],
        }
        file.truncate(0)
        file.write(json.dumps(state, indent=1))
    return state


if __name__ == "__main__":
    sys.exit(main())
