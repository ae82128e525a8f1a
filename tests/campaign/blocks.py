"""Power loss below a real file system: ext4 on a disk whose writes and flushes are remembered (``blockdisk.py``).

The real gateway runs on it. For moments of the story, images are made that the disk may hold if the power went then:
everything up to the last flush is in them, and some of what came after. Each is mounted, which replays ext4's journal,
a gateway is started on it, and every key must be what its client was told, or was still asking for.

Needs root, for mounts and loop devices.
"""

from __future__ import annotations

import bisect
import hashlib
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.campaign.blockdisk import HEAD, NAME
from tests.campaign.disk import Told
from tests.campaign.history import content
from tests.campaign.power import BUCKET, SIZES, Expected, Outcome
from tests.campaign.signing import NoAnswer
from tests.campaign.subject import Broken, Subject
from tests.campaign.verify import unsound

PROGRAM = Path(__file__).parent / "blockdisk.py"
SIZE = 96 * 1024 * 1024  # bytes; a local location leaves 32 MiB of its disk free
SECTOR = 512
KEYS = ("a", "b", "c", "d", "e")
PATIENCE = 60.0


@dataclass(frozen=True, slots=True)
class Tape:
    """What the disk was asked: (offset, bytes), None for a flush; what clients were told, and before which entry."""

    image: Path  # as it was before the first entry
    entries: Sequence[tuple[int, bytes] | None]
    told: Sequence[tuple[int, Told]]


def cannot() -> str:
    """Why no disk can be remembered here, or ""."""
    if os.geteuid() != 0:
        return "only root may mount"
    for device in ("/dev/fuse", "/dev/loop-control"):
        if not os.access(device, os.R_OK | os.W_OK):
            return f"{device} may not be opened"
    for program in ("mkfs.ext4", "mount", "losetup", "fusermount"):
        if shutil.which(program) is None:
            return f"no {program}"
    return ""


def record(scratch: Path, seed: int, rounds: int, control: str = "") -> Tape:
    """Let a gateway work on a remembered disk, from its first start on."""
    fresh, image, log = (scratch / name for name in ("fresh", "image", "log"))
    scratch.mkdir()
    fresh.touch()
    os.truncate(fresh, SIZE)
    _run("mkfs.ext4", "-q", "-F", str(fresh))
    with mounted(fresh, scratch / "mount") as folder:
        Subject(folder / "gateway", control)
    _run("cp", "--sparse=always", str(fresh), str(image))
    log.touch()
    with remembered(image, log, scratch / "fuse") as disk, mounted(disk, scratch / "mount") as folder:
        subject = Subject(folder / "gateway", control)
        try:
            subject.start()
            told = story(subject, lambda: log.stat().st_size, random.Random(seed), rounds)
        finally:
            subject.kill()
    entries, starts = _read(log)
    return Tape(fresh, entries, [(bisect.bisect_left(starts, at), each) for at, each in told])


def story(subject: Subject, position: Callable[[], int], draw: random.Random, rounds: int) -> list[tuple[int, Told]]:
    """Puts of several sizes, overwrites and deletes, one by one and four at once; what was asked and told, and when."""
    told: list[tuple[int, Told]] = []

    def change(key: str, body: bytes | None) -> None:
        client = subject.client()
        value = None if body is None else hashlib.md5(body).hexdigest() if key else "there"
        told.append((position(), Told(key, value, done=False)))
        path = f"/{BUCKET}/{key}" if key else f"/{BUCKET}"
        answer = client.ask("DELETE", path) if body is None else client.ask("PUT", path, body)
        client.close()
        if answer.status not in (200, 204):
            raise Broken(f"{path}: {answer.status} {answer.body!r}")
        told.append((position(), Told(key, value, done=True)))

    change("", b"")
    with ThreadPoolExecutor(4) as threads:
        for number in range(rounds):
            keys = draw.sample(KEYS, draw.choice([1, 1, 4]))
            bodies = [None if draw.random() < 0.25 else content(f"{key}-{number}", draw.choice(SIZES)) for key in keys]
            list(threads.map(change, keys, bodies))
    return sorted(told, key=lambda each: each[0])


