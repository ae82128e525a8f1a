"""Blob names and their life: pending, live (counted references), doomed, gone.

*Pending* is a name that may hold bytes and has no row yet. Instead of a durable row per name a process takes a lease
on 4096 names, ``<lease>/<counter>``; whatever lies under a dead process's lease and is not known here is garbage.

*Doomed* blobs are given to the reaper only when no GET can still be reading them. Every change that dooms blobs moves
the epoch on and stamps them with it; a GET notes the epoch before it looks up its version, so it can only be reading
blobs whose stamp is later than its note.
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import apsw
from twisted.internet.defer import Deferred

from gateway.catalogue.database import Database
from gateway.catalogue.owners import Owner
from gateway.catalogue.rows import names_above

NAMES_PER_LEASE = 4096


@dataclass(frozen=True, slots=True)
class Lease:
    """A right to names ``<id>/...`` in a location."""

    id: str
    location: str


class _Held:
    """A lease of this process: how many names it gave, and which of them are still pending."""

    __slots__ = ("id", "issued", "location", "pending")

    def __init__(self, lease: str, location: str) -> None:
        self.id = lease
        self.location = location
        self.issued = 0
        self.pending: set[str] = set()

    @property
    def spent(self) -> bool:
        return self.issued == NAMES_PER_LEASE


class Pending:
    """The names that this process invented and that no row knows yet."""

    def __init__(self) -> None:
        self._held: dict[str, _Held] = {}

    def __contains__(self, name: object) -> bool:
        lease = self._held.get(str(name).partition("/")[0])
        return lease is not None and name in lease.pending

    def __len__(self) -> int:
        return sum(len(lease.pending) for lease in self._held.values())

    def add(self, lease: _Held) -> None:
        self._held[lease.id] = lease

    def settle(self, names: Iterable[str]) -> None:
        """A row took over: the names are live, doomed, or those of an upload."""
        for name in names:
            lease = self._held.get(name.partition("/")[0])
            if lease is not None:
                lease.pending.discard(name)

    def take_finished(self, *, closing: bool) -> list[str]:
        """Leases that no pending name needs any more: the spent ones, when ``closing`` all."""
        finished = [lease.id for lease in self._held.values() if not lease.pending and (closing or lease.spent)]
        for lease in finished:
            del self._held[lease]
        return finished


class Reading:
    """A running GET: blobs that were live when it began are kept until ``close``."""

    __slots__ = ("_end", "_epoch")

    def __init__(self, epoch: int, end: Callable[[int], None]) -> None:
        self._epoch = epoch
        self._end: Callable[[int], None] | None = end

    def close(self) -> None:
        """The body is through (or given up). Safe to call twice."""
        end, self._end = self._end, None
        if end is not None:
            end(self._epoch)


class Blobs:
    """Names, readings, and what the reaper needs to know."""

    def __init__(self, database: Database, owner: Owner, pending: Pending) -> None:
        self._database = database
        self._owner = owner
        self._pending = pending
        self._leases: dict[str, _Held] = {}  # location -> the lease that names come from now
        self._taking: dict[str, list[Deferred[None]]] = {}  # who waits while a lease is being taken
        self._readings: Counter[int] = Counter()
        self._published = -1

    @property
    def pending(self) -> int:
        """How many names this process gave that no row knows yet: about as many as there are writes under way."""
        return len(self._pending)

    # ------------------------------------------------------------ names

    async def name(self, location: str) -> str:
        """A new opaque name, pending until it is committed, disposed, or given to an upload."""
        while True:
            lease = self._leases.get(location)
            if lease is not None and not lease.spent:
                name = f"{lease.id}/{lease.issued:06x}"
                lease.issued += 1
                lease.pending.add(name)
                return name
            await self._next_lease(location)

    async def _next_lease(self, location: str) -> None:
        """Take a lease, or wait for the one that is being taken (and look again: it may have failed)."""
        if location in self._taking:
            taken: Deferred[None] = Deferred()
            self._taking[location].append(taken)
            await taken
            return
        self._taking[location] = []
        try:
            await self._take_lease(location)
        finally:  # one by one from here: waiters that wake each other would nest as deep as they are many
            for waiter in self._taking.pop(location):
                waiter.callback(None)

    async def _take_lease(self, location: str) -> None:
        lease = _Held(secrets.token_hex(8), location)
        finished = self._pending.take_finished(closing=False)

        def change(connection: apsw.Connection) -> None:
            connection.execute(
                "INSERT INTO leases (id, location, owner) VALUES (?, ?, ?)", (lease.id, location, self._owner.id)
            )
            connection.executemany("DELETE FROM leases WHERE id = ?", [(spent,) for spent in finished])

        await self._database.change(change)
        self._pending.add(lease)
        self._leases[location] = lease

    async def hand_back(self) -> None:
        """At a clean end: close the leases under which nothing is pending. The reaper looks into the others."""
        self._leases.clear()
        finished = self._pending.take_finished(closing=True)
        await self._database.run("DELETE FROM leases WHERE id = ?", [(lease,) for lease in finished])

    async def dispose(self, location: str, names: Iterable[str]) -> None:
        """Doom names that may hold bytes but that nobody refers to (a failed put, an answer that never came).

        A name that is live or doomed already stays what it is, so disposing after an unclear commit is safe.
        """
        chosen = list(names)
        await self._database.run(
            "INSERT INTO blobs (location, name, refs, doomed) VALUES (?, ?, 0, 0) ON CONFLICT DO NOTHING",
            [(location, name) for name in chosen],
        )
        self._pending.settle(chosen)

    # ------------------------------------------------------------ readings

    def reading(self) -> Reading:
        """To be opened before a GET looks up its version, and closed after its body.

        It notes the epoch that its request saw (``Database.look``): an older one keeps more blobs, never fewer.
        """
        epoch = self._database.epoch
        self._readings[epoch] += 1
        return Reading(epoch, self._end_reading)

    def _end_reading(self, epoch: int) -> None:
        self._readings[epoch] -= 1
        if not self._readings[epoch]:
            del self._readings[epoch]

    def _epoch(self) -> int:
        ((epoch,),) = self._database.rows("SELECT epoch FROM about")
        return int(epoch)

    def _oldest_reading(self) -> int:
        return min(self._readings, default=self._epoch())

    async def publish(self) -> None:
        """Tell the other processes the oldest reading of this one; until told, they keep what it may be reading."""
        oldest = self._oldest_reading()
        if oldest == self._published:
            return
        sql = "UPDATE owners SET reading = ? WHERE id = ?"
        await self._database.run(sql, [(oldest, self._owner.id)], counts=False)
        self._published = oldest

    # ------------------------------------------------------------ for the reaper

    async def doomed(self, location: str, limit: int = 1000) -> list[str]:
        """Names of doomed blobs that no running GET of any living process can be reading, oldest first."""
        oldest = self._oldest_reading()
        for other, reading in self._database.rows("SELECT id, reading FROM owners"):
            if reading < oldest and other != self._owner.id and self._owner.alive(other):
                oldest = reading
        rows = self._database.rows(
            "SELECT name FROM blobs WHERE location = ? AND doomed IS NOT NULL AND doomed <= ? ORDER BY doomed LIMIT ?",
            (location, oldest, limit),
        )
        return [name for (name,) in rows]

    async def gone(self, location: str, names: Iterable[str]) -> None:
        """The backend deleted these doomed blobs: forget them."""
        await self._database.run(
            "DELETE FROM blobs WHERE location = ? AND name = ? AND doomed IS NOT NULL",
            [(location, name) for name in names],
        )

    async def dead_leases(self) -> list[Lease]:
        """Leases of dead processes. What lies under their names in the location and is not ``known`` is garbage."""
        rows = self._database.rows("SELECT id, location, owner FROM leases")
        alive = {owner: self._owner.alive(owner) for owner in {row[2] for row in rows}}
        return [Lease(id_, location) for id_, location, owner in rows if not alive[owner]]

    async def known(self, location: str, names: Iterable[str]) -> set[str]:
        """Those of ``names`` that are live, doomed, or belong to an upload that is not completed and not forgotten.

        (What a completed upload became has rows; anything else it left under its name is garbage.)
        """
        return {name for name in names if self._is_known(location, name)}

    def _is_known(self, location: str, name: str) -> bool:
        if self._database.row("SELECT 1 FROM blobs WHERE location = ? AND name = ?", (location, name)):
            return True
        return any(
            self._database.row(
                "SELECT 1 FROM uploads WHERE location = ? AND blob = ? AND state <> 'completed'", (location, above)
            )
            for above in names_above(name)
        )

    async def close_lease(self, lease: str) -> None:
        """Everything under the lease is known or deleted."""
        await self._database.run("DELETE FROM leases WHERE id = ?", [(lease,)])

    async def counts(self) -> Mapping[str, int]:
        """Figures for the metrics: live and doomed blobs, open uploads."""
        ((live, doomed),) = self._database.rows("SELECT live, doomed FROM about")
        ((uploads,),) = self._database.rows("SELECT count(*) FROM uploads WHERE state = 'open'")
        return {"live": live, "doomed": doomed, "open uploads": uploads}
