"""What a restore or rebuild found, in words and as JSON: what came back, and what nobody can know."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

_SHOWN = 20  # lines of each kind in the text; the JSON has all


@dataclass(frozen=True, slots=True)
class Item:
    """One object (or upload) that must be told about. ``blobs``: the names that it is about."""

    bucket: str
    key: str
    why: str
    blobs: tuple[str, ...] = ()


@dataclass(slots=True)
class Report:
    """``source``: where the catalogue came from. ``certain``: nothing is listed that could not be known."""

    catalogue: str = ""
    source: str = ""
    objects: int = 0
    from_manifests: list[Item] = field(default_factory=list)
    undecided: list[Item] = field(default_factory=list)
    damaged: list[Item] = field(default_factory=list)
    gone: list[Item] = field(default_factory=list)
    uploads: list[Item] = field(default_factory=list)
    buckets: list[str] = field(default_factory=list)
    owners: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    strays: int = 0
    notes: list[str] = field(default_factory=list)

    @property
    def certain(self) -> bool:
        return not any(
            (self.from_manifests, self.undecided, self.damaged, self.gone, self.uploads, self.buckets, self.owners)
        ) and not any((self.faults, self.strays))

    def rows(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "certain": self.certain}

    def lines(self) -> list[str]:
        """For people."""
        out = [f"catalogue {self.catalogue} from {self.source}: {self.objects} objects"]
        out += [f"note: {note}" for note in self.notes]
        out += [f"fault: {fault}" for fault in self.faults]
        out += [f"bucket {line}" for line in self.buckets]
        out += [f"owner without account: {owner} (gateway account add NAME --canonical-id)" for owner in self.owners]
        out += _section("brought back from its manifest", self.from_manifests)
        out += _section("NOT brought back, undecided", self.undecided)
        out += _section("NOT brought back, damaged", self.damaged)
        out += _section("gone", self.gone)
        out += _section("upload under way", self.uploads)
        if self.strays:
            out.append(f"{self.strays} blobs belong to nobody now; they stay (`gateway verify` names them)")
        return out


def _section(title: str, items: Sequence[Item]) -> list[str]:
    lines = [
        f"{title}: {item.bucket}/{item.key}: {item.why}{' ' if item.blobs else ''}{' '.join(item.blobs)}"
        for item in items[:_SHOWN]
    ]
    more = len(items) - len(lines)
    return [*lines, f"{title}: {more} more (--json lists them)"] if more else lines