def check(tape: Tape, scratch: Path, *, seed: int, most: int, stop_early: bool = False) -> Outcome:
    """Look at ``most`` images, spread evenly, or at all that there are; ``stop_early`` at the first violation."""
    draw, outcome = random.Random(seed), Outcome()
    everything = sum(1 for _ in states(tape.entries, random.Random(seed)))
    wanted = set(draw.sample(range(everything), min(most, everything)))
    base, image, expected = scratch / "base", scratch / "state", Expected()
    _run("cp", "--sparse=always", str(tape.image), str(base))
    told = iter([*tape.told, (len(tape.entries) + 1, Told("", None, done=False))])
    at, following = next(told)
    done = 0
    for number, (moment, flushed, chosen) in enumerate(states(tape.entries, random.Random(seed))):
        while at <= moment:
            expected.step(following)
            at, following = next(told)
        if number not in wanted:
            continue
        _write(base, [each for each in tape.entries[done:flushed] if each is not None])
        done = flushed
        _run("cp", "--sparse=always", str(base), str(image))
        _write(image, chosen)
        outcome.states += 1
        wrong = _wrong(image, scratch / "mount", expected.allowed)
        outcome.violations += [f"after entry {moment} of {len(tape.entries)}: {each}" for each in wrong]
        if stop_early and wrong:
            break
    return outcome


def states(
    entries: Sequence[tuple[int, bytes] | None], draw: random.Random
) -> Iterator[tuple[int, int, list[tuple[int, bytes]]]]:
    """Moments (so many entries were there), how many of them a flush had made safe, and which others arrived."""
    flushed = 0
    for moment in range(1, len(entries) + 1):
        if entries[moment - 1] is None:
            flushed = moment
        pending = [each for each in entries[flushed:moment] if each is not None]
        yield moment, flushed, []
        if not pending:
            continue
        yield moment, flushed, pending
        offset, last = pending[-1]
        if len(last) > SECTOR:
            yield moment, flushed, [*pending[:-1], (offset, last[: draw.randrange(SECTOR, len(last), SECTOR)])]
        if len(pending) > 1:
            yield moment, flushed, pending[-1:]
            yield moment, flushed, [each for each in pending if draw.random() < 0.5]


def _wrong(image: Path, mount: Path, allowed: dict[str, set[str | None]]) -> list[str]:
    """Mount it, start a gateway on it, and read every key."""
    wrong = []
    try:
        with mounted(image, mount) as folder:
            subject = Subject(folder / "gateway")
            try:
                subject.start()
                client = subject.client()
                for key, values in allowed.items():
                    answer = client.ask("GET", f"/{BUCKET}/{key}") if key else client.ask("HEAD", f"/{BUCKET}")
                    found = (hashlib.md5(answer.body).hexdigest() if key else "there") if answer.status == 200 else None
                    if answer.status not in (200, 404) or found not in values:
                        wrong.append(f"{key or 'the bucket'} is {answer.status} {found}, and may be {values}")
                client.close()
            finally:
                subject.kill()
            wrong += unsound(folder / "gateway", reaped=False)
    except (Broken, NoAnswer, subprocess.CalledProcessError) as fault:
        wrong.append(str(fault))
    return wrong


# ---------------------------------------------------------------- disks


@contextmanager
def remembered(image: Path, log: Path, folder: Path) -> Iterator[Path]:
    """The image as a file whose writes and flushes go to the log."""
    folder.mkdir()
    # If this process is killed, it ends as well and takes its mount along.
    command = ["setpriv", "--pdeathsig", "TERM", sys.executable, "-P", str(PROGRAM), str(image), str(log), str(folder)]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    try:
        begun = time.monotonic()
        while not (folder / NAME).exists():
            if process.poll() is not None or time.monotonic() > begun + PATIENCE:
                raise Broken(f"{PROGRAM.name} does not serve: {process.returncode}")
            time.sleep(0.02)
        yield folder / NAME
    finally:
        with suppress(subprocess.CalledProcessError):
            _run("fusermount", "-u", str(folder))
        process.terminate()
        process.wait(PATIENCE)


@contextmanager
def mounted(image: Path, folder: Path) -> Iterator[Path]:
    """An ext4 image as a folder; its loop device goes with it."""
    folder.mkdir(exist_ok=True)
    _run("mount", "-t", "ext4", "-o", "loop", str(image), str(folder))
    try:
        yield folder
    finally:
        _run("umount", str(folder))


def _run(*words: str) -> None:
    try:
        subprocess.run(words, check=True, capture_output=True, text=True, timeout=PATIENCE)
    except subprocess.CalledProcessError as fault:
        fault.cmd = f"{' '.join(words)}: {fault.stderr.strip()}"
        raise


def _read(log: Path) -> tuple[list[tuple[int, bytes] | None], list[int]]:
    """The entries of a log, and where in it each begins."""
    data, at = log.read_bytes(), 0
    entries: list[tuple[int, bytes] | None] = []
    starts = []
    while at < len(data):
        starts.append(at)
        offset, length = HEAD.unpack_from(data, at)
        at += HEAD.size
        entries.append(None if offset < 0 else (offset, data[at : at + length]))
        at += length
    return entries, starts


def _write(image: Path, writes: Sequence[tuple[int, bytes]]) -> None:
    with image.open("r+b") as file:
        for offset, data in writes:
            file.seek(offset)
            file.write(data)
