"""Histories of a living gateway: eight clients on four keys, every answer checked for one order that explains it.

Lists are checked by containment, for S3's pages are not one snapshot: a key that was there from before a list began
until after it ended is in it, and one that surely was not is not.
"""

from __future__ import annotations

import random
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from tests.campaign.actor import Actor
from tests.campaign.history import History
from tests.campaign.kills import CLIENTS, random_call
from tests.campaign.linear import Op
from tests.campaign.stories import BUCKET, Scene
from tests.campaign.subject import Subject
from tests.campaign.verify import list_all

KEYS = 4
_LIST_EVERY = 40


@dataclass(frozen=True, slots=True)
class Listing:
    start: float
    end: float
    keys: frozenset[str]


def wrong_in(listing: Listing, key: str, ops: list[Op]) -> str:
    """Why the list cannot be what it says of a key; "" where it can."""
    before = [op for op in ops if op.start < listing.end]
    puts = [op for op in before if any(step.wrote and step.wrote[0] is not None for step in op.steps)]
    deletes = [op for op in before if any(step.wrote == (None,) for step in op.steps)]
    present = _sure(puts, deletes, listing)
    absent = not puts or _sure(deletes, puts, listing)
    if present and key not in listing.keys:
        return f"{key} was there all the time and is not listed"
    if absent and key in listing.keys:
        return f"{key} was not there all the time and is listed"
    return ""


def _sure(these: list[Op], those: list[Op], listing: Listing) -> bool:
    """One of ``these`` was done before the list began, for sure, and none of ``those`` can have come after it."""
    done = [op for op in these if op.end < listing.start and len(op.steps) == 1 and op.steps[0].wrote]
    return any(all(other.end < op.start for other in those) for op in done)


def history(subject: Subject, journal: Path, operations: int, seed: int) -> tuple[int, list[str]]:
    """Run about so many operations on fresh keys; how many there were, and what is wrong with them."""
    told = History(journal)
    setup = Actor(subject.client(), told)
    setup.create_bucket(BUCKET)
    setup.client.close()
    prefix = f"{BUCKET}/h{seed}"
    listings: list[Listing] = []

    def work(number: int) -> None:
        draw = random.Random(seed * CLIENTS + number)
        scene = Scene(Actor(subject.client(), told), f"h{seed}-{number}")
        while told.count < operations:
            if draw.randrange(_LIST_EVERY) == 0:
                start = time.monotonic()
                keys = list_all(
                    scene.actor.client, told, prefix.partition("/")[2] + "/", draw.randint(1, 4), draw.randint(1, 2)
                )
                listings.append(Listing(start, time.monotonic(), frozenset(keys)))
                if keys != sorted(set(keys)):
                    told.problem(f"a list is not in order, or has doubles: {keys}")
            else:
                random_call(scene, draw, prefix)
        scene.actor.client.close()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wrong = told.violations()
    for where in (f"{prefix}/{number}" for number in range(KEYS)):
        key, ops = where.partition("/")[2], told.ops(where)
        wrong += filter(None, (wrong_in(listing, key, ops) for listing in listings))
    told.close()
    return told.count, wrong
