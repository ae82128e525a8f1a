"""The whole campaign: ``python -m tests.campaign.record [--share 0.05] [--seed N] [PHASE ...]``.

Each phase adds its line to ``.make/campaign.json`` as soon as it ends, and ``docs/durability.md`` is drawn anew from
that file, so that phases may be run one by one.
"""

from __future__ import annotations

import argparse
import json
import platform
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from gateway.cli.offline import in_reactor
from tests.campaign import page
from tests.campaign.histories import history
from tests.campaign.kills import Round, Tally, in_rounds, jobs_of, loads_of, pairs_of
from tests.campaign.power import Outcome, check, is_directory, is_file, record, sqlite_normal
from tests.campaign.subject import Subject

ROOT = Path(__file__).parents[2]
STATE = ROOT / ".make" / "campaign.json"
PAIRS, LOADS, HISTORIES, OPERATIONS = 1600, 2000, 100, 2000
STATES, STORIES_OF_POWER = 10_500, 21
TRIES = 200  # a control that is not caught within so many kills fails the campaign


@dataclass(frozen=True, slots=True)
class Plan:
    """``share`` of the full figures, the seed of everything random, and a folder for scratch."""

    share: float
    seed: int
    folder: Path

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


def _killed(what: str, tally: Tally, begun: float) -> Line:
    note = f"{tally.idle} more died only after the answer; slowest restart {tally.slowest:.1f} s"
    return Line(what, tally.kills, time.monotonic() - begun, tally.violations, note)


def system_calls(plan: Plan) -> list[Line]:
    begun = time.monotonic()
    with Round(plan.folder / "count") as this:
        jobs = jobs_of(this)
    chosen = random.Random(plan.seed).sample(jobs, plan.of(len(jobs)))
    tally = in_rounds(plan.folder / "kills", chosen)
    return [_killed(f"kills at a system call, {len(chosen)} of {len(jobs)}", tally, begun)]


def pairs(plan: Plan) -> list[Line]:
    begun = time.monotonic()
    with Round(plan.folder / "count") as this:
        jobs = pairs_of(this, plan.of(PAIRS), plan.seed)
    tally = in_rounds(plan.folder / "pairs", jobs)
    return [_killed("kills in the second of two operations", tally, begun)]


def loads(plan: Plan) -> list[Line]:
    begun = time.monotonic()
    tally = in_rounds(plan.folder / "loads", loads_of(plan.of(LOADS), plan.seed))
    return [_killed("kills at a random moment under eight clients", tally, begun)]


def histories(plan: Plan) -> list[Line]:
    begun, total, wrong = time.monotonic(), 0, list[str]()
    number = plan.of(HISTORIES)
    subject = Subject(plan.folder / "histories")
    try:
        subject.start()
        for each in range(number):
            count, found = history(subject, plan.folder / "journal", OPERATIONS, plan.seed * 10_000 + each)
            total, wrong = total + count, wrong + found
    finally:
        subject.kill()
    note = f"{number} histories, eight clients, four keys"
    return [Line("operations in checked histories", total, time.monotonic() - begun, wrong, note)]


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
    for control in ("stale-reads", "unchecked-conditions"):
        begun, tries, wrong = time.monotonic(), 0, list[str]()
        subject = Subject(plan.folder / control, control)
        try:
            subject.start()
            while not wrong and tries < 5:
                tries += 1
                wrong = history(subject, plan.folder / "journal", 500, plan.seed * 10_000 + tries)[1]
        finally:
            subject.kill()
        lines.append(Line(control, tries, time.monotonic() - begun, wrong[:1], "histories", control=True))
    return lines


def power(plan: Plan) -> list[Line]:
    """States after power loss, and gateways that sync too little; one reactor serves them all."""
    scratch = Path(tempfile.mkdtemp(dir="/dev/shm" if Path("/dev/shm").is_dir() else None)) / "disk"
    number = plan.of(STORIES_OF_POWER)

    async def stories(reactor: Any) -> Line:
        begun, total = time.monotonic(), Outcome()
        for each in range(number):
            seed = plan.seed * 10_000 + each
            events = await record(scratch, reactor, seed, rounds=30)
            outcome = await check(events, scratch, reactor, seed=seed, most=STATES // STORIES_OF_POWER)
            total.states += outcome.states
            total.violations += [f"story {seed}: {wrong}" for wrong in outcome.violations]
        seconds = time.monotonic() - begun
        return Line("states after power loss", total.states, seconds, total.violations, f"{number} stories")

    async def control(reactor: Any, name: str, skips: Callable[[Any], bool], how: AbstractContextManager[None]) -> Line:
        begun = time.monotonic()
        with how:
            events = await record(scratch, reactor, plan.seed, rounds=10, skips=skips)
        found = await check(events, scratch, reactor, seed=plan.seed, most=1000, stop_early=True)
        return Line(name, found.states, time.monotonic() - begun, found.violations[:1], "states", control=True)

    async def work(reactor: Any) -> list[Line]:
        return [
            await control(reactor, "no file is synced", is_file, nullcontext()),
            await control(reactor, "no directory is synced", is_directory, nullcontext()),
            await control(reactor, "SQLite NORMAL", lambda file: False, sqlite_normal()),
            await stories(reactor),
        ]

    lines = in_reactor(work)
    shutil.rmtree(scratch.parent)
    return lines


PHASES: dict[str, Callable[[Plan], list[Line]]] = {
    "controls": controls,
    "kills": system_calls,
    "pairs": pairs,
    "loads": loads,
    "power": power,
    "histories": histories,
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
        lines = PHASES[name](Plan(asked.share, asked.seed, folder))
        fine = all(bool(line.violations) == line.control for line in lines)
        for line in lines:
            told = "; ".join(line.violations[:3])
            sys.stdout.write(f"{name}: {line.cases} {line.what} in {line.seconds:.0f} s {told}\n")
            sys.stdout.flush()
        _keep(name, asked.seed, lines)
        good = good and fine
        if fine:
            shutil.rmtree(folder)
        else:
            sys.stdout.write(f"{name}: what it left is in {folder}\n")
    return 0 if good else 1


def _keep(name: str, seed: int, lines: list[Line]) -> None:
    state = json.loads(STATE.read_text()) if STATE.exists() else {}
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True)
    state[name] = {
        "seed": seed,
        "commit": commit.stdout.strip(),
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "machine": f"Linux {platform.release().partition('-')[0]}, Python {platform.python_version()}",
        "lines": [asdict(line) for line in lines],
    }
    STATE.parent.mkdir(exist_ok=True)
    STATE.write_text(json.dumps(state, indent=1))
    (ROOT / "docs" / "durability.md").write_text(page.draw(state, list(PHASES)))


if __name__ == "__main__":
    sys.exit(main())
