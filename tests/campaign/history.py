"""What clients asked and what they were told: a journal outside of the gateway's folder, and registers to check."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from tests.campaign.linear import NEVER, NOTHING, Op, Step, Undecided, explain


@dataclass(frozen=True, slots=True)
class Written:
    """A value that a client sent: its id travels as metadata. A copy has a new id and bytes that its source had."""

    id: str
    etag: str  # "" for a copy that nobody answered: that of something that was once written


def content(id_: str, size: int) -> bytes:
    """Bytes that no other id has."""
    return hashlib.shake_128(id_.encode()).digest(size)


def _key(id_: str) -> str:
    return id_.rpartition(":")[0]


@dataclass(slots=True)
class Pending:
    """An operation under way: where, since when, and how it went if it was done at all.

    ``cut``: it has no answer because its connection ended. ``unheard``: nobody was there to be asked.
    """

    register: str
    start: float
    unknown: tuple[Step, ...]
    what: str
    answer: tuple[Step, ...] | None = None
    cut: bool = False
    unheard: bool = False


class History:
    """All threads write here. An answer is on disk before its client goes on.

    ``cut_ends``: a connection ends only because its process is dead, and then nothing of its operation comes later.
    """

    def __init__(self, journal: Path, *, cut_ends: bool = False) -> None:
        self._cut_ends = cut_ends
        self.written: dict[str, Written] = {}
        self.digests: dict[str, str] = {}  # ETag -> MD5 of the bytes
        self.problems: list[str] = []
        self._ops: dict[str, list[Op]] = defaultdict(list)
        self._open: list[tuple[str, Op]] = []  # never answered, and the process may still do it
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._journal = journal.open("a")

    def close(self) -> None:
        self._journal.close()

    def value(self, size: int, key: str) -> Written:
        """A new value for a key."""
        with self._lock:
            id_ = f"{key}:{next(self._numbers)}"
        etag = hashlib.md5(content(id_, size)).hexdigest()
        return self.note(Written(id_, etag), etag)

    def note(self, value: Written, digest: str = "") -> Written:
        """``digest``: the MD5 of the bytes that go with its ETag, where these are new."""
        with self._lock:
            self.written[value.id] = value
            if digest:
                self.digests[value.etag] = digest
        return value

    def ids_like(self, key: str, etag: str, *, unclear: bool) -> tuple[str, ...]:
        """The values of a key that have these bytes (``unclear``: or may have them)."""
        with self._lock:
            like = (etag, "") if unclear else (etag,)
            return tuple(id_ for id_, each in self.written.items() if each.etag in like and _key(id_) == key)

    @contextmanager
    def asking(self, register: str, what: str, *unknown: Step) -> Iterator[Pending]:
        """Set ``answer`` once it is known; else the operation may have gone in any of ``unknown``, or not at all."""
        asked = Pending(register, time.monotonic(), unknown, what)
        self._write({"ask": what, "register": register, "at": asked.start}, sync=False)
        try:
            yield asked
        finally:
            end = time.monotonic()
            op = Op(asked.start, end, asked.answer or (*asked.unknown, NOTHING), asked.what)
            if asked.answer:
                self._write({"told": what, "register": register, "at": end}, sync=True)
                with self._lock:
                    self._ops[register].append(op)
            elif asked.unheard:
                pass  # it does not count
            elif asked.cut and self._cut_ends:
                with self._lock:
                    self._ops[register].append(op)
            else:
                with self._lock:
                    self._open.append((register, replace(op, end=NEVER)))

    def problem(self, text: str) -> None:
        """Something that no order of operations could excuse."""
        with self._lock:
            self.problems.append(text)

    def died(self) -> None:
        """The server is dead for sure: what it had not done by now it will never do."""
        now = time.monotonic()
        with self._lock:
            for register, op in self._open:
                self._ops[register].append(replace(op, end=now))
            self._open.clear()
        self._write({"died": now}, sync=True)

    @property
    def registers(self) -> list[str]:
        with self._lock:
            return sorted({*self._ops, *(register for register, _ in self._open)})

    def ops(self, register: str) -> list[Op]:
        with self._lock:
            return list(self._ops.get(register, ()))

    @property
    def count(self) -> int:
        with self._lock:
            return sum(map(len, self._ops.values())) + len(self._open)

    def violations(self) -> list[str]:
        """What cannot be explained, one line for each register, and the problems that need no search."""
        found = list(self.problems)
        unanswered: dict[str, list[Op]] = defaultdict(list)
        for register, op in self._open:
            unanswered[register].append(op)
        for register in self.registers:
            try:
                stuck = explain([*self._ops[register], *unanswered[register]])
            except Undecided as undecided:
                found.append(f"{register}: undecided, {undecided}")
                continue
            if stuck:
                found.append(f"{register}: nothing explains {stuck}")
        return found

    def forget(self, registers: Sequence[str]) -> None:
        """Registers that are settled: long histories need not be searched again."""
        for register in registers:
            self._ops.pop(register, None)

    def _write(self, line: dict[str, object], sync: bool) -> None:
        with self._lock:
            self._journal.write(json.dumps(line) + "\n")
            self._journal.flush()
            if sync:
                os.fsync(self._journal.fileno())
